"""Profiles of a fit: each output along each input through one point, with tangents."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from runge.runs.labels import Labels
from runge.runs.scales import Array, padded, scaled
from runge.runs.sheet import INK, MOST_OUTPUTS, ORANGE, Panel, Sheet, note_on_outputs

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
    ranges = np.ptp(every, axis=0)
    ranges[ranges == 0] = 1
    change = [(np.ptp(u[:, :shown], axis=0) / ranges).max() for _, u, _ in profiles]
    most = _MOST_PANELS if shown == 1 else _COLUMNS
    drawn = np.sort(np.argsort(change)[::-1][:most])
    columns = min(_COLUMNS, len(drawn))
    if shown == 1 and len(drawn) in (5, 6, 9):
        columns = 3
    rows = [(p, drawn[i : i + columns]) for p in range(shown) for i in range(0, len(drawn), columns)]
    notes = ["Each panel varies one input; the others are at the median of the training points"]
    if len(drawn) < dimension:
        notes.append(f"{len(drawn)} of {dimension} inputs: those along which the fit changes most")
    notes.append("Grey strokes: the training points" if points is not None else "")
    # The panels of a row have one scale of y; those of a column one of x, if it is that of the same input.
    shared = len(rows) == shown
    gap = 18 if shared else 44
    height = 83 + len(rows) * (122 + gap) - gap + 46
    sheet = Sheet(max(432, 198 * columns), height, title, note_on_outputs(count), notes)
    boxes = sheet.boxes(len(rows), columns, (54, 65, 10, 64), (18, gap))
    sheet.text("— the fit", 54, sheet.height - 46, size=9)
    sheet.text("— its derivative, as tangents", 110, sheet.height - 46, size=9, colour=ORANGE)
    for (p, places), row in zip(rows, boxes, strict=True):
        limits = padded(every[:, p], pad=0.07)
        y, up = scaled(labels.fits[p], limits, 5)
        for d, box in zip(places, row, strict=False):
            t, u, du = profiles[d][0], profiles[d][1][:, p], profiles[d][2][:, p]
            panel = Panel(sheet, box, padded(t), limits)
            first, last = box is row[0], row is boxes[-1] or not shared
            x, across = scaled(labels.inputs[d], panel.x, 4)
            panel.frame(
                x if last else "",
                y if first else "",
                across if last else dict.fromkeys(across, ""),
                up if first else dict.fromkeys(up, ""),
                8,
            )
            panel.line(t, u, color=INK, linewidth=1.4)
            at = np.linspace(0, len(t) - 1, _TANGENTS + 2).round().astype(int)[1:-1]
            half = np.array([-1, 1]) * np.ptp(t) / (3 * _TANGENTS)
            tangents = np.stack([t[at, None] + half, u[at, None] + half * du[at, None]], axis=-1)
            panel.add(LineCollection(list(tangents), colors=ORANGE, linewidths=2.2, transform=panel.transform))
            panel.line(t[at], u[at], ".", color=ORANGE, markersize=5)
            if points is not None:
                inside = points[:, d][(points[:, d] >= t[0]) & (points[:, d] <= t[-1])][:1000]
                bottom = np.full(len(inside), limits[0] + 0.02 * (limits[1] - limits[0]))
                panel.line(inside, bottom, "|", color="#888888", markersize=5, markeredgewidth=0.5)
    return sheet.finish()
