"""Pictures of the table: ranks, factors over the smallest error of each problem, and errors over seconds."""

import io
import math
from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image
from ranking import BEST, QUANTITIES, Frame, factors, ranks, standings
from texts import plain

from runge.pictures.style import BLUE, GREEN, INK, ORANGE, few_ticks, styled

FAMILIES = {"runge": ORANGE, "networks": BLUE, "kernels": GREEN, "without derivatives": "#7F7F7F"}
"""The colours of the families of tools."""

WORDS = {
    "holds": ("#DCEFE6", INK),
    "refuses": ("#FBEFC4", INK),
    "has none": ("#F0F0F0", INK),
    "too slow": ("#C9C9C9", INK),
    "fails": ("#F2A97E", INK),
    "silent": ("#B23C00", "white"),
}
"""The colours of what a check finds, and of its word."""

Families = Mapping[str, str]
"""The family of each tool; their order is that of the legends."""

_MARKERS = "o^sDvP<>X"
_WIDTH, _COLUMNS = 8.0, 4  # inches, which are about 800 pixels on the page; columns of panels
_LARGEST = 1e4  # the factor at which the colours of a map end


def styles(families: Families) -> dict[str, tuple[str, str]]:
    """Return the colour of each tool's family, and a marker that no other tool of the family has."""
    members = {family: [tool for tool, of in families.items() if of == family] for family in FAMILIES}
    return {tool: (FAMILIES[of], _MARKERS[i]) for of, tools in members.items() for i, tool in enumerate(tools)}


@styled
def of_ranks(middle: Frame, families: Families) -> Figure:
    """Draw the ranks by value and by derivative: a row per tool, a small dot per problem, a large one for the mean."""
    tools = list(standings(middle).index)
    figure = Figure((_WIDTH, 0.9 + 0.27 * len(tools)))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        for y, tool in enumerate(tools):
            rank, colour = ranks(middle, quantity)[tool].dropna(), FAMILIES[families[tool]]
            at, count = np.unique(rank, return_counts=True)
            axes.scatter(at, np.full(len(at), y), 7 * count, colour, alpha=0.3, linewidths=0)
            axes.plot(rank.mean(), y, "o", color=colour, markersize=7, markeredgecolor="white")
        axes.set(title=f"Rank by {quantity}", ylim=(len(tools) - 0.5, -0.5), xlim=(0.3, len(tools) + 0.7))
        axes.set_xticks(range(1, len(tools) + 1))
        axes.set_yticks(range(len(tools)), tools)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
    handles = [
        Line2D([], [], color=colour, marker="o", linestyle="", markersize=6, label=family)
        for family, colour in FAMILIES.items()
        if family in families.values()
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False)
    return figure


@styled
def of_factors(middle: Frame, fields: Sequence[Sequence[str]], quantity: str) -> Figure:
    """Draw errors over the smallest one of the problem: a row per tool, a column per problem; lines divide fields."""
    problems = [problem for names in fields for problem in names]
    tools = list(standings(middle).index)
    over = factors(middle, quantity).reindex(index=problems, columns=tools).T
    figure = Figure((_WIDTH, 1.9 + 0.2 * len(tools)))
    axes = figure.subplots()
    lines = {"edgecolors": "white", "linewidth": 0.6}
    axes.pcolormesh(np.ma.masked_invalid(over.clip(upper=_LARGEST)), cmap="YlGnBu", norm=LogNorm(1, _LARGEST), **lines)
    axes.pcolormesh(np.ma.masked_where(~np.isinf(over), np.ones(over.shape)), cmap="Greys", vmin=0, vmax=6, **lines)
    for (i, j), factor in np.ndenumerate(over.to_numpy()):
        if not np.isnan(factor):
            look: dict[str, Any] = {
                "weight": "bold" if factor == 1 else "normal",
                "color": "white" if 60 < factor < np.inf else INK,
            }
            axes.text(j + 0.5, i + 0.53, short(factor), fontsize=6, ha="center", va="center", **look)
    for edge in np.cumsum([len(names) for names in fields])[:-1]:
        axes.axvline(edge, color=INK, linewidth=0.8)
    axes.set_title(f"Error of the {quantity} over the smallest one of the problem (×: none)")
    axes.invert_yaxis()
    axes.set_yticks(np.arange(len(tools)) + 0.5, tools, fontsize=8)
    axes.set_xticks(np.arange(len(problems)) + 0.5, [plain(name) for name in problems], fontsize=7, rotation=90)
    axes.tick_params(length=0, pad=2)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


def short(factor: float) -> str:
    """Return a factor in at most three characters; a cross if it is infinite.

    Example:
        >>> [short(factor) for factor in (1, 1.26, 17.4, 410, 2.3e5, float("inf"))]
        ['1', '1.3', '17', '410', '2e5', '×']
    """
    if not math.isfinite(factor):
        return "×"
    if factor == 1:
        return "1"
    return (
        f"{factor:.1f}"
        if factor < 9.95
        else f"{factor:.0f}"
        if factor < 999.5
        else f"{factor:.0e}".replace("+0", "").replace("+", "")
    )


@styled
def of_checks(words: Frame) -> Figure:
    """Draw what the checks have found: a row per tool, a column per check, a word in each cell."""
    tools, checks = words.shape
    figure = Figure((_WIDTH, 1.1 + 0.23 * tools))
    axes = figure.subplots()
    for (i, j), word in np.ndenumerate(words.fillna("").to_numpy()):
        ground, ink = WORDS.get(word, ("white", INK))
        axes.add_patch(Rectangle((j, i), 1, 1, facecolor=ground, edgecolor="white", linewidth=1))
        axes.text(j + 0.5, i + 0.53, word, color=ink, fontsize=6.2, ha="center", va="center")
    axes.set(xlim=(0, checks), ylim=(tools, 0))
    axes.set_yticks(np.arange(tools) + 0.5, list(words.index), fontsize=8)
    axes.set_xticks(np.arange(checks) + 0.5, [fill(name, 11) for name in words], fontsize=7)
    axes.tick_params(length=0, pad=2, bottom=False, labelbottom=False, labeltop=True)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure


@styled
def of_seconds(views: Sequence[Frame], problems: Sequence[str], families: Families, quantity: str) -> Figure:
    """Draw errors over seconds: a panel per problem, a marker per tool, which is hollow for settings by default.

    Args:
        views: the medians by validation, and by default; a line connects the two of a tool.
        problems: those that are drawn.
        families: the family of each tool.
        quantity: value or derivative.
    """
    columns = min(_COLUMNS, len(problems))
    count = math.ceil(len(problems) / columns)
    figure = Figure((_WIDTH, 1.4 + 1.5 * count))
    panels = figure.subplots(count, columns, sharex=True, squeeze=False)
    looks = styles(families)
    for axes, problem in zip(panels.flat, problems, strict=False):
        for tool, (colour, marker) in looks.items():
            found = [view.loc[(problem, tool)] for view in views if (problem, tool) in view.index]
            found = [one for one in found if np.isfinite(one[quantity])]
            x, y = [one.seconds for one in found], [one[quantity] for one in found]
            axes.plot(x, y, color=colour, linewidth=0.6, alpha=0.5)
            for one in found:
                face = "white" if one.settings_by == "default" and tool != BEST else colour
                axes.plot(one.seconds, one[quantity], marker, color=colour, mfc=face, ms=4.5, mew=0.9)
        axes.set_title(plain(problem), fontsize=8)
        axes.set(xscale="log", yscale="log")
        axes.tick_params(labelsize=7)
        few_ticks(axes.yaxis)
        if (limits := axes.get_ylim())[1] < 100 * limits[0]:  # few powers of ten
            axes.yaxis.set_major_formatter("{x:g}")
    few_ticks(panels[0, 0].xaxis)
    for axes in panels.flat[len(problems) :]:  # the scale of seconds stays, for the panels above
        axes.set_yticks([])
        axes.grid(False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(labelsize=7)
    figure.supxlabel("seconds on one core: the fit, with the search for settings if there is one", fontsize=8)
    figure.supylabel(f"error of the {quantity}", fontsize=8)
    _legend(figure, looks, families)
    return figure


def _legend(figure: Figure, looks: Mapping[str, tuple[str, str]], families: Families) -> None:
    """Put a legend above the panels, a column per family."""
    nothing = Line2D([], [], linestyle="", label="")
    columns = {
        family: [
            Line2D([], [], color=colour, marker=marker, linestyle="", markersize=5, label=tool)
            for tool, (colour, marker) in looks.items()
            if families[tool] == family
        ]
        for family in FAMILIES
    }
    dot = {"color": INK, "marker": "o", "linestyle": "", "markersize": 5}
    columns["settings"] = [
        Line2D([], [], label="by validation", **dot),
        Line2D([], [], label="by default", markerfacecolor="white", **dot),
    ]
    columns = {family: handles for family, handles in columns.items() if handles}
    longest = max(map(len, columns.values()))
    handles = [
        handle
        for family, column in columns.items()
        for handle in (
            Line2D([], [], linestyle="", label=family),
            *column,
            *[nothing] * (longest - len(column)),
        )
    ]
    legend = figure.legend(handles=handles, loc="outside upper center", ncols=len(columns), frameon=False, fontsize=7.5)
    for text in legend.get_texts()[:: longest + 1]:
        text.set(weight="bold")


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG image, sharp in print; of 128 colours, which are enough for these pictures."""
    drawn, image = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, dpi=200, facecolor="white")
    Image.open(drawn).convert("RGB").quantize(128).save(image, "PNG", optimize=True)
    return image.getvalue()
