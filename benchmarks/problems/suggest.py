"""Compare the rows of `runge suggest` with the same number of rows of a Sobol sequence.

    python benchmarks/problems/suggest.py [NAME ...] [--seeds 5] [--work DIR]

Each problem begins with a Latin hypercube, and adds batches of rows until it has them all; the Sobol sequence has all
rows at once. The same network is fitted to the rows of both: the mean of those of five folds. Errors are those at 1000
random points: the RMSE over the standard deviation, of the reactor the mean over its channels, and else for the
gradient its relative L2 error by standardised inputs. The page is `docs/howto/suggest.md`.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pfr
from fresh import FRESH
from hard import WELL, borehole
from scipy.stats import qmc
from tables import Array, Rows, label, nrmse

from runge import load, suggest, sweep

FOLDS = 5
METHODS = "suggest", "sobol"


class Study(NamedTuple):
    """A problem: its function, box, numbers of rows at first, in each batch and at last, and the network."""

    value: Callable[[Any], Any]
    box: tuple[tuple[float, float], ...]
    first: int
    batch: int
    last: int
    network: tuple[str, ...]


STUDIES = {
    "reactor": Study(
        pfr.reactor,
        tuple(pfr.INPUTS.values()),
        *(32, 32, 128),
        ("model.activation=softplus", "model.width=16", "trainer.max_steps=40"),
    ),
    "hottest": Study(  # the temperature of the reactor alone, which this network can fit
        lambda x: pfr.reactor(x)[:, 2:3],
        tuple(pfr.INPUTS.values()),
        *(32, 32, 128),
        ("model.activation=softplus", "model.width=20", "trainer.max_steps=40"),
    ),
    "borehole": Study(
        lambda x: borehole(x)[:, None],
        WELL,
        *(40, 16, 104),
        ("model.activation=softplus", "model.width=16", "trainer.max_steps=60"),
    ),
    "franke": Study(
        lambda x: FRESH["franke"].value(x)[:, None],
        FRESH["franke"].box,
        *(24, 8, 48),
        ("model.activation=silu", "model.width=16", "trainer.max_steps=80"),
    ),
}


def design(study: Study, n: int, kind: type[qmc.QMCEngine], seed: int) -> Array:
    """Return n points of a design in the box."""
    return qmc.scale(kind(d=len(study.box), rng=seed).random(n), *zip(*study.box, strict=True))


def fit(study: Study, rows: Rows, directory: Path) -> Any:
    """Return the mean of the networks of five folds; their sweep is in the directory."""
    sweep(
        rows._asdict(),
        *(f"data.folds={FOLDS}", "data.split.test=0", "optimizer=levenberg_marquardt", "model.depth=2"),
        *(*study.network, "trainer.progress_bar=false", "search.compare=false", "hydra.launcher.processes=1"),
        directory=directory,
    )
    return load(directory)


def errors(study: Study, function: Any, test: Rows) -> dict[str, float]:
    """Return the errors of values and of derivatives."""
    u, du = (part.reshape(y.shape) for part, y in zip(function.value_and_derivative(test.x), test[1:], strict=True))
    scale = test.x.std(axis=0)
    relative_l2 = float(np.linalg.norm((du - test.dydx) * scale) / np.linalg.norm(test.dydx * scale))
    of_reactor = study.value is pfr.reactor
    return {"value": nrmse(u, test.y), "derivative": nrmse(du, test.dydx) if of_reactor else relative_l2}


def suggested(study: Study, directory: Path, seed: int) -> Array:
    """Return the batch of `runge suggest`."""
    names = load(directory).inputs
    domain = dict(zip(names, study.box, strict=True))
    return suggest(str(directory), study.batch, domain, seed=seed)[[*names]].to_numpy()


def run(name: str, method: str, seed: int, test: Rows, work: Path) -> dict[str, Any]:
    """Return the errors of the fit to the last rows."""
    study, directory = STUDIES[name], work / f"{name}_{method}_{seed}"
    if method == "sobol":
        rows = label(study.value, design(study, study.last, qmc.Sobol, 100 + seed))
    else:
        rows = label(study.value, design(study, study.first, qmc.LatinHypercube, 100 + seed))
        while (n := len(rows.x)) < study.last:
            fit(study, rows, directory / str(n))
            x = suggested(study, directory / str(n), 1000 * seed + n)
            rows = Rows(*map(np.concatenate, zip(rows, label(study.value, x), strict=True)))
    function = fit(study, rows, directory / str(study.last))
    return {"problem": name, "method": method, "seed": seed, **errors(study, function, test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(STUDIES))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("outputs/suggest"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        study = STUDIES[name]
        low, high = zip(*study.box, strict=True)
        test = label(study.value, qmc.scale(np.random.default_rng(777).random((1000, len(low))), low, high))
        for method in METHODS:
            found = [run(name, method, seed, test, arguments.work.resolve()) for seed in range(arguments.seeds)]
            print(name, method, *(f"{median(row[key] for row in found):.2e}" for key in ("value", "derivative")))


if __name__ == "__main__":
    main()
