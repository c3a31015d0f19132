"""The picture of a fit: curves over one input, maps over two, predicted against true values for more."""

from contextlib import suppress

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.tri import Triangulation

from runge.pictures.style import (
    BLUE,
    INK,
    MOST_OUTPUTS,
    ORANGE,
    Array,
    label,
    legend,
    log_scale,
    of_outputs,
    partial,
    positive,
    sheet,
    styled,
)
from runge.runs.fits import Fit

Profile = tuple[Array, Array, Array]
"""Along one input d: its values t, (k,), ascending; the fit u there, (k, P); and du/dx_d, (k, P)."""

_FEW, _MATTERS = 50, 1e-3


@styled
def fit_picture(fit: Fit, title: str, profile: Profile | None = None, points: Array | None = None) -> Figure:
    """Draw a function and its fit, their derivatives, and the errors of both, of at most four outputs.

    Args:
        fit: the labels, NaN where they are not known, and the fit.
        title: the title.
        profile: with one input, the fit between the points. These are then the rows of a table, in which x may repeat
            and labels have noise, and are drawn as dots; None: they are those of a function, and are joined.
        points: the training points, (K, D), which the maps of two inputs show.
    """
    if len(fit.inputs) == 1:
        return _curves(fit, title, profile)
    return _maps(fit, title, points) if len(fit.inputs) == 2 else _parity(fit, title)


def _curves(fit: Fit, title: str, profile: Profile | None) -> Figure:
    rows, t, (x,) = min(MOST_OUTPUTS, len(fit.outputs)), fit.x[:, 0], fit.inputs
    line, dots = {"linestyle": "-"}, {"linestyle": "", "marker": ".", "markersize": 5}
    order = np.argsort(t, kind="stable")
    true = {"color": INK, "linewidth": 2.4, **(dots if profile else line)}
    across, u, du = t, fit.u, fit.du[..., 0]
    if profile is not None:  # the points are part of the line, so that it passes through every fitted value
        across, u, du = (np.concatenate(parts) for parts in zip((t, u, du), profile, strict=True))
    along = np.argsort(across, kind="stable")
    figure = sheet(11, 0.5 + 2.6 * rows, title, of_outputs(len(fit.outputs)))
    for p, panels in enumerate(figure.subplots(rows, 3, sharex=True, squeeze=False)):
        y, slope = label(fit.outputs[p]), partial(fit.outputs[p], x, 1)
        names = (y, f"fit of {y}", slope, f"fit of {slope}", f"|error of {y}|", f"|error of {slope}|")
        if (x, fit.outputs) == ("x", ("f",)):
            names = "$f(x)$", "$u(x)$", "$f'(x)$", "$u'(x)$", "$|u - f|$", "$|u' - f'|$"
        columns = 1 if max(map(len, names)) > 24 else 2
        labels = fit.f[:, p], fit.df[:, p, 0]
        errors = np.abs(fit.u[:, p] - labels[0]), np.abs(fit.du[:, p, 0] - labels[1])
        for q, (axes, fitted) in enumerate(zip(panels, (u, du), strict=False)):
            style = true if np.isfinite(labels[q]).all() else true | dots  # a line would hide what is not known
            name = names[2 * q] if np.isfinite(labels[q]).any() else f"{names[2 * q]}: no labels"
            axes.plot(t[order], labels[q][order], **style, label=name)
            fit_line = "-" if profile else "--"
            axes.plot(across[along], fitted[along, p], color=ORANGE, linestyle=fit_line, label=names[2 * q + 1])
            axes.set_ylabel(("value", "derivative")[q])
            legend(axes, columns)
            if (known := np.isfinite(errors[q])).any():
                style = line if known.all() and profile is None else dots
                shown = positive(errors[q][known])[np.argsort(t[known], kind="stable")]
                panels[2].plot(np.sort(t[known]), shown, **style, color=(BLUE, ORANGE)[q], label=names[4 + q])
        panels[2].set_ylabel("absolute error")
        log_scale(panels[2])
        legend(panels[2], columns)
        if p == rows - 1:
            for axes in panels:
                axes.set_xlabel(label(x))
    return figure


def _maps(fit: Fit, title: str, points: Array | None) -> Figure:
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
        both = np.concatenate([fit.f[:, p], fit.u[:, p]])
        same = Normalize(float(np.nanmin(both)), float(np.nanmax(both)))
        _map(figure, row[0], fit.x, fit.f[:, p], y, same)
        _map(figure, row[1], fit.x, fit.u[:, p], f"fit of {y}", same)
        _map(figure, row[2], fit.x, np.abs(fit.u - fit.f)[:, p], f"|error of {y}|")
        _map(figure, row[3], fit.x, norms, rf"|error of $\nabla${y}|")
        for axes in row[[0, 2, 3]]:
            axes.plot(*circles.T, "o", markersize=3.5, color="white", markeredgecolor=INK, markeredgewidth=0.6)
    for axes in panels.flat:
        axes.grid(False)
        axes.label_outer()
    for axes in panels[-1]:
        axes.set_xlabel(label(fit.inputs[0]))
    for axes in panels[:, 0]:
        axes.set_ylabel(label(fit.inputs[1]))
    return figure


def _map(figure: Figure, axes: Axes, x: Array, z: Array, title: str, norm: Normalize | None = None) -> None:
    """Draw a quantity over the plane, with its colour bar; without a `norm` it is an error, on a logarithmic scale."""
    axes.set_title(title)
    axes.set_facecolor("#EEEEEE")
    axes.margins(0.02)
    known, colours = np.isfinite(z), "viridis" if norm else "cividis"
    if not known.any():
        axes.text(0.5, 0.5, "no labels", transform=axes.transAxes, ha="center")
        return
    if norm is None:
        if not (z[known] > 0).any():
            axes.set_title(f"{title}: 0 everywhere")
            return
        low, high = np.quantile(z[known & (z > 0)], (0.01, 1))
        norm = LogNorm(low, high) if high > 1.5 * low else LogNorm(high / 3, 1.5 * high)
        z = np.maximum(z, norm.vmin or 0)
    drawn = None
    if known.sum() >= _FEW:
        with suppress(RuntimeError, ValueError):  # the points are on a line
            low, width = x[known].min(0), np.ptp(x[known], axis=0)
            triangles = Triangulation(*((x[known] - low) / width).T).triangles  # independent of the units
            plane = Triangulation(x[known, 0], x[known, 1], triangles)
            drawn = axes.tripcolor(plane, z[known], norm=norm, cmap=colours, shading="gouraud")
    if drawn is None:
        drawn = axes.scatter(*x[known].T, c=z[known], norm=norm, cmap=colours, s=36, linewidths=0)
    figure.colorbar(drawn, ax=axes, pad=0.01)


def _parity(fit: Fit, title: str) -> Figure:
    """Draw predicted against true values, with the residuals below, for each output and its partial derivatives.

    One output has eleven panels of partials, two have seven each, more have three each: those with the largest NRMSE.
    Those that hardly matter, because their input changes the output by less than a thousandth of what another one
    does, and constant ones, which have no NRMSE, come last.
    """
    dimension, outputs = len(fit.inputs), min(MOST_OUTPUTS, len(fit.outputs))
    most, rows = {1: 11, 2: 7}.get(outputs, 3), []
    for p in range(outputs):
        change = fit.x.std(0) * np.sqrt(np.nan_to_num(fit.df[:, p] ** 2).mean(0))
        partials = []
        for d, x in enumerate(fit.inputs):
            true, predicted, matters = fit.df[:, p, d], fit.du[:, p, d], change[d] >= _MATTERS * change.max()
            if np.isfinite(true).any():
                nrmse, accuracy = _accuracy(true, predicted)
                name = f"{partial(fit.outputs[p], x, dimension)}\n{accuracy}{'' if matters else ', hardly matters'}"
                partials.append(((nrmse is None, not matters, -(nrmse or 0)), d, name))
        if len(partials) > most:
            partials = sorted(partials)[:most]
        every = [(f"{label(fit.outputs[p])}\n{_accuracy(fit.f[:, p], fit.u[:, p])[1]}", BLUE, fit.f[:, p], fit.u[:, p])]
        every += [(name, ORANGE, fit.df[:, p, d], fit.du[:, p, d]) for _, d, name in partials]
        rows += [every[i : i + 4] for i in range(0, len(every), 4)]
    notes = ["NRMSE: root mean squared error over the standard deviation of the true values"]
    if most < dimension:
        notes.append(f"the {most} of {dimension} partial derivatives with the largest NRMSE")
    columns = max(map(len, rows))
    figure = sheet(2.75 * columns, 0.7 + 3.3 * len(rows), title, of_outputs(len(fit.outputs)) + notes)
    panels = figure.subplots(2 * len(rows), columns, squeeze=False, height_ratios=[3, 1] * len(rows))
    for i, row in enumerate(rows):
        for j in range(columns):
            upper, lower = panels[2 * i, j], panels[2 * i + 1, j]
            if j >= len(row):
                upper.set_axis_off()
                lower.set_axis_off()
                continue
            name, colour, true, predicted = row[j]
            dots = {"linestyle": "", "marker": ".", "color": colour, "alpha": 0.6, "markeredgewidth": 0}
            upper.set_title(name)
            upper.axline((np.nanmean(true), np.nanmean(true)), slope=1, color=INK, linewidth=0.8)
            upper.plot(true, predicted, **dots, markersize=6)
            lower.axhline(0, color=INK, linewidth=0.8)
            lower.plot(true, predicted - true, **dots, markersize=6)
            lower.set_xlim(upper.get_xlim())
            upper.tick_params(labelbottom=False)
            if j == 0:
                upper.set_ylabel("predicted")
                lower.set_ylabel("residual")
            lower.set_xlabel("true")
    return figure


def _accuracy(true: Array, predicted: Array) -> tuple[float | None, str]:
    """Return the NRMSE, None if the true values are constant, and it as a text, or the RMSE."""
    if not np.isfinite(true).any():
        return None, "no labels"
    rmse, spread = np.sqrt(np.nanmean((predicted - true) ** 2)), np.nanstd(true)
    if spread > 1e-9 * np.nanmax(np.abs(true)):
        return rmse / spread, f"NRMSE {100 * rmse / spread:.2g} %"
    return None, f"RMSE {rmse:.2g}"
