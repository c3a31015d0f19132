"""Panels of lines in rows, with legends above them."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from runge.runs.scales import Limits, padded
from runge.runs.sheet import Panel, Sheet, length

Line = tuple[str, tuple[str, str, float], Any, Any]
"""Name; colour, dashes or marks, and width; x; y."""
Plot = tuple[str, str, str, Sequence[Line]]
"""Labels of x and y; the logarithmic axis ("x", "y" or ""); lines."""

_MARKS = {"-": "—", "--": "╌╌", ":": "····", ".": "•", "|": "|"}  # a line's mark in the legend
_WIDTH, _LEFT, _LEGEND_ROW, _LEGEND_SIZE = 792, 59, 12, 9  # points


def draw(
    height: float,
    title: str,
    plots: Sequence[Plot],
    limits: Limits | None,
    columns: int = 3,
    right: float = 20,
    gap: float = 50,
) -> Sheet:
    """Return a sheet with a panel for each plot, in rows of `columns`, 11 inches wide.

    The limits of x hold for every panel; None: the limits of the lines, as for y. The panels end `right` points before
    the edge; `gap` is between two of them. A legend that is wider than its panel is wrapped, for which the sheet
    becomes higher.
    """
    width = (_WIDTH - _LEFT - right + gap) / columns - gap
    # A legend ends before that of the next panel, or at the edge of the figure.
    margins = [gap - 12] * (columns - 1) + [right]
    legends = [_legend(lines, width + margins[i % columns]) for i, (*_, lines) in enumerate(plots)]
    rows, extra = -(-len(plots) // columns), (max(map(len, legends)) - 1) * _LEGEND_ROW
    sheet = Sheet(_WIDTH, height + extra * rows, title)
    boxes = sheet.boxes(rows, columns, (_LEFT, 36, right, 43 + extra), (gap, 56 + extra))
    for box, (x, y, log, lines), legend in zip(chain.from_iterable(boxes), plots, legends, strict=False):
        x_data, y_data = (np.concatenate([np.asarray(line[i]) for line in lines] or [np.empty(0)]) for i in (2, 3))
        ends = limits or padded(x_data, "x" in log)
        panel = Panel(sheet, box, ends, padded(y_data, "y" in log), log)
        panel.frame(x, y)
        for _, (colour, dashes, thickness), across, up in lines:
            style, size = "." if len(across) == 1 else dashes, 3 * thickness if dashes == "." else 6
            panel.line(across, up, style, color=colour, linewidth=thickness, markersize=size)
        for row, entries in enumerate(reversed(legend)):  # above the panel
            for text, at, colour in entries:
                panel.text(text, 0, 1, at, 6 + _LEGEND_ROW * row, size=_LEGEND_SIZE, colour=colour)
    return sheet


def _legend(lines: Sequence[Line], width: float) -> list[list[tuple[str, float, str]]]:
    """Return a legend's rows, not wider than `width` points if they have several entries: text, position, colour."""
    rows: list[list[tuple[str, float, str]]] = [[]]
    start = 0.0
    for name, (colour, dashes, _), *_ in (line for line in lines if line[0]):
        text = f"{_MARKS[dashes]} {name}"
        end = start + length(text, _LEGEND_SIZE)
        if rows[-1] and end > width:
            rows.append([])
            start, end = 0.0, end - start
        rows[-1].append((text, start, colour))
        start = end + 12
    return rows
