"""Measure what intervals contain: the share of new labels, and how wide they are beside those of a Gaussian process.

    python benchmarks/problems/intervals.py [NAME ...] [--seeds 3] [--noise 0 0.05] [--race 60] [--gp 1] [--work DIR]

Intervals have the level 0.9; the share of 2000 new labels that they contain is that of each channel: the value, and
each partial derivative. The fit is the answer of `search=best` with one candidate, Levenberg-Marquardt with silu, 2 x
16, so that its last rounds, which intervals come from, are those of any race; with `--race` it is that of the whole
race in this time. With noise, labels and new labels have it, in standard deviations of each channel. Compared with them
are simpler intervals of the same networks: 1.645 standard deviations of the answer's networks, the quantile of the
errors of the folds' networks, the same everywhere, and CV+ (Barber et al. 2021), which adds the errors of all rows to
what the networks without each row predict. The interval score (Winkler 1972) is the mean of the width plus 2 / 0.1
times how far a label is outside; the smaller the better. Of the first `--gp` seeds the mean width is compared with that
of a gradient-enhanced Gaussian process, whose intervals are scaled to contain the same share.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import functions
import numpy as np
import torch
from fresh import FRESH
from results import keep
from tables import Array, Rows, noisy
from tools.gpytorch_process import Process, loss_of, settings, trained

import runge
from runge.function.loading import load_runs
from runge.function.residuals import rows_of
from runge.records.directories import RunDirectory

LEVEL, NORMAL = 0.9, 1.645
CANDIDATE = (
    *("optimizer=levenberg_marquardt", "model.activation=silu", "model.depth=2", "model.width=16"),
    *("trainer.max_steps=100", "loss.lambda_d=1", "search.timeout=1000"),
)
ALL = {**functions.FUNCTIONS, **FRESH}
NAMES = [name for name in ALL if ALL[name].n <= 150]
LEAST = 1e-3  # of the largest channel in size times its input's: a partial derivative that matters


def channels(y: Array, dydx: Array) -> Array:
    """Return values, (n, 1), and gradients, (n, 1, D), as (n, 1 + D)."""
    return np.concatenate([y.reshape(len(y), 1), dydx.reshape(len(y), -1)], axis=1)


class Folds:
    """The mean of the networks without each fold, and its errors at the rows of the fold, |e_i|, (n, 1 + D)."""

    def __init__(self, sweep: Path) -> None:
        frame = runge.runs(sweep)
        runs = frame[frame["data.fold"].notna()].groupby("data.fold")["run"]
        self.means = [load_runs([RunDirectory(run) for run in of_fold]) for _, of_fold in runs]
        errors = list[Array]()
        for mean in self.means:
            rows, split = rows_of(RunDirectory(mean.runs[0]))
            labels = channels(rows.y[split.val], rows.dydx[split.val])
            errors.append(np.abs(channels(*mean.value_and_derivative(rows.x[split.val])) - labels))
        self.fold = np.repeat(np.arange(len(errors)), [len(of_fold) for of_fold in errors])
        self.errors = np.concatenate(errors)

    def half_width(self) -> Array:
        """Return half the width of intervals that is the same everywhere, (1 + D,): a quantile of the errors."""
        place = int(np.ceil((len(self.errors) + 1) * LEVEL)) - 1
        return np.sort(self.errors, axis=0)[place]

    def cross_validated_plus(self, x: Array) -> tuple[Array, Array]:
        """Return the ends of the intervals of CV+ at x, (m, 1 + D)."""
        predicted = np.stack([channels(*mean.value_and_derivative(x)) for mean in self.means])
        n, low, high = len(self.errors), list[Array](), list[Array]()
        for c in range(self.errors.shape[1]):
            centre, error = predicted[self.fold, :, c], self.errors[:, c, None]
            low.append(np.sort(centre - error, axis=0)[int(np.floor((n + 1) * (1 - LEVEL))) - 1])
            high.append(np.sort(centre + error, axis=0)[int(np.ceil((n + 1) * LEVEL)) - 1])
        return np.stack(low, axis=1), np.stack(high, axis=1)


def interval_score(low: Array, high: Array, labels: Array) -> list[float]:
    """Return the interval score of each channel, the mean over the labels, (m, C)."""
    outside = np.maximum(low - labels, 0) + np.maximum(labels - high, 0)
    return (high - low + 2 / (1 - LEVEL) * outside).mean(axis=0).tolist()


def measure(name: str, noise: float, seed: int, work: Path, race: float | None, gp: bool) -> dict[str, Any]:
    """Return the shares that intervals contain in each channel, and their widths."""
    (known, test), directory = functions.problem(ALL[name], seed), work / f"{name}_{noise}_{seed}"
    fit_by = CANDIDATE if race is None else (f"search.timeout={race}",)
    known, test = noisy(known, noise, noise, seed), noisy(test, noise, noise, 1000 + seed)
    if not (directory / "answer.json").exists():
        quiet = (f"seed={seed}", "trainer.progress_bar=false", "search.compare=false")
        runge.fit(known._asdict(), *fit_by, *quiet, directory=directory)
    u = runge.load(directory)
    labels = channels(test.y, test.dydx)
    fit = channels(*u.value_and_derivative(test.x))
    low, high = (channels(*ends) for ends in zip(*u.value_and_derivative_interval(test.x, LEVEL), strict=True))
    error = np.abs(fit - labels)
    spread = channels(*u.value_and_derivative_std(test.x)) if u.members > 1 else np.zeros_like(error)
    folds = None if race else Folds(directory)
    width = None if folds is None else folds.half_width()
    plus = None if folds is None else folds.cross_validated_plus(test.x)
    scale = known.x.std(axis=0) * np.sqrt((known.dydx[:, 0] ** 2).mean(axis=0))
    found: dict[str, Any] = {
        "problem": f"{name}, noise {noise:g}" if noise else name,
        "noise": noise,
        "seed": seed,
        "race": race,
        "matters": [True, *(scale > LEAST * scale.max()).tolist()],
        "local": u.calibration.local,
        "held": ((low <= labels) & (labels <= high)).mean(axis=0).tolist(),
        "held, spread": (error <= NORMAL * spread).mean(axis=0).tolist(),
        "held, constant": None if width is None else (error <= width).mean(axis=0).tolist(),
        "held, cv+": None if plus is None else ((plus[0] <= labels) & (labels <= plus[1])).mean(axis=0).tolist(),
        "score": interval_score(low, high, labels),
        "score, constant": None if width is None else interval_score(fit - width, fit + width, labels),
        "score, cv+": None if plus is None else interval_score(*plus, labels),
        "half width": (np.mean(high - low, axis=0) / 2).tolist(),
        "rmse": np.sqrt((error**2).mean(axis=0)).tolist(),
    }
    return found | (_of_process(known, test, found) if gp else {})


def _of_process(known: Rows, test: Rows, found: dict[str, Any]) -> dict[str, Any]:
    """Return the shares that the intervals of a Gaussian process hold, and its widths if they are to hold as many."""
    try:
        fit, deviations = gaussian_process(known, test.x)
    except Exception as error:
        print(f"no Gaussian process: {str(error)[:60]}", file=sys.stderr)
        return {}
    error = np.abs(fit - channels(test.y, test.dydx))
    spread = np.maximum(deviations, 1e-300)
    factors = [np.quantile(column, share) for column, share in zip((error / spread).T, found["held"], strict=True)]
    return {
        "held, process": (error <= NORMAL * spread).mean(axis=0).tolist(),
        "half width, process": (np.array(factors) * spread.mean(axis=0)).tolist(),
        "rmse, process": np.sqrt((error**2).mean(axis=0)).tolist(),
    }


@torch.no_grad()
def gaussian_process(rows: Rows, points: Array) -> tuple[Array, Array]:
    """Return channels of a process of values and gradients at points, and standard deviations of new labels there.

    It is fitted to one output of all rows, with the squared exponential and a length scale for each input. The marginal
    likelihood chooses length scales, amplitude, mean and noise, so that no row is needed for validation.
    """
    low, high = rows.x.min(axis=0), rows.x.max(axis=0)
    middle, half, mean, std = (low + high) / 2, (high - low) / 2, rows.y.mean(), rows.y.std()
    x, new = (torch.from_numpy((part - middle) / half) for part in (rows.x, points))
    scales = std / np.concatenate([[1], half])
    offsets = np.concatenate([[mean], np.zeros(len(half))])
    labels = torch.from_numpy((channels(rows.y, rows.dydx) - offsets) / scales)
    with settings("ignore", exactly=True, variances=True):
        with torch.enable_grad():
            found = [trained(x, labels, Process(steps=200, start=start)) for start in (0.5, 1.5)]
        model = min(found, key=lambda one: float(loss_of(one.train(), x, labels))).eval()
        posterior = model(new)
        spread = model.likelihood(posterior).variance.clamp_min(0).sqrt().numpy()
        return posterior.mean.numpy() * scales + offsets, spread * scales


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0])
    parser.add_argument("--race", type=float, metavar="SECONDS")
    parser.add_argument("--gp", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("outputs/intervals"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = list[dict[str, Any]]()
    for name in arguments.names:
        for noise in arguments.noise:
            for seed in range(arguments.seeds):
                rows.append(measure(name, noise, seed, arguments.work.resolve(), arguments.race, seed < arguments.gp))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            held = [row["held"] for row in rows if row["problem"] == rows[-1]["problem"]]
            print(f"{rows[-1]['problem']:22}: held {np.round(np.median(held, axis=0), 3).tolist()}", flush=True)
    kept = "intervals" if arguments.race is None else "intervals_race"
    keep(kept, rows, "python benchmarks/problems/intervals.py --seeds 3 --gp 1")


if __name__ == "__main__":
    main()
