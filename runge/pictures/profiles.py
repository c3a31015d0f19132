"""The picture of profiles: a fit along each input."""

from collections.abc import Sequence

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from runge.pictures.style import INK, MOST_OUTPUTS, ORANGE, hide_empty, label, of_outputs, sheet, styled
from runge.records.fits import Profile

_COLUMNS, _TANGENTS = 4, 7


@styled
def profiles_picture(profiles: Sequence[Profile], title: str, inputs: Sequence[str], outputs: Sequence[str]) -> Figure:
    """Draw each output of a fit along each input, the other inputs being fixed, with tangents of slope du/dx_d.

    All panels of an output have the same scale. One output has at most twelve panels, several have at most four each:
    those of the inputs along which the first four outputs change most, relative to their range over all profiles.

    Each of the `profiles` is through the median of the points.
    """
    shown = min(MOST_OUTPUTS, len(outputs))
    ranges = np.ptp(np.concatenate([u[:, :shown] for _, u, _ in profiles]), axis=0)
    change = [(np.ptp(u[:, :shown], axis=0) / np.where(ranges == 0, 1, ranges)).max() for _, u, _ in profiles]
    drawn = np.sort(np.argsort(change)[::-1][: 12 if shown == 1 else _COLUMNS])
    columns = 3 if shown == 1 and len(drawn) in (5, 6, 9) else min(_COLUMNS, len(drawn))
    notes = ["each panel varies one input, the others are at the median of the test points; orange: the derivative"]
    if len(drawn) < len(inputs):
        notes.append(f"the {len(drawn)} of {len(inputs)} inputs along which the fit changes most")
    rows = -(-len(drawn) // columns)  # of each output
    figure = sheet(max(6, 2.75 * columns), 0.8 + 2.1 * rows * shown, title, notes + of_outputs(len(outputs)))
    panels = figure.subplots(rows * shown, columns, sharey="row" if rows == 1 else shown == 1, squeeze=False)
    for p, of_output in enumerate(panels.reshape(shown, -1)):
        for axes, d in zip(of_output, drawn, strict=False):
            t, u, du = profiles[d][0], profiles[d][1][:, p], profiles[d][2][:, p]
            axes.plot(t, u, color=INK)
            at = np.linspace(0, len(t) - 1, _TANGENTS + 2).round().astype(int)[1:-1]
            half = np.array([-1, 1]) * np.ptp(t) / (3 * _TANGENTS)
            tangents = np.stack([t[at, None] + half, u[at, None] + half * du[at, None]], axis=-1)
            axes.add_collection(LineCollection(list(tangents), colors=ORANGE, linewidths=2.2))
            axes.plot(t[at], u[at], ".", color=ORANGE, markersize=5)
            axes.set_xlabel(label(inputs[int(d)]))
        for axes in of_output[::columns]:
            axes.set_ylabel(f"fit of {label(outputs[p])}")
    hide_empty(panels.flat)
    return figure
