"""Limits, round numbers and units of the axes of pictures."""

from typing import Any

import numpy as np
from matplotlib.ticker import Locator, LogLocator, MaxNLocator
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Limits = tuple[float, float]

MINUS = "\N{MINUS SIGN}"
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def padded(values: Array, log: bool = False, pad: float = 0.05) -> Limits:
    """Return limits with margins of `pad` times the range of the finite values; a constant is in the middle."""
    values = values[np.isfinite(values)]
    if not len(values):
        return (1, 10) if log else (0, 1)
    low, high = (float(np.log10(end) if log else end) for end in (values.min(), values.max()))
    margin = pad * (high - low)
    if high - low <= 1e-9 * abs(high):
        margin = 0.5 if log else abs(high) / 2 or 0.5
    if log:  # a double is between 1e-308 and 1e308
        return 10 ** max(low - margin, -307.9), 10 ** min(high + margin, 308.0)
    return low - margin, high + margin


def ticks(low: float, high: float, log: bool = False, most: int = 8) -> dict[float, str]:
    """Return the labels of round numbers between two limits, by their relative positions in [0, 1].

    On a log axis they are powers of ten if at least three of these are within the limits. There are about `most`.
    """
    locators: list[Locator] = []
    if log:
        locators = [LogLocator(numticks=most - 1), LogLocator(subs=(1, 2, 5), numticks=most - 1)]
    locators.append(MaxNLocator(most, steps=(1, 2, 5, 10)))
    choices = [[float(at) for at in locator.tick_values(low, high) if low <= at <= high] for locator in locators]
    ticks = next((choice for choice in choices if len(choice) > 2), choices[-1])
    plain = all(at == 0 or 1e-3 <= abs(at) < 1e6 for at in ticks) and not (log and ticks is choices[0])
    scale = np.log if log else float
    return {(scale(at) - scale(low)) / (scale(high) - scale(low)): number(at, plain) for at in ticks}


def number(value: float, plain: bool) -> str:
    """Return a number as text: 0.0012 if `plain`, else 1.2×10⁻³."""
    mantissa, power = f"{value:.9e}".split("e")
    factor = {"1": "", "-1": "-"}.get(digits := f"{float(mantissa):.10g}", f"{digits}×")
    raised = f"{factor}10{str(int(power)).translate(RAISED)}"
    return (f"{value:.10g}" if plain or value == 0 else raised).replace("-", MINUS)


def scaled(name: str, limits: Limits, most: int) -> tuple[str, dict[float, str]]:
    """Return the label and the ticks of an axis, whose numbers are short: (name - 1000) / 10⁻⁶ for a narrow range.

    They are exact: a number at a tick, times the power of ten, plus the offset, is the value there.
    """
    low, high = limits
    if high - low < 1e-3 * max(abs(low), abs(high)):
        step = 10.0 ** np.ceil(np.log10(high - low))
        offset = float(f"{round((low + high) / 2 / step) * step:.10g}")
        name = f"{name} {'+' if offset < 0 else MINUS} {number(abs(offset), 1e-3 <= abs(offset) < 1e6)}"
        low, high = low - offset, high - offset
    if exponent := power(low, high):
        name = f"{name if (low, high) == limits else f'({name})'} / {number(10.0**exponent, False)}"
    return name, ticks(low / 10.0**exponent, high / 10.0**exponent, most=most)


def power(low: float, high: float) -> int:
    """Return the power of ten by which values are divided on an axis: 0 between 0.01 and 10 000, else 3, -3, 6, ..."""
    exponent = int(np.floor(np.log10(1.01 * max(abs(low), abs(high)))))
    return 0 if -2 <= exponent < 4 else 3 * (exponent // 3)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` of the indices below `count`, evenly chosen."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)
