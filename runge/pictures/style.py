"""Set the style of all plots: colours, sizes, labels, and panels with a title and a legend above them."""

import io
import re
from collections.abc import Iterable, Sequence

import numpy as np
from cycler import cycler
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

from runge.records.fits import LEVEL, Array

# Okabe & Ito's palette, which colour-blind readers can distinguish. https://jfly.uni-koeln.de/color/
INK = "#222222"
BLUE, ORANGE = "#0072B2", "#D55E00"
GREEN, PINK = "#009E73", "#CC79A7"
SKY = "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, "#E69F00", "#7F7F7F", INK)

# What is drawn, so that it can be read on a page; estimates.
MOST_OUTPUTS = 4
"""The most outputs in a picture."""

PANELS_IN_ROW = 4
"""The most profiles in a row of 11 inches, and the most of each output if there are several."""

MOST_TANGENTS = 7
"""The number of tangents of a profile: more would touch each other."""

MOST_DENSITIES = 6
"""The most inputs with a panel for the density of the training points, so that all panels fit a page."""

MOST_LARGE_MARKS = 300
"""The number of points above which their marks are smaller, so that they do not cover the plot."""

FEWEST_POINTS_OF_MAP = 50
"""The least points of a map with colours between them: fewer would have triangles of arbitrary colours."""

LEAST_CHANGE = 1e-3
"""The least change of an output by an input that matters, over the largest change by an input."""

styled = style.context(
    {
        "figure.constrained_layout.use": True,
        "figure.titlesize": 11,
        "font.size": 9,
        "axes.axisbelow": True,
        "axes.formatter.limits": (-2, 4),
        "axes.formatter.use_mathtext": True,
        "axes.grid": True,
        "axes.prop_cycle": cycler(color=COLOURS),
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlelocation": "left",
        "axes.titlesize": 9,
        "grid.color": "#E4E4E4",
        "hatch.color": "#FFFFFF",
        "hatch.linewidth": 0.6,
        "legend.fontsize": 8.5,
        "legend.handlelength": 1.6,
        "lines.linewidth": 1.4,
        "lines.markersize": 3,
    },
    after_reset=True,  # a file `matplotlibrc` in the working directory has no effect
)
"""The decorator of functions that draw."""

INTERVAL = f"{100 * LEVEL:.0f} % interval"
"""The label of intervals."""

_SYMBOL = re.compile(r"([A-Za-z])_?(\d*)")
"""A name that is shown as a symbol, with its index."""


def label(name: str) -> str:
    r"""Return a name as mathtext: a letter with or without a number is a symbol, another name is shown literally.

    Example:
        >>> label("x12"), label("price in $")
        ('$x_{12}$', 'price in \\$')
    """
    if match := _SYMBOL.fullmatch(name):
        return f"${match[1]}_{{{match[2]}}}$" if match[2] else f"${match[1]}$"
    return (name if len(name) <= 20 else f"{name[:19]}…").replace("$", r"\$")


def partial(output: str, x: str, inputs: int) -> str:
    """Return the label of the derivative of an output with respect to one of the inputs."""
    sign = "d" if inputs == 1 else "∂"
    return f"{sign}{label(output)}/{sign}{label(x)}"


def sheet(width: float, height: float, title: str, notes: Sequence[str] = ()) -> Figure:
    """Return an empty figure, in inches, with a title and notes below the panels."""
    figure = Figure((width, height))
    figure.suptitle(title, wrap=True)
    if notes:
        figure.supxlabel("; ".join(notes), fontsize=8, color="#555555")
    return figure


def log_scale(axes: Axes) -> None:
    """Make the scale of y logarithmic, and wide enough for a label if the values are equal up to round-off."""
    axes.set_yscale("log")
    low, high = axes.dataLim.intervaly
    if 0 < high < 1.1 * low:
        axes.set_ylim(low / 3, 3 * high)


def legend(axes: Axes, columns: int = 2) -> None:
    """Put the legend above the panel, where it hides nothing, and the power of ten of the axis to the other side."""
    axes.yaxis.set_offset_position("right")
    axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1), borderaxespad=0.1, ncols=columns, frameon=False)


def band(axes: Axes, t: Array, u: Array, around: Array, colour: str) -> None:
    """Draw the intervals around a line, if there are any."""
    axes.fill_between(t, u - around, u + around, color=colour, alpha=0.25, linewidth=0, label=INTERVAL)


def shade(axes: Axes, t: Array, outside: NDArray[np.bool_]) -> None:
    """Shade the points t of a line that are outside the data."""
    if outside.any():
        across = axes.get_xaxis_transform()
        axes.fill_between(t, 0, 1, where=outside.tolist(), transform=across, color="#E8E8E8", linewidth=0, zorder=0.5)


def within(around: Array) -> str:
    """Return half the widths of intervals as a text, empty if there are none: a band may be thinner than its line.

    Example:
        >>> within(np.array([np.nan, 0.002])), within(np.array([0.002, 0.01]))
        ('90 % interval: ± 0.002', '90 % interval: ± 0.002 to 0.01')
    """
    finite = around[np.isfinite(around)]
    if not len(finite):
        return ""
    low, high = (f"{end:.2g}" for end in (finite.min(), finite.max()))
    return f"{INTERVAL}: ± {low}" + (f" to {high}" if high != low else "")


def hide_empty(panels: Iterable[Axes]) -> None:
    """Hide the panels in which nothing is drawn."""
    for axes in panels:
        if not axes.has_data():
            axes.set_axis_off()


def of_outputs(count: int) -> list[str]:
    """Return a note on the omitted outputs, if there are some."""
    return [f"the first {MOST_OUTPUTS} of {count} outputs"] if count > MOST_OUTPUTS else []


def positive(error: Array) -> Array:
    """Return errors for a logarithmic axis: zeros are replaced by the smallest other error."""
    above = error[error > 0]
    return np.where(error > 0, error, above.min() if len(above) else np.finfo(float).tiny)


def few_ticks(axis: Axis) -> None:
    """Label a logarithmic axis at few round numbers; Matplotlib's overlap if it spans less than two powers of ten."""
    low, high = axis.get_view_interval()
    locator = MaxNLocator(4) if high < 5 * low else LogLocator(subs=(1,) if high > 100 * low else (1, 2, 5), numticks=5)
    axis.set_major_locator(locator)
    # Without the thresholds 2 and 5 have no label if the axis is long.
    powers = LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf))
    axis.set_major_formatter("{x:.4g}" if low >= 1e-3 and high < 1e4 else powers)
    axis.set_minor_locator(NullLocator())


@style.context({}, after_reset=True)  # labels of ticks are made late, here
def image(figure: Figure, kind: str = "png") -> bytes:
    """Return a figure as a PNG image, or as a file of another kind that Matplotlib can write, such as `pdf`."""
    content = io.BytesIO()
    figure.savefig(content, format=kind, dpi=130)
    return content.getvalue()
