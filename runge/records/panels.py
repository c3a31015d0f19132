"""Panels of lines, drawn fast: the two pictures of a run take 0.1 s, with plain Matplotlib 15 times as long.

That matters because a sweep draws two pictures per run. The axes and their lines, without data, are made once and
unpickled for each figure. Ticks, labels and legend are two artists per panel, one of lines and one of outlines of
texts; Matplotlib makes five per tick and lays out each text separately. The image has 256 colours. Other pictures are
plain Matplotlib, and only use the colours and `png` of this module.
"""

import io
import pickle
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import Locator, LogLocator, MaxNLocator
from matplotlib.transforms import Affine2D, IdentityTransform, Transform
from numpy.typing import NDArray
from PIL import Image

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Line = tuple[str, tuple[str, str, float], Any, Any]  # name; colour, dashes and width; x; y
Panel = tuple[str, str, str, Sequence[Line]]  # labels of x and y; the logarithmic axis ("x", "y" or ""); lines

# Okabe & Ito's palette, which colour-blind readers can distinguish. https://jfly.uni-koeln.de/color/
INK, BLUE, ORANGE, GREEN, PINK, SKY = "#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, "#E69F00", "#7F7F7F")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_DASHES = {"-": "—", "--": "╌╌", ":": "····", ".": "•"}  # a line's mark in the legend
_LEFT = 0.075  # share of the figure's width
_LEGEND_ROW = 12  # points
# The colours of a PNG: white, and tints of each ink, because antialiasing and shading mix it with white. Pillow
# compares the upper six bits of colours, in which a tint below a tenth equals white.
_TINTS = np.multiply.outer(np.linspace(0.1, 1, 28), [np.subtract(1, to_rgb(ink)) for ink in (INK, *COLOURS, "#AAAAAA")])
_PALETTE = Image.new("P", (1, 1))
_PALETTE.putpalette([255, 255, 255, *(255 - 255 * _TINTS).round().astype(int).flat])


def png(figure: Figure, dpi: int = 130) -> bytes:
    """Return the figure as a PNG image of 256 colours, which halves its size and the time to encode it.

    A figure with a colour map keeps all its colours.
    """
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    if any(part.get_array() is not None for axes in figure.axes for part in axes.collections):
        image.save(buffer, format="png")
        return buffer.getvalue()
    image.quantize(palette=_PALETTE, dither=Image.Dither.NONE).save(buffer, format="png", compress_level=2)
    return buffer.getvalue()


def draw(
    height: float,
    title: str,
    panels: Sequence[Panel],
    limits: tuple[float, float] | None,
    columns: int = 3,
    right: float = 0.975,
    gap: float = 0.25,
) -> Figure:
    """Return a figure of panels in rows of `columns`, 11 inches wide.

    The limits of x hold for every panel; None: the limits of the lines, as for y. The panels end at the share `right`
    of the width; `gap` is the width between two of them, relative to theirs. A legend that is wider than its panel is
    wrapped, for which the figure becomes higher.
    """
    width = 72 * 11 * (right - _LEFT) / (columns + gap * (columns - 1))
    # A legend ends before that of the next panel, or at the edge of the figure.
    margins = [gap * width - 12] * (columns - 1) + [72 * 11 * (1 - right)]
    legends = [_legend(lines, width + margins[i % columns]) for i, (*_, lines) in enumerate(panels)]
    styles = tuple((log, *(style for _, style, *_ in lines)) for *_, log, lines in panels)
    figure: Figure = pickle.loads(_blank(height, styles, columns, right, gap, max(map(len, legends))))
    for axes, (x, y, log, lines), legend in zip(figure.axes, panels, legends, strict=True):
        for artist, (_, _, *data) in zip(axes.lines, lines, strict=True):
            artist.set(data=data, marker="." if len(data[0]) == 1 else artist.get_marker())
            axes.update_datalim(artist.get_xydata())
        axes.set_xlim(limits, auto=limits is None)
        axes.autoscale_view()
        across, up = ticks(*axes.get_xlim(), log == "x"), ticks(*axes.get_ylim(), log == "y")
        grid = [[(at, 0), (at, 1)] for at in across] + [[(0, at), (1, at)] for at in up]
        axes.add_artist(LineCollection(grid, colors="#E4E4E4", linewidths=0.8, zorder=0.5, transform=axes.transAxes))
        texts = [(0, at, outline(name, 1, -5, -3.5)) for at, name in up.items()]
        left = round(min(np.min(outline.vertices, axis=0)[0] for *_, outline in texts)) - 8
        texts += [(at, 0, outline(name, 0.5, 0, -13)) for at, name in across.items()]
        texts += [(0.5, 0, outline(x, 0.5, 0, -28)), (0, 0.5, outline(y, 0.5, left, 0, angle=90))]
        colours = [INK] * len(texts)
        for row, entries in enumerate(reversed(legend)):  # the legend, above the panel
            texts += [(0, 1, outline(text, 0, at, 6 + _LEGEND_ROW * row, 9)) for text, at, _ in entries]
            colours += [colour for *_, colour in entries]
        put(axes, axes.transAxes, texts, colours)
    if title:
        put(figure, figure.transFigure, [(0.5, 1, outline(title, 0.5, 0, -17, 11))])
    return figure


def _legend(lines: Sequence[Line], width: float) -> list[list[tuple[str, float, str]]]:
    """Return a legend's rows, not wider than `width` points if they have several entries: text, position, colour."""
    rows: list[list[tuple[str, float, str]]] = [[]]
    end = -12.0
    for name, (colour, dashes, _), *_ in (line for line in lines if line[0]):
        text = f"{_DASHES[dashes]} {name}"
        if rows[-1] and np.max(outline(text, 0, end + 12, 6, 9).vertices, axis=0)[0] > width:
            rows.append([])
            end = -12.0
        rows[-1].append((text, end + 12, colour))
        end = np.max(outline(text, 0, end + 12, 6, 9).vertices, axis=0)[0]
    return rows


@cache
def _blank(
    height: float, panels: tuple[tuple[Any, ...], ...], columns: int, right: float, gap: float, legend: int
) -> bytes:
    """Return a pickled figure with empty lines, for panels given by their log axis and the lines' styles.

    There is room for `legend` rows of text above each panel; the height is that with one.
    """
    rows, extra = -(-len(panels) // columns), (legend - 1) * _LEGEND_ROW / 72
    row_gap = 0.33 + extra * (rows + 0.33 * (rows - 1)) / (height - 1.1)
    height += extra * rows
    figure = Figure(figsize=(11, height))
    # The margins leave room for ticks and labels.
    figure.subplots_adjust(_LEFT, 0.5 / height, right, 1 - (0.6 + extra) / height, gap, row_gap)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.remove()
    for axes, (log, *styles) in zip(figure.axes, panels, strict=True):
        axes.set(**{f"{axis}scale": "log" for axis in log})
        axes.spines[["top", "right"]].set_visible(False)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_visible(False)
            del axis.majorTicks, axis.minorTicks  # smaller to pickle; Matplotlib would make them again if asked
        for colour, dashes, width in styles:
            axes.plot([], [], dashes, color=colour, linewidth=width, markersize=3 if dashes == "." else 6)
    return pickle.dumps(figure)


def ticks(low: float, high: float, log: bool) -> dict[float, str]:
    """Return the labels of round numbers between two limits, by their relative positions in [0, 1].

    On a log axis they are powers of ten if at least three of these are within the limits.
    """
    locators: list[Locator] = [LogLocator(numticks=7), LogLocator(subs=(1, 2, 5), numticks=7)] if log else []
    locators.append(MaxNLocator(8, steps=(1, 2, 5, 10)))
    choices = [[float(at) for at in locator.tick_values(low, high) if low <= at <= high] for locator in locators]
    ticks = next((choice for choice in choices if len(choice) > 2), choices[-1])
    plain = all(at == 0 or 1e-3 <= abs(at) < 1e6 for at in ticks) and not (log and ticks is choices[0])
    scale = np.log if log else float
    return {(scale(at) - scale(low)) / (scale(high) - scale(low)): number(at, plain) for at in ticks}


def number(value: float, plain: bool) -> str:
    """Return a number as text: 0.0012 if `plain`, else 1.2×10⁻³."""
    mantissa, power = f"{value:.9e}".split("e")
    factor = {"1": "", "-1": "-"}.get(digits := f"{float(mantissa):g}", f"{digits}×")
    raised = f"{factor}10{str(int(power)).translate(RAISED)}"
    return (f"{value:.10g}" if plain or value == 0 else raised).replace("-", "\N{MINUS SIGN}")


def put(parent: Axes | Figure, at: Transform, texts: Sequence[tuple[Any, Any, Path]], colours: Any = INK) -> None:
    """Add outlines of texts at points of a coordinate system, as one artist."""
    points, outlines = [text[:2] for text in texts], [text[2] for text in texts]
    artist = PathCollection(outlines, (1,), offsets=points, offset_transform=at, facecolors=colours, linewidths=0)
    artist.set(transform=IdentityTransform(), clip_on=False)
    parent.add_artist(artist)


@lru_cache(512)
def outline(text: str, align: float, dx: float, dy: float, size: float = 9.5, angle: float = 0) -> Path:
    """Return a text's outline that begins (`align` 0), is centred (0.5) or ends (1) at a point shifted by dx, dy."""
    path = TextPath((0, 0), text, size)
    width = np.max(path.vertices, axis=0)[0]
    return path.transformed(Affine2D().translate(-align * width, 0).rotate_deg(angle).translate(dx, dy))
