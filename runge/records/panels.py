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
_DASHES = {"-": "—", "--": "╌╌", ":": "····"}  # a line's mark in the legend
# The colours of a PNG: white, and tints of each ink, because antialiasing and shading mix it with white. Pillow
# compares the upper six bits of colours, in which a tint below a tenth equals white.
_TINTS = np.multiply.outer(np.linspace(0.1, 1, 28), [np.subtract(1, to_rgb(ink)) for ink in (INK, *COLOURS, "#AAAAAA")])
_PALETTE = Image.new("P", (1, 1))
_PALETTE.putpalette([255, 255, 255, *(255 - 255 * _TINTS).round().astype(int).flat])


def png(figure: Figure, dpi: int = 130) -> bytes:
    """Return the figure as a PNG image of 256 colours, which halves its size and the time to encode it."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    buffer = io.BytesIO()
    image.quantize(palette=_PALETTE, dither=Image.Dither.NONE).save(buffer, format="png", compress_level=2)
    return buffer.getvalue()


def draw(height: float, title: str, panels: Sequence[Panel], limits: tuple[float, float] | None) -> Figure:
    """Return a figure of three or four panels, 11 inches wide.

    The limits of x hold for every panel; None: the limits of the lines, as for y.
    """
    styles = tuple((log, *(style for _, style, *_ in lines)) for *_, log, lines in panels)
    figure: Figure = pickle.loads(_blank(height, styles))
    for axes, (x, y, log, lines) in zip(figure.axes, panels, strict=True):
        for artist, (_, _, *data) in zip(axes.lines, lines, strict=True):
            artist.set(data=data, marker="." if len(data[0]) == 1 else artist.get_marker())
            axes.update_datalim(artist.get_xydata())
        axes.set_xlim(limits, auto=limits is None)
        axes.autoscale_view()
        right, up = ticks(*axes.get_xlim(), log == "x"), ticks(*axes.get_ylim(), log == "y")
        grid = [[(at, 0), (at, 1)] for at in right] + [[(0, at), (1, at)] for at in up]
        axes.add_artist(LineCollection(grid, colors="#E4E4E4", linewidths=0.8, zorder=0.5, transform=axes.transAxes))
        texts = [(0, at, outline(name, 1, -5, -3.5)) for at, name in up.items()]
        left = round(min(np.min(outline.vertices, axis=0)[0] for *_, outline in texts)) - 8
        texts += [(at, 0, outline(name, 0.5, 0, -13)) for at, name in right.items()]
        texts += [(0.5, 0, outline(x, 0.5, 0, -28)), (0, 0.5, outline(y, 0.5, left, 0, angle=90))]
        colours, end = [INK] * len(texts), -12.0
        for name, (colour, dashes, _), *_ in (line for line in lines if line[0]):  # the legend, above the panel
            texts.append((0, 1, outline(f"{_DASHES[dashes]} {name}", 0, end + 12, 6, 9)))
            colours.append(colour)
            end = np.max(texts[-1][-1].vertices, axis=0)[0]
        put(axes, axes.transAxes, texts, colours)
    if title:
        put(figure, figure.transFigure, [(0.5, 1, outline(title, 0.5, 0, -17, 11))])
    return figure


@cache
def _blank(height: float, panels: tuple[tuple[Any, ...], ...]) -> bytes:
    """Return a pickled figure with empty lines, for panels given by their log axis and the lines' styles."""
    figure, rows = Figure(figsize=(11, height)), 1 + len(panels) // 4
    # The margins leave room for ticks and labels; the last of four panels has a second scale on its right.
    figure.subplots_adjust(0.075, 0.5 / height, 0.93 if rows > 1 else 0.975, 1 - 0.6 / height, 0.25, 0.33)
    for axes, (log, *styles) in zip(figure.subplots(rows, len(panels) // rows).flat, panels, strict=True):
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
    return {(scale(at) - scale(low)) / (scale(high) - scale(low)): _number(at, plain) for at in ticks}


def _number(value: float, plain: bool) -> str:
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
