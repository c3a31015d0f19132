"""The picture of a comparison."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from runge.compare.groups import Group, label
from runge.compare.ranking import errors_like
from runge.records.reading import RunRecord
from runge.records.sheet import COLOURS, INK


def comparison_picture(
    records: Sequence[RunRecord], groups: Sequence[Group], keys: Sequence[str], metric: str
) -> Figure:
    """Draw the runs of the best twelve groups with median and quartiles, and both errors of every run."""
    shown = groups[:12]
    figure = Figure(figsize=(12, max(3.2, 1.6 + 0.35 * len(shown))), layout="constrained")
    figure.suptitle(f"{len(records)} runs in {len(groups)} groups by {metric}", fontsize=11)
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {group.name: COLOURS[i % len(COLOURS)] for i, group in enumerate(shown)}
    for i, group in enumerate(shown):
        colour = colours[group.name]
        spread.plot(group.quartiles, [i, i], color=colour, linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(group.values, [i] * len(group.values), "o", color=colour, markersize=4, alpha=0.8)
        spread.plot(group.median, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), ["\n".join(textwrap.wrap(name.replace("$", r"\$"), 40)) for name in colours])
    spread.invert_yaxis()
    cut = f" (best 12 of {len(groups)})" if len(groups) > 12 else ""
    spread.set_xlabel(f"{metric}: each run, median, quartiles{cut}")
    across, up = errors_like(metric)
    for record in records:
        x, y = record.figures.get(across), record.figures.get(up)
        if record.status == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(label(record.settings, keys), "#AAAAAA"), markersize=5, alpha=0.8)
    front.set(xlabel=across, ylabel=up)
    if shown:  # a log axis without data makes Matplotlib warn
        spread.set_xscale("log")
        front.set(xscale="log", yscale="log")
    return figure
