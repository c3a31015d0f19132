"""The picture at the top of `docs/evidence.md`: a row for each claim, a column for each function and optimiser."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from claims import Claim
from findings import Finding, Findings, judge
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from page import split

from runge.pictures.style import INK, png, styled

ADAM = "adam"  # the optimiser of a context that names none
_LABELS, _WORDS = 3.4, 1.7  # the widths left and right of the cells, in cells
_LEAST, _MOST = 0.7, 4.0  # powers of ten at which the colours begin and end
_UNCLEAR = "#F3F3F3"
SIGNIFICANT = "helps", "hurts"

Place = tuple[str, str]
"""An optimiser and a function."""


class Row(NamedTuple):
    """A claim: its best arm with what else its contexts differ in, its ratios at each place, and counts of contexts."""

    name: str
    arm: str
    ratios: Mapping[Place, Sequence[Finding]]
    lower: int
    higher: int


def rows_of(findings: Findings) -> list[Row]:
    """Return a row for each claim, the ones with a lower error in most of their contexts first."""
    rows = [_row(findings, claim) for claim in findings.claims()]
    return sorted(rows, key=lambda row: (row.higher - row.lower) / sum(map(len, row.ratios.values())))


def _row(findings: Findings, claim: Claim) -> Row:
    judgement = judge(findings.on(claim, claim.metric), claim)
    ratios, others = dict[Place, list[Finding]](), list[str]()
    for finding in judgement.findings:
        context, last = split(finding, claim)
        function, *rest = context.split(", ")
        optimizer = rest.pop(0) if rest and " " not in rest[0] else ADAM
        others += filter(None, (*rest, last))
        ratios.setdefault((optimizer, function), []).append(finding)
    along = f", {others[0]} to {others[-1].rpartition(' ')[2]}" if others else ""
    arm = re.sub(r"\w+\.(?=\w+=)", "", claim.overrides(judgement.arm)) + along
    counts = (len(judgement.having(verdict)) for verdict in ("helps", "hurts"))
    return Row(claim.title, arm, ratios, *counts)


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
        axes.text(len(places) + 0.15, y, f"{row.lower} lower, {row.higher} higher", va="center", fontsize=8)
        for x, place in enumerate(places):
            ratios = row.ratios.get(place, [])
            for i, ratio in enumerate(ratios):
                power = np.clip(np.log10(max(ratio.median, 1e-300)), -_MOST, _MOST)
                visible = np.copysign(max(abs(power), _LEAST), power)
                colour = colours.to_rgba(visible) if ratio.verdict in SIGNIFICANT else _UNCLEAR
                width = 0.96 / len(ratios)
                axes.add_patch(Rectangle((x + 0.02 + i * width, y - 0.47), width, 0.94, color=colour, linewidth=0))
                if len(ratios) == 1:
                    ink = (
                        "#777777" if ratio.verdict not in SIGNIFICANT else "white" if abs(power) > 0.55 * _MOST else INK
                    )
                    axes.text(x + 0.5, y, _factor(ratio.median), ha="center", va="center", fontsize=8, color=ink)
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


def draw(findings: Findings) -> bytes:
    """Return the picture of some findings, as PNG."""
    return png(heatmap(rows_of(findings)))
