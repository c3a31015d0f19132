"""Measure the share of new labels that intervals contain, on functions with and without noise.

    python benchmarks/problems/intervals.py [NAME ...] [--seeds 3] [--noise 0 0.05] [--work DIR]

Intervals have the level 0.9; the share of 2000 new labels that they contain is that of each channel: the value, and
each partial derivative. The fit is the answer of `search=best` with one candidate, Levenberg-Marquardt with silu, 2 x
16, so that its last rounds, which intervals come from, are those of any search. With noise, labels and new labels have
it, in standard deviations of each channel.
"""

import argparse
import warnings
from pathlib import Path
from typing import Any

import functions
import numpy as np
from fresh import FRESH
from results import keep
from tables import Array, noisy

import runge

LEVEL = 0.9
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


def measure(name: str, noise: float, seed: int, work: Path) -> dict[str, Any]:
    """Return the shares that intervals contain in each channel."""
    (known, test), directory = functions.problem(ALL[name], seed), work / f"{name}_{noise}_{seed}"
    known, test = noisy(known, noise, noise, seed), noisy(test, noise, noise, 1000 + seed)
    if not (directory / "answer.json").exists():
        quiet = (f"seed={seed}", "trainer.progress_bar=false", "search.compare=false")
        runge.fit(known._asdict(), *CANDIDATE, *quiet, directory=directory)
    ends = runge.load(directory).value_and_derivative_interval(test.x, LEVEL)
    labels, (low, high) = channels(test.y, test.dydx), (channels(*some) for some in zip(*ends, strict=True))
    scale = known.x.std(axis=0) * np.sqrt((known.dydx[:, 0] ** 2).mean(axis=0))
    return {
        "problem": f"{name}, noise {noise:g}" if noise else name,
        "noise": noise,
        "seed": seed,
        "matters": [True, *(scale > LEAST * scale.max()).tolist()],
        "held": ((low <= labels) & (labels <= high)).mean(axis=0).tolist(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=NAMES)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0])
    parser.add_argument("--work", type=Path, default=Path("outputs/intervals"))
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        for noise in arguments.noise:
            rows = [measure(name, noise, seed, arguments.work.resolve()) for seed in range(arguments.seeds)]
            keep("intervals", rows, "python benchmarks/problems/intervals.py")
            held = [row["held"] for row in rows]
            print(f"{rows[0]['problem']:22}: held {np.round(np.median(held, axis=0), 3).tolist()}", flush=True)


if __name__ == "__main__":
    main()
