"""Profiles of a fit: each output along each input through one point, with tangents."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from runge.records.labels import Labels
from runge.records.panels import INK, ORANGE, Array
from runge.records.plain import MOST_OUTPUTS, in_units_of, note_on_outputs, power, sheet, tidy

Profile = tuple[Array, Array, Array]
"""Along one input d: its values t, (k,), ascending; the fit u there, (k, P); and du/dx_d, (k, P)."""

_COLUMNS, _MOST_PANELS, _TANGENTS = 4, 12, 7


def profiles_picture(
    profiles: Sequence[Profile],
    title: str,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    points: Array | None = None,
) -> Figure:
    """Draw each output of a fit along each input, the other inputs being fixed, with tangents of slope du/dx_d.

    All panels of an output have the same scale. One output has at most twelve panels, several have at most four each:
    those of the inputs along which the first four outputs change most, relative to their range over all profiles.

    Args:
        profiles: a profile for each of the D inputs, through the median of the training points.
        title: the title.
        inputs: the names of the inputs; None: as in `Labels`.
        outputs: the names of the outputs; None: as in `Labels`.
        points: the training points, (K, D), drawn as strokes at the bottom of each panel.

    Raises:
        ValueError: the number of names is wrong.
    """
    dimension, count = len(profiles), profiles[0][1].shape[1]
    labels, shown = Labels(inputs, outputs, dimension, count), min(MOST_OUTPUTS, count)
    every = np.concatenate([u[:, :shown] for _, u, _ in profiles])
    ends = list(zip(every.min(0), every.max(0), strict=True))
    ranges = np.array([high - low or 1 for low, high in ends])
    change = [(np.ptp(u[:, :shown], axis=0) / ranges).max() for _, u, _ in profiles]
    most = _MOST_PANELS if shown == 1 else _COLUMNS
    drawn = np.sort(np.argsort(change)[::-1][:most])
    columns = min(_COLUMNS, len(drawn))
    if shown == 1 and len(drawn) in (5, 6, 9):
        columns = 3
    rows = [(p, drawn[i : i + columns]) for p in range(shown) for i in range(0, len(drawn), columns)]
    width, height = max(6, 2.75 * columns), 1.15 + 2.3 * len(rows)
    notes = ["Each panel varies one input; the others are at the median of the training points"]
    if len(drawn) < dimension:
        notes.append(f"{len(drawn)} of {dimension} inputs: those along which the fit changes most")
    notes.append("Grey strokes: the training points" if points is not None else "")
    figure = sheet(width, height, title, note_on_outputs(count), notes)
    figure.subplots_adjust(0.75 / width, 0.85 / height, 1 - 0.15 / width, 1 - 0.85 / height, 0.32, 0.36)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes_row, (p, places) in zip(grid, rows, strict=True):
        low, high = ends[p]
        pad = 0.07 * (high - low) if high - low > 1e-9 * abs(high) else abs(high) / 2 or 0.5
        scale = 10.0 ** power(np.array([low - pad, high + pad]))
        for axes in axes_row[len(places) :]:
            axes.remove()
        for axes, d in zip(axes_row, places, strict=False):
            t, u, du = profiles[d][0], profiles[d][1][:, p] / scale, profiles[d][2][:, p] / scale
            axes.plot(t, u, color=INK, linewidth=1.4)
            at = np.linspace(0, len(t) - 1, _TANGENTS + 2).round().astype(int)[1:-1]
            half = np.ptp(t) / (3 * _TANGENTS)
            run, rise = np.outer([-half, half], np.ones(len(at))), np.outer([-half, half], du[at])
            axes.plot(t[at] + run, u[at] + rise, color=ORANGE, linewidth=2.2, solid_capstyle="butt")
            axes.plot(t[at], u[at], ".", color=ORANGE, markersize=5)
            if points is not None:
                inside = points[:, d][(points[:, d] >= t[0]) & (points[:, d] <= t[-1])][:1000]
                strokes = np.full(len(inside), 0.02)
                transform = axes.get_xaxis_transform()
                axes.plot(inside, strokes, "|", color="#888888", markersize=5, markeredgewidth=0.5, transform=transform)
            name = labels.fits[p] if axes is axes_row[0] else ""
            tidy(axes, "", labels.inputs[d], name and in_units_of(name, round(np.log10(scale))))
            axes.set_ylim((low - pad) / scale, (high + pad) / scale)
            axes.grid(color="#E4E4E4", linewidth=0.8)
            axes.set_axisbelow(True)
    handles = [Line2D([], [], color=INK, linewidth=1.4), Line2D([], [], color=ORANGE, linewidth=2.2)]
    names = ["the fit", "its derivative, as tangents"]
    figure.legend(handles, names, loc="upper left", ncols=2, fontsize=9, frameon=False,
                  bbox_to_anchor=(0.6 / width, 1 - 0.38 / height))  # fmt: skip
    return figure
