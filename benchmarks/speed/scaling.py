"""Measure the cost of a step per member over the members of a stack, the points, the width and the depth.

    python benchmarks/speed/scaling.py [--rounds 5]

One thread, float32, tanh, value and derivative, with Adam. What is not varied is 16 members, 256 points and a network
1 -> 64 -> 64 -> 1. The limit is the arithmetic alone: the multiplications and additions of the matrix products, for
values and tangents, forward and twice backward, at the rate that SciPy's BLAS reaches here with one product of two
matrices of 2048 x 2048. With `--keep` the picture is docs/scaling.png.
"""

import os

# Read when SciPy is loaded: the limit is that of one thread, with all that the processor has.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.pop("OPENBLAS_CORETYPE", None)

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

import figures
import numpy as np
import rich
from contenders import stack
from figures import parser
from matplotlib.figure import Figure
from rich.table import Table
from scipy.linalg.blas import sgemm  # pyright: ignore[reportAttributeAccessIssue]: it has no stub

from runge import machine
from runge.pictures.style import BLUE, INK, ORANGE, png
from runge.records.files import write
from runge.sobolev.kernel import Compile


class Size(NamedTuple):
    """A stack and its data."""

    members: int = 16
    points: int = 256
    width: int = 64
    depth: int = 2


VARIED = {
    "members": (1, 4, 16, 64, 256, 1024),
    "points": (32, 64, 128, 256, 512, 1024),
    "width": (8, 16, 32, 64, 128, 256),
    "depth": (1, 2, 3, 4, 6),
}
HOW: tuple[Compile, ...] = ("off", "on")


def seconds(call: Callable[[], object], rounds: int, least: float = 0.15) -> list[float]:
    """Return the times of a call, one for each round."""
    call()
    began = time.perf_counter()
    call()
    count = max(1, int(least / (time.perf_counter() - began)))
    times: list[float] = []
    for _ in range(rounds):
        began = time.perf_counter()
        for _ in range(count):
            call()
        times.append((time.perf_counter() - began) / count)
    return times


def limit(size: Size, peak: float) -> float:
    """Return the seconds of one member's matrix products, with `peak` operations per second."""
    layers = itertools.pairwise((1, *[size.width] * size.depth, 1))
    return 3 * 2 * 2 * size.points * sum(fan_in * fan_out for fan_in, fan_out in layers) / peak


def step(size: Size, how: Compile, rounds: int) -> list[float]:
    """Return the microseconds of one member's step in a stack, one for each round."""
    take = stack(size.members, how, size.points, size.width, size.depth)
    steps = max(1, 64 // size.members)  # in one call, as in a run
    return [taken / steps / size.members * 1e6 for taken in seconds(lambda: take(steps), rounds)]


def rate(rounds: int) -> float:
    """Return the operations per second."""
    square = np.asfortranarray(np.random.default_rng(0).random((2048, 2048), dtype=np.float32))
    return 2 * 2048**3 / median(seconds(lambda: sgemm(1, square, square), rounds))


def main() -> None:
    options = parser(__doc__, rounds=5).parse_args()
    machine.limit_threads(1)
    peak = rate(options.rounds)
    print(f"one thread: {peak / 1e9:.0f} GFLOP/s")
    table = Table("varied", "value", "eager, us", "compiled, us", "limit, us", "compiled / limit")
    for column in table.columns[1:]:
        column.justify = "right"
    ratios: dict[str, list[float]] = {}
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for axes, (name, values) in zip(figure.subplots(1, 4, sharey=True), VARIED.items(), strict=True):
        sizes = [Size()._replace(**{name: value}) for value in values]
        measured = {how: [step(size, how, options.rounds) for size in sizes] for how in HOW}
        times = {how: [median(rounds) for rounds in found] for how, found in measured.items()}
        limits = [limit(size, peak) * 1e6 for size in sizes]
        for value, eager, fast, least in zip(values, times["off"], times["on"], limits, strict=True):
            table.add_row(name, str(value), f"{eager:.1f}", f"{fast:.1f}", f"{least:.1f}", f"{fast / least:.1f}")
        for value, found, least in zip(values, measured["on"], limits, strict=True):
            ratios[f"{name} {value}"] = [taken / least for taken in found]
        axes.loglog(values, times["off"], "o-", color=BLUE, label="eager")
        axes.loglog(values, times["on"], "o-", color=ORANGE, label="compiled")
        axes.loglog(values, limits, "--", color=INK, label="arithmetic limit")
        axes.set_xlabel(name)
        axes.set_xticks(values, [str(value) for value in values], fontsize=8)
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("µs per member and step, one thread")
    figure.axes[0].legend(frameon=False)
    rich.print(table)
    if options.keep:
        figures.write("scaling", "times the arithmetic limit", ratios, {"GFLOP/s": round(peak / 1e9)})
        write(Path(__file__).resolve().parents[2] / "docs" / "scaling.png", png(figure))


if __name__ == "__main__":
    main()
