"""Draw a fit: curves over one input, maps over two, predicted against true values for more."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation
from numpy.typing import NDArray

from runge.data.fit_errors import FitErrors
from runge.pictures.style import (
    BLUE,
    FEWEST_POINTS_OF_MAP,
    INK,
    INTERVAL,
    LEAST_CHANGE,
    MOST_LARGE_MARKS,
    MOST_OUTPUTS,
    ORANGE,
    Array,
    band,
    hide_empty,
    label,
    legend,
    log_scale,
    of_outputs,
    partial,
    positive,
    shade,
    sheet,
    styled,
    within,
)
from runge.records.fits import SampledFit, Section


@styled
def fit_picture(
    fit: SampledFit,
    title: str,
    profile: Section | None = None,
    points: Array | None = None,
    labels: Sequence[Array] | None = None,
) -> Figure:
    """Draw a function and its fit, their derivatives, and the errors of both, of at most four outputs.

    Args:
        fit: the labels, NaN where they are not known, and the fit.
        title: the title.
        profile: with one input, the fit between the points, with its intervals. The points are then the rows of a
            table, in which x may repeat and labels have noise, and are drawn as dots; None: they are those of a
            function, and are joined.
        points: the training points, (K, D), which the maps of two inputs show, and with their labels the curves.
        labels: their values, (K, P), and derivatives, (K, P, D); NaN: not known.
    """
    if len(fit.inputs) == 1:
        train = None if points is None or labels is None else (points[:, 0], labels[0], labels[1][..., 0])
        return _curves(fit, title, profile, train)
    return _maps(fit, title, points) if len(fit.inputs) == 2 else _parity(fit, title)


def _curves(fit: SampledFit, title: str, profile: Section | None, train: tuple[Array, Array, Array] | None) -> Figure:
    order, rows = np.argsort(fit.x[:, 0], kind="stable"), min(MOST_OUTPUTS, len(fit.outputs))
    t = fit.x[order, 0]
    f, u = fit.f[order], fit.u[order]
    df, du = fit.df[order, :, 0], fit.du[order, :, 0]
    across = t
    curve, slope = u, du
    if profile is not None:  # the points are part of the line, so that it passes through every fitted value
        between = profile.x[:, 0], profile.u, profile.du[..., 0]
        across = np.concatenate([t, between[0]])
        curve, slope = np.concatenate([u, between[1]]), np.concatenate([du, between[2]])
    along = np.argsort(across, kind="stable")
    notes = of_outputs(len(fit.outputs))
    notes += ["grey: outside the data"] if profile is not None and profile.outside.any() else []
    figure = sheet(11, 0.5 + 2.6 * rows, title, notes)
    grid = figure.subplots(rows, 3, sharex=True, squeeze=False)
    for p, panels in enumerate(grid):
        y, dy = label(fit.outputs[p]), partial(fit.outputs[p], fit.inputs[0], 1)
        names = (y, f"fit of {y}", f"|error of {y}|"), (dy, f"fit of {dy}", f"|error of {dy}|")
        if (fit.inputs, fit.outputs) == (("x",), ("f",)):
            names = ("$f(x)$", "$u(x)$", "$|u - f|$"), ("$f'(x)$", "$u'(x)$", "$|u' - f'|$")
        for q, (labels, fitted, line) in enumerate(((f, u, curve), (df, du, slope))):
            axes, (true, of_fit, of_error) = panels[q], names[q]
            is_known = np.isfinite(labels[:, p])
            # The rows of a table are dots, and so are labels of which some are missing: a line would hide the gaps.
            style = {} if is_known.all() and profile is None else {"linestyle": "", "marker": ".", "markersize": 5}
            true = true if is_known.any() else f"{true}: no labels"
            axes.plot(t, labels[:, p], color=INK, linewidth=2.4, **style, label=true)
            axes.plot(across[along], line[along, p], color=ORANGE, linestyle="-" if profile else "--", label=of_fit)
            if train is not None:
                size = 4 if len(train[0]) <= MOST_LARGE_MARKS else 2
                axes.plot(train[0], train[q + 1][:, p], ".", color=BLUE, markersize=size, label="training points")
            axes.set_ylabel(("value", "derivative")[q])
            if is_known.any():
                error = positive(np.abs(fitted[is_known, p] - labels[is_known, p]))
                panels[2].plot(t[is_known], error, **style, color=(BLUE, ORANGE)[q], label=of_error)
            if profile is None:
                continue
            shade(axes, profile.x[:, 0], profile.outside)
            half = (profile.around, profile.around_du[..., 0])[q][:, p]
            if np.isfinite(half).any():
                band(axes, profile.x[:, 0], (profile.u, profile.du[..., 0])[q][:, p], half, ORANGE)
                panels[2].plot(profile.x[:, 0], half, color=(BLUE, ORANGE)[q], label="half the interval")
        panels[2].set_ylabel("absolute error")
        log_scale(panels[2])
        for axes in panels:
            legend(axes, 1 if max(len(name) for panel_names in names for name in panel_names) > 24 else 2)
    for axes in grid[-1]:
        axes.set_xlabel(label(fit.inputs[0]))
    return figure


def _maps(fit: SampledFit, title: str, points: Array | None) -> Figure:
    """Draw maps of f, of u in the same colours, of |u - f| and of |grad u - grad f| for each output.

    Fewer than fifty points, or points on a line, are drawn as dots. The lowest hundredth of the errors has the lowest
    colour, so that one small error does not use up the scale.
    """
    outputs = min(MOST_OUTPUTS, len(fit.outputs))
    notes, circles = of_outputs(len(fit.outputs)), np.empty((0, 2)) if points is None else points
    if len(circles):
        notes.append(f"circles: the {len(circles)} training points")
    if np.isnan(fit.df).any():
        notes.append("the norm is that of the known partial derivatives")
    size, shape = ((9, 7.4), (2, 2)) if outputs == 1 else ((14, 0.7 + 2.9 * outputs), (outputs, 4))
    figure = sheet(*size, title, notes)
    panels = figure.subplots(*shape, sharex=True, sharey=True)
    for p, row in enumerate(panels.reshape(outputs, 4)):
        y, error = label(fit.outputs[p]), fit.du[:, p] - fit.df[:, p]
        norms = np.where(np.isnan(error).all(-1), np.nan, np.sqrt(np.nansum(error**2, -1)))
        values = np.concatenate([fit.f[:, p], fit.u[:, p]])
        scale = Normalize(float(np.nanmin(values)), float(np.nanmax(values)))
        _map(figure, row[0], fit.x, fit.f[:, p], y, scale)
        _map(figure, row[1], fit.x, fit.u[:, p], f"fit of {y}", scale)
        _map(figure, row[2], fit.x, np.abs(fit.u - fit.f)[:, p], f"|error of {y}|")
        _map(figure, row[3], fit.x, norms, rf"|error of $\nabla${y}|")
        _mark(row[[0, 2, 3]], circles)
    _label_maps(panels, fit.inputs)
    return figure


@styled
def interval_maps(section: Section, title: str, inputs: Sequence[str], outputs: Sequence[str], points: Array) -> Figure:
    """Draw maps of a fit of two inputs, of half the widths of its intervals, and of the norm of its gradient's.

    The last is left out if no derivative has intervals.

    Args:
        section: the fit at the points of a square grid.
        title: the title.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        points: the rows, (K, 2).
    """
    shown, columns = min(MOST_OUTPUTS, len(outputs)), 2 + bool(np.isfinite(section.around_du).any())
    notes = [*of_outputs(len(outputs)), f"circles: the {len(points)} rows"]
    notes += ["hatched: outside the data"] if section.outside.any() else []
    figure = sheet(0.5 + 4 * columns, 0.7 + 3.2 * shown, title, notes)
    panels = figure.subplots(shown, columns, sharex=True, sharey=True, squeeze=False)
    for p, row in enumerate(panels):
        y, u = label(outputs[p]), section.u[:, p]
        slopes = section.around_du[:, p]
        norm = np.where(np.isnan(slopes).all(-1), np.nan, np.sqrt(np.nansum(slopes**2, -1)))
        _map(figure, row[0], section.x, u, f"fit of {y}", Normalize(u.min(), u.max()))
        for axes, half, what in zip(row[1:], (section.around[:, p], norm), (y, rf"norm of $\nabla${y}"), strict=False):
            _map(figure, axes, section.x, half, f"{what}, {within(half) or INTERVAL}")
        if section.outside.any():
            grid = [coordinate.reshape(2 * [round(len(u) ** 0.5)]) for coordinate in (*section.x.T, section.outside)]
            for axes in row:
                axes.contourf(*grid, levels=[0.5, 1.5], colors="none", hatches=["////"])
        _mark(row, points)
    _label_maps(panels, inputs)
    return figure


def _mark(maps: Iterable[Axes], points: Array) -> None:
    size, edge = (3.5, 0.6) if len(points) <= MOST_LARGE_MARKS else (1.5, 0)
    for axes in maps:
        axes.plot(*points.T, "o", markersize=size, color="white", markeredgecolor=INK, markeredgewidth=edge)


def _label_maps(panels: NDArray[Any], inputs: Sequence[str]) -> None:
    for axes in panels.flat:
        axes.grid(False)
        axes.label_outer()
    for axes in panels[-1]:
        axes.set_xlabel(label(inputs[0]))
    for axes in panels[:, 0]:
        axes.set_ylabel(label(inputs[1]))


def _map(figure: Figure, axes: Axes, x: Array, z: Array, title: str, norm: Normalize | None = None) -> None:
    """Draw a quantity over the plane, with its colour bar; without a `norm` it is an error, on a logarithmic scale."""
    axes.set_title(title)
    axes.set_facecolor("#EEEEEE")
    axes.margins(0.02)
    is_known, colours = np.isfinite(z), "viridis" if norm else "cividis"
    if not is_known.any():
        axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
        return
    if norm is None:
        if not (z[is_known] > 0).any():
            axes.set_title(f"{title}: 0 everywhere")
            return
        low, high = np.quantile(z[is_known & (z > 0)], (0.01, 1))
        norm = LogNorm(low, high) if high > 1.5 * low else LogNorm(high / 3, 1.5 * high)
        z = np.maximum(z, norm.vmin or 0)
    drawn = None
    if is_known.sum() >= FEWEST_POINTS_OF_MAP:
        with suppress(RuntimeError, ValueError):  # the points are on a line
            low, width = x[is_known].min(0), np.ptp(x[is_known], axis=0)
            triangles = Triangulation(*((x[is_known] - low) / width).T).triangles  # independent of the units
            plane = Triangulation(x[is_known, 0], x[is_known, 1], triangles)
            # Rasterised, because an SVG file would have several elements for each of the triangles.
            drawn = axes.tripcolor(plane, z[is_known], norm=norm, cmap=colours, shading="gouraud", rasterized=True)
    if drawn is None:
        drawn = axes.scatter(*x[is_known].T, c=z[is_known], norm=norm, cmap=colours, s=36, linewidths=0)
    figure.colorbar(drawn, ax=axes, pad=0.01)


def _parity(fit: SampledFit, title: str) -> Figure:
    """Draw predicted against true values, with the residuals below, for each output and its partial derivatives.

    One output has eleven panels of partials, two have seven each, more have three each: the largest NRMSE first.
    Partials that hardly matter, because their input changes the output by less than a thousandth of what another one
    does, and constant ones, which have no NRMSE, come last.
    """
    dimension, outputs = len(fit.inputs), min(MOST_OUTPUTS, len(fit.outputs))
    most, rows = {1: 11, 2: 7}.get(outputs, 3), []
    for p in range(outputs):
        change = fit.x.std(0) * np.sqrt(np.nan_to_num(fit.df[:, p] ** 2).mean(0))
        matters = change >= LEAST_CHANGE * change.max()
        drawn = [d for d in range(dimension) if np.isfinite(fit.df[:, p, d]).any()]
        ratios = {d: _accuracy(fit.df[:, p, d], fit.du[:, p, d]) for d in drawn}
        if len(drawn) > most:
            drawn = sorted(drawn, key=lambda d: (ratios[d][0] is None, not matters[d], -(ratios[d][0] or 0)))[:most]
        every = [(f"{label(fit.outputs[p])}\n{_accuracy(fit.f[:, p], fit.u[:, p])[1]}", BLUE, fit.f[:, p], fit.u[:, p])]
        for d in drawn:
            accuracy = f"{ratios[d][1]}{'' if matters[d] else ', hardly matters'}"
            name = partial(fit.outputs[p], fit.inputs[d], dimension)
            every.append((f"{name}\n{accuracy}", ORANGE, fit.df[:, p, d], fit.du[:, p, d]))
        # Rows of nearly the same length: 5, 3 + 3, 4 + 3, 4 + 4, 5 + 4.
        across = math.ceil(len(every) / math.ceil(len(every) / 5))
        rows += [every[i : i + across] for i in range(0, len(every), across)]
    notes = ["NRMSE: root mean squared error over the standard deviation of the true values"]
    if most < dimension:
        notes.append(f"the {most} of {dimension} partial derivatives with the largest NRMSE")
    columns = max(map(len, rows))
    figure = sheet(2.75 * columns, 0.7 + 3.3 * len(rows), title, of_outputs(len(fit.outputs)) + notes)
    panels = figure.subplots(2 * len(rows), columns, squeeze=False, height_ratios=[3, 1] * len(rows))
    for row, of_values, of_residuals in zip(rows, panels[::2], panels[1::2], strict=True):
        for (name, colour, true, predicted), upper, lower in zip(row, of_values, of_residuals, strict=False):
            dots = {"linestyle": "", "marker": ".", "color": colour, "alpha": 0.6, "markeredgewidth": 0}
            upper.set_title(name)
            upper.axline((np.nanmean(true), np.nanmean(true)), slope=1, color=INK, linewidth=0.8)
            upper.plot(true, predicted, **dots, markersize=6)
            lower.axhline(0, color=INK, linewidth=0.8)
            lower.plot(true, predicted - true, **dots, markersize=6)
            lower.set(xlim=upper.get_xlim(), xlabel="true")
            upper.tick_params(labelbottom=False)
        of_values[0].set_ylabel("predicted")
        of_residuals[0].set_ylabel("residual")
    hide_empty(panels.flat)
    return figure


def _accuracy(true: Array, predicted: Array) -> tuple[float | None, str]:
    """Return the NRMSE, None if the true values are constant, and it as a text, or the RMSE."""
    if not np.isfinite(true).any():
        return None, "no labels"
    spread = np.nanstd(true)
    errors = FitErrors.of((predicted - true)[:, None], spread)
    if spread > 1e-9 * np.nanmax(np.abs(true)):
        return errors.nrmse.item(), f"NRMSE {100 * errors.nrmse.item():.2g} %"
    return None, f"RMSE {errors.rmse.item():.2g}"
