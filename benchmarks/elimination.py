"""Compare ways to solve the last layer under Levenberg-Marquardt: at every step, at the end, or never.

    OMP_NUM_THREADS=1 python benchmarks/elimination.py [--seeds 10] [--only NAME]

It prints a table of the errors on the test points, median and worst, and of the CPU seconds of a fit, on one core. All
methods of a problem have the same network, initial weights, points and number of steps, except the last two: hidden
layers that stay as they were drawn, with one exact solution; and two residual stages with three hidden layers of 96
neurons. Problems of two inputs take three seeds at most.
"""

import argparse
import statistics
import tempfile
import time
from typing import Any

from runge import machine
from runge.errors import RunError
from runge.launch.compose import compose
from runge.records.directories import RunDirectory
from runge.training.member import Member
from runge.training.stack import Stack

COMMON = (
    *("optimizer=levenberg_marquardt", "schedule=constant", "loss.lambda_d=1", "model.init=knots"),
    *("sampling=chebyshev", "trainer.progress_bar=false", "trainer.log_every=50", "trainer.diagnostics_every=100000"),
)
ONE = ("model.depth=1",)
TWO = ("target=expression", "target.domain=[[-1,1],[-1,1]]", "data.n_train=1024")
PROBLEMS = {
    "Runge's function, 64 points, 1-96-1": (*ONE, "data.n_train=64", "model.width=96", "trainer.max_steps=150"),
    "Runge's function, 96 points, 1-96-1": (*ONE, "data.n_train=96", "model.width=96", "trainer.max_steps=150"),
    "1/(1+100*x**2), 320 points, 1-128-1": (
        *(*ONE, "target=expression", "target.expr='1/(1+100*x**2)'"),
        *("data.n_train=320", "model.width=128", "trainer.max_steps=250"),
    ),
    "sin(3*x)*cos(2*y), 1024 points, 2-24-24-1": (
        *(*TWO, "target.expr='sin(3*x)*cos(2*y)'", "model.depth=2", "model.width=24", "trainer.max_steps=60"),
    ),
    "1/(1+25*(x**2+y**2)), 1024 points, 2-28-28-28-1": (
        *(*TWO, "target.expr='1/(1+25*(x**2+y**2))'", "model.depth=3", "model.width=28", "trainer.max_steps=60"),
    ),
    "1/(1+25*(x**2+y**2)), 4096 points, 2-28-28-28-1": (
        *(*TWO, "target.expr='1/(1+25*(x**2+y**2))'", "model.depth=3", "model.width=28", "trainer.max_steps=60"),
        "data.n_train=4096",
    ),
}
METHODS = {
    "at every step": ("optimizer.readout=eliminate",),
    "at the end": ("optimizer.readout=true",),
    "never": ("optimizer.readout=false",),
    "fixed hidden layers": ("optimizer.readout=true", "optimizer.damping=1e12", "trainer.max_steps=1"),
    "two stages, at the end": ("model.depth=3", "model.width=96", "model.stages=2", "trainer.max_steps=120"),
}


def fit(*overrides: str) -> tuple[float, float, float]:
    """Return MSE_f and MSE_df on the test points, and the CPU seconds of the fit."""
    stack = Stack([Member(compose(*COMMON, *overrides))])
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        (outcome,) = stack.fit([RunDirectory(folder)])
        seconds = time.process_time() - began
    if not isinstance(outcome, dict):
        raise outcome if isinstance(outcome, RunError) else RunError("pruned")
    figures: dict[str, Any] = outcome
    return figures["test/mse_f"], figures["test/mse_df"], seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", default="", help="a part of a problem's name")
    arguments = parser.parse_args()
    machine.limit_threads(1)
    print("| problem | the last layer is solved | test/mse_f | worst | test/mse_df | worst | CPU seconds |")
    print("|---|---" + "|--:" * 5 + "|")
    for problem, overrides in PROBLEMS.items():
        several = TWO[0] in overrides and TWO[1] in overrides
        for method, changes in METHODS.items():
            if arguments.only not in problem or (several and "model.stages=2" in changes):
                continue
            seeds = range(min(arguments.seeds, 3) if several else arguments.seeds)
            f, df, seconds = zip(*(fit(*overrides, *changes, f"seed={seed}") for seed in seeds), strict=True)
            errors = " | ".join(f"{value:.1e}" for one in (f, df) for value in (statistics.median(one), max(one)))
            print(f"| {problem} | {method} | {errors} | {statistics.median(seconds):.1f} |", flush=True)


if __name__ == "__main__":
    main()
