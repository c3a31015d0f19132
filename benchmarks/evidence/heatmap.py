"""The picture at the top of `docs/evidence.md`, from the tables of that page: `python benchmarks/evidence/heatmap.py`.

A row per claim, a column per function and optimiser, and the colour of the effect if it is significant.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from claims import CLAIMS, Claim
from effects import VERDICTS
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from runge.pictures.style import INK, png, styled

PAGE = Path(__file__).parents[2] / "docs" / "evidence.md"
ADAM = "adam"  # the optimiser of a context that names none
_LOWERED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_CELL = re.compile(r"(\**)([\d.]+|∞)(?:×10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+))?\1 \(")
_LABELS, _WORDS = 3.0, 1.3  # the widths left and right of the cells, in cells
_LEAST, _MOST = 0.7, 4.0  # powers of ten at which the colours begin and end
_UNCLEAR = "#F3F3F3"

Place = tuple[str, str]
"""An optimiser and a function."""


class Ratio(NamedTuple):
    """The median ratio of an arm's error to that of the baseline, and whether it is significant."""

    value: float
    significant: bool


class Row(NamedTuple):
    """A claim: its verdict, its best arm with what else its contexts differ in, and its ratios at each place."""

    name: str
    verdict: str
    arm: str
    ratios: Mapping[Place, Sequence[Ratio]]


def read(page: str) -> list[Row]:
    """Read the claims from the page, those with the best verdicts first."""
    sections = dict(part.split("\n", 1) for part in page.split("\n## "))
    found = re.findall(r"^\| \[(.*?)\].*? \| (.*?) \| `(.*?)`", page, re.MULTILINE)
    summary = {name: (verdict, arm) for name, verdict, arm in found}
    rows = [_row(one, *summary[one.name], sections[one.name]) for one in CLAIMS if one.name in summary]
    return sorted(rows, key=lambda row: VERDICTS.index(row.verdict))


def _row(claim: Claim, verdict: str, arm: str, section: str) -> Row:
    """Read the first table of a section: a row per context, a column per arm and value of `along`."""
    lines = [line.strip("| ").split(" | ") for line in section.split("\n\n| ", 1)[1].split("\n\n")[0].splitlines()]
    (_, *heads), _, *contexts = lines
    arms, further = zip(*(_divide(head.split(", "), len(claim.arms)) for head in heads), strict=True)
    ratios, others = dict[Place, list[Ratio]](), [other for other in further if other]
    for context, *cells in contexts:
        function, *rest = context.split(", ")
        optimizer = rest.pop(0) if rest and " " not in rest[0] else ADAM
        others += rest
        chosen = [cell for cell, one in zip(cells, arms, strict=True) if claim.overrides(one) == arm]
        ratios.setdefault((optimizer, function), []).extend(map(_ratio, chosen))
    along = f", {others[0]} to {others[-1].rpartition(' ')[2]}" if others else ""
    return Row(claim.name, verdict, re.sub(r"\w+\.(?=\w+=)", "", arm) + along, ratios)


def _divide(parts: Sequence[str], count: int) -> tuple[str, str]:
    return ", ".join(parts[:count]), ", ".join(parts[count:])


def _ratio(cell: str) -> Ratio:
    (stars, number, power), *_ = _CELL.findall(cell)
    return Ratio(float(number.replace("∞", "inf")) * 10.0 ** int((power or "0").translate(_LOWERED)), bool(stars))


@styled
def heatmap(rows: Sequence[Row]) -> Figure:
    """Draw the claims; a cell with several contexts has a strip for each."""
    places = list(dict.fromkeys(place for row in rows for place in row.ratios))
    places.sort(key=lambda place: place[0] != ADAM)
    figure = Figure((8, 0.36 * len(rows) + 1.3))
    axes = figure.subplots()
    colours = ScalarMappable(Normalize(-_MOST, _MOST), colormaps["RdBu_r"].resampled(256))
    for y, row in enumerate(rows):
        axes.text(-0.15, y - 0.12, row.name, ha="right", va="center", fontweight="bold", fontsize=8.5)
        axes.text(-0.15, y + 0.23, row.arm, ha="right", va="center", fontsize=7, color="#555555")
        axes.text(len(places) + 0.15, y, row.verdict, va="center")
        for x, place in enumerate(places):
            ratios = row.ratios.get(place, [])
            for i, ratio in enumerate(ratios):
                power = np.clip(np.log10(max(ratio.value, 1e-300)), -_MOST, _MOST)
                visible = np.copysign(max(abs(power), _LEAST), power)
                colour = colours.to_rgba(visible) if ratio.significant else _UNCLEAR
                width = 0.96 / len(ratios)
                axes.add_patch(Rectangle((x + 0.02 + i * width, y - 0.47), width, 0.94, color=colour, linewidth=0))
                if len(ratios) == 1:
                    ink = "#777777" if not ratio.significant else "white" if abs(power) > 0.55 * _MOST else INK
                    axes.text(x + 0.5, y, _factor(ratio.value), ha="center", va="center", fontsize=8, color=ink)
    for x, (_, function) in enumerate(places):
        axes.text(x + 0.5, -0.65, function, ha="center", va="bottom", fontsize=8)
    for optimizer in dict.fromkeys(optimizer for optimizer, _ in places):
        at = [x for x, place in enumerate(places) if place[0] == optimizer]
        axes.text(sum(at) / len(at) + 0.5, -1.15, optimizer, ha="center", va="bottom", fontweight="bold")
        if at[0]:
            axes.axvline(at[0], color=INK, linewidth=1)
    axes.set(xlim=(-_LABELS, len(places) + _WORDS), ylim=(len(rows) - 0.5, -1.6))
    axes.set_axis_off()
    ticks = np.linspace(-_MOST, _MOST, 5)
    bar = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.5, aspect=40, pad=0.01, ticks=ticks)
    bar.ax.set_xticklabels([_factor(10.0**tick) for tick in ticks], fontsize=8)
    bar.ax.set_title(
        "error of f' with the remedy, relative to the baseline (grey: not significant)", fontsize=8, loc="center", pad=3
    )
    bar.outline.set_visible(False)
    return figure


def _factor(ratio: float) -> str:
    """Return a ratio as a factor by which an error falls or grows.

    Example:
        >>> [_factor(ratio) for ratio in (1.0, 1.3, 0.018, 2.8e12)]
        ['1', '× 1.3', '÷ 56', '× 3e12']
    """
    sign, factor = ("÷", 1 / ratio) if 0 < ratio < 1 else ("×", ratio)
    if f"{factor:.2g}" == "1":
        return "1"
    number = f"{factor:.0e}".replace("e+0", "e").replace("e+", "e") if factor >= 999.5 else f"{factor:.0f}"
    return f"{sign} {number if factor >= 99.5 else f'{factor:.2g}'}"


def draw(page: str) -> bytes:
    """Return the picture of a page, as PNG."""
    return png(heatmap(read(page)))


if __name__ == "__main__":
    (PAGE.parent / "evidence" / "heatmap.png").write_bytes(draw(PAGE.read_text()))
