"""Figures: arrays in, a matplotlib `Figure` out; no state, no files.

A sweep draws `fit_figure` and `curves_figure` for each run, so they must cost little. Panels whose lines await their
data are made once, pickled, and unpickled for each figure. What surrounds a panel is two artists, of lines and of the
outlines of texts: Matplotlib makes five of each tick, and lays out and rasterises every text anew.
"""

import io
import pickle
import textwrap
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import Locator, LogLocator, MaxNLocator
from matplotlib.transforms import Affine2D, IdentityTransform, Transform
from numpy.typing import NDArray
from PIL import Image

from runge.groups import Group, Row, label

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
_Line = tuple[str, tuple[str, str, float], Any, Any]  # name; colour, dashes and width; x; y
_Panel = tuple[str, str, str, Sequence[_Line]]  # what x is, what y is, which of them is logarithmic

# Okabe & Ito's palette, which the colour-blind can tell apart. https://jfly.uni-koeln.de/color/
INK, BLUE, ORANGE, GREEN, PINK, SKY = "#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, "#E69F00", "#7F7F7F")
_REGION_COLOURS = (SKY, "#FFFFFF", SKY, ORANGE, GREEN, PINK)
_FIRST, _SECOND, _THICK, _DASHED = (BLUE, "-", 1.4), (ORANGE, "-", 1.4), (INK, "-", 2.4), (ORANGE, "--", 1.4)
_DASHES = {"-": "—", "--": "╌╌", ":": "····"}  # how the legend shows a line
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
# What a PNG is made of: white, and tints of each ink, for antialiasing and shading mix it with white. Pillow compares
# the upper six bits of colours: of a tint below a tenth and white, it would take one for the other.
_TINTS = np.multiply.outer(np.linspace(0.1, 1, 28), [np.subtract(1, to_rgb(ink)) for ink in (INK, *COLOURS, "#AAAAAA")])
_PALETTE = Image.new("P", (1, 1))
_PALETTE.putpalette([255, 255, 255, *(255 - 255 * _TINTS).round().astype(int).flat])


def fit_figure(x: Array, f: Array, df: Array, u: Array, du: Array, regions: Mapping[str, Mask], title: str) -> Figure:
    """A function with its fit, its derivative with that of the fit, and both errors.

    Args:
        x: the test points, (N, D).
        f: values, (N,).
        df: gradients, (N, D).
        u: the fit's values, (N,).
        du: the fit's gradients, (N, D).
        regions: masks by name, each (N,).
        title: the heading.

    Returns:
        Three panels. In one dimension they run over x, with the regions shaded; in more they show the fit against the
        function, the sizes of the gradients, and the distribution of the errors.
    """
    error_f, error_df = np.abs(u - f), np.linalg.norm(du - df, axis=-1)
    if plane := x.shape[1] == 1:
        t = x[:, 0]
        value = [("$f(x)$", _THICK, t, f), ("$u(x)$", _DASHED, t, u)]
        derivative = [("$f'(x)$", _THICK, t, df[:, 0]), ("$u'(x)$", _DASHED, t, du[:, 0])]
        error = [("$|u - f|$", _FIRST, t, _positive(error_f)), ("$|u' - f'|$", _SECOND, t, _positive(error_df))]
        named = ("value", "", value), ("derivative", "", derivative), ("absolute error", "y", error)
        panels = [("$x$", *panel) for panel in named]
    else:
        thin, points = (INK, "-", 1), (ORANGE, ".", 1)
        slope, fitted_slope = np.linalg.norm(df, axis=-1), np.linalg.norm(du, axis=-1)
        error_f, error_df = _positive(np.sort(error_f)), _positive(np.sort(error_df))
        share = (np.arange(len(f)) + 1) / len(f)
        value = [("", thin, _ends(f), _ends(f)), ("", points, f, u)]
        gradient = [("", thin, _ends(slope), _ends(slope)), ("", points, slope, fitted_slope)]
        error = [("$|u - f|$", _FIRST, error_f, share), (r"$|\nabla u - \nabla f|$", _SECOND, error_df, share)]
        panels = [
            ("$f$", "$u$", "", value),
            (r"$|\nabla f|$", r"$|\nabla u|$", "", gradient),
            ("absolute error", "share of the test points below", "x", error),
        ]
    figure = _figure(3.6, title, panels, _ends(x) if plane else None)
    for axes in figure.axes if plane else []:
        _shade(axes, x[:, 0], regions, labelled=axes is figure.axes[0])
    return figure


def curves_figure(
    columns: Mapping[str, Sequence[float]], switched_on: int | None, regions: Sequence[str], title: str
) -> Figure:
    """The course of a training: losses, both errors, the derivative's error by region, and the gradients of both terms.

    Args:
        columns: figures by metric key, with `step`.
        switched_on: the step at which lambda_d was switched on, or None.
        regions: the regions' names.
        title: the heading.

    Returns:
        Four panels over the optimiser steps, with the switch marked.
    """
    step = np.asarray(columns["step"])

    def known(key: str, above: float = 0) -> tuple[Array, Array]:
        y = np.asarray(columns[key])
        return step[np.isfinite(y) & (y > above)], y[np.isfinite(y) & (y > above)]

    loss = [
        ("train (as minimised)", _FIRST, *known("train/loss")),
        (r"validation (full $\lambda_d$)", _SECOND, *known("val/loss")),
    ]
    errors = [
        (f"{name}, {part}", (colour, dashes, 1.4), *known(f"{split}/{key}"))
        for key, name, colour in (("mse_f", "MSE$_f$", BLUE), ("mse_df", "MSE$_{df}$", ORANGE))
        for split, part, dashes in (("train", "train", ":"), ("val", "validation", "-"))
    ]
    parts = [(name, (ink, "-", 1.4), *known(f"val/mse_df/{name}")) for name, ink in zip(regions, COLOURS, strict=False)]
    gradients = [
        (r"$|\nabla_\theta\,$MSE$_f|$", _FIRST, *known("grad_norm/f")),
        (r"$|\nabla_\theta\,$MSE$_{df}|$", _SECOND, *known("grad_norm/df")),
    ]
    below = "optimiser step"
    noted = below + (rf" (dashed: $\lambda_d$ on, step {switched_on})" if switched_on else "")
    panels = [(noted, "loss", "y", loss), (below, "mean squared error", "y", errors)]
    panels += [(below, "validation MSE$_{df}$ by region", "y", parts), (below, "gradient norm", "y", gradients)]
    figure = _figure(6.4, title, panels, (0, 1.02 * max(1, *step, switched_on or 0)))
    if switched_on:
        for axes in figure.axes:
            axes.axvline(switched_on, color=INK, linewidth=1, linestyle="--")
    # The cosine has a scale of its own, at the right: -1.05 is at the foot of the panel and 1.05 at the top.
    last, (at, cosine) = figure.axes[-1], known("grad_cosine", -np.inf)
    style = {"color": GREEN, "linewidth": 1, "alpha": 0.7, "transform": last.get_xaxis_transform()}
    last.add_artist(Line2D(at, 0.5 + cosine / 2.1, **style))
    texts = [(1, at, _outline(name, 0, 5, -3.5)) for at, name in _ticks(-1.05, 1.05, log=False).items()]
    texts.append((1, 0.5, _outline("cosine of the two gradients", 0.5, 46, 0, angle=90)))
    _write(last, last.transAxes, texts, GREEN)
    return figure


def comparison_figure(rows: Sequence[Row], groups: Sequence[Group], keys: Sequence[str], metric: str) -> Figure:
    """The groups of a comparison side by side, and the two errors of every run against each other.

    Args:
        rows: the runs.
        groups: the groups, the best first; more than twelve are cut.
        keys: what tells groups apart.
        metric: what is ranked by.

    Returns:
        Two panels: each group's runs with their median and quartiles, and MSE_f against MSE_df.
    """
    shown = groups[:12]
    figure = Figure(figsize=(12, max(3.2, 1.6 + 0.35 * len(shown))), layout="constrained")
    figure.suptitle(f"{len(rows)} runs in {len(groups)} groups by {metric}", fontsize=11)
    spread, front = figure.subplots(1, 2, width_ratios=(3, 2))
    colours = {found.name: COLOURS[i % len(COLOURS)] for i, found in enumerate(shown)}
    for i, found in enumerate(shown):
        lower, upper = found.quartiles
        spread.plot([lower, upper], [i, i], color=colours[found.name], linewidth=7, alpha=0.3, solid_capstyle="butt")
        spread.plot(found.values, [i] * len(found.values), "o", color=colours[found.name], markersize=4, alpha=0.8)
        spread.plot(found.median, i, "|", color=INK, markersize=14, markeredgewidth=2)
    spread.set_yticks(range(len(shown)), [_wrap(found.name) for found in shown])
    spread.invert_yaxis()
    spread.set_xlabel(
        f"{metric}: each run, median, quartiles" + (f" (best 12 of {len(groups)})" if len(groups) > 12 else "")
    )
    for row in rows:
        x, y = row.get("test/mse_f"), row.get("test/mse_df")
        if row["status"] == "finished" and x is not None and y is not None:
            front.plot(x, y, "o", color=colours.get(label(row, keys), "#AAAAAA"), markersize=5, alpha=0.8)
    front.set_xlabel("test/mse_f")
    front.set_ylabel("test/mse_df")
    if shown:  # the axis of nothing has no logarithm
        spread.set_xscale("log")
        front.set_xscale("log")
        front.set_yscale("log")
    return figure


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as a PNG image, of 256 colours: all of them would take twice the time and the space."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(palette=_PALETTE, dither=Image.Dither.NONE).save(buffer, format="png", compress_level=2)
    return buffer.getvalue()


def _figure(height: float, title: str, panels: Sequence[_Panel], limits: tuple[float, float] | None) -> Figure:
    """A figure of three panels or four, with the limits of x, or None to fit x to the lines as y is."""
    styles = tuple((log, *(style for _, style, *_ in lines)) for *_, log, lines in panels)
    figure: Figure = pickle.loads(_blank(height, styles))
    for axes, (x, y, log, lines) in zip(figure.axes, panels, strict=True):
        for artist, (_, _, *data) in zip(axes.lines, lines, strict=True):
            artist.set(data=data, marker="." if len(data[0]) == 1 else artist.get_marker())
            axes.update_datalim(artist.get_xydata())
        axes.set_xlim(limits, auto=limits is None)
        axes.autoscale_view()
        right, up = _ticks(*axes.get_xlim(), log == "x"), _ticks(*axes.get_ylim(), log == "y")
        grid = [[(at, 0), (at, 1)] for at in right] + [[(0, at), (1, at)] for at in up]
        axes.add_artist(LineCollection(grid, colors="#E4E4E4", linewidths=0.8, zorder=0.5, transform=axes.transAxes))
        texts = [(0, at, _outline(name, 1, -5, -3.5)) for at, name in up.items()]
        left = round(min(np.min(outline.vertices, axis=0)[0] for *_, outline in texts)) - 8
        texts += [(at, 0, _outline(name, 0.5, 0, -13)) for at, name in right.items()]
        texts += [(0.5, 0, _outline(x, 0.5, 0, -28)), (0, 0.5, _outline(y, 0.5, left, 0, angle=90))]
        colours, end = [INK] * len(texts), -12.0
        for name, (colour, dashes, _), *_ in (line for line in lines if line[0]):  # the legend, above all data
            texts.append((0, 1, _outline(f"{_DASHES[dashes]} {name}", 0, end + 12, 6, 9)))
            colours.append(colour)
            end = np.max(texts[-1][-1].vertices, axis=0)[0]
        _write(axes, axes.transAxes, texts, colours)
    if title:
        _write(figure, figure.transFigure, [(0.5, 1, _outline(title, 0.5, 0, -17, 11))])
    return figure


@cache
def _blank(height: float, panels: tuple[tuple[Any, ...], ...]) -> bytes:
    """A figure of nothing but lines that have no data yet, pickled, for panels of a log axis and styles."""
    figure, rows = Figure(figsize=(11, height)), 1 + len(panels) // 4
    # The margins have room for what surrounds a panel; the last of four has a second scale at its right.
    figure.subplots_adjust(0.075, 0.5 / height, 0.93 if rows > 1 else 0.975, 1 - 0.6 / height, 0.25, 0.33)
    for axes, (log, *styles) in zip(figure.subplots(rows, len(panels) // rows).flat, panels, strict=True):
        axes.set(**{f"{axis}scale": "log" for axis in log})
        axes.spines[["top", "right"]].set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_visible(False)
            del axis.majorTicks, axis.minorTicks  # made anew when asked for, and nobody asks
        for colour, dashes, width in styles:
            axes.plot([], [], dashes, color=colour, linewidth=width, markersize=3 if dashes == "." else 6)
    return pickle.dumps(figure)


def _ticks(low: float, high: float, log: bool) -> dict[float, str]:
    """Round numbers between two limits, by their shares of the way: powers of ten on a log axis, if there are three."""
    locators: list[Locator] = [LogLocator(numticks=7), LogLocator(subs=(1, 2, 5), numticks=7)] if log else []
    locators.append(MaxNLocator(8, steps=(1, 2, 5, 10)))
    choices = [[float(at) for at in locator.tick_values(low, high) if low <= at <= high] for locator in locators]
    ticks = next((choice for choice in choices if len(choice) > 2), choices[-1])
    plain = all(at == 0 or 1e-3 <= abs(at) < 1e6 for at in ticks) and not (log and ticks is choices[0])
    scale = np.log if log else float
    return {(scale(at) - scale(low)) / (scale(high) - scale(low)): _number(at, plain) for at in ticks}


def _number(value: float, plain: bool) -> str:
    mantissa, power = f"{value:.9e}".split("e")
    factor = {"1": "", "-1": "-"}.get(digits := f"{float(mantissa):g}", f"{digits}×")
    raised = f"{factor}10{str(int(power)).translate(_RAISED)}"
    return (f"{value:.10g}" if plain or value == 0 else raised).replace("-", "\N{MINUS SIGN}")


def _write(parent: Axes | Figure, at: Transform, texts: Sequence[tuple[Any, Any, Path]], colours: Any = INK) -> None:
    """Outlines of texts at points of a coordinate system, all as one artist."""
    points, outlines = [text[:2] for text in texts], [text[2] for text in texts]
    artist = PathCollection(outlines, (1,), offsets=points, offset_transform=at, facecolors=colours, linewidths=0)
    artist.set(transform=IdentityTransform(), clip_on=False)
    parent.add_artist(artist)


@lru_cache(512)
def _outline(text: str, align: float, dx: float, dy: float, size: float = 9.5, angle: float = 0) -> Path:
    """The outline of a text that begins (`align` 0), is centred (0.5) or ends (1) where it is put, but for a shift."""
    path = TextPath((0, 0), text, size)
    width = np.max(path.vertices, axis=0)[0]
    return path.transformed(Affine2D().translate(-align * width, 0).rotate_deg(angle).translate(dx, dy))


def _wrap(name: str) -> str:
    return "\n".join(textwrap.wrap(name.replace("$", r"\$"), 40))


def _ends(values: Array) -> tuple[float, float]:
    return values.min(), values.max()


def _positive(error: Array) -> Array:
    """Errors for a log axis: what is exactly zero is drawn at the smallest error that is not."""
    above = error[error > 0]
    return np.maximum(error, above.min() if len(above) else np.finfo(float).tiny)


def _shade(axes: Axes, t: Array, regions: Mapping[str, Mask], *, labelled: bool) -> None:
    """Shade the intervals of the named regions, but for the one in the middle, which is left white."""
    transform = axes.get_xaxis_transform()
    for (name, mask), colour in zip(regions.items(), _REGION_COLOURS, strict=False):
        if name != "middle" and mask.any():
            low, high = _ends(t[mask])
            style = {"color": colour, "alpha": 0.13, "linewidth": 0, "zorder": 0, "transform": transform}
            axes.add_artist(Rectangle((low, 0), high - low, 1, **style))
            if labelled:
                _write(axes, transform, [((low + high) / 2, 0, _outline(name, 0.5, 0, 3, 8))], "#555555")
