"""Pictures of `docs/studies.md` and `docs/stated.md`: dots for shares, distances and stated errors, and curves."""

from collections.abc import Mapping, Sequence
from itertools import product

from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from runge.pictures.style import BLUE, COLOURS, GREEN, INK, ORANGE, PINK, styled

_ROW, _WIDTH = 0.2, 8.0  # inches
_MARKS = ((ORANGE, "o"), (BLUE, "s"), (GREEN, "^"), (PINK, "v"), ("#7F7F7F", "|"))


@styled
def dots(panels: Mapping[str, Mapping[str, Mapping[str, Sequence[float]]]], label: str, at: float) -> Figure:
    """Draw a panel per title, a row per function, and marks of one kind for each method.

    Args:
        panels: for each title the numbers by function and method; the methods are the same for all.
        label: what the numbers are.
        at: the number that is aimed at, a line.
    """
    first = next(iter(panels.values()))
    functions, methods = list(first), list(next(iter(first.values())))
    figure = Figure((_WIDTH, 0.95 + _ROW * len(functions)))
    columns = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, rows) in zip(columns, panels.items(), strict=True):
        for method, (colour, marker) in reversed([*zip(methods, _MARKS, strict=False)]):  # the first one on top
            points = [(x, y) for y, numbers in enumerate(rows.values()) for x in numbers[method]]
            axes.plot(*zip(*points, strict=True), marker, color=colour, markersize=5, alpha=0.85, label=method)
        axes.axvline(at, color=INK, linewidth=0.8)
        axes.set(title=title, xlabel=label, ylim=(len(functions) - 0.4, -0.6))
        axes.set_yticks(range(len(functions)), functions, fontsize=8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    handles = columns[0].get_legend_handles_labels()[0][::-1]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False)
    return figure


@styled
def of_ratios(panels: Mapping[str, Mapping[str, Sequence[tuple[float, bool]]]], at: float) -> Figure:
    """Draw a panel per title, a row per table, and a dot for each true error over the stated one; hollow if unsure.

    Args:
        panels: for each title the ratios by table, and whether the stated error is sure.
        at: the largest ratio of an error that is stated truly, a line.
    """
    tables = list(next(iter(panels.values())))
    figure = Figure((_WIDTH, 0.95 + _ROW * len(tables)))
    columns = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, rows) in zip(columns, panels.items(), strict=True):
        for y, ratios in enumerate(rows.values()):
            for ratio, sure in ratios:
                face = ORANGE if sure else "none"
                axes.plot(ratio, y, "o", color=ORANGE, markerfacecolor=face, markersize=5, alpha=0.85)
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.axvline(at, color=INK, linewidth=0.8, linestyle=":")
        axes.set(title=title, xlabel="true error / stated error", xscale="log", ylim=(len(tables) - 0.4, -0.6))
        axes.set_yticks(range(len(tables)), tables, fontsize=8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    return figure


@styled
def curves(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], xlabel: str, ylabel: str) -> Figure:
    """Draw a panel per title with a curve per name, on logarithmic axes, and the names in one legend.

    Args:
        panels: for each title the points by name; the names are the same for all.
        xlabel: what the first coordinate is.
        ylabel: what the second one is.
    """
    figure = Figure((_WIDTH, 3.6))
    columns = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (title, named) in zip(columns, panels.items(), strict=True):
        for (name, points), (style, colour) in zip(named.items(), product(("-", "--"), COLOURS), strict=False):
            axes.plot(*zip(*points, strict=True), style, color=colour, marker="o", label=name)
        ticks = sorted({x for points in named.values() for x, _ in points})
        axes.set(title=title, xlabel=xlabel, xscale="log", yscale="log")
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    columns[0].set_ylabel(ylabel)
    figure.legend(*columns[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    return figure
