"""Maps of a function of two inputs, its fit, and the errors of both."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import numpy as np
from matplotlib import colormaps
from matplotlib.collections import CircleCollection, QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import BboxImage
from matplotlib.patches import Polygon, Rectangle
from matplotlib.tri import TriAnalyzer, Triangulation

from runge.runs.labels import Labels
from runge.runs.scales import Array, Limits, evenly, padded, scaled, ticks
from runge.runs.sheet import INK, MAPS, MOST_OUTPUTS, Box, Panel, Sheet, note_on_outputs

_MOST_SCATTERED, _MOST_CIRCLES, _FEWEST = 5000, 1000, 50


class _Map(NamedTuple):
    """A quantity over the plane; without a `norm` it is an error, on a logarithmic scale."""

    name: str
    z: Array
    norm: Normalize | None = None


def maps_picture(
    x: Array, f: Array, df: Array, u: Array, du: Array, title: str, labels: Labels, points: Array | None
) -> Figure:
    """Draw maps of f, of u in the same colours, of |u - f| and of |grad u - grad f|, one row per output.

    Points on a grid are drawn as its cells; between others is interpolated linearly; fewer than fifty, or on a line,
    are drawn as dots. The lowest hundredth of the errors has the lowest colour, so that one small error does not use up
    the scale. For the arguments see `fit_picture`.
    """
    count, outputs = f.shape[1], min(MOST_OUTPUTS, f.shape[1])
    notes = ["The norm is that of the known partial derivatives" if np.isnan(df).any() else ""]
    circles = np.empty((0, 2))
    if points is not None:
        circles = points[evenly(len(points), _MOST_CIRCLES)]
        some = f"{len(circles)} of the {len(points)}" if len(circles) < len(points) else f"the {len(points)}"
        notes.insert(0, f"Circles: {some} training points")
    shape = _grid_shape(x)
    if shape is None and len(x) > _MOST_SCATTERED:
        notes.append(f"{_MOST_SCATTERED} of {len(x)} test points are drawn")
        x, f, df, u, du = (part[evenly(len(x), _MOST_SCATTERED)] for part in (x, f, df, u, du))
    maps: list[_Map] = []
    for p in range(outputs):
        slope_error = np.where(np.isnan(df[:, p]), np.nan, du[:, p] - df[:, p])
        size = np.sqrt(np.where(np.isnan(slope_error), 0, slope_error**2).sum(-1))
        size[np.isnan(slope_error).all(-1)] = np.nan
        norm = Normalize(*padded(np.concatenate([f[:, p], u[:, p]]), pad=0))
        maps += [_Map(labels.outputs[p], f[:, p], norm), _Map(labels.fits[p], u[:, p], norm)]
        maps += [_Map(labels.error(p), np.abs(u - f)[:, p]), _Map(labels.gradient_error(p), size)]
    if outputs == 1:
        rows, columns, sheet = 2, 2, Sheet(720, 590, title, "", notes)
    else:
        rows, columns, sheet = outputs, 4, Sheet(1008, 108 + 196 * outputs, title, note_on_outputs(count), notes)
    boxes = sheet.boxes(rows, columns, (50, 66, 62, 58), (82, 32))
    limits = [padded(x[:, d], pad=0.02 if len(x) >= _FEWEST else 0.08) for d in range(2)]
    z = np.stack([one.z for one in maps], axis=1)
    images = _images(x, z, limits, boxes[0][0]) if shape is None else None
    axes = [scaled(name, ends, 5) for name, ends in zip(labels.inputs, limits, strict=True)]
    for i, one in enumerate(maps):
        row, column = divmod(i, columns)
        panel = Panel(sheet, boxes[row][column], limits[0], limits[1])
        (across, x_ticks), (up, y_ticks) = (
            (name, at) if shown else ("", dict.fromkeys(at, ""))
            for (name, at), shown in zip(axes, (row == rows - 1, column == 0), strict=True)
        )
        panel.frame(across, up, x_ticks, y_ticks, 8, grid=False)
        _map(panel, one, x, shape, None if images is None else images[..., i])
        if i % 4 != 1 and np.isfinite(one.z).any():  # not on the fit, nor on "no labels"
            mark = min(3.5, 60 / np.sqrt(1 + len(circles)))
            panel.line(
                circles[:, 0],
                circles[:, 1],
                "o",
                markersize=mark,
                markeredgewidth=0.6,
                color="white",
                markeredgecolor=INK,
            )
    return sheet.finish()


def _map(panel: Panel, one: _Map, x: Array, shape: tuple[int, int] | None, image: Array | None) -> None:
    """Draw a map and its colour bar."""
    panel.add(Rectangle((0, 0), 1, 1, color="#EEEEEE", linewidth=0, transform=panel.shares, zorder=0))
    known, error = np.isfinite(one.z), one.norm is None
    norm = _log_norm(one.z[known]) if error else one.norm
    if not known.any():
        panel.text("no labels", 0.5, 0.5, align=0.5, size=9)
    if norm is None or not known.any():
        panel.text(f"{one.name}: 0 everywhere" if known.any() else one.name, 0, 1, 0, 4)
        return
    low, _ = ends = norm.vmin or 0, norm.vmax or 0
    style: dict[str, Any] = {"norm": norm, "cmap": MAPS[error], "zorder": 1.5}
    above = np.maximum(one.z, low)
    if shape is not None:
        order = np.lexsort(x.T)
        corners = np.stack(np.meshgrid(*(_edges(np.unique(x[:, d])) for d in range(2))), axis=-1)
        panel.add(QuadMesh(corners, array=above[order].reshape(shape), transform=panel.transform, **style))
    elif image is not None and np.isfinite(image).any():
        drawn = BboxImage(panel.clip, origin="lower", interpolation="bilinear", **style)
        drawn.set_data(np.maximum(image, low))
        panel.add(drawn)
    else:
        places = {"offsets": x[known], "offset_transform": panel.transform}
        panel.add(CircleCollection((36,), array=one.z[known], linewidths=0, **places, **style))
    left, bottom, width, height = panel.box
    bar = Panel(panel.sheet, (left + width + 8, bottom, 10, height), (0, 1), ends, "y" if error else "")
    colours = BboxImage(bar.clip, cmap=MAPS[error], origin="lower")
    colours.set_data(np.linspace(0, 1, 256)[:, None])
    bar.add(colours)
    title, names = (one.name, ticks(*ends, log=True, most=6)) if error else scaled(one.name, ends, 6)
    for at, name in names.items():
        bar.text(name, 1, at, 6, -3, size=8)
        bar.stroke((1, 1.4), (at, at))
    if error and (one.z[known] < low).any():
        corners = [(0, 0), (1, 0), (0.5, -0.03)]
        panel.sheet.figure.add_artist(Polygon(corners, color=colormaps[MAPS[error]](0.0), transform=bar.shares))
    panel.text(title, 0, 1, 0, 4, room=width)


def _images(x: Array, z: Array, limits: Sequence[Limits], box: Box) -> Array:
    """Interpolate the columns of z, (n, k), to the pixels of a box, (rows, columns, k), from the bottom up.

    NaN is where there are no points around, and everywhere if there are few or all are on a line.
    """
    # In units of the box, because a triangulation depends on the ratio of the inputs' units.
    axes = [(np.arange(n) + 0.5) / n for n in (round(1.2 * size) for size in box[2:])]
    low, high = np.transpose(limits)
    x = (x - low) / (high - low)
    across, up = np.meshgrid(*axes)
    images, known = np.full((*across.shape, z.shape[1]), np.nan), np.isfinite(z)
    for mask in np.unique(known, axis=1).T:
        if mask.sum() < _FEWEST:
            continue
        with suppress(RuntimeError, ValueError):  # the points are on a line
            triangles = Triangulation(*x[mask].T)
            triangles.set_mask(TriAnalyzer(triangles).get_flat_tri_mask(1e-4, rescale=False))
            found = np.asarray(triangles.get_trifinder()(across, up))
            for k in np.flatnonzero((known == mask[:, None]).all(axis=0)):
                a, b, c = np.moveaxis(triangles.calculate_plane_coefficients(z[mask, k])[found], -1, 0)
                images[..., k] = np.where(found < 0, np.nan, a * across + b * up + c)
    return images


def _edges(centres: Array) -> Array:
    """Return the edges of cells around their centres."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([2 * centres[:1] - middle[:1], middle, 2 * centres[-1:] - middle[-1:]])


def _grid_shape(x: Array) -> tuple[int, int] | None:
    """Return the shape of the grid, rows of constant x2, that the points are on, or None."""
    across, up = (np.unique(x[:, d]) for d in range(2))
    order = np.lexsort(x.T)
    if len(across) * len(up) != len(x) or min(len(across), len(up)) < 2:
        return None
    is_grid = (x[order] == np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)).all()
    return (len(up), len(across)) if is_grid else None


def _log_norm(errors: Array) -> LogNorm | None:
    """Return a scale from the lowest hundredth of the errors that are not zero to the largest; None if all are zero."""
    errors = errors[errors > 0]
    if not len(errors):
        return None
    low, high = float(np.quantile(errors, 0.01)), float(errors.max())
    return LogNorm(low, high) if high > 1.5 * low else LogNorm(high / 3, high * 1.5)
