"""Rank points by how far they are outside the training rows, and compare with where the errors are large.

    python benchmarks/problems/outside.py [--work DIR] [--problems NAME ...] [--seeds 1]

120 rows of a Latin hypercube, of functions of `functions.py` and `fresh.py` with up to six inputs and of the reactor.
The fit is the mean of two networks, as of `runge fit`, and two of each of five folds give the scale of `outside`.
Tested are 2000 random points

- of the box, widened by half of its length on each side, and
- of the box, of which a corner, a fifth of its volume, is left out of the training rows.

An error is large if it is above the 95th percentile of the errors at 2000 random points of the training distribution.
That of the value is in standard deviations of the outputs; that of the derivative over all partial derivatives in
standardised units. A figure is the area under the ROC curve: the share of pairs of a large and another error of which
the one with the large error has the larger number.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import fresh
import functions
import numpy as np
import pfr
import torch
from results import keep
from scipy.stats import qmc
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.metrics import roc_auc_score
from tables import Array, Rows, label

import runge
from runge.function.outside import EDGE, OUTSIDE, NearestRow
from runge.function.predictions import predict

N, N_TEST, MOST_INPUTS = 120, 2000, 6
SETTINGS = (
    *("optimizer=levenberg_marquardt", "trainer.max_steps=100", "model.activation=silu", "model.depth=2"),
    *("model.width=16", "data.split.test=0", "seed=range(2)", "trainer.progress_bar=false"),
    *("~logger", "search.compare=false"),
)
PROBLEMS = {
    name: (lambda x, value=one.value: value(x)[:, None], one.box)
    for name, one in {**functions.FUNCTIONS, **fresh.FRESH}.items()
    if len(one.box) <= MOST_INPUTS
} | {"reactor": (pfr.reactor, tuple(pfr.INPUTS.values()))}


DEFAULT = (
    *("exp_product", "branin", "franke", "ridge", "tensor_tanh", "cantilever_beam", "robot_arm", "friedman"),
    *("otl_circuit", "reactor"),
)


class Points(NamedTuple):
    """The rows, points of their distribution, and the points that are tested."""

    rows: Rows
    inside: Rows
    tested: Rows


def points(name: str, seed: int, corner: bool) -> Points:
    """Return the points of a problem; if `corner`, a fifth of the box has no rows."""
    value, box = PROBLEMS[name]
    low, high = map(np.array, zip(*box, strict=True))
    start = 1 - 0.2 ** (1 / len(box)) if corner else np.inf
    rows = qmc.LatinHypercube(d=len(box), rng=seed).random(int(N / 0.8) if corner else N)
    rng = np.random.default_rng(1000 + seed)
    inside = rng.random((3 * N_TEST, len(box)))
    tested = rng.random((N_TEST, len(box))) if corner else rng.uniform(-0.5, 1.5, (N_TEST, len(box)))
    rows, inside = (part[~(part > start).all(1)] for part in (rows, inside))
    with np.errstate(all="ignore"):  # poles beyond the box
        return Points(*(label(value, low + part * (high - low)) for part in (rows, inside[:N_TEST], tested)))


def gaussian_process(rows: Rows) -> Callable[[Array], Array]:
    """Return the standard deviation of Gaussian processes of the values, the root mean square over the outputs."""
    mean, std = rows.x.mean(0), rows.x.std(0)
    lengths: Any = np.ones(len(mean))
    kernel = RBF(lengths, (1e-2, 1e3)) + WhiteKernel(1e-6, (1e-10, 1e-1))
    labels = (rows.y - rows.y.mean(0)) / rows.y.std(0)
    each: list[Any] = [GaussianProcessRegressor(kernel).fit((rows.x - mean) / std, column) for column in labels.T]
    return lambda x: np.sqrt(np.mean([one.predict((x - mean) / std, return_std=True)[1] ** 2 for one in each], 0))


def measure(found: Points, function: runge.Function) -> dict[str, float]:
    """Return the areas by method and quantity, and by number the shares of false alarms and the errors by word."""
    rows, (inside, tested) = found.rows, (predict(function, part.x) for part in found[1:])
    units = {"u": rows.y.std(0), "du": rows.y.std(0)[:, None] / rows.x.std(0)}

    def sizes(part: Array, name: str) -> Array:
        return np.sqrt(np.square((part / units[name]).reshape(len(part), -1)).mean(1))

    nearest = NearestRow(rows.x, function.input_weights)
    numbers = {
        "outside": [function.outside(part.x) for part in found[1:]],
        "nearest": [nearest.outside(torch.from_numpy(part.x)).numpy() for part in found[1:]],
    }
    ranks = {method: of_tested for method, (_, of_tested) in numbers.items()} | {
        "gp": gaussian_process(rows)(found.tested.x),
        "box": (found.tested.x != found.tested.x.clip(rows.x.min(0), rows.x.max(0))).any(1),
    }
    figures = dict[str, float]()
    for method, (of_inside, _) in numbers.items():
        figures[f"alarms {method}"] = float((of_inside > EDGE).mean())
        figures[f"false {method}"] = float((of_inside > OUTSIDE).mean())
    for quantity, name, of in (("value", "u", "y"), ("derivative", "du", "dydx")):
        errors = sizes(tested[name] - getattr(found.tested, of), name)
        limit = np.quantile(sizes(inside[name] - getattr(found.inside, of), name), 0.95)
        known = ~np.isnan(errors)
        for method, rank in ranks.items():
            figures[f"{method} {quantity}"] = float(roc_auc_score(errors[known] > limit, rank[known]))
        for method, (_, number) in numbers.items():
            for word, least, most in (("inside", 0, EDGE), ("edge", EDGE, OUTSIDE), ("outside", OUTSIDE, np.inf)):
                if (chosen := known & (number >= least) & (number < most)).any():
                    figures[f"error {word} {method} {quantity}"] = float(np.median(errors[chosen]) / limit)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), default=DEFAULT)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("outputs/outside"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = list[dict[str, Any]]()
    for name in arguments.problems:
        for where in ("box", "corner"):
            figures = []
            for seed in range(arguments.seeds):
                found = points(name, seed, where == "corner")
                table, directory = found.rows._asdict(), arguments.work.resolve() / f"{name}_{seed}_{where}"
                function, folds = (
                    runge.load(runge.sweep(table, *SETTINGS, option, directory=directory / option).directory)
                    for option in ("data.split.val=0", "data.folds=5")
                )
                function.calibration = folds.calibration
                figures.append(measure(found, function))
            row = {"problem": name, "where": where, "inputs": len(PROBLEMS[name][1])}
            for key in dict.fromkeys(key for one in figures for key in one):
                known = [one[key] for one in figures if key in one]
                row[key] = round(median(known), 4)
                if not key.startswith("error"):
                    row[f"worst {key}"] = round(max(known) if key.startswith(("alarms", "false")) else min(known), 4)
            rows.append(row)
            areas = (f"{method} {row[f'{method} value']:.3f} / {row[f'{method} derivative']:.3f}" for method in METHODS)
            alarms = f"alarms {row['alarms outside']:.3f} {row['false outside']:.3f}"
            print(f"{name:16} {where:7}", *areas, alarms, flush=True)
    keep("outside", rows, "python benchmarks/problems/outside.py")


METHODS = ("outside", "nearest", "gp", "box")

if __name__ == "__main__":
    main()
