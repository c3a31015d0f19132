"""The common parts of the pictures of several inputs, which are plain Matplotlib."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import NDArray

from runge.records.panels import INK, Array, number

MOST_OUTPUTS = 4
"""Outputs that a picture shows."""


def note_on_outputs(count: int) -> str:
    """Return a note on the outputs that are left out, or nothing."""
    return f"the first {MOST_OUTPUTS} of {count} outputs" if count > MOST_OUTPUTS else ""


def sheet(width: float, height: float, title: str, subtitle: str, notes: list[str]) -> Figure:
    """Return an empty figure with a title of two lines at its top, and notes in one or several at its bottom."""
    figure = Figure(figsize=(width, height))
    short = len(title) <= 12 * width  # twelve characters of size 11 are about an inch
    size = 11 if short else min(9, 250 * width / len(title))
    text = title if short else "\n".join(textwrap.wrap(title, len(title) // 2 + 12))
    figure.suptitle(text, fontsize=size, y=1 - 0.1 / height, va="top", color=INK)
    style: dict[str, Any] = {"ha": "center", "color": "#555555"}
    figure.text(0.5, 1 - (0.29 if short else 0.42) / height, subtitle, fontsize=9, va="top", **style)
    lines = [""]
    for note in filter(None, notes):
        joined = f"{lines[-1]} {note}.".strip()
        lines[-1:] = [joined] if len(joined) < 13 * width or not lines[-1] else [lines[-1], f"{note}."]
    figure.text(0.5, 0.1 / height, "\n".join(lines), fontsize=8.5, va="bottom", **style)
    return figure


def tidy(axes: Axes, title: str = "", x: str = "", y: str = "", ticks: int = 4) -> None:
    """Label an axes, and give it few ticks in the style of the other pictures."""
    axes.set_title(title, fontsize=9.5, loc="left", pad=4, color=INK)
    axes.set_xlabel(x, fontsize=9, labelpad=2)
    axes.set_ylabel(y, fontsize=9, labelpad=4)
    axes.tick_params(labelsize=8, colors=INK, length=3, width=0.7)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 1e-3 <= abs(value) < 1e5)))
    for spine in axes.spines.values():
        spine.set_linewidth(0.7)


def power(values: Array) -> int:
    """Return the power of ten by which values are divided on an axis: 0 between 0.01 and 10 000, else 3, -3, 6, ..."""
    size = np.max(np.abs(values), initial=0)
    exponent = int(np.floor(np.log10(1.01 * size))) if size > 0 else 0
    return 0 if -2 <= exponent < 4 else 3 * (exponent // 3)


def in_units_of(name: str, exponent: int) -> str:
    """Return a label that names the power of ten by which the values are divided."""
    return f"{name} / {number(10.0**exponent, False)}" if exponent else name


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """Return at most `most` of the indices below `count`, evenly chosen."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(np.intp)
