"""Predicted against true values, and residuals, for the values and the partial derivatives of any number of inputs."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from runge.records.labels import Labels
from runge.records.panels import BLUE, INK, ORANGE, Array, number
from runge.records.plain import MOST_OUTPUTS, evenly, in_units_of, note_on_outputs, power, sheet, tidy

_COLUMNS, _MOST_ROWS, _MOST_POINTS, _FEW_POINTS = 4, 3, 3000, 100


class _Channel(NamedTuple):
    """A quantity at the points where its label is known; its error is relative to the labels' standard deviation."""

    name: str
    colour: str
    true: Array
    predicted: Array
    rmse: float
    nrmse: float


def parity_picture(f: Array, df: Array, u: Array, du: Array, title: str, labels: Labels) -> Figure:
    """Draw predicted against true values, with the residuals below, for each output and its partial derivatives.

    One output has eleven panels of partials, two have seven each, more have three each: those with the largest
    normalised errors. A panel has at most 3000 points, among them the 300 with the largest residuals. For the arguments
    see `fit_picture`.
    """
    count, dimension = df.shape[1:]
    outputs = min(MOST_OUTPUTS, count)
    most = _COLUMNS * (_MOST_ROWS if outputs == 1 else 2 if outputs == 2 else 1) - 1
    groups: list[list[_Channel]] = []
    unknown = 0
    for p in range(outputs):
        value = _channel(labels.outputs[p], BLUE, f[:, p], u[:, p])
        partials = [_channel(labels.partial(p, d), ORANGE, df[:, p, d], du[:, p, d]) for d in range(dimension)]
        known = [partial for partial in partials if len(partial.true)]
        unknown += dimension - len(known)
        if len(known) > most:
            known = sorted(known, key=lambda partial: -partial.nrmse)[:most]
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
    width, height = max(5.5, 2.75 * columns), 1.05 + 3.35 * len(rows)
    figure = sheet(width, height, title, "; ".join(subtitle), notes)
    sides = {"left": 0.7 / width, "right": 1 - 0.15 / width, "bottom": 0.85 / height, "top": 1 - 0.78 / height}
    grid = figure.add_gridspec(len(rows), columns, wspace=0.4, hspace=0.34, **sides)
    for i, row in enumerate(rows):
        for j, channel in enumerate(row):
            _panel(figure, grid[i, j], channel, few=len(f) < _FEW_POINTS)
    return figure


def _channel(name: str, colour: str, true: Array, predicted: Array) -> _Channel:
    known = ~np.isnan(true)
    true, predicted = true[known], predicted[known]
    if not len(true):
        return _Channel(name, colour, true, predicted, np.nan, np.nan)
    rmse, spread = float(np.sqrt(np.mean((predicted - true) ** 2))), float(true.std())
    return _Channel(name, colour, true, predicted, rmse, rmse / spread if spread > 0 else np.inf * rmse if rmse else 0)


def _panel(figure: Figure, place: SubplotSpec, channel: _Channel, few: bool) -> None:
    """Draw one quantity: the upper part is predicted against true, the lower part the residuals."""
    parts = place.subgridspec(2, 1, height_ratios=(2.7, 1), hspace=0.07)
    upper = figure.add_subplot(parts[0])
    if not len(channel.true):
        tidy(upper, channel.name)
        upper.set(xticks=[], yticks=[])
        upper.text(0.5, 0.5, "no labels", transform=upper.transAxes, ha="center", va="center", fontsize=9)
        return
    lower = figure.add_subplot(parts[1], sharex=upper)
    residual = channel.predicted - channel.true
    at = _drawn(residual)
    both = np.concatenate([channel.true, channel.predicted])
    scale, residual_scale = power(both), power(residual)
    style: dict[str, Any] = {"color": channel.colour, "markersize": 8 if few else 3.5, "alpha": 0.8 if few else 0.5}
    true, predicted = channel.true / 10.0**scale, channel.predicted / 10.0**scale
    residual = residual / 10.0**residual_scale
    low, high = _padded(both / 10.0**scale)
    upper.plot((low, high), (low, high), color=INK, linewidth=0.8)
    upper.plot(true[at], predicted[at], ".", markeredgewidth=0, rasterized=True, **style)
    lower.axhline(0, color=INK, linewidth=0.8)
    lower.plot(true[at], residual[at], ".", markeredgewidth=0, rasterized=True, **style)
    tidy(upper, f"{channel.name}   {_accuracy(channel)}", "", in_units_of("predicted", scale))
    tidy(lower, "", in_units_of("true", scale))
    lower.yaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    upper.tick_params(labelbottom=False)
    upper.set(xlim=(low, high), ylim=(low, high))
    top = np.abs(residual).max() * 1.15 or 1
    lower.set_ylim(-top, top)
    lower.set_ylabel(in_units_of("residual", residual_scale), fontsize=8)
    upper.yaxis.set_label_coords(-0.24, 0.5)
    lower.yaxis.set_label_coords(-0.24, 0.5)


def _accuracy(channel: _Channel) -> str:
    """Return the NRMSE in per cent, or the RMSE if the true values are constant."""
    relative = bool(np.isfinite(channel.nrmse))
    size = float(f"{100 * channel.nrmse if relative else channel.rmse:.2g}")
    text = number(size, size == 0 or 1e-3 <= size < 1e6)
    return f"NRMSE {text} %" if relative else f"RMSE {text}"


def _drawn(residual: Array) -> NDArray[np.intp]:
    """Return the indices of the points to draw: those with the largest residuals, and others, evenly chosen."""
    if len(residual) <= _MOST_POINTS:
        return np.arange(len(residual))
    worst = np.argsort(np.abs(residual))[-(_MOST_POINTS // 10) :]
    return np.union1d(worst, evenly(len(residual), _MOST_POINTS - len(worst)))


def _padded(values: Array) -> tuple[float, float]:
    low, high = values.min(), values.max()
    pad = 0.05 * (high - low) if high - low > 1e-9 * abs(high) else abs(high) / 2 or 0.5
    return low - pad, high + pad
