"""The picture of `docs/speed.md`: the times of each table relative to its first row."""

from collections.abc import Mapping
from statistics import median

from figures import Times
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from runge.pictures.style import INK, ORANGE, styled

_GREY = "#777777"


@styled
def ratios(tables: Mapping[str, Times]) -> Figure:
    """Draw a panel per table, a row per contender, a dot for the ratio of the medians, and a line for its range."""
    counts = [len(times) for times in tables.values()]
    figure = Figure((8, 0.23 * sum(counts) + 0.45 * len(counts)))
    panels = figure.subplots(len(counts), sharex=True, height_ratios=[count + 0.8 for count in counts])
    for axes, (title, times) in zip(panels, tables.items(), strict=True):
        first = median(next(iter(times.values())))
        for y, (name, values) in enumerate(times.items()):
            colour = ORANGE if "runge" in name or "train.py" in name else _GREY
            axes.plot([min(values) / first, max(values) / first], [y, y], color=colour)
            axes.plot(median(values) / first, y, "o", color=colour, markersize=6)
        axes.axvline(1, color=INK, linewidth=0.8)
        axes.set(title=title, xscale="log", ylim=(len(times) - 0.4, -0.6))
        axes.set_yticks(range(len(times)), times, fontsize=8)
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.tick_params(length=0)
    panels[-1].set_xticks(ticks := [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5], [f"{tick:g}" for tick in ticks])
    panels[-1].xaxis.set_minor_locator(NullLocator())
    panels[-1].set_xlabel("time, relative to the first row")
    return figure
