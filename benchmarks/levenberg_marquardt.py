"""Levenberg-Marquardt with many residuals: the time of a step, mean and worst, and the errors over the time.

    python benchmarks/levenberg_marquardt.py [five] [two] [--seconds 60] [--seeds 1] [--threads 1]

`five`: four smooth functions of five variables on 256 Sobol points, 6144 residuals, with the iterative system and with
the one that is factorised. `two`: 1/(1+25(x^2+y^2)) on a grid of 10 000 points, 30 000 residuals, with the iterative
system and with Adam, compiled, its cosine over the same time, at two learning rates. The network has two hidden layers
of 64 with tanh.

The seconds are those of the processor, summed over the threads, so that other load counts little. The errors are mean
squares on the 2000 points of another Sobol set.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import rich
import torch
from rich.table import Table

from runge import machine
from runge.data import Data, sample
from runge.optimizers import Adam, LevenbergMarquardt, Optimizer, Problem, systems
from runge.sampling import Sampling, Sobol, Uniform
from runge.sobolev.kernel import step_function
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.targets import Expression, Target

SUM = "x1 + x2/2 - x3 + x4/3 - x5/2"
FIVE = Expression(
    [f"sin({SUM})", f"exp(-({SUM})**2/4)", "cos(x1*x2 + x3) - x4*x5", "tanh(x1 - x2 + x3*x4) + x5**2"], [[-1, 1]] * 5
)
TWO = Expression("1/(1+25*(x**2+y**2))", [[-1, 1]] * 2)
LAMBDA_D = 0.1
MARKS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200)


class Row(NamedTuple):
    """The errors after some seconds and steps, and the seconds of the slowest step."""

    seconds: float
    steps: int
    slowest: float
    loss: float
    mse_f: float
    mse_df: float


def problem(target: Target, sampling: Sampling, points: int, seed: int) -> tuple[Problem, Points]:
    """Return a problem of one member, and the points on which it is tested."""
    generator, model = torch.Generator().manual_seed(seed), Model()
    data = sample(target, sampling, generator, Data(n_train=points, n_val=64, n_test=64))
    sizes = Data(n_train=2000, n_val=64, n_test=64)
    test = sample(target, Sobol(), torch.Generator().manual_seed(1000), sizes).train
    network = StackedMLP(model, target.domain[None], [generator], torch.float64, len(target.outputs))
    function = step_function("auto", model, torch.float64, neurons=10**6, steps=10**6)
    one = torch.ones(1, dtype=torch.float64)
    return Problem(network, data.train, one, LAMBDA_D * one, function), test


def course(what: Problem, test: Points, method: Optimizer, seconds: float) -> Iterator[Row]:
    """Train for some seconds of the processor, and yield a row at each mark that is passed, and at the end."""
    theta, times, marks = what.network.theta, list[float](), [mark for mark in MARKS if mark < seconds]
    optimizer = method.build([theta])
    while (used := sum(times)) < seconds and not method.at_rest(optimizer, theta):
        began = time.process_time()
        method.step(optimizer, what, used / seconds)
        times.append(time.process_time() - began)
        used += times[-1]
        if used >= min([*marks, seconds]) or method.at_rest(optimizer, theta):
            marks = [mark for mark in marks if mark > used]
            yield errors(what, test, times)


@torch.no_grad()
def errors(what: Problem, test: Points, times: list[float]) -> Row:
    u, du = what.network.value_and_derivative(test.x)
    means = [part.square().mean().item() for part in (u - test.f, du - test.df)]
    return Row(sum(times), len(times), max(times), what.loss_and_gradient()[0].item(), *means)


def show(title: str, make: Callable[[], tuple[Problem, Points]], methods: dict[str, Optimizer], seconds: float) -> None:
    table = Table("by", *("seconds", "steps", "s/step", "slowest", "loss", "test MSE f", "test MSE f'"), title=title)
    largest = systems._FACTORISED
    for name, method in methods.items():
        systems._FACTORISED = 10**9 if name == "factorised" else largest
        for row in course(*make(), method, seconds):
            times = (f"{row.seconds:.1f}", str(row.steps), f"{row.seconds / row.steps:.3f}", f"{row.slowest:.3f}")
            table.add_row(name, *times, f"{row.loss:.1e}", f"{row.mse_f:.1e}", f"{row.mse_df:.1e}")
    systems._FACTORISED = largest
    rich.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=["five", "two"], metavar="five|two")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine.keep_memory()  # as a run does
    lm = LevenbergMarquardt()
    problems = {
        "five": (FIVE, Sobol(), 256, {"iterative": lm, "factorised": lm}),
        "two": (TWO, Uniform(), 10_000, {"iterative": lm, "Adam 0.01": Adam(), "Adam 0.003": Adam(lr=0.003)}),
    }
    for name in options.problems:
        target, sampling, points, methods = problems[name]
        for seed in range(options.seeds):
            make = partial(problem, target, sampling, points, seed)
            show(f"{name}, seed {seed}", make, methods, options.seconds)


if __name__ == "__main__":
    main()
