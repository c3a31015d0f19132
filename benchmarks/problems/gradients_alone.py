"""Fit energies to gradients and one value, and follow trajectories of the fits.

    python benchmarks/problems/gradients_alone.py [--systems NAME ...] [--seeds 10] [--best]

The errors of H are below the best published ones, whose settings differ from system to system, too. The settings here
were tried on seeds below 20, which are not among those that are measured. With `--best` they are chosen by
`search=best` instead, with all points and one seed. It takes an hour of one core, and the search eight minutes of two.

The published fits have many uniform random points. Of fewer ones too few lie near the corners, where a fit may then be
wrong by more than everywhere else together; so those that are kept are denser towards the edges (`towards_edges`).

Trajectories are computed from the gradient alone, with the fit exported to NumPy.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from runpy import run_path
from typing import Any

import numpy as np
from hamiltonians import SYSTEMS, System, trajectory
from results import keep
from tables import Array, label, relative_l2

import runge
from runge.exports import export

STEPS = 10_000
FIRST = 20  # the first seed with which no settings were tried
NEURONS = "optimizer=least_squares", "model.activation=sin", "model.width=400", "trainer.max_steps=6"
SMOOTH = *NEURONS, "optimizer.slopes=[0.3,6]"
SETTINGS: dict[str, tuple[int, tuple[str, ...]]] = {
    "pendulum": (4000, SMOOTH),
    "pendulum, p to 6": (4000, SMOOTH),
    "Lotka-Volterra, 2": (4000, SMOOTH),
    "Lotka-Volterra, 5": (4000, SMOOTH),
    "Lotka-Volterra, 0 to 8": (4000, SMOOTH),
    "Hénon-Heiles": (2000, (*NEURONS, "optimizer.slopes=[0.02,1]")),
    "double pendulum": (
        3600,
        (
            *("optimizer=levenberg_marquardt", "model.activation=tanh", "model.depth=2", "model.width=36"),
            *("model.init=knots", "trainer.max_steps=120", "data.split.val=0.05"),
        ),
    ),
}
"""How many of the published points are used, and the overrides of `runge.fit`."""


def towards_edges(system: System, x: Array, count: int, seed: int) -> Array:
    r"""Return the indices of `count` points of a system: the first, which has the value, and random ones.

    With coordinates t in [-1, 1] the probabilities are proportional to :math:`\prod_d (1 - t_d^2)^{-1/2}`, the density
    of Chebyshev's points.
    """
    lower, upper = np.array(system.lower), np.array(system.upper)
    t = (2 * x[1:] - lower - upper) / (upper - lower)
    weights = np.prod(1 - t**2, axis=1) ** -0.5
    others = np.random.default_rng(seed).choice(len(t), count - 1, replace=False, p=weights / weights.sum())
    return np.append(0, 1 + np.sort(others))


def fit(system: System, points: int, overrides: tuple[str, ...], seed: int, single: bool) -> dict[str, Any]:
    """Fit a system, and return its errors, the seconds, and of one run the change of the energy along a trajectory."""
    known, test = system.rows(seed, system.points)
    known = known.part(towards_edges(system, known.x, points, seed))
    with tempfile.TemporaryDirectory() as directory:
        call = runge.train if single else runge.fit
        started, used = time.perf_counter(), time.process_time()
        further = f"seed={seed}", "trainer.progress_bar=false"
        found = call(known._asdict(), *overrides, *further, directory=f"{directory}/fit")
        seconds = time.perf_counter() - started, time.process_time() - used
        energy = run_path(str(export(found.function, "numpy", Path(directory) / "energy")))["value_and_derivative"]
    u, du = energy(test.x)[:2]
    drifts = {"drift": drift(system, lambda x: energy(x)[1]), "drift_exact": drift(system, None)} if single else {}
    return {
        "value": relative_l2(u[:, None], test.y),
        "derivative": relative_l2(du[:, None], test.dydx),
        "seconds": round(seconds[0], 1),
        "core_seconds": round(seconds[1], 1),
        **drifts,
    }


@cache
def drift(system: System, gradient: Callable[[Array], Array] | None) -> float:
    """Return the largest change of H along a trajectory, over its range in the box; infinite if it leaves the box.

    The trajectory is that of another gradient, (m, 2 n) at points (m, 2 n); None: the exact one.
    """
    follow = gradient or (lambda x: label(system.value, x).dydx[:, 0])
    path = np.array([*trajectory(follow, system.start, system.step, STEPS)])
    inside = ((path >= system.lower) & (path <= system.upper)).all()
    size = np.ptp(system.rows(0, 1)[1].y)
    return float(np.ptp(system.value(path)) / size) if inside else float("inf")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--best", action="store_true", help="search=best with nothing chosen")
    arguments = parser.parse_args()
    for name in arguments.systems:
        points, overrides = (SYSTEMS[name].points, ("data.split.test=0",)) if arguments.best else SETTINGS[name]
        single = () if arguments.best else ("data.split.test=0", "pictures=false")
        rows = list[dict[str, Any]]()
        for seed in range(FIRST, FIRST + (1 if arguments.best else arguments.seeds)):
            row = {"problem": f"{name}{' by search' * arguments.best}", "seed": seed, "points": points}
            rows.append(row | fit(SYSTEMS[name], points, (*single, *overrides), seed, not arguments.best))
            print(rows[-1], flush=True)
        keep("gradients_alone", rows, "python benchmarks/problems/gradients_alone.py")


if __name__ == "__main__":
    sys.exit(main())
