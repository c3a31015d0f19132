"""Maps of a function of two inputs, its fit, and the errors of both."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from matplotlib.tri import TriAnalyzer, Triangulation

from runge.records.labels import Labels
from runge.records.panels import INK, Array, number
from runge.records.plain import MOST_OUTPUTS, evenly, in_units_of, note_on_outputs, power, sheet, tidy

_VALUES, _ERRORS = "viridis", "cividis"
_MOST_SCATTERED, _MOST_CIRCLES, _FEWEST = 5000, 1000, 50


def maps_picture(
    x: Array, f: Array, df: Array, u: Array, du: Array, title: str, labels: Labels, points: Array | None
) -> Figure:
    """Draw maps of f, of u in the same colours, of |u - f| and of |grad u - grad f|, one row per output.

    Points on a grid are drawn as its cells; others are triangulated, with linear interpolation; fewer than fifty, or on
    a line, are drawn as dots. The lowest hundredth of the errors has the lowest colour, so that one small error does
    not use up the scale. For the arguments see `fit_picture`.
    """
    count, outputs = f.shape[1], min(MOST_OUTPUTS, f.shape[1])
    notes = ["The norm is that of the known partial derivatives" if np.isnan(df).any() else ""]
    if points is not None:
        circles = points[evenly(len(points), _MOST_CIRCLES)]
        some = f"{len(circles)} of the {len(points)}" if len(circles) < len(points) else f"the {len(points)}"
        notes.insert(0, f"Circles: {some} training points")
    else:
        circles = np.empty((0, 2))
    shape = _grid_shape(x)
    if shape is None and len(x) > _MOST_SCATTERED:
        notes.append(f"{_MOST_SCATTERED} of {len(x)} test points are drawn")
        x, f, df, u, du = (part[evenly(len(x), _MOST_SCATTERED)] for part in (x, f, df, u, du))
    if outputs == 1:
        figure, rows, columns = sheet(10, 8.2, title, "", notes), 2, 2
    else:
        figure = sheet(14, 0.9 + 3.1 * outputs, title, note_on_outputs(count), notes)
        rows, columns = outputs, 4
    width, height = figure.get_size_inches()
    figure.subplots_adjust(0.75 / width, 0.8 / height, 1 - 0.5 / width, 1 - 0.75 / height, 0.34, 0.3)
    axes = figure.subplots(rows, columns).reshape(outputs, 4)
    for p in range(outputs):
        slope_error = np.where(np.isnan(df[:, p]), np.nan, du[:, p] - df[:, p])
        size = np.sqrt(np.where(np.isnan(slope_error), 0, slope_error**2).sum(-1))
        size[np.isnan(slope_error).all(-1)] = np.nan
        norm = _norm(np.concatenate([f[:, p], u[:, p]]))
        maps = [
            (labels.outputs[p], f[:, p], norm, _VALUES),
            (labels.fits[p], u[:, p], norm, _VALUES),
            (labels.error(p), np.abs(u - f)[:, p], None, _ERRORS),
            (labels.gradient_error(p), size, None, _ERRORS),
        ]
        for panel, (name, z, scale, colours) in zip(axes[p], maps, strict=True):
            _map(panel, x, z, name, scale, colours, shape, labels)
            if name != labels.fits[p]:
                mark = min(3.5, 60 / np.sqrt(1 + len(circles)))
                panel.plot(*circles.T, "o", markersize=mark, markeredgewidth=0.6, color="white", markeredgecolor=INK)
            margin = (0.02 if len(x) >= _FEWEST else 0.08) * np.ptp(x, axis=0)
            if (margin > 0).all():
                low, high = x.min(0) - margin, x.max(0) + margin
                panel.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return figure


def _map(
    axes: Axes, x: Array, z: Array, name: str, norm: Normalize | None, colours: str, shape: Any, labels: Labels
) -> None:
    """Draw z over the plane, with a colour bar; without a `norm` on a logarithmic scale."""
    axes.set_facecolor("#EEEEEE")
    known = np.isfinite(z)
    error = norm is None
    norm = _log_norm(z[known]) if norm is None else norm
    low, high = (norm.vmin or 0, norm.vmax or 0) if norm else (0, 0)
    exponent = 0 if error else power(np.array([low, high]))
    tidy(axes, in_units_of(name, exponent), *labels.inputs, ticks=5)
    if not known.any():
        axes.text(
            0.5,
            0.5,
            "no labels",
            transform=axes.transAxes,
            ha="center",
            va="center",
            fontsize=9,
            bbox={"color": "#EEEEEE"},
        )
        return
    if norm is None:
        axes.set_title(f"{name}: 0 everywhere", fontsize=9.5, loc="left", pad=4, color=INK)
        return
    below = error and (z[known] < low).any()
    drawn = _surface(axes, x, np.maximum(z, low), known, shape, {"norm": norm, "cmap": colours})
    drawn.set_rasterized(True)
    bar = axes.figure.colorbar(drawn, ax=axes, fraction=0.06, pad=0.02, extend="min" if below else "neither")
    bar.ax.tick_params(labelsize=8, length=3, width=0.7)
    bar.outline.set_linewidth(0.7)
    if error:
        decades = np.log10(high / low)
        bar.locator = LogLocator(numticks=6) if decades >= 2 else LogLocator(subs=(1, 2, 5), numticks=12)
        plain = low >= 1e-3 and high < 1e5
        bar.formatter = FuncFormatter(lambda value, _: number(value, plain))
        bar.ax.yaxis.set_minor_locator(LogLocator(subs="auto", numticks=12) if 2 <= decades < 8 else NullLocator())
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    else:
        bar.locator = MaxNLocator(6, steps=[1, 2, 5, 10])
        bar.formatter = FuncFormatter(lambda value, _: number(float(f"{value / 10.0**exponent:.4g}"), True))
    bar.update_ticks()


def _surface(axes: Axes, x: Array, z: Array, known: Any, shape: Any, style: dict[str, Any]) -> Collection:
    if shape is not None:
        order = np.lexsort(x.T)
        across, up, cells = (part[order].reshape(shape) for part in (*x.T, np.ma.masked_invalid(z)))
        return axes.pcolormesh(across, up, cells, shading="nearest", **style)
    if known.sum() >= _FEWEST:
        try:
            # In units of the ranges, because a triangulation depends on the ratio of the inputs' units.
            low, range_ = x.min(0), np.ptp(x, axis=0)
            across, up = ((x[known] - low) / range_).T
            triangles = Triangulation(across, up)
            triangles.set_mask(TriAnalyzer(triangles).get_flat_tri_mask(0.02, rescale=False))
            scaled = Triangulation(x[known, 0], x[known, 1], triangles.triangles, triangles.mask)
            return axes.tripcolor(scaled, z[known], shading="gouraud", **style)
        except (RuntimeError, ValueError):
            pass  # the points are on a line
    return axes.scatter(*x[known].T, c=z[known], s=36, edgecolors="none", **style)


def _grid_shape(x: Array) -> tuple[int, int] | None:
    """Return the shape of the grid, rows of constant x2, that the points are on, or None."""
    across, up = (np.unique(x[:, d]) for d in range(2))
    order = np.lexsort(x.T)
    if len(across) * len(up) != len(x) or min(len(across), len(up)) < 2:
        return None
    is_grid = (x[order] == np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)).all()
    return (len(up), len(across)) if is_grid else None


def _norm(values: Array) -> Normalize:
    values = values[np.isfinite(values)]
    low, high = (values.min(), values.max()) if len(values) else (0.0, 1.0)
    pad = 0 if high - low > 1e-12 * abs(high) else abs(high) / 2 or 0.5
    return Normalize(low - pad, high + pad)


def _log_norm(errors: Array) -> LogNorm | None:
    """Return a scale from the lowest hundredth of the errors that are not zero to the largest; None if all are zero."""
    errors = errors[errors > 0]
    if not len(errors):
        return None
    low, high = float(np.quantile(errors, 0.01)), float(errors.max())
    return LogNorm(low, high) if high > 1.5 * low else LogNorm(high / 3, high * 1.5)
