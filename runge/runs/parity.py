"""Predicted against true values, and residuals, for the values and the partial derivatives of any number of inputs."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from runge.runs.labels import Labels
from runge.runs.scales import Array, evenly, number, padded, scaled
from runge.runs.sheet import BLUE, GREY, INK, MOST_OUTPUTS, ORANGE, Box, Panel, Sheet, note_on_outputs

_MATTERS = 1e-3
_COLUMNS, _MOST_ROWS, _MOST_POINTS, _FEW_POINTS = 4, 3, 3000, 100


class _Channel(NamedTuple):
    """A quantity at the points where its label is known.

    The NRMSE is relative to the labels' standard deviation, and NaN if that is zero. A partial derivative hardly
    matters if its input changes the output by less than a thousandth of what another one does.
    """

    name: str
    colour: str
    true: Array
    predicted: Array
    rmse: float
    nrmse: float
    matters: bool = True


def parity_picture(f: Array, df: Array, u: Array, du: Array, title: str, labels: Labels, spread: Array) -> Figure:
    """Draw predicted against true values, with the residuals below, for each output and its partial derivatives.

    One output has eleven panels of partials, two have seven each, more have three each: those with the largest
    normalised errors; those that hardly matter, and constant ones, which have none, come last. A panel has at most 3000
    points, among them the 300 with the largest residuals. For the arguments see `fit_picture`; `spread` is the standard
    deviation of each input.
    """
    count, dimension = df.shape[1:]
    outputs = min(MOST_OUTPUTS, count)
    most = _COLUMNS * (_MOST_ROWS if outputs == 1 else 2 if outputs == 2 else 1) - 1
    groups: list[list[_Channel]] = []
    unknown = 0
    for p in range(outputs):
        value = _channel(labels.outputs[p], BLUE, f[:, p], u[:, p])
        sizes = spread * np.sqrt(np.nanmean(np.where(np.isnan(df[:, p]).all(0), 0, df[:, p]) ** 2, axis=0))
        partials = [
            _channel(labels.partial(p, d), ORANGE, df[:, p, d], du[:, p, d], bool(sizes[d] >= _MATTERS * sizes.max()))
            for d in range(dimension)
        ]
        known = [partial for partial in partials if len(partial.true)]
        unknown += dimension - len(known)
        if len(known) > most:
            known = sorted(known, key=_rank)[:most]
        groups.append([value, *known])
    notes = ["NRMSE: root mean squared error over the standard deviation of the true values"]
    subtitle = [note_on_outputs(count)] if count > outputs else []
    if most < dimension:
        each = " per output" if outputs > 1 else ""
        subtitle.append(f"the {most} of {dimension} partial derivatives{each} with the largest NRMSE")
    if unknown:
        notes.append(f"Partial derivatives without labels, not drawn: {unknown}")
    if len(f) > _MOST_POINTS:
        notes.append(
            f"At most {_MOST_POINTS} of {len(f)} points per panel, with the {_MOST_POINTS // 10} largest residuals"
        )
    panels = sum(map(len, groups)) if outputs == 1 else 0
    columns = min(range(3, 1 + _COLUMNS), key=lambda n: (-panels % n, -n)) if panels > 3 else _COLUMNS
    rows = [group[i : i + columns] for group in groups for i in range(0, len(group), columns)]
    columns = max(map(len, rows))
    sheet = Sheet(max(396, 198 * columns), 76 + 252 * len(rows), title, "; ".join(subtitle), notes)
    boxes = sheet.boxes(len(rows), columns, (54, 61, 10, 67), (58, 71))
    for channels, places in zip(rows, boxes, strict=True):
        for channel, box in zip(channels, places, strict=False):
            _panel(sheet, box, channel, few=len(f) < _FEW_POINTS)
    return sheet.finish()


def _channel(name: str, colour: str, true: Array, predicted: Array, matters: bool = True) -> _Channel:
    known = ~np.isnan(true)
    true, predicted = true[known], predicted[known]
    if not len(true):
        return _Channel(name, colour, true, predicted, np.nan, np.nan)
    rmse, spread = float(np.sqrt(np.mean((predicted - true) ** 2))), float(true.std())
    return _Channel(name, colour, true, predicted, rmse, rmse / spread if spread > 0 else np.nan, matters)


def _rank(partial: _Channel) -> tuple[bool, bool, float]:
    """Return the key of the order of partials: the largest NRMSE first, then those that hardly matter or have none."""
    constant = bool(np.isnan(partial.nrmse))
    return constant, not partial.matters, -(partial.rmse if constant else partial.nrmse)


def _panel(sheet: Sheet, box: Box, channel: _Channel, few: bool) -> None:
    """Draw one quantity: the upper part is predicted against true, the lower part the residuals."""
    left, bottom, width, height = box
    if not len(channel.true):
        panel = Panel(sheet, box, (0, 1), (0, 1))
        panel.frame(across={}, up={})
        panel.text("no labels", 0.5, 0.5, align=0.5, size=9)
        panel.text(channel.name, 0, 1, 0, 4, room=width)
        return
    residual = channel.predicted - channel.true
    at = _drawn(residual)
    limits = padded(np.concatenate([channel.true, channel.predicted]))
    top = np.abs(residual).max() * 1.15 or 1.15
    upper = Panel(sheet, (left, bottom + 0.3 * height, width, 0.7 * height), limits, limits)
    lower = Panel(sheet, (left, bottom, width, 0.27 * height), limits, (-top, top))
    predicted, values = scaled("predicted", limits, 4)
    true, _ = scaled("true", limits, 4)
    residuals, sizes = scaled("residual", lower.y, 3)
    upper.frame("", predicted, dict.fromkeys(values, ""), values, 8, 37)
    lower.frame(true, residuals, values, sizes, 8, 37)
    upper.line(limits, limits, color=INK, linewidth=0.8)
    lower.line(limits, (0, 0), color=INK, linewidth=0.8)
    for panel, y in ((upper, channel.predicted), (lower, residual)):
        panel.line(
            channel.true[at], y[at], ".", color=channel.colour, markeredgewidth=0,
            markersize=8 if few else 3.5, alpha=0.8 if few else 0.5,
        )  # fmt: skip
    upper.text(channel.name, 0, 1, 0, 15, room=width)
    upper.text(_accuracy(channel), 0, 1, 0, 4, size=8.5, colour=GREY)


def _accuracy(channel: _Channel) -> str:
    """Return the NRMSE in per cent, or the RMSE if the true values are constant."""
    relative = bool(np.isfinite(channel.nrmse))
    size = float(f"{100 * channel.nrmse if relative else channel.rmse:.2g}")
    text = number(size, size == 0 or 1e-3 <= size < 1e6)
    return (f"NRMSE {text} %" if relative else f"RMSE {text}") + (", hardly matters" if not channel.matters else "")


def _drawn(residual: Array) -> NDArray[np.intp]:
    """Return the indices of the points to draw: those with the largest residuals, and others, evenly chosen."""
    if len(residual) <= _MOST_POINTS:
        return np.arange(len(residual))
    worst = np.argsort(np.abs(residual))[-(_MOST_POINTS // 10) :]
    return np.union1d(worst, evenly(len(residual), _MOST_POINTS - len(worst)))
