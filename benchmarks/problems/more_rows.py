"""Measure whether more rows, or more time, give `runge fit` a smaller error.

    python benchmarks/problems/more_rows.py [NAME ...] [--rows 100 400 1600] [--seconds 60] [--seed 0] [--noise 0]
        [--process]

Each function has derivatives at random points, exact or with normal noise, whose size is a share of the standard
deviation. Each fit has all cores, and the seconds. A Gaussian process with gradients has the time that it needs:
GPyTorch's, a length scale for each input, L-BFGS. Errors are those at 2000 fresh points without noise, as on the page
of the comparison. The rows are kept in `benchmarks/problems/figures/more_rows.json`, from which `studies.py` writes a
page.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from itertools import product
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fresh import FRESH
from functions import FUNCTIONS as PUBLIC
from functions import N_TEST, Function, outputs
from hard import HARD
from large_tables import RIDGES
from results import FIT, PROCESS, keep
from tables import Rows, errors, label, noisy
from tools import adapter

import runge

FUNCTIONS = {**PUBLIC, **FRESH, **HARD, "ridges": RIDGES}
"""The functions, by name."""

NAMES = (
    *("otl_circuit", "borehole", "piston", "friedman", "wing_10"),
    *("ishigami", "exp_sum", "styblinski_tang", "six_hump_camel"),
)
STARTS, STEPS = (1.5, 5.0, 0.5), 200
"""The length scales at first, each if the likelihood cannot be computed from those before, and L-BFGS's steps."""

COMMAND = "python benchmarks/problems/more_rows.py"


def points(function: Function, n: int, seed: int) -> Rows:
    """Return labels at random points of the box of a function."""
    low, high = np.transpose(function.box)
    random = np.random.default_rng(seed).random((n, len(low)))
    return label(outputs(function), low + (high - low) * random)


def fit(rows: Rows, test: Rows, *overrides: str, single: bool = False) -> dict[str, float]:
    """Return the errors of a search, or of a single run."""
    with TemporaryDirectory() as directory:
        data = {"x": rows.x, "y": rows.y, "dydx": rows.dydx}
        call = runge.train if single else runge.fit
        function = call(data, *overrides, "trainer.progress_bar=false", directory=directory).function
        u, du = function(test.x).reshape(test.y.shape), function.derivative(test.x).reshape(test.dydx.shape)
    return errors(u, du, test)


def process(rows: Rows, test: Rows, seed: int) -> dict[str, float]:
    """Return the errors of a Gaussian process with gradients.

    Raises:
        ValueError: it fails with all length scales at first.
    """
    fitted: Any = None
    for start in STARTS:
        with suppress(Exception):  # a matrix that is not positive definite, or NaN
            fitted = fitted or adapter("GPyTorch")(seed, start=start, steps=STEPS).fit(*rows)
    if fitted is None:
        raise ValueError(f"GPyTorch fails with length scales of {', '.join(map(str, STARTS))} at first")
    return errors(fitted.predict(test.x), fitted.predict_derivative(test.x), test)


def measure(study: str, of: Mapping[str, object], fits: Mapping[str, Callable[[], dict[str, float]]], by: str) -> None:
    """Keep and print the errors and the seconds of each fit to a table, by a command."""
    for name, errors_of_fit in fits.items():
        began = time.perf_counter()
        row = {**of, "fit": name} | errors_of_fit() | {"seconds": time.perf_counter() - began}
        keep(study, [row], by, (*of, "fit"))
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(NAMES), metavar="NAME")
    parser.add_argument("--rows", nargs="+", type=int, default=[100, 400, 1600])
    parser.add_argument("--seconds", nargs="+", type=float, default=[60.0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--process", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name, n, seconds in product(arguments.names, arguments.rows, arguments.seconds):
        function = FUNCTIONS[name]
        test = points(function, N_TEST, 10_000 + arguments.seed)
        rows = noisy(points(function, n, arguments.seed), arguments.noise, arguments.noise, arguments.seed)
        of = {"problem": name, "noise": arguments.noise, "rows": n, "limit": seconds, "seed": arguments.seed}
        fits = {FIT: partial(fit, rows, test, f"search.timeout={seconds:g}")}
        if arguments.process:
            fits[PROCESS] = partial(process, rows, test, arguments.seed)
        measure("more_rows", of, fits, COMMAND)


if __name__ == "__main__":
    main()
