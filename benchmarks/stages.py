"""Compare one network with a sum of two, the second fitted to the residual of the first, at equal time on one core.

    python benchmarks/stages.py [--seconds 2.5] [--seeds 3] [--only formulas scarce tables]

The cases are the ten formulas of `formulas.py`, with the points of each method's own choice and with 64 points, and
three tables of 80 to 150 rows with exact derivatives. In each case and for each seed, several optimisers train in 64
bit, as long as `--seconds` allow: the time of a step is measured first. Of those with one stage, and of those with two,
the one with the lowest validation error counts. The error is the root of the geometric mean of MSE_f and MSE_df on the
test points (on tables, of the squared NRMSE of values and of derivatives). A factor above 1 says that two stages win.
"""

import argparse
import csv
import math
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from formulas import FORMULAS
from precision import fit

from runge import machine
from runge.errors import RunError

sys.path.insert(0, str(Path(__file__).parent / "problems"))
import functions
from fresh import FRESH

LM = ("optimizer=levenberg_marquardt", "schedule=constant", "loss.lambda_d=1", "trainer.log_every=5")
DEEP = (*LM, "model.depth=3", "model.width=96", "model.init=knots")
ELIMINATED = (*LM, "optimizer.readout=eliminate", "model.depth=1", "model.width=96", "model.init=knots")
MANY = ("data.n_train=320", "sampling=mixed", "sampling.share=0.2")
FEW = ("data.n_train=64", "sampling=chebyshev")
FIXED = ("optimizer=least_squares", "loss.lambda_d=1")
ADAM = (
    *("optimizer=adam", "schedule=constant", "loss.lambda_d=1", "trainer.precision=64", "model.activation=silu"),
    "trainer.log_every=100",
)
METHODS: dict[str, dict[str, tuple[str, ...]]] = {
    "formulas": {
        "fixed neurons": FIXED,
        "Levenberg-Marquardt 3 x 96": (*DEEP, *MANY),
        "eliminated 1 x 96": (*ELIMINATED, *MANY),
    },
    "scarce": {
        "fixed neurons": (*FIXED, *FEW),
        "Levenberg-Marquardt 3 x 96": (*DEEP, *FEW),
        "eliminated 1 x 96": (*ELIMINATED, *FEW),
    },
    "tables": {
        "Levenberg-Marquardt 2 x 16": (*LM, "model.activation=silu", "model.depth=2", "model.width=16"),
        "Levenberg-Marquardt 2 x 32": (*LM, "model.activation=silu", "model.depth=2", "model.width=32"),
        "Adam 2 x 64": (*ADAM, "model.depth=2", "model.width=64"),
    },
}
TABLES = "cantilever_beam", "robot_arm", "friedman"
TRIAL = 20


def error_of(figures: dict[str, Any], split: str, table: bool) -> float:
    """Return the root of the geometric mean of both squared errors; infinite: the run diverged."""
    keys = ("nrmse_f", "nrmse_df") if table else ("mse_f", "mse_df")
    value, derivative = (float(figures[f"{split}/{key}"] or math.nan) for key in keys)
    product = value * derivative if table else math.sqrt(value * derivative)
    error = math.sqrt(product) if product >= 0 else math.inf
    return error if math.isfinite(error) else math.inf


def timed(overrides: tuple[str, ...], stages: int, seconds: float) -> dict[str, Any]:
    """Return the figures of a run that takes about this time: twenty steps of it are measured first."""
    if "optimizer=least_squares" in overrides:  # each step is a fit; the option has as many as it needs
        return fit(*overrides, f"model.stages={stages}", f"trainer.max_steps={24 * stages}")[0]
    trial = 500 if "optimizer=adam" in overrides else TRIAL
    first = fit(*overrides, f"model.stages={stages}", f"trainer.max_steps={trial}")[0]
    steps = max(trial, round(trial * seconds / first["seconds/fit"]))
    return fit(*overrides, f"model.stages={stages}", f"trainer.max_steps={steps}")[0]


def table_of(name: str, seed: int, folder: str) -> tuple[str, ...]:
    """Write the rows of a problem as a file with a split column; return the overrides that read it."""
    problem = functions.problem((functions.FUNCTIONS | FRESH)[name], seed)
    known, test = problem.known(), problem.test
    names = [f"x{i + 1}" for i in range(known.x.shape[1])]
    path = Path(folder) / f"{name}_{seed}.csv"
    validation = np.random.default_rng(seed).permutation(len(known.x)) < len(known.x) // 5
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "y", *(f"dy_d{one}" for one in names), "split"])
        for rows, splits in ((known, np.where(validation, "val", "train")), (test, ["test"] * len(test.x))):
            for x, y, dydx, split in zip(rows.x, rows.y, rows.dydx.reshape(len(rows.x), -1), splits, strict=True):
                writer.writerow([*x, float(np.squeeze(y)), *dydx, split])
    return ("data=table", f"data.file={path}", "data.split_column=split")


def cases(kind: str, seed: int, folder: str) -> dict[str, tuple[str, ...]]:
    """Return the overrides that say what is fitted, by name."""
    if kind == "tables":
        return {name: table_of(name, seed, folder) for name in TABLES}
    return {
        name: ("target=expression", f"target.expr='{name}'", f"target.domain=[{low},{high}]")
        for name, (low, high) in FORMULAS.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS))
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    machine.limit_threads(1)
    for kind in arguments.only:
        factors: dict[str, list[float]] = {}
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                for case, what in cases(kind, seed, folder).items():
                    best = dict[int, tuple[float, float, str, float]]()
                    for stages in (1, 2):
                        for name, overrides in METHODS[kind].items():
                            try:
                                run = timed((*overrides, *what, f"seed={seed}"), stages, arguments.seconds)
                            except RunError as error:
                                print(f"  {case}, {stages} stages, {name}: {error}", file=sys.stderr)
                                continue
                            errors = [error_of(run, split, kind == "tables") for split in ("val", "test")]
                            print(
                                f"  {case:32s} seed {seed} {stages} {name:28s} val {errors[0]:.2e} "
                                f"test {errors[1]:.2e} {run['seconds/fit']:.1f} s stages {run['stages']}",
                                flush=True,
                            )
                            best[stages] = min(
                                best.get(stages, (math.inf, math.inf, "", 0)),
                                (errors[0], errors[1], name, run["seconds/fit"]),
                            )
                    factors.setdefault(case, []).append(best[1][1] / best[2][1])
                    print(
                        f"{kind}: {case:32s} seed {seed}: one {best[1][1]:.1e} ({best[1][2]}), two {best[2][1]:.1e} "
                        f"({best[2][2]}), factor {factors[case][-1]:.2g}",
                        flush=True,
                    )
        medians = [statistics.median(of_case) for of_case in factors.values()]
        print(
            f"{kind}: median factor {statistics.median(medians):.2g} over {len(medians)} cases, "
            f"from {min(medians):.2g} to {max(medians):.2g}; above 3 in {sum(one > 3 for one in medians)}"
        )


if __name__ == "__main__":
    main()
