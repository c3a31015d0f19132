"""Draw profiles: a fit along each input."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from runge.pictures.style import (
    BLUE,
    INK,
    MOST_OUTPUTS,
    MOST_TANGENTS,
    ORANGE,
    PANELS_IN_ROW,
    Array,
    band,
    hide_empty,
    label,
    of_outputs,
    partial,
    shade,
    sheet,
    styled,
    within,
)
from runge.records.fits import Section


@styled
def profiles_picture(
    profiles: Sequence[Section], title: str, inputs: Sequence[str], outputs: Sequence[str], values: Array | None = None
) -> Figure:
    """Draw each output of a fit along each input, the other inputs being fixed, with its derivatives.

    With intervals, these are drawn as bands, and du/dx_d has a panel below. Without, it is drawn as tangents.

    All panels of an output have the same scale, which has room for the `values` of all points, (N, P). One output has
    at most twelve panels, several have at most four each: of the inputs along which the first four outputs change
    most, relative to their range over all profiles.

    Each of the `profiles` is through the median of the points.
    """
    shown = min(MOST_OUTPUTS, len(outputs))
    ranges = np.ptp(np.concatenate([section.u[:, :shown] for section in profiles]), axis=0)
    change = [(np.ptp(section.u[:, :shown], axis=0) / np.where(ranges == 0, 1, ranges)).max() for section in profiles]
    drawn = [int(d) for d in np.sort(np.argsort(change)[::-1][: 12 if shown == 1 else PANELS_IN_ROW])]
    columns = 3 if shown == 1 and len(drawn) in (5, 6, 9) else min(PANELS_IN_ROW, len(drawn))
    with_bands = any(np.isfinite(half).any() for profile in profiles for half in (profile.around, profile.around_du))
    notes = ["each panel varies one input, the others are at their median"]
    notes += [] if with_bands else ["orange: the derivative"]
    notes += ["blue: the formula"] if profiles[0].f is not None else []
    notes += ["grey: outside the data"] if any(profile.outside.any() for profile in profiles) else []
    if len(drawn) < len(inputs):
        notes.append(f"the {len(drawn)} of {len(inputs)} inputs along which the fit changes most")
    blocks = [(p, drawn[i : i + columns]) for p in range(shown) for i in range(0, len(drawn), columns)]
    rows, height = (2 * len(blocks), 1.9) if with_bands else (len(blocks), 2.1)
    figure = sheet(max(6, 2.75 * columns), 0.8 + height * rows, title, notes + of_outputs(len(outputs)))
    panels = figure.subplots(rows, columns, squeeze=False)
    first: dict[int, Axes] = {}  # of each output: all have its scale
    for (p, shown_inputs), (upper, *lower) in zip(blocks, panels.reshape(len(blocks), -1, columns), strict=True):
        for i, (axes, d) in enumerate(zip(upper, shown_inputs, strict=False)):
            if p in first:
                axes.sharey(first[p])
            first.setdefault(p, axes)
            if values is not None and np.isfinite(values[:, p]).any():
                axes.update_datalim([(profiles[d].x[0, 0], bound(values[:, p])) for bound in (np.nanmin, np.nanmax)])
            axes.tick_params(labelleft=i == 0)
            profile = profiles[d]
            if profile.f is not None:
                axes.plot(profile.x[:, 0], profile.f[:, p], color=BLUE, alpha=0.4, linewidth=5)
            _draw(axes, profile, profile.u[:, p], profile.around[:, p], INK, BLUE)
            if not with_bands:
                _draw_tangents(axes, profile, p)
            for below in lower:
                below[i].sharex(axes)
                _draw(below[i], profile, profile.du[:, p, 0], profile.around_du[:, p, 0], ORANGE, ORANGE)
                below[i].set_ylabel(partial(outputs[p], inputs[d], len(inputs)))
            axes.tick_params(labelbottom=not lower)
            (lower[0][i] if lower else axes).set_xlabel(label(inputs[d]))
        upper[0].set_ylabel(f"fit of {label(outputs[p])}")
    hide_empty(panels.flat)
    return figure


def _draw(axes: Axes, profile: Section, line: Array, around: Array, colour: str, of_band: str) -> None:
    axes.yaxis.set_offset_position("right")  # the title is on the left
    axes.set_title(within(around), fontsize=8)
    shade(axes, profile.x[:, 0], profile.outside)
    band(axes, profile.x[:, 0], line, around, of_band)
    axes.plot(profile.x[:, 0], line, color=colour)


def _draw_tangents(axes: Axes, profile: Section, p: int) -> None:
    t = profile.x[:, 0]
    u, du = profile.u[:, p], profile.du[:, p, 0]
    at = np.linspace(0, len(t) - 1, MOST_TANGENTS + 2).round().astype(int)[1:-1]
    half = np.array([-1, 1]) * np.ptp(t) / (3 * MOST_TANGENTS)
    ends = np.stack([t[at, None] + half, u[at, None] + half * du[at, None]], axis=-1)
    axes.add_collection(LineCollection(list(ends), colors=ORANGE, linewidths=2.2))
    axes.plot(t[at], u[at], ".", color=ORANGE, markersize=5)
