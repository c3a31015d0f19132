"""The picture of a comparison."""

import textwrap

import numpy as np
from matplotlib.figure import Figure

from runge.comparison.metric_columns import errors_like
from runge.comparison.ranking import Ranking
from runge.comparison.shown import MOST_COLOURED_GROUPS, MOST_DRAWN_GROUPS
from runge.pictures.style import COLOURS, INK, few_ticks

_GREY = "#AAAAAA"
"""The colour of the other groups."""


def comparison_picture(ranking: Ranking) -> Figure:
    """Draw the runs of the best twelve groups with median and quartiles, and both errors of every run.

    The best six groups have colours, and all others are grey.
    """
    groups, shown = ranking.groups, ranking.groups[:MOST_DRAWN_GROUPS]
    texts = [", ".join(filter(None, (group.name, group.lost))).replace("$", r"\$") for group in shown]
    names = [textwrap.fill(text, 40) for text in texts]
    lines = 1 + max((name.count("\n") for name in names), default=0)
    figure = Figure(figsize=(12, max(3.2, 1.6 + (0.21 + 0.14 * lines) * len(shown))), layout="constrained")
    figure.suptitle(f"{len(ranking.records)} runs in {len(groups)} groups by {ranking.metric}", fontsize=11)
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {group.name: COLOURS[i] if i < MOST_COLOURED_GROUPS else _GREY for i, group in enumerate(shown)}
    for i, group in enumerate(shown):  # runs without a result have no place on the axis
        values = np.array(group.values)[np.isfinite(group.values)]
        low, _, high = np.minimum(group.quartiles, max(values, default=np.nan))
        spread.plot([low, high], [i, i], color=colours[group.name], linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(values, [i] * len(values), "o", color=colours[group.name], markersize=4, alpha=0.8)
        if np.isfinite(group.middle):
            spread.plot(group.middle, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), names)
    spread.invert_yaxis()
    cut = f" (best {MOST_DRAWN_GROUPS} of {len(groups)})" if len(groups) > MOST_DRAWN_GROUPS else ""
    middle = "mean" if ranking.folded else "median"
    spread.set_xlabel(f"{ranking.metric}: each run, {middle}, quartiles{cut}")
    across, up = errors_like(ranking.metric)
    for place, record in reversed(list(zip(ranking.places, ranking.records, strict=True))):  # the best on top
        x, y = record.figures.get(across), record.figures.get(up)
        if record.status == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(place.group, _GREY), markersize=5, alpha=0.8)
    front.set(xlabel=across, ylabel=up)
    if any(np.isfinite(group.values[0]) for group in shown):  # a log axis without data makes Matplotlib warn
        spread.set_xscale("log")
        front.set(xscale="log", yscale="log")
        for axis in (spread.xaxis, front.xaxis, front.yaxis):
            few_ticks(axis)
    return figure
