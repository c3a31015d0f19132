"""Find what is wrong with the labels of a table, without a fit.

Columns of partial derivatives may contradict the values, and rows with the same inputs each other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.mistakes import Mistake, possible
from runge.labels.pairs import LEAST_ROWS, Labels, Pairs, Place, Source, left_by_neighbours

__all__ = ["Twin", "Verdict", "check_columns", "check_twins"]

_GAIN, _UNRELATED = 0.08, 0.7
"""By how much log S has to fall; if nothing is known of the mistake, by more."""

_Z = 4.0  # and by how many of its standard errors
_LEFT, _LEFT_LITTLE = 0.8, 0.5
"""The largest share that may be left, and if noise or curvature could explain the mistake."""

_EXCESS = 0.5
"""The least part of the error that curvature cannot cause, over what is left; 1856 sound tables had no mistake with it.

They were of smooth, steep and rough functions, on grids, with missing labels, outliers, and noise up to 100 %.
"""

_PER_COLUMN, _PER_FACTOR, _PER_UNKNOWN = 0.02, 0.05, 0.3  # what a mistake costs, in log S
_MOST = 8
_EXACT = 1e-6  # an error that is round-off, relative to the mean difference
_TOGETHER = 0.5  # the least part of the rows of an output in which the others are known too; else each is alone
_USELESS, _BY_VALUES, _BETTER = 0.4, 0.55, 0.6
_WORSE, _OFTEN = 1.5, 1 / 3
"""The least share that useless derivatives leave; the largest that a plane through near values leaves, alone and over
the former; by how much the error of derivatives is larger, and in which part of the rows. Rows that are too far apart,
kinks, fronts and noise spoil both.
"""

_ROBUST, _SAME = 8 * 1.4826, 0.03
"""Eight robust deviations in medians of absolute differences; the share of a standard deviation that is no difference.

The median absolute deviation of a normal distribution is its standard deviation over 1.4826 (Hampel 1974,
https://doi.org/10.1080/01621459.1974.10482962).
"""
_ENOUGH = 5  # differences of which the median is used


class Verdict(NamedTuple):
    """The mistakes in the columns of derivatives, and which columns were tested.

    Attributes:
        mistakes: those that were found.
        seen: the columns, a wrong sign of which would have been seen.
        unseen: the columns with too small a part in the differences. Columns are in neither list if the labels of
            their output are known in too few rows, or useless.
        rows: the number of rows that were compared, of each output that was.
    """

    mistakes: list[Mistake]
    seen: list[Place]
    unseen: list[Place]
    rows: dict[int, int]


class Twin(NamedTuple):
    """Two rows with the same inputs, and a column in which their labels differ.

    Attributes:
        place: the column.
        rows: the earlier row, the first one in which the label is known, and the later one.
        labels: the labels there.
        deviation: the standard deviation of the column.
    """

    place: Place
    rows: tuple[int, int]
    labels: tuple[float, float]
    deviation: float


def check_columns(x: Floats, y: Floats, dydx: Floats) -> Verdict:
    """Find columns of derivatives that contradict the values.

    A mistake is believed if without it the derivatives explain much more of the differences of the values between near
    rows, if the rows agree on that, and if little is left unexplained.

    Args:
        x: the inputs, (n, D), in the order of the file.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    known = ~np.isnan(y)
    varies = [len(set(column[~np.isnan(column)])) > 1 for column in y.T]
    labelled = (known[:, :, None] & ~np.isnan(dydx)).sum(0).min(1)
    outputs = np.flatnonzero((labelled >= LEAST_ROWS) & varies)
    if not len(outputs):
        return Verdict([], [], [], {})
    together, most = known[:, outputs].all(1).sum(), known[:, outputs].sum(0).max()
    pairs = Pairs.of(x, y[:, outputs], dydx[:, outputs]) if together >= _TOGETHER * most else None
    if pairs is None and len(outputs) > 1:
        alone = [_numbered(check_columns(x, y[:, [p]], dydx[:, [p]]), [p]) for p in outputs.tolist()]
        return Verdict(
            [mistake for verdict in alone for mistake in verdict.mistakes],
            [place for verdict in alone for place in verdict.seen],
            [place for verdict in alone for place in verdict.unseen],
            {p: rows for verdict in alone for p, rows in verdict.rows.items()},
        )
    if pairs is None:
        return Verdict([], [], [], {})
    labels = Labels(pairs, y[:, outputs], dydx[:, outputs])
    mistakes, corrected = _confirmed(labels, _search(labels))
    for p in range(len(outputs)):
        if corrected.unexplained([p]) > _USELESS and (mistake := _useless(x, labels, corrected, p)):
            mistakes = [*(one for one in mistakes if {q for q, _ in one.sources} != {p}), mistake]
    useless = {p for mistake in mistakes if mistake.kind == "useless" for p, _ in mistake.sources}
    wrong = {place for mistake in mistakes for place in mistake.sources}
    places: list[Place] = [(p, d) for p in range(len(outputs)) if p not in useless for d in range(x.shape[1])]
    seen = [place for place in places if place in wrong or _matters(corrected, place)]
    rows = dict.fromkeys(range(len(outputs)), len(np.unique([pairs.a, pairs.b])))
    return _numbered(Verdict(mistakes, seen, [one for one in places if one not in seen], rows), outputs.tolist())


def check_twins(x: Floats, y: Floats, dydx: Floats) -> list[Twin]:
    """Find rows with the same inputs and different labels.

    Two labels of a column are different if they differ by 8 robust deviations of all such differences of the column,
    which may be noise, and by 0.03 standard deviations of its labels. If there are fewer than five differences, the
    limit is a standard deviation of the labels.

    Args:
        x: the inputs, (n, D).
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    twins, group = list[Twin](), np.unique(x, axis=0, return_inverse=True)[1].ravel()
    for p, d in np.ndindex(y.shape[1], 1 + x.shape[1]):
        column = dydx[:, p, d - 1] if d else y[:, p]
        known = np.flatnonzero(~np.isnan(column))
        _, first, number = np.unique(group[known], return_index=True, return_inverse=True)
        earlier = known[first[number]]
        pairs = [(int(a), int(b)) for a, b in zip(earlier, known, strict=True) if a != b]
        if not pairs:
            continue
        difference, deviation = np.abs([column[a] - column[b] for a, b in pairs]), float(column[known].std())
        usual = _ROBUST * np.median(difference) if len(pairs) >= _ENOUGH else deviation
        differs = difference > max(usual, _SAME * deviation)
        twins += [
            Twin((p, d - 1 if d else None), pair, (float(column[pair[0]]), float(column[pair[1]])), deviation)
            for pair, is_different in zip(pairs, differs, strict=True)
            if is_different
        ]
    return twins


def _search(labels: Labels) -> list[Mistake]:
    """Return the mistakes whose correction lowers S most, one after the other."""
    mistakes = list[Mistake]()
    while len(mistakes) < _MOST:
        gains = [(labels.gain(labels.errors(one.sources)) - _price(one), one) for one in possible(labels)]
        gain, best = max(gains, key=lambda pair: pair[0])
        if gain <= 0:
            break
        mistakes += best.parts
        labels = labels.corrected(best.sources)
    return mistakes


def _price(mistake: Mistake) -> float:
    """Return what a mistake costs: an input that does not matter is not to blame, nor are two signs for a swap."""
    factors = len(mistake.parts) if mistake.kind == "factor" else 0
    return _PER_COLUMN * len(mistake.sources) + _PER_FACTOR * factors + _PER_UNKNOWN * (mistake.kind == "unrelated")


def _confirmed(labels: Labels, mistakes: Sequence[Mistake]) -> tuple[list[Mistake], Labels]:
    """Return the mistakes that must be corrected even if all others are, with their evidence; and the labels then."""
    while True:
        corrected, evidence = _without(labels, mistakes), list[tuple[float, Mistake]]()
        for mistake in mistakes:
            others = _without(labels, [one for one in mistakes if one is not mistake])
            outputs = {p for p, _ in mistake.sources}
            errors = {p: corrected.error[p] for p in outputs}
            before, after = others.unexplained(outputs), corrected.unexplained(outputs)
            enough = others.gain(errors) > (_UNRELATED if mistake.kind == "unrelated" else _GAIN)
            z = others.significance(errors) if enough and _is_sound(mistake, others, corrected) else 0.0
            evidence.append((z, mistake._replace(before=before, after=after)))
        if all(z > _Z for z, _ in evidence):
            return [mistake for _, mistake in evidence], corrected
        weakest = min(range(len(evidence)), key=lambda i: evidence[i][0])
        mistakes = [mistake for i, mistake in enumerate(mistakes) if i != weakest]


def _is_sound(mistake: Mistake, wrong: Labels, right: Labels) -> bool:
    """Return whether noise or curvature cannot be what makes labels seem wrong.

    Between rows that are far from each other the mean of two slopes is too large, as are derivatives with a factor.
    """
    outputs = sorted({p for p, _ in mistake.sources})
    factors = [source.factor for source in mistake.sources.values()]
    left = right.unexplained(outputs)
    if mistake.kind == "unrelated" and any(_explains_nearest(wrong, p) for p in outputs):
        return False
    if not mistake.is_unit and any(_may_be_coarse(wrong, place) for place in mistake.sources):
        return False
    if mistake.kind != "factor" or min(factors) < 0 or max(factors) > 1:
        return left < (_LEFT_LITTLE if mistake.kind == "unrelated" else _LEFT)
    excess = np.mean([np.log(wrong.excess(p) / right.size[p]) for p in outputs])
    return left < _LEFT_LITTLE and bool(excess > np.log(_EXCESS))


def _explains_nearest(labels: Labels, p: int) -> bool:
    """Return whether most of the nearest rows differ by what the derivatives say, as those of a step or a flag do."""
    nearest = labels.error[p][labels.pairs.group == 0]
    return bool(np.mean(np.abs(nearest) <= _EXACT * np.abs(labels.difference[p]).mean()) > 0.5)


def _may_be_coarse(labels: Labels, place: Place, changes: bool = True) -> bool:
    """Return whether an output may oscillate between the evenly spaced levels of an input.

    There the slopes of right labels are in no relation to the differences (aliasing). A sine with less than half a
    period between levels has slopes whose root mean square, times the spacing, is less than pi standard deviations.

    Args:
        labels: the labels.
        place: a column.
        changes: also if slopes change by more than their size between neighbouring levels.
    """
    p, d = place
    if d is None or not (spacing := labels.pairs.spacing(d)):
        return False
    slope, pairs = labels.dydx[:, p, d], labels.pairs
    size, next_to = np.sqrt(np.nanmean(slope**2)), np.abs(np.abs(pairs.step[:, d]) / spacing - 1) < 0.5
    change = (slope[pairs.b] - slope[pairs.a])[next_to]
    varies = bool(np.nan_to_num(change**2).sum() > size**2 * (~np.isnan(change)).sum())
    return (changes and varies) or bool(size * spacing > np.nanstd(labels.y[:, p]))


def _useless(x: Floats, labels: Labels, corrected: Labels, p: int) -> Mistake | None:
    """Return that the derivatives of an output explain less of it than near values do, with or without correction."""
    inputs, exact = range(x.shape[1]), _explains_nearest(labels, p)
    if exact or any(_may_be_coarse(labels, (p, d), changes=False) for d in inputs):
        return None
    for some in (corrected, labels):
        by_slopes, by_values, whole = left_by_neighbours(x, some.y[:, p], some.dydx[:, p])
        if len(whole) < LEAST_ROWS:
            return None
        before, after = by_slopes.mean() / whole.mean(), by_values.mean() / whole.mean()
        worse = np.mean(by_slopes > _WORSE * by_values + _SAME * whole.mean())
        if before < _USELESS or after > min(_BY_VALUES, _BETTER * before) or worse < _OFTEN:
            return None
    return Mistake("useless", {(p, d): Source(None, np.nan) for d in inputs}, float(before), float(after))


def _without(labels: Labels, mistakes: Sequence[Mistake]) -> Labels:
    for mistake in mistakes:
        labels = labels.corrected(mistake.sources)
    return labels


def _matters(labels: Labels, place: Place) -> bool:
    """Return whether a wrong sign of a column would be seen."""
    p, d = place
    flipped = {p: labels.error[p] + 2 * labels.terms[p][:, d]}
    return labels.gain(flipped) < -_GAIN and labels.significance(flipped) < -_Z


def _numbered(verdict: Verdict, outputs: Sequence[int]) -> Verdict:
    """Return a verdict on some outputs with their numbers in the table."""

    def numbered(place: Place) -> Place:
        return outputs[place[0]], place[1]

    mistakes = [
        one._replace(
            sources={
                numbered(place): source._replace(place=None if source.place is None else numbered(source.place))
                for place, source in one.sources.items()
            }
        )
        for one in verdict.mistakes
    ]
    seen, unseen = (list(map(numbered, places)) for places in (verdict.seen, verdict.unseen))
    return Verdict(mistakes, seen, unseen, {outputs[p]: rows for p, rows in verdict.rows.items()})
