"""Pictures of few artists, which are drawn fast, because a sweep draws two or three per run.

Matplotlib's axes make five artists per tick and lay out every text again; the two pictures of a run would take 1.5 s
with them. A `Sheet` has one artist for the outlines of all texts and one for all edges and grids. A `Panel` is a box
with limits, to which any artist of Matplotlib can be added, as to an axes. The image has 256 colours. Pictures of
sweeps are plain Matplotlib, and only use the colours and `png` of this module.
"""

import io
import re
import textwrap
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.scale import LogTransform
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D, Bbox, IdentityTransform, TransformedBbox, blended_transform_factory
from PIL import Image

from runge.runs.scales import MINUS, Limits, scaled, ticks

Box = tuple[float, float, float, float]
"""Left, bottom, width and height, in points."""

# Okabe & Ito's palette, which colour-blind readers can distinguish. https://jfly.uni-koeln.de/color/
INK, BLUE, ORANGE, GREEN, PINK, SKY = "#222222", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, "#E69F00", "#7F7F7F")
MAPS = ("viridis", "cividis")
GREY, _GRID = "#555555", "#E4E4E4"
_CHARACTERS = {*"0123456789.×⁻⁰¹²³⁴⁵⁶⁷⁸⁹% ", MINUS}  # those of numbers, which are never kerned
_LONGEST = 34  # points: a longer number on the left would push the name of y into the panel before

MOST_OUTPUTS = 4
"""Outputs that a picture shows."""


def note_on_outputs(count: int) -> str:
    """Return a note on the outputs that are left out, or nothing."""
    return f"the first {MOST_OUTPUTS} of {count} outputs" if count > MOST_OUTPUTS else ""


def _palette(*colours: Any) -> Image.Image:
    image = Image.new("P", (1, 1))
    image.putpalette([255, 255, 255, *(255 * np.concatenate(colours)).round().astype(int).flat])
    return image


def _tints(count: int, *inks: str) -> Any:
    """Return tints, because antialiasing and shading mix colours with white.

    Pillow compares the upper six bits of colours, in which a tint below a tenth equals white.
    """
    shades = [np.subtract(1, to_rgb(ink)) for ink in inks]
    return 1 - np.multiply.outer(np.linspace(0.1, 1, count), shades).reshape(-1, 3)


# The colours of a PNG, of lines and of maps.
_OF_LINES = _palette(_tints(28, INK, *COLOURS, "#AAAAAA"))
_OF_MAPS = _palette(_tints(27, INK), *(colormaps[name](np.linspace(0, 1, 114))[:, :3] for name in MAPS))


def png(figure: Figure, dpi: int = 130) -> bytes:
    """Return the figure as a PNG image of 256 colours, which is smaller and encoded faster."""
    figure.set_dpi(dpi)
    figure.patch.set_visible(False)  # drawing this white rectangle takes a third of the time
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    np.asarray(renderer.buffer_rgba())[:] = 255
    figure.draw(renderer)
    image = Image.frombytes("RGB", canvas.get_width_height(), renderer.buffer_rgba(), "raw", "RGBX")
    maps = any(isinstance(part, ScalarMappable) and part.get_array() is not None for part in figure.artists)
    buffer = io.BytesIO()
    palette = _OF_MAPS if maps else _OF_LINES
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(buffer, format="png", compress_level=2)
    return buffer.getvalue()


class Sheet:
    """An empty figure, to which texts and panels are added.

    The figure's label holds the texts, a line for each, because their outlines cannot be searched.

    Args:
        width: the width, in points.
        height: the height.
        title: the title, which is wrapped if it is long.
        subtitle: a line below it.
        notes: sentences at the bottom.
    """

    def __init__(
        self, width: float, height: float, title: str = "", subtitle: str = "", notes: Sequence[str] = ()
    ) -> None:
        self.width, self.height = width, height
        self.figure = Figure((width / 72, height / 72))
        self.points = Affine2D().scale(1 / 72) + self.figure.dpi_scale_trans
        self.panels: list[Panel] = []
        self._texts: list[tuple[str, Path, tuple[float, float], str]] = []
        self._strokes: list[tuple[list[tuple[float, float]], str]] = []
        short = len(title) <= width / 6  # a character of size 11 is about six points wide
        size = 11 if short else min(9, 3.5 * width / len(title))
        lines = [title] if short else textwrap.wrap(title, len(title) // 2 + 12)
        for i, line in enumerate(lines):
            self.text(line, width / 2, height - 17 - 1.2 * size * i, 0.5, size)
        self.text(subtitle, width / 2, height - (28 if short else 38), 0.5, 9, colour=GREY)
        lines = [""]
        for note in filter(None, notes):
            joined = f"{lines[-1]} {note}.".strip()
            lines[-1:] = [joined] if len(joined) < 0.18 * width or not lines[-1] else [lines[-1], f"{note}."]
        for i, line in enumerate(reversed(lines)):
            self.text(line, width / 2, 9 + 11 * i, 0.5, 8.5, colour=GREY)

    def text(
        self,
        text: str,
        x: float,
        y: float,
        align: float = 0,
        size: float = 9.5,
        angle: float = 0,
        colour: str = INK,
        room: float = np.inf,
    ) -> None:
        """Add a text that begins (`align` 0), is centred (0.5) or ends (1) at a point, smaller if there is no room."""
        if text.strip():
            size *= min(1, room / length(text, size))
            self._texts.append((text, outline(text, size, align, angle), (x, y), colour))

    def stroke(self, x: Sequence[float], y: Sequence[float], colour: str = INK) -> None:
        """Add a thin straight line from (x[0], y[0]) to (x[1], y[1]), below the lines of panels."""
        self._strokes.append((list(zip(x, y, strict=True)), colour))

    def boxes(self, rows: int, columns: int, margins: Box, gaps: Limits) -> list[list[Box]]:
        """Return rows of boxes, from the top; the margins are left, bottom, right, top, the gaps across and up."""
        left, bottom, right, top = margins
        width = (self.width - left - right + gaps[0]) / columns
        height = (self.height - bottom - top + gaps[1]) / rows
        return [
            [(left + j * width, bottom + i * height, width - gaps[0], height - gaps[1]) for j in range(columns)]
            for i in reversed(range(rows))
        ]

    def finish(self) -> Figure:
        """Return the figure with all texts and strokes."""
        if self._strokes:
            strokes, colours = zip(*self._strokes, strict=True)
            edges = LineCollection(strokes, colors=colours, linewidths=0.8, zorder=0.5, transform=self.points)
            self.figure.add_artist(edges)
        if self._texts:
            texts, outlines, places, colours = zip(*self._texts, strict=True)
            artist = PathCollection(
                outlines, (1,), offsets=places, offset_transform=self.points, facecolors=colours, linewidths=0, zorder=3
            )
            artist.set_transform(IdentityTransform())
            self.figure.add_artist(artist)
            self.figure.set_label("\n".join(texts))
        return self.figure


class Panel:
    """A box of a sheet in which x and y have limits.

    Its artists have its number as their group id.

    Args:
        sheet: the sheet.
        box: the place.
        x: the limits of x.
        y: the limits of y.
        log: the logarithmic axes: "", "x", "y" or "xy".
    """

    def __init__(self, sheet: Sheet, box: Box, x: Limits, y: Limits, log: str = "") -> None:
        self.sheet, self.box, self.x, self.y, self.log = sheet, box, x, y, log
        left, bottom, width, height = box
        (x0, x1), (y0, y1) = (np.log10(ends) if axis in log else ends for axis, ends in (("x", x), ("y", y)))
        scales = [LogTransform(10) if axis in log else IdentityTransform() for axis in "xy"]
        place = Affine2D().translate(-x0, -y0).scale(width / (x1 - x0), height / (y1 - y0)).translate(left, bottom)
        self.transform = blended_transform_factory(*scales) + place + sheet.points
        self.shares = Affine2D().scale(width, height).translate(left, bottom) + sheet.points
        self.clip = TransformedBbox(Bbox.from_bounds(*box), sheet.points)
        self._number = str(len(sheet.panels))
        sheet.panels.append(self)

    def add(self, artist: Artist) -> None:
        """Add an artist, which is drawn inside the box only."""
        artist.set_clip_box(self.clip)
        artist.set_gid(self._number)
        self.sheet.figure.add_artist(artist)

    def line(self, x: Any, y: Any, style: str = "-", **properties: Any) -> None:
        """Add a line, dashes or dots (style "-", "--", "." or any marker)."""
        shape = {"linestyle": style} if style in ("-", "--", ":") else {"linestyle": "", "marker": style}
        self.add(Line2D(x, y, transform=self.transform, **shape, **properties))

    def text(self, text: str, x: float, y: float, dx: float = 0, dy: float = 0, *style: Any, **styles: Any) -> None:
        """Add a text at shares of the box, shifted by points; see `Sheet.text`."""
        left, bottom, width, height = self.box
        self.sheet.text(text, left + x * width + dx, bottom + y * height + dy, *style, **styles)

    def stroke(self, x: Limits, y: Limits, colour: str = INK) -> None:
        """Add a thin straight line between shares of the box; see `Sheet.stroke`."""
        left, bottom, width, height = self.box
        across, up = [left + at * width for at in x], [bottom + at * height for at in y]
        self.sheet.stroke(across, up, colour)

    def frame(
        self,
        x: str = "",
        y: str = "",
        across: Mapping[float, str] | None = None,
        up: Mapping[float, str] | None = None,
        size: float = 9.5,
        apart: float = 0,
        grid: bool = True,
    ) -> None:
        """Draw the left and the lower edge, a grid at round numbers, their labels and the names of x and y.

        Args:
            x: the name of x.
            y: the name of y.
            across: labels of x by relative positions; None: those of `ticks`, or of `scaled` if these are too long.
            up: as `across`, of y.
            size: the size of the labels.
            apart: the least distance of y's name from the edge.
            grid: whether there are lines at the labels.
        """
        if across is None:
            across = ticks(*self.x, "x" in self.log)
            room = self.box[2] * np.diff([*across]).min(initial=1) - 4
            if "x" not in self.log and _widest(across, size) > room:
                x, across = scaled(x, self.x, 6)
        if up is None:
            up = ticks(*self.y, "y" in self.log)
            if "y" not in self.log and _widest(up, size) > _LONGEST:
                y, up = scaled(y, self.y, 8)
        for at in across if grid else ():
            self.stroke((at, at), (0, 1), _GRID)
        for at in up if grid else ():
            self.stroke((0, 1), (at, at), _GRID)
        self.stroke((0, 0), (0, 1))
        self.stroke((0, 1), (0, 0))
        for at, name in across.items():
            self.text(name, at, 0, 0, -3.5 - size, 0.5, size)
        for at, name in up.items():
            self.text(name, 0, at, -5, -0.36 * size, 1, size)
        self.text(x, 0.5, 0, 0, -9 - 2 * size, 0.5, max(size, 9))
        self.text(y, 0, 0.5, -max(_widest(up, size) + 13, apart), 0, 0.5, max(size, 9), 90)


def _widest(names: Mapping[float, str], size: float) -> float:
    return max((length(name, size) for name in names.values()), default=0)


@lru_cache(4096)
def outline(text: str, size: float = 9.5, align: float = 0, angle: float = 0) -> Path:
    """Return the outline of a text, in points, that begins (`align` 0), is centred (0.5) or ends (1) at the origin."""
    path = TextPath((0, 0), text, size) if "$" in text else _of_parts(text, size)
    return path.transformed(Affine2D().translate(-align * np.max(path.vertices, axis=0)[0], 0).rotate_deg(angle))


def length(text: str, size: float) -> float:
    """Return the length of a text, in points."""
    return np.max(outline(text, size).vertices, axis=0)[0] if text.strip() else 0.0


def _of_parts(text: str, size: float) -> Path:
    """Return the outline of a number from its characters, and of another text from its words.

    Matplotlib's way takes ten times as long, and most numbers and titles are new, but not what they consist of.
    """
    parts = [_part(part) for part in (text if _CHARACTERS.issuperset(text) else re.findall(r"\s*\S+\s*", text))]
    starts = np.cumsum([0, *(advance for *_, advance in parts)])
    shifted = [np.add(vertices, (start, 0)) for (vertices, *_), start in zip(parts, starts, strict=False)]
    return Path(size * np.concatenate(shifted), np.concatenate([codes for _, codes, _ in parts]))


@lru_cache(4096)
def _part(text: str) -> tuple[Any, Any, float]:
    """Return the vertices and codes of a text's outline of size 1, and how far the next text is from it."""
    ends = [np.max(TextPath((0, 0), end, 1).vertices, axis=0)[0] for end in (f"{text}|", "|")]
    path = TextPath((0, 0), text, 1)
    return path.vertices, path.codes, ends[0] - ends[1]
