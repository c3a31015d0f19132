"""The 36 tables on which the search's rule is chosen and checked: the 27 of `benchmarks/problems`, and nine of its own.

    python benchmarks/search/suite.py

It prints the size of each table, and the ones for the check by the rule of `draw_check`.
"""

import itertools
import sys
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
from catalogue import CATALOGUE
from engineering import LIBRARY, runge_kutta, with_noise
from fresh import FRESH
from functions import Function, entry
from hard import HARD
from large_tables import RIDGES
from large_tables import arm as planar_arm
from tables import Entry, Rows, label

MOST_TEST_ROWS = 2000
"""The rows by which networks are judged, at most: a small part of the time of a training."""

LINKS, MASSES, GRAVITY = np.array([0.5, 0.4, 0.3]), np.array([2.0, 1.5, 1.0]), 9.81
"""The lengths (m) of the arm's links, the masses (kg) at their ends, and m/s2."""

OBLATENESS, PASS, STEPS = 1.0826e-3, 4.0, 100
"""The Earth's J2; about half of an orbit, in the unit of time in which a satellite at its surface moves a radian; the
steps of the integration.
"""

REYNOLDS, ROUGHNESS = (4e3, 4e6), (1e-5, 1e-2)
"""The ranges of the inputs of the friction factor, three decades each."""


def torques(x: NDArray) -> NDArray:
    """Return the torques (N m) in the three joints of a planar arm, its inverse dynamics.

    Inputs: the angle of each joint (rad), its rate and its acceleration. With the ends p_k of the links, from joint
    p_(k-1), and the forces f_k = m_k (p_k'' + g) on the masses, the torque is sum_(k >= j) (p_k - p_(j-1)) x f_k.
    """
    angle, rate, acceleration = (part.cumsum(axis=1) for part in np.split(x, 3, axis=1))
    links = LINKS * np.stack([np.cos(angle), np.sin(angle)])
    across = np.stack([-links[1], links[0]])
    ends, force = links.cumsum(axis=2), (across * acceleration - links * rate**2).cumsum(axis=2)
    force[1] += GRAVITY
    force, joints = MASSES * force, ends - links
    moments, total = ends[0] * force[1] - ends[1] * force[0], force[..., ::-1].cumsum(axis=2)[..., ::-1]
    return moments[:, ::-1].cumsum(axis=1)[:, ::-1] - (joints[0] * total[1] - joints[1] * total[0])


def orbit(x: NDArray) -> NDArray:
    """Return position and velocity of a satellite after about half of an orbit, by those at the beginning.

    Units are the Earth's radius and its gravity. Its oblateness J2 perturbs the acceleration -r / |r|^3. The solution
    is that of 100 steps of the classical Runge-Kutta method, and its derivative is that of these steps.
    """
    state, h = x.T, PASS / STEPS

    def flow(state: NDArray) -> NDArray:
        position, velocity = state[:3], state[3:]
        square = (position**2).sum(axis=0)
        bulge = 1.5 * OBLATENESS / square * (np.array([[1.0], [1.0], [3.0]]) - 5 * position[2] ** 2 / square)
        return np.concatenate([velocity, -position / square**1.5 * (1 + bulge)])

    return runge_kutta(flow, state, h, STEPS).T


def friction(x: NDArray) -> NDArray:
    """Return the friction factor of a pipe, by the Reynolds number and the relative roughness."""
    reynolds, roughness = x.T
    return (-1.8 * np.log10((roughness / 3.7) ** 1.11 + 6.9 / reynolds))[:, None] ** -2


def by_decades(n: int, seed: int) -> tuple[Rows, Rows]:
    """Return rows of the friction factor, and those of the test, whose inputs are spread evenly over the decades."""
    low, high = np.log10([REYNOLDS, ROUGHNESS]).T
    seen = qmc.LatinHypercube(d=2, rng=seed).random(n)
    test = np.random.default_rng(1000 + seed).random((MOST_TEST_ROWS, 2))
    seen, test = (label(friction, 10 ** qmc.scale(x, low, high)) for x in (seen, test))
    return seen, test


JOINTS = ((-1.5, 1.5),) * 3 + ((-2.0, 2.0),) * 3 + ((-5.0, 5.0),) * 3
ARM = "robotics", "inverse dynamics, by the equations of Newton and Euler"
START = np.array([1.2, 0.0, 0.0, 0.0, *np.sqrt(1 / 1.2) * np.array([np.cos(0.9), np.sin(0.9)])])
"""The state of a satellite on a circular orbit that is inclined by 0.9 rad."""

TABLES = {
    **CATALOGUE,
    "arm_500": entry(Function(torques, JOINTS, 500), *ARM),
    "arm_5000": entry(Function(torques, JOINTS, 5000), *ARM),
    "planar_arm": entry(Function(planar_arm, ((-1.5, 1.5),) * 6, 1000), "robotics", "the moments of six links"),
    "ridges_30": entry(RIDGES._replace(box=((-1, 1),) * 30, n=2000), "test functions", "`large_tables.ridges`"),
    "piston_noise": with_noise(
        HARD["piston"]._replace(n=1000), "engineering", f"Ben-Ari and Steinberg 2007, {LIBRARY}/piston.html"
    ),
    "friction": Entry(
        "engineering", partial(by_decades, 300), "Haaland 1983, https://doi.org/10.1115/1.3240948", friction
    ),
    "orbit": entry(
        Function(orbit, tuple((s - 0.05, s + 0.05) for s in START.tolist()), 1500),
        "dynamics",
        "Vallado 2013, Fundamentals of Astrodynamics and Applications, chapter 9",
    ),
    "otl_20000": entry(
        FRESH["otl_circuit"]._replace(n=20_000), "engineering", f"Ben-Ari and Steinberg 2007, {LIBRARY}/otlcircuit.html"
    ),
    "mccormick_30": entry(FRESH["mccormick"]._replace(n=30), "test functions", f"{LIBRARY}/mccorm.html"),
}

FAMILIES = ("arm_", "basket_", "reactor_")
"""The beginnings of the names of tables that are of one function, so that they are chosen or checked together."""

NOISY = frozenset({"airfoils", "basket_7", "basket_20", "friedman_noise", "piston_noise"})
"""The tables whose labels are not exact."""

CHECK = frozenset(
    (
        *("airfoils", "branin", "cantilever_beam", "otl_20000", "pendulum_energy", "piston_noise"),
        *("reactor_64", "reactor_256", "ridges_30", "ten_bar_truss", "tensor_exp", "tensor_tanh"),
    )
)
"""The tables on which the rule is checked and never chosen, a third: those of `draw_check`."""


def rows_of(name: str) -> tuple[Rows, Rows]:
    """Return the rows of a table that a search may see, and those of the test."""
    seen, test = TABLES[name].rows(0)
    return seen, test.part(slice(MOST_TEST_ROWS))


def draw_check(labels: dict[str, int]) -> frozenset[str]:
    """Draw one table of each three, in the order of their numbers of labels, first of the noisy ones.

    No family is divided: the seed is the first one for which that is so.

    Args:
        labels: the number of labels of each table.
    """
    ordered = sorted(labels, key=lambda name: (name not in NOISY, labels[name]))
    for seed in itertools.count():
        drawn = np.random.default_rng(seed).integers(3, size=len(ordered) // 3)
        check = frozenset(ordered[3 * i + j] for i, j in enumerate(drawn))
        families = [[name in check for name in ordered if name.startswith(family)] for family in FAMILIES]
        if all(any(members) == all(members) for members in families):
            return check
    raise AssertionError


def main() -> None:
    labels = dict[str, int]()
    for name in TABLES:
        rows, test = rows_of(name)
        labels[name] = int(np.isfinite(rows.y).sum() + np.isfinite(rows.dydx).sum())
        print(f"{name}: {len(rows.x)} rows, {rows.dydx.shape[2]} inputs, {rows.y.shape[1]} outputs, {len(test.x)} test")
    print(sorted(draw_check(labels)))


if __name__ == "__main__":
    main()
