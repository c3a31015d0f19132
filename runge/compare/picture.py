"""The picture of a comparison."""

import math
import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from runge.compare.groups import Group, errors_like
from runge.compare.naming import names_of
from runge.pictures.style import COLOURS, INK, few_ticks, png
from runge.runs.reading import RunRecord

__all__ = ["comparison_picture", "png"]


def comparison_picture(
    records: Sequence[RunRecord], groups: Sequence[Group], keys: Sequence[str], metric: str
) -> Figure:
    """Draw the runs of the best twelve groups with median and quartiles, and both errors of every run."""
    shown = groups[:12]
    diverged = [f", {group.diverged} of {len(group.values)} diverged" if group.diverged else "" for group in shown]
    texts = [f"{group.name}{said}".replace("$", r"\$") for group, said in zip(shown, diverged, strict=True)]
    names = [textwrap.fill(text, 40) for text in texts]
    lines = max((name.count("\n") for name in names), default=0)  # further ones
    figure = Figure(figsize=(12, max(3.2, 1.6 + (0.35 + 0.14 * lines) * len(shown))), layout="constrained")
    figure.suptitle(f"{len(records)} runs in {len(groups)} groups by {metric}", fontsize=11)
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {group.name: COLOURS[i % len(COLOURS)] for i, group in enumerate(shown)}
    for i, group in enumerate(shown):
        colour, values = colours[group.name], [value for value in group.values if math.isfinite(value)]
        ends = [min(quartile, max(values, default=math.nan)) for quartile in group.quartiles]
        spread.plot(ends, [i, i], color=colour, linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(values, [i] * len(values), "o", color=colour, markersize=4, alpha=0.8)
        median = group.median if math.isfinite(group.median) else math.nan  # off the axis
        spread.plot(median, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), names)
    spread.invert_yaxis()
    cut = f" (best 12 of {len(groups)})" if len(groups) > 12 else ""
    spread.set_xlabel(f"{metric}: each run, median, quartiles{cut}")
    across, up = errors_like(metric)
    for name, record in zip(names_of(records, keys), records, strict=True):
        x, y = record.figures.get(across), record.figures.get(up)
        if record.status == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(name, "#AAAAAA"), markersize=5, alpha=0.8)
    front.set(xlabel=across, ylabel=up)
    if any(math.isfinite(group.values[0]) for group in shown):  # a log axis without data makes Matplotlib warn
        spread.set_xscale("log")
        front.set(xscale="log", yscale="log")
        for axis in (spread.xaxis, front.xaxis, front.yaxis):
            few_ticks(axis)
    return figure
