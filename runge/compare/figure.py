"""The picture of a comparison."""

import textwrap
from collections.abc import Sequence

from matplotlib.figure import Figure

from runge.compare.groups import Group, label
from runge.metrics import TEST_MSE_DF, TEST_MSE_F
from runge.records.panels import COLOURS, INK
from runge.records.reading import RunRecord


def comparison_figure(
    records: Sequence[RunRecord], groups: Sequence[Group], keys: Sequence[str], metric: str
) -> Figure:
    """The groups of a comparison side by side, and the two errors of every run against each other.

    Args:
        records: the runs.
        groups: the groups, the best first; more than twelve are cut.
        keys: what tells groups apart.
        metric: what is ranked by.

    Returns:
        Two panels: each group's runs with their median and quartiles, and MSE_f against MSE_df.
    """
    shown = groups[:12]
    figure = Figure(figsize=(12, max(3.2, 1.6 + 0.35 * len(shown))), layout="constrained")
    figure.suptitle(f"{len(records)} runs in {len(groups)} groups by {metric}", fontsize=11)
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {found.name: COLOURS[i % len(COLOURS)] for i, found in enumerate(shown)}
    for i, found in enumerate(shown):
        lower, upper = found.quartiles
        spread.plot([lower, upper], [i, i], color=colours[found.name], linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(found.values, [i] * len(found.values), "o", color=colours[found.name], markersize=4, alpha=0.8)
        spread.plot(found.median, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), [_wrap(found.name) for found in shown])
    spread.invert_yaxis()
    spread.set_xlabel(
        f"{metric}: each run, median, quartiles" + (f" (best 12 of {len(groups)})" if len(groups) > 12 else "")
    )
    for record in records:
        x, y = record.figures.get(TEST_MSE_F), record.figures.get(TEST_MSE_DF)
        if record.status == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(label(record.settings, keys), "#AAAAAA"), markersize=5, alpha=0.8)
    front.set_xlabel(TEST_MSE_F)
    front.set_ylabel(TEST_MSE_DF)
    if shown:  # the axis of nothing has no logarithm
        spread.set_xscale("log")
        front.set_xscale("log")
        front.set_yscale("log")
    return figure


def _wrap(name: str) -> str:
    return "\n".join(textwrap.wrap(name.replace("$", r"\$"), 40))
