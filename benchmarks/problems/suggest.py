"""Compare the rows of `runge suggest` with those of space-filling designs and of a Gaussian process, and fit them all.

    pip install gpytorch
    python benchmarks/problems/suggest.py [NAME ...] [--seeds 5] [--work DIR]

Each problem begins with a Latin hypercube, and adds batches of rows until it has them all. The designs that ask no fit
have all rows at once; `twice` is a Latin hypercube of twice as many. The same network is fitted to the rows of every
method: the mean of those of five folds. Errors are those at 1000 random points: the RMSE over the standard deviation,
of the reactor the mean over its channels, and else for the gradient its relative L2 error by standardised inputs. The
page is `docs/howto/suggest.md`.
"""

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pfr
import torch
from fresh import FRESH
from hard import WELL, borehole
from scipy.stats import qmc
from tables import Array, Rows, label, nrmse
from tools.gpytorch_process import Process, trained

from runge import load, sweep
from runge.function.next_rows import suggest
from runge.function.suggestions import choose, relative

FOLDS = 5
CANDIDATES = 512  # of the Gaussian process, whose covariance has a row for each value and partial derivative of them


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


def design(study: Study, n: int, name: str, seed: int) -> Array:
    """Return n points of a design in the box."""
    inputs = len(study.box)
    if name == "random":
        unit = np.random.default_rng(seed).random((n, inputs))
    else:
        engine = qmc.Sobol if name == "sobol" else qmc.LatinHypercube  # of "twice" and of first rows, too
        unit = engine(d=inputs, rng=seed).random(n)
    return qmc.scale(unit, *zip(*study.box, strict=True))


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


def by_networks(study: Study, _: Rows, directory: Path, seed: int) -> Array:
    """Return the batch of `runge suggest`."""
    names = load(directory).inputs
    return suggest(str(directory), study.batch, dict(zip(names, study.box, strict=True)), seed=seed)[
        [*names]
    ].to_numpy()


def by_distance(study: Study, rows: Rows, _: Path, seed: int) -> Array:
    """Return the batch that `runge suggest` would choose if the networks agreed equally well everywhere."""
    x = design(study, 2048, "sobol", seed)
    return x[choose(x, np.ones(len(x)), rows.x, study.batch)]


@torch.no_grad()
def by_gaussian_process(study: Study, rows: Rows, _: Path, seed: int) -> Array:
    """Return a batch of points with the largest variance of value and gradient, each given those before it.

    There is a process for each output. The labels of a chosen point need not be known for the variances.
    """
    low, high = map(np.array, zip(*study.box, strict=True))
    middle, half = (low + high) / 2, (high - low) / 2
    points = design(study, CANDIDATES, "sobol", seed)
    x, new = (torch.from_numpy((part - middle) / half) for part in (rows.x, points))
    channels, left = 1 + x.shape[1], list[torch.Tensor]()
    for y, dydx in zip(rows.y.T, rows.dydx.transpose(1, 0, 2), strict=True):
        labels = np.concatenate([(y - y.mean())[:, None], dydx * half], axis=1) / y.std()
        with torch.enable_grad():
            model = trained(x, torch.from_numpy(labels), Process(steps=40, start=1.0))
        own, cross, prior = (model.covar_module(a, b).to_dense() for a, b in ((x, x), (x, new), (new, new)))
        noise = max(float(model.likelihood.noise), 1e-8)
        factor = torch.linalg.cholesky(own + noise * torch.eye(len(own), dtype=own.dtype))
        explained = torch.linalg.solve_triangular(factor, cross, upper=False)
        left.append(prior - explained.T @ explained)
    sizes = (rows.dydx * half).var(axis=0).sum(axis=1) / rows.y.var(axis=0)
    chosen = list[int]()
    for _batch in range(study.batch):
        variances = [one.diagonal().reshape(-1, channels).numpy().clip(0) for one in left]
        slopes = [one[:, 1:].sum(axis=1) / size for one, size in zip(variances, sizes, strict=True)]
        squares = relative(np.sum([one[:, 0] for one in variances], axis=0), np.sum(slopes, axis=0))
        squares[chosen] = -1
        chosen.append(int(squares.argmax()))
        at = slice(channels * chosen[-1], channels * (chosen[-1] + 1))
        for one in left:
            block = one[at, at] + 1e-8 * torch.eye(channels, dtype=one.dtype)
            one -= one[:, at] @ torch.linalg.solve(block, one[at])
    return points[chosen]


SEQUENTIAL = {"suggest": by_networks, "distance": by_distance, "gaussian_process": by_gaussian_process}
METHODS = (*SEQUENTIAL, "random", "latin_hypercube", "sobol", "twice")


def run(name: str, method: str, seed: int, test: Rows, work: Path) -> dict[str, Any]:
    """Return the errors of the fit to the last rows, whose number is n."""
    study, directory = STUDIES[name], work / f"{name}_{method}_{seed}"
    first = study.first if method in SEQUENTIAL else study.last * (1 + (method == "twice"))
    rows = label(study.value, design(study, first, method, 100 + seed))
    while (n := len(rows.x)) < study.last:
        if method == "suggest":
            fit(study, rows, directory / str(n))
        x = SEQUENTIAL[method](study, rows, directory / str(n), 1000 * seed + n)
        rows = Rows(*map(np.concatenate, zip(rows, label(study.value, x), strict=True)))
    function = fit(study, rows, directory / str(n))
    return {"problem": name, "method": method, "n": n, "seed": seed, **errors(study, function, test)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(STUDIES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--work", type=Path, default=Path("outputs/suggest"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        study, found = STUDIES[name], list[dict[str, Any]]()
        test = label(study.value, design(study, 1000, "random", 777))
        for seed in range(arguments.seeds):
            for method in arguments.methods:
                found.append(run(name, method, seed, test, arguments.work.resolve()))
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
        for method in arguments.methods:
            own = [row for row in found if row["method"] == method]
            print(name, method, *(f"{median(row[key] for row in own):.2e}" for key in ("value", "derivative")))


if __name__ == "__main__":
    main()
