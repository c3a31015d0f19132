"""Pictures of the evidence: a forest plot of effects, and a metric over a numeric setting."""

import math
from collections.abc import Iterable, Sequence
from itertools import cycle, product

import numpy as np
from claims import Claim
from effects import Effect, Observation
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from runge.comparison.groups import quartiles
from runge.pictures.style import COLOURS, INK

OPTIMIZER = "optimizer"
_MARKERS, _MOST_COLUMNS = "osD^vP*", 6
_SHADE, _GRID = "#F4F4F4", "#E4E4E4"


def forest(effects: Sequence[Effect], claim: Claim) -> Figure:
    """Draw effects with their quartiles: a panel per optimiser, a row per other context, a marker per arm.

    A marker is filled if its arm helps or hurts; an infinite ratio or 0 is an arrow at the edge.
    """
    placed = [
        (dict(e.context).get(OPTIMIZER, ""), name_context([x for x in e.context if x[0] != OPTIMIZER]), e)
        for e in effects
    ]
    panels, rows = list(dict.fromkeys(name for name, *_ in placed)), list(dict.fromkeys(row for _, row, _ in placed))
    arms = list(dict.fromkeys(effect.arm for effect in effects))
    height = 1.5 + len(rows) * (0.2 + 0.13 * len(arms)) + 0.25 * (math.ceil(len(arms) / _MOST_COLUMNS) - 1)
    figure = Figure(figsize=(11, height), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), sharey=True, squeeze=False).flat, panels, strict=True):
        shown = [(row, effect) for name, row, effect in placed if name == panel]
        bounds = [q for _, effect in shown for q in effect.quartiles if 0 < q < np.inf]
        low, high = min([1, *bounds]) / 1.4, max([1, *bounds]) * 1.4
        for i in range(0, len(rows), 2):
            axes.axhspan(i - 0.5, i + 0.5, color=_SHADE, zorder=0)
        axes.axvline(1, color=INK, linewidth=1)
        for row, effect in shown:
            j = arms.index(effect.arm)
            _mark(axes, effect, rows.index(row) + (j - (len(arms) - 1) / 2) * 0.8 / len(arms), j, (low, high))
        axes.set(xscale="log", xlim=(low, high), ylim=(len(rows) - 0.5, -0.5))
        axes.set_yticks(range(len(rows)), [_plain(row) for row in rows])
        if high < 100 * low:  # too few powers of ten for labels
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_title("← better", loc="left", fontsize=9)
        axes.set_title("worse →", loc="right", fontsize=9)
        axes.set_title(_plain(panel), fontsize=10, fontweight="bold")
        axes.grid(axis="x", color=_GRID)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="y", length=0)
    label = f"{claim.metric} relative to {claim.overrides(claim.baseline)}: median and quartiles over seeds"
    figure.supxlabel(label, fontsize=10)
    _legend(figure, [_plain(arm) for arm in arms])
    return figure


def curves(runs: Sequence[Observation], claim: Claim) -> Figure:
    """Draw the metric over `along` or `matched`: a column per target, a row per optimiser, a line per arm.

    Medians are lines, quartiles are bands; 0 is drawn left of all other numbers.
    """
    places = [(context[OPTIMIZER], context["target"]) for context in (dict(run.context) for run in runs)]
    optimizers, targets = (list(dict.fromkeys(place[i] for place in places)) for i in (0, 1))
    lines = list(dict.fromkeys(run.arm for run in runs)) if claim.along not in claim.arms else [""]
    at = [run.figures[claim.matched] if claim.matched else float(run.along) for run in runs]
    numbers = sorted({number for number in at if np.isfinite(number)})
    left = min((number for number in numbers if number > 0), default=1.0) / 10
    figure = Figure(figsize=(11, 1.2 + 2.3 * len(optimizers)), layout="constrained")
    panels = figure.subplots(len(optimizers), len(targets), sharex=True, sharey="row", squeeze=False)
    for axes, place in zip(panels.flat, product(optimizers, targets), strict=True):
        for j, line in enumerate(lines):
            values: dict[float, list[float]] = {}
            for run, where, number in zip(runs, places, at, strict=True):
                if where == place and line in ("", run.arm):
                    values.setdefault(number, []).append(run.figures[claim.metric])
            x = np.array(sorted(number for number in values if np.isfinite(number)))
            low, middle, high = np.array([quartiles(values[number]) for number in x]).reshape(-1, 3).T
            finite = np.isfinite(middle)
            x, top = np.where(x == 0, left, x)[finite], np.where(np.isfinite(high), high, middle)[finite]
            axes.plot(x, middle[finite], _MARKERS[j] + "-", color=COLOURS[j], markersize=4, linewidth=1.4)
            axes.fill_between(x, low[finite], top, color=COLOURS[j], alpha=0.2, linewidth=0)
        axes.set(xscale="log", yscale="log")
        if not claim.matched:
            axes.set_xticks([number or left for number in numbers], [f"{number:g}" for number in numbers], fontsize=8)
            axes.set_xticks([], minor=True)
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(color=_GRID)
        axes.spines[["top", "right"]].set_visible(False)
    for axes, target in zip(panels[0], targets, strict=True):
        axes.set_title(_plain(target), fontsize=10, fontweight="bold")
    for axes, optimizer in zip(panels[:, 0], optimizers, strict=True):
        axes.set_ylabel(f"{optimizer}\n{claim.metric}")
    figure.supxlabel(f"{claim.matched or claim.along}: medians and quartiles over seeds", fontsize=10)
    if len(lines) > 1:
        _legend(figure, [claim.overrides(line) for line in lines])
    return figure


def name_context(context: Iterable[tuple[str, str]]) -> str:
    """Name a context: options by their name, numbers with the last part of their key.

    Example:
        >>> name_context([("target", "runge"), ("data.n_train", "24")])
        'runge, n_train 24'
    """
    return ", ".join(f"{key.rpartition('.')[2]} {value}" if "." in key else value for key, value in context) or "all"


def _mark(axes: Axes, effect: Effect, y: float, arm: int, limits: tuple[float, float]) -> None:
    low, middle, high = np.clip(effect.quartiles, *limits)
    colour = COLOURS[arm % len(COLOURS)]
    axes.plot([low, high], [y, y], color=colour, linewidth=1.8, solid_capstyle="butt")
    median = effect.quartiles[1]
    marker = ">" if median > limits[1] else "<" if median < limits[0] else _MARKERS[arm % len(_MARKERS)]
    face = colour if effect.verdict in ("helps", "hurts") else "white"
    axes.plot(middle, y, marker, color=colour, markerfacecolor=face, markersize=5, clip_on=False)


def _legend(figure: Figure, names: Sequence[str]) -> None:
    styles = zip(names, cycle(COLOURS), cycle(_MARKERS))
    handles = [Line2D([], [], color=c, marker=marker, label=name, markersize=5) for name, c, marker in styles]
    columns = math.ceil(len(names) / math.ceil(len(names) / _MOST_COLUMNS))
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, frameon=False, fontsize=9)


def _plain(text: str) -> str:
    return text.replace("$", r"\$")
