"""Say in words where the labels of a table contradict each other, how it is known, and what to do."""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from runge.tables.roles import listed, partial_name
from runge.trust.labels import Twin, check_columns, check_twins
from runge.trust.mistakes import Mistake
from runge.trust.pairs import Place, corrected
from runge.validation import Floats

__all__ = ["ColumnNames", "Finding", "Report", "contradictions", "wrong_columns"]

_TOLERANCE = 0.12  # of the logarithm of a factor
_listed = partial(listed, most=5, last=" and ")  # columns in a sentence


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
        """Return the names of columns, or what they have in common."""
        by = {d for _, d in places}
        of = sorted({p for p, _ in places})
        whole = len(places) == len(by) * len(of) > 1 and None not in by
        if whole and len(by) == len(self.inputs):
            every = len(of) == len(self.outputs)
            return "all derivatives" if every else f"the derivatives of {_listed([self.outputs[p] for p in of])}"
        if whole and len(of) == len(self.outputs) and len(by) == 1:
            return f"the derivatives by {self.inputs[by.pop() or 0]}"
        return _listed([self.column(place) for place in sorted(places, key=str)])


class Finding(NamedTuple):
    """A mistake in a table.

    Attributes:
        columns: the names of the columns that are wrong.
        rows: the numbers of the rows, from 0; none: all of them.
        what: the likely mistake, a sentence.
        evidence: how it is known, a sentence.
        advice: what to do, a sentence.
        factor: what the columns have to be multiplied by, if that is all; else 1.
    """

    columns: tuple[str, ...]
    rows: tuple[int, ...]
    what: str
    evidence: str
    advice: str
    factor: float = 1.0


class Report(NamedTuple):
    """The findings on the labels of a table.

    Attributes:
        findings: the mistakes.
        seen: the columns of derivatives of which a wrong sign would have been seen.
        unseen: those with too small a part in the differences of the values.
        unknown: those that are not known, with the values and the other derivatives, in enough rows.
        rows: the number of rows.
    """

    findings: list[Finding]
    seen: list[str]
    unseen: list[str]
    unknown: list[str]
    rows: int


def contradictions(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> Report:
    """Find what is wrong with the labels of a table: columns, rows with the same inputs, constant columns.

    Args:
        x: the inputs, (n, D), in the order of the file.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        names: the names of the columns and the rows.
    """
    verdict = check_columns(x, y, dydx)
    findings = [*_constant(x, y, dydx, names), *(_of_columns(one, x, names) for one in verdict.mistakes)]
    right = y, dydx
    for mistake in verdict.mistakes:
        right = corrected(*right, mistake.sources)
    findings += [_of_twin(twin, names) for twin in check_twins(x, *right)]
    known = {*verdict.seen, *verdict.unseen}
    places = [(p, d) for p in range(y.shape[1]) for d in range(x.shape[1])]
    unknown = [place for place in places if place not in known]
    seen, unseen, left = ([names.column(place) for place in part] for part in (verdict.seen, verdict.unseen, unknown))
    return Report(findings, seen, unseen, left, len(x))


def wrong_columns(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> list[Finding]:
    """Return what is wrong with whole columns of derivatives, as `contradictions`: the part that takes no time."""
    return [_of_columns(one, x, names) for one in check_columns(x, y, dydx).mistakes]


def _constant(x: Floats, y: Floats, dydx: Floats, names: ColumnNames) -> list[Finding]:
    """Return the inputs and outputs with the same value in all rows; of outputs those whose derivatives are not 0."""
    findings = []
    for name, column in zip(names.inputs, x.T, strict=True):
        if np.ptp(column) == 0:
            what, evidence = f"{name} is constant.", f"The input is {column[0]:g} in all {len(x)} rows."
            findings.append(Finding((name,), (), what, evidence, f"Leave {name} out of data.inputs."))
    for p, name in enumerate(names.outputs):
        column = y[:, p][~np.isnan(y[:, p])]
        if len(column) > 1 and np.ptp(column) == 0 and (largest := np.abs(np.nan_to_num(dydx[:, p])).max()) > 0:
            evidence = (
                f"The output is {column[0]:g} in all {len(column)} rows, but a derivative is up to {largest:.3g}."
            )
            findings.append(Finding((name,), (), f"{name} is constant.", evidence, f"Compute {name} again."))
    return findings


def _of_columns(mistake: Mistake, x: Floats, names: ColumnNames) -> Finding:
    places, factor = list(mistake.sources), 1.0
    if mistake.kind == "factor":
        factor = mistake.sources[places[0]].factor
    what, advice = {
        "factor": _factor,
        "swapped": _swapped,
        "transposed": _transposed,
        "shifted": _shifted,
        "unrelated": _unrelated,
    }[mistake.kind](mistake, x, names)
    outputs = _listed([names.outputs[p] for p in sorted({p for p, _ in places})])
    instead = "with one number in its place" if mistake.kind == "unrelated" else "corrected in this way"
    evidence = (
        f"Between near rows, the derivatives leave {_percent(mistake.before)} of the differences of {outputs} "
        f"unexplained; {instead}, {_percent(mistake.after)}."
    )
    what = what[0].upper() + what[1:] if what.startswith(("all ", "the ")) else what
    return Finding(tuple(map(names.column, places)), (), what, evidence, advice, factor)


def _factor(mistake: Mistake, x: Floats, names: ColumnNames) -> tuple[str, str]:
    """Return what a factor is likely to be, and what to do."""
    places = list(mistake.sources)
    columns, factor = names.columns(places), mistake.sources[places[0]].factor
    has, is_ = ("has", "is") if len(places) == 1 else ("have", "are")
    by = {d for _, d in places}
    name, spread = ("the input", 0.0) if len(by) > 1 else (names.inputs[d := by.pop() or 0], float(x[:, d].std()))
    size, large = max(abs(factor), 1 / abs(factor)), abs(factor) < 1
    also = " and the wrong sign" if factor < 0 else ""
    if _about(size, 1):
        return f"{columns} {has} the wrong sign.", "Multiply by -1."
    degrees = ("radian", "degree") if large else ("degree", "radian")
    exponent = round(math.log10(size))
    likely = [
        (180 / math.pi, f"likely per {degrees[0]} instead of per {degrees[1]} of {name}"),
        (2 * math.pi, "likely 2 pi, as between a frequency and an angle"),
        (2.0, "likely a forgotten factor of 2"),
        (max(spread, 1 / spread) if spread > 0 else 1.0, f"likely by {name} over its standard deviation"),
        (10.0 ** max(exponent, 1), "likely a unit"),
    ]
    why = next((text for value, text in likely if _about(size, value) and value > 1), "likely a unit or a scaler")
    sign, exact = math.copysign(1, factor), next((value for value, _ in likely if _about(size, value)), size)
    how = f"{'Divide' if large else 'Multiply'} by {sign * (exact if exact > 1 else size):.4g}."
    return f"{columns} {is_} too {'large' if large else 'small'} by a factor of {size:.3g}{also}: {why}.", how


def _swapped(mistake: Mistake, _: Floats, names: ColumnNames) -> tuple[str, str]:
    first, source = next(iter(mistake.sources.items()))
    assert source.place is not None
    one, other = names.column(first), names.column(source.place)
    if len(mistake.sources) > 2:
        of_outputs = first[1] == source.place[1]
        i, word, list_of = (0, "of", names.outputs) if of_outputs else (1, "by", names.inputs)
        one, other = (f"the derivatives {word} {list_of[place[i] or 0]}" for place in (first, source.place))
    return f"{one} and {other} are swapped.", "Exchange their names."


def _transposed(mistake: Mistake, _: Floats, names: ColumnNames) -> tuple[str, str]:
    moved = {place: source.place for place, source in mistake.sources.items() if source.place is not None}
    if any(moved.get(other) != place for place, other in moved.items()):
        what = "the Jacobian is in another order: its elements are (inputs, outputs) instead of (outputs, inputs)."
        return what, "Transpose the Jacobian before it is written."
    pairs = [f"{names.column(place)} and {names.column(other)}" for place, other in moved.items() if place < other]
    more = f", and {len(pairs) - 1} more pairs" * (len(pairs) > 1)
    what = f"the Jacobian is transposed: {pairs[0]} are in each other's place{more}."
    return what, "Transpose the Jacobian before it is written."


def _shifted(mistake: Mistake, _: Floats, names: ColumnNames) -> tuple[str, str]:
    shift = next(iter(mistake.sources.values())).shift
    columns, n = names.columns(list(mistake.sources)), abs(shift)
    rows, one = f"{n} row{'s' * (n > 1)}", len(mistake.sources) == 1
    what = f"{columns} {'is' if one else 'are'} shifted {'down' if shift > 0 else 'up'} by {rows}."
    return what, f"Move {'it' if one else 'them'} {'up' if shift > 0 else 'down'} by {rows}."


def _unrelated(mistake: Mistake, _: Floats, names: ColumnNames) -> tuple[str, str]:
    what = f"{names.columns(list(mistake.sources))} does not follow the values, by none of the usual mistakes."
    return what, "Compute the column again, or leave it out."


def _of_twin(twin: Twin, names: ColumnNames) -> Finding:
    """Return what is wrong with rows with the same inputs."""
    column, (first, second) = names.column(twin.place), map(names.row, twin.rows)
    what = f"{column} differs between {first} and {second}, which have the same inputs."
    evidence = (
        f"It is {twin.labels[0]:.4g} in {first} and {twin.labels[1]:.4g} in {second}; "
        f"the standard deviation of the column is {twin.deviation:.4g}."
    )
    return Finding((column,), twin.rows, what, evidence, "Correct it, or leave the cell empty.")


def _about(factor: float, value: float) -> bool:
    return abs(math.log(factor / value)) < _TOLERANCE


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:.0f} %"
