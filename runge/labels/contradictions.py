"""Write the contradictions between the labels of a table in words, with their evidence and a remedy."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.data.column_roles import listed, partial_name
from runge.labels.columns import check_columns
from runge.labels.mistakes import Mistake, usual_factor
from runge.labels.pairs import Place
from runge.labels.twins import LEAST_PAIRS, Twin, check_twins

__all__ = ["ColumnNames", "Finding", "LabelReport", "contradictions", "wrong_columns"]

_LEAST_LEFT_BY_NONE = 0.9
"""The least share of the differences that derivatives leave if a message calls their effect none, not little."""

_FACTOR_TOLERANCE, _MOST_FACTOR_TOLERANCE = 0.02, 0.1
"""The tolerances of the logarithm of a factor with exact labels, and at most: the unexplained share adds to it."""

_LEAST_EQUAL_ROWS = 5
"""The least number of rows of two equal columns: fewer may be equal by chance, as zeros are."""

_LEAST_SPREAD = 1e-4
"""The least standard deviation of a linear combination of inputs, over the largest; below, they are collinear."""

_LEAST_PART = 0.1
"""The least part of an input in such a combination: smaller ones are round-off."""

_listed = partial(listed, most=5, last=" and ")  # columns in a sentence

_TRANSPOSE = "Transpose the Jacobian before it is written."
_AGAIN, _ALL_AGAIN = "Compute the column again, or leave it out.", "Compute them again, or leave them out."
_SENTENCES = {
    "sign": ("{columns} {has} the wrong sign.", "Multiply by -1."),
    "factor": ("{columns} {is_are} too {wrong}: {why}.", "{remedy}."),
    "other factor": ("{columns} {is_are} too {wrong}.", _AGAIN),
    "useless": ("The derivatives of {output} explain {part} of its differences ({left} left).", _ALL_AGAIN),
    "swapped": ("{first} and {second} are swapped.", "Exchange their names."),
    "transposed": ("The Jacobian is transposed: {first} and {second} are in each other's place{more}.", _TRANSPOSE),
    "order": ("The Jacobian has elements (inputs, outputs) instead of (outputs, inputs).", _TRANSPOSE),
    "shifted": ("{columns} {is_are} shifted {down} by {rows}.", "Move {them} {up} by {rows}."),
    "unrelated": (
        "{columns} does not follow the values: its error is about {error}, as of noise, a coarse difference or zeros.",
        _AGAIN,
    ),
    "same inputs": (
        "{columns} differs between {first} and {second}, which have the same inputs.",
        "Correct it, or leave the cell empty.",
    ),
    "versions": (
        "{count} pairs of rows have equal inputs and values of {columns} that differ by {spread} standard deviations.",
        "Find the reason, such as two versions of the solver; the error of a fit is at least half as large.",
    ),
    "collinear": ("{columns} depend on each other.", "Leave one of them out of data.inputs."),
    "constant input": ("{columns} is constant.", "Leave {columns} out of data.inputs."),
    "constant output": ("{columns} is constant.", "Compute {columns} again."),
}
"""The mistake and its remedy, by the kind of a mistake."""


_ONE_COLUMN = {"has": "has", "is_are": "is", "them": "it"}
_SEVERAL_COLUMNS = {"has": "have", "is_are": "are", "them": "them"}


class ColumnNames(NamedTuple):
    """The names of inputs and outputs, of columns with another name than d<output>_d<input>, and of rows."""

    inputs: Sequence[str]
    outputs: Sequence[str]
    partials: Mapping[tuple[str, str], str] = {}
    row: Callable[[int], str] = "row {}".format

    def column(self, place: Place) -> str:
        """Return the name of a column."""
        output, d = self.outputs[place[0]], place[1]
        if d is None:
            return output
        return self.partials.get((output, self.inputs[d])) or partial_name(output, self.inputs[d])

    def columns(self, places: Collection[Place]) -> str:
        """Return the names of columns, or a name for all of them."""
        inputs = {d for _, d in places}
        outputs = sorted({p for p, _ in places})
        is_block = len(places) == len(inputs) * len(outputs) > 1 and None not in inputs
        if is_block and len(inputs) == len(self.inputs):
            every = len(outputs) == len(self.outputs)
            return "all derivatives" if every else f"the derivatives of {_listed([self.outputs[p] for p in outputs])}"
        if is_block and len(outputs) == len(self.outputs) and len(inputs) == 1:
            return f"the derivatives by {self.inputs[inputs.pop() or 0]}"
        return _listed([self.column(place) for place in sorted(places, key=str)])


class Finding(NamedTuple):
    """A mistake in a table.

    Attributes:
        columns: the names of the wrong columns.
        rows: the numbers of the rows, from 0, or their labels in a table with an index; none: all of them.
        what: the likely mistake, a sentence.
        evidence: the evidence, a sentence.
        advice: the remedy, a sentence.
    """

    columns: tuple[str, ...]
    rows: tuple[Any, ...]
    what: str
    evidence: str
    advice: str


class LabelReport(NamedTuple):
    """The findings on the labels of a table.

    Attributes:
        findings: the mistakes.
        seen: the columns of derivatives whose wrong sign would be visible.
        unseen: the columns of derivatives with too small a part in the differences of the values.
        unknown: the reasons why other columns of derivatives are not checked, by their names.
        left: the share of the differences between near rows that the derivatives leave, by output.
        rows: the number of rows.
        compared: the number of compared rows, by output.
    """

    findings: list[Finding]
    seen: list[str]
    unseen: list[str]
    unknown: dict[str, str]
    left: dict[str, float]
    rows: int
    compared: dict[str, int]


def contradictions(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> LabelReport:
    """Find the mistakes in the labels of a table: columns, rows with the same inputs, constant columns.

    Args:
        x: the inputs, (n, D), in the order of the file.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        names: the names of the columns and the rows.
    """
    check = check_columns(x, y, dydx)
    findings = [*_constant(x, y, dydx, names), *_of_columns(check.mistakes, x, dydx, names)]
    sources = [pair for mistake in check.mistakes for pair in mistake.sources.items()]
    unlike = {place for place, source in sources if source.shift or source.place is None}  # the labels of their rows
    twins = groupby(check_twins(x, y, dydx, check.deviation), lambda twin: twin.place)
    for place, of_column in twins:
        findings += [] if place in unlike else _of_twins(place, [*of_column], names)
    tested = {*check.seen, *check.unseen, *(place for mistake in check.mistakes for place in mistake.sources)}
    places = [(p, d) for p in range(y.shape[1]) for d in range(x.shape[1])]
    untested = [place for place in places if place not in tested and not np.isnan(dydx[:, *place]).all()]
    is_constant = [len(np.unique(column[~np.isnan(column)])) == 1 for column in y.T]
    seen = [names.column(place) for place in check.seen]
    unseen = [names.column(place) for place in check.unseen]
    few = "too few labels of the output are known in near rows, or inputs have fewer than five levels"
    unknown = {names.column((p, d)): f"{names.outputs[p]} is constant" if is_constant[p] else few for p, d in untested}
    left = {names.outputs[p]: share for p, share in check.left.items()}
    compared = {names.outputs[p]: rows for p, rows in check.rows.items()}
    return LabelReport(findings, seen, unseen, unknown, left, len(x), compared)


def wrong_columns(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> list[Finding]:
    """Return the mistakes in whole columns of derivatives, as `contradictions`: the part that takes no time."""
    return _of_columns(check_columns(x, y, dydx).mistakes, x, dydx, names)


def _sentences(kind: str, **words: str) -> tuple[str, str]:
    """Return the mistake and its remedy, the sentences of a kind filled with words."""
    what, advice = (sentence.format(**words) for sentence in _SENTENCES[kind])
    return what[0].upper() + what[1:] if what.startswith(("all ", "the ")) else what, advice


def _constant(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> list[Finding]:
    """Return the constant and the collinear inputs, and the constant outputs with derivatives other than 0."""
    findings = list[Finding]()
    for name, column in zip(names.inputs, x.T, strict=True):
        if np.ptp(column) == 0:
            what, advice = _sentences("constant input", columns=name)
            evidence = f"The input is {column[0]:g} in all {len(x)} rows."
            findings.append(Finding((name,), (), what, evidence, advice))
    varying = np.flatnonzero(np.ptp(x, axis=0) > 0)
    standard = (x[:, varying] - x[:, varying].mean(0)) / x[:, varying].std(0)
    _, sizes, directions = np.linalg.svd(standard, full_matrices=False)
    if len(varying) > 1 and len(x) > len(varying) and sizes[-1] < _LEAST_SPREAD * sizes[0]:
        dependent = [names.inputs[int(d)] for d in varying[np.abs(directions[-1]) > _LEAST_PART]]
        what, advice = _sentences("collinear", columns=_listed(dependent))
        evidence = f"A linear combination of them varies by {sizes[-1] / sizes[0]:.1g} of what another one does."
        findings.append(Finding(tuple(dependent), (), what, evidence, advice))
    for p, name in enumerate(names.outputs):
        column = y[:, p][~np.isnan(y[:, p])]
        if len(column) > 1 and np.ptp(column) == 0 and (largest := np.abs(np.nan_to_num(dydx[:, p])).max()) > 0:
            what, advice = _sentences("constant output", columns=name)
            evidence = (
                f"The output is {column[0]:g} in all {len(column)} rows, but a derivative is up to {largest:.3g}."
            )
            findings.append(Finding((name,), (), what, evidence, advice))
    return findings


def _of_columns(mistakes: Sequence[Mistake], x: Floats, dydx: Floats, names: ColumnNames) -> list[Finding]:
    """Return the findings on wrong columns of derivatives."""
    wrong, findings = {place for mistake in mistakes for place in mistake.sources}, list[Finding]()
    for mistake in mistakes:
        places = list(mistake.sources)
        copies = [copy for p, d in places if d is not None and (copy := _copy(p, d, dydx, wrong, names))]
        outputs = _listed([names.outputs[p] for p in sorted({p for p, _ in places})])
        evidence = (
            f"Between near rows, the derivatives leave {_percent(mistake.before)} of the differences of {outputs} "
            "unexplained"
        )
        if mistake.kind in ("factor", "unrelated") and len(copies) == len(places):
            findings += [
                Finding((names.column(place),), (), copy, f"{evidence}.", _AGAIN)
                for place, copy in zip(places, copies, strict=True)
            ]
            continue
        kind, words = _words(mistake, x, names)
        words |= _ONE_COLUMN if len(places) == 1 else _SEVERAL_COLUMNS
        what, advice = _sentences(kind, columns=names.columns(places), **words)
        if kind == "useless":
            evidence = f"A plane through the values of near rows leaves {_percent(mistake.after)}."
            evidence = " ".join([evidence, *copies])
        else:
            instead = "with slopes that fit the values" if kind == "unrelated" else "corrected in this way"
            evidence += f"; {instead}, {_percent(mistake.after)}."
        findings.append(Finding(tuple(map(names.column, places)), (), what, evidence, advice))
    return findings


def _copy(p: int, d: int, dydx: Floats, wrong: Collection[Place], names: ColumnNames) -> str:
    """Return a sentence about a right column that equals a wrong one of derivatives; empty: there is none."""
    column = dydx[:, p, d]
    for candidate in np.ndindex(dydx.shape[1:]):
        shared = ~np.isnan(column + dydx[:, *candidate])
        varies = shared.sum() >= _LEAST_EQUAL_ROWS and np.ptp(column[shared]) > 0
        if candidate not in wrong and varies and (column[shared] == dydx[shared, *candidate]).all():
            return f"{names.column((p, d))} equals {names.column(candidate)} in {shared.sum()} of {shared.sum()} rows."
    return ""


def _words(mistake: Mistake, x: Floats, names: ColumnNames) -> tuple[str, dict[str, str]]:
    """Return the kind of the sentences on a mistake, and their words."""
    place, source = next(iter(mistake.sources.items()))
    moved = {changed: right.place for changed, right in mistake.sources.items() if right.place is not None}
    match mistake.kind:
        case "useless":
            share = "none" if mistake.before > _LEAST_LEFT_BY_NONE else "little"
            return "useless", {"output": names.outputs[place[0]], "part": share, "left": _percent(mistake.before)}
        case "factor" if source.factor == -1:
            return "sign", {}
        case "factor":
            return _factor(mistake, x, names)
        case "transposed" if any(moved.get(right) != changed for changed, right in moved.items()):
            return "order", {}
        case "transposed":
            pairs = [
                (names.column(changed), names.column(right)) for changed, right in moved.items() if changed < right
            ]
            more = f", and {len(pairs) - 1} more pairs" * (len(pairs) > 1)
            return "transposed", {"first": pairs[0][0], "second": pairs[0][1], "more": more}
        case "swapped":
            first, second = (_swapped(swapped, moved, names) for swapped in (place, moved[place]))
            return "swapped", {"first": first, "second": second}
        case "shifted":
            n, (down, up) = abs(source.shift), ("down", "up") if source.shift > 0 else ("up", "down")
            return "shifted", {"down": down, "up": up, "rows": f"{n} row{'s' * (n > 1)}"}
    return mistake.kind, {"error": _percent(mistake.error)}


def _factor(mistake: Mistake, x: Floats, names: ColumnNames) -> tuple[str, dict[str, str]]:
    """Return the likely reason of a factor of derivatives, and its remedy."""
    factor, by = next(iter(mistake.sources.values())).factor, {d for _, d in mistake.sources}
    size, large = max(abs(factor), 1 / abs(factor)), abs(factor) < 1
    name, spread = ("the input", 0.0) if len(by) > 1 else (names.inputs[d := by.pop() or 0], float(x[:, d].std()))
    also = " and the wrong sign" if factor < 0 else ""
    wrong = f"{'large' if large else 'small'} by a factor of {size:.3g}{also}"
    usual = usual_factor(factor, spread, min(_FACTOR_TOLERANCE + mistake.after, _MOST_FACTOR_TOLERANCE))
    if usual is None or mistake.after > mistake.before / 2:
        return "other factor", {"wrong": wrong}
    degrees = ("radian", "degree") if large else ("degree", "radian")
    why = {
        "degrees": f"likely per {degrees[0]} instead of per {degrees[1]} of {name}",
        "2 pi": "likely 2 pi, as between a frequency and an angle",
        "2": "likely a forgotten factor of 2",
        "scaler": f"likely by {name} over its standard deviation",
        "unit": "likely a unit",
    }[usual[0]]
    remedy = f"{'Divide' if large else 'Multiply'} by {math.copysign(usual[1], factor):.4g}"
    return "factor", {"wrong": wrong, "why": why, "remedy": remedy}


def _swapped(place: Place, moved: Mapping[Place, Place], names: ColumnNames) -> str:
    """Return the name of a column that is swapped, or of all derivatives of its output or by its input."""
    if len(moved) == 2:
        return names.column(place)
    if place[1] == moved[place][1]:
        return f"the derivatives of {names.outputs[place[0]]}"
    return f"the derivatives by {names.inputs[place[1] or 0]}"


def _of_twins(place: Place, twins: Sequence[Twin], names: ColumnNames) -> list[Finding]:
    """Return the findings on rows with the same inputs and different labels of a column: one, if there are many."""
    column, findings, deviation = names.column(place), list[Finding](), twins[0].deviation
    for twin in twins:
        first, second = map(names.row, twin.rows)
        what, advice = _sentences("same inputs", columns=column, first=first, second=second)
        evidence = f"It is {twin.labels[0]:.4g} in {first} and {twin.labels[1]:.4g} in {second}"
        deviations = f"the standard deviation of the column is {deviation:.4g}"
        findings.append(Finding((column,), twin.rows, what, f"{evidence}; {deviations}.", advice))
    if len(twins) < LEAST_PAIRS:
        return findings
    spread = np.median([abs(twin.labels[1] - twin.labels[0]) for twin in twins]) / deviation
    what, advice = _sentences("versions", columns=column, count=str(len(twins)), spread=f"{spread:.2g}")
    rows = tuple(sorted({row for twin in twins for row in twin.rows}))
    return [Finding((column,), rows, what, findings[0].evidence, advice)]


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
