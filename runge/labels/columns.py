"""Find columns of partial derivatives that contradict the values of a table, without a fit."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.mistakes import Mistake, possible
from runge.labels.pairs import LEAST_ROWS, Labels, Pairs, Place, Source, left_by_neighbours

__all__ = ["ColumnCheck", "check_columns"]

# The limits were chosen with 432 tables with a mistake, and with sound ones, of twenty functions. Of other functions,
# half with noise of 5 %, exactly the wrong columns are named in 175 of 175 tables, and none in 100 of 100 sound ones.
# Stricter limits miss mistakes, looser ones name right columns.

_LEAST_GAIN = 0.08
"""The least decrease of log S that confirms a mistake: S is 8 % smaller."""

_LEAST_GAIN_UNRELATED = 0.7
"""The least decrease if the mistake is not a usual one: S halves."""

_LEAST_Z = 4.0
"""The least decrease in its standard errors: a normal variable exceeds 4 with a probability of 3e-5."""

_MOST_LEFT = 0.8
"""The largest share of the differences that a correction may leave unexplained."""

_MOST_LEFT_IN_DOUBT = 0.5
"""The largest share if noise or curvature could also be the reason."""

_LEAST_EXCESS = 0.5
"""The least part of the error that curvature cannot cause, over the error after the correction.

1856 sound tables had no mistake with it. They were of smooth, steep and rough functions, on grids, with missing labels,
outliers, and noise up to 100 %.
"""

# Prices of a mistake, in log S: of two explanations that gain about the same, the simpler one is chosen.
_PER_COLUMN = 0.02
_PER_FACTOR = 0.05
_PER_UNRELATED = 0.3

_MOST_MISTAKES = 8
"""The most mistakes of a table, a bound on the time: each takes a search over all possible ones."""

_EXACT_ERROR = 1e-6
"""An error that is round-off, relative to the mean difference."""

_LEAST_TOGETHER = 0.5
"""The least share of the rows of an output in which the other outputs are known too; else each is checked alone."""

_USELESS = 0.4
"""The least share of the differences that useless derivatives leave."""

_BY_PLANE = 0.55
"""The largest share that a plane through near values leaves if derivatives are useless."""

_RATIO_BY_PLANE = 0.6
"""The largest share that the plane leaves, over the share that the derivatives leave."""

_WORSE_FACTOR, _WORSE_ROWS = 1.5, 1 / 3
"""The factor by which the error of derivatives exceeds that of the plane, and the least share of rows with it.

Rows that are too far apart, kinks, fronts and noise increase both errors, so that neither is named then.
"""

_EQUAL_ERRORS = 0.03
"""The share of the mean difference below which two errors do not differ."""


class ColumnCheck(NamedTuple):
    """The mistakes in the columns of derivatives, and the tested columns.

    Attributes:
        mistakes: the mistakes.
        seen: the columns whose wrong sign would be visible.
        unseen: the columns with too small a part in the differences. Columns are in neither list if the labels of
            their output are known in too few rows, or useless.
        rows: the number of compared rows, of each tested output.
    """

    mistakes: list[Mistake]
    seen: list[Place]
    unseen: list[Place]
    rows: dict[int, int]


def check_columns(x: Floats, y: Floats, dydx: Floats) -> ColumnCheck:
    """Find columns of derivatives that contradict the values.

    A mistake is confirmed if its correction explains much more of the differences of the values between near rows, if
    the rows agree on that, and if little is left unexplained. `_search` and `_confirmed` have the formulas.

    Args:
        x: the inputs, (n, D), in the order of the file.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    is_known = ~np.isnan(y)
    varies = [len(set(column[~np.isnan(column)])) > 1 for column in y.T]
    labelled = (is_known[:, :, None] & ~np.isnan(dydx)).sum(0).min(1)
    outputs = np.flatnonzero((labelled >= LEAST_ROWS) & varies)
    if not len(outputs):
        return ColumnCheck([], [], [], {})
    together, most = is_known[:, outputs].all(1).sum(), is_known[:, outputs].sum(0).max()
    pairs = Pairs.of(x, y[:, outputs], dydx[:, outputs]) if together >= _LEAST_TOGETHER * most else None
    if pairs is None:
        several = outputs.tolist() if len(outputs) > 1 else []
        alone = [_numbered(check_columns(x, y[:, [p]], dydx[:, [p]]), [p]) for p in several]
        return ColumnCheck(
            [mistake for check in alone for mistake in check.mistakes],
            [place for check in alone for place in check.seen],
            [place for check in alone for place in check.unseen],
            {p: rows for check in alone for p, rows in check.rows.items()},
        )
    labels = Labels(pairs, y[:, outputs], dydx[:, outputs])
    mistakes, corrected = _confirmed(labels, _search(labels))
    for p in range(len(outputs)):
        if corrected.unexplained([p]) > _USELESS and (mistake := _useless(x, labels, corrected, p)):
            mistakes = [*(previous for previous in mistakes if {q for q, _ in previous.sources} != {p}), mistake]
    useless = {p for mistake in mistakes if mistake.kind == "useless" for p, _ in mistake.sources}
    wrong = {place for mistake in mistakes for place in mistake.sources}
    places: list[Place] = [(p, d) for p in range(len(outputs)) if p not in useless for d in range(x.shape[1])]
    seen = [place for place in places if place in wrong or _matters(corrected, place)]
    rows = dict.fromkeys(range(len(outputs)), len(np.unique([pairs.a, pairs.b])))
    return _numbered(
        ColumnCheck(mistakes, seen, [place for place in places if place not in seen], rows), outputs.tolist()
    )


def _search(labels: Labels) -> list[Mistake]:
    r"""Return the mistakes whose correction lowers S most, one after the other.

    Let e(C) be the errors of the pairs after the corrections C, and S_pg(C) the mean of abs(e) of output p in group g
    of pairs. Each step adds the mistake m, of `possible`, with the largest net gain

    .. math:: G(m | C) - c(m), \quad
              G(m | C) = \sum_p \frac1G \sum_g \log \frac{S_{pg}(C)}{S_{pg}(C \cup m)},

    where c is the price of `_price`. It ends if no net gain is positive, or after eight steps. This is forward
    selection, as of regressors: the sum of gains never decreases, but a mistake that was added early may not be needed
    any more after later ones. `_confirmed` therefore tests all of them again.
    """
    mistakes = list[Mistake]()
    while len(mistakes) < _MOST_MISTAKES:
        gains = [
            (labels.gain(labels.errors(mistake.sources)) - _price(mistake), mistake) for mistake in possible(labels)
        ]
        gain, best = max(gains, key=lambda pair: pair[0])
        if gain <= 0:
            break
        mistakes += best.per_factor
        labels = labels.corrected(best.sources)
    return mistakes


def _price(mistake: Mistake) -> float:
    """Return the price c of a mistake, in log S.

    It keeps an input that does not matter from being named, and two wrong signs from taking the place of a swap.
    """
    factors = len(mistake.per_factor) if mistake.kind == "factor" else 0
    return _PER_COLUMN * len(mistake.sources) + _PER_FACTOR * factors + _PER_UNRELATED * (mistake.kind == "unrelated")


def _confirmed(labels: Labels, mistakes: Sequence[Mistake]) -> tuple[list[Mistake], Labels]:
    r"""Return the mistakes that are needed next to all others, with their evidence; and the corrected labels.

    For the mistake m of a set C, the labels with the corrections C \ m are compared with those with C:

    .. math:: G_m = G(m | C \setminus m), \quad z_m = \Delta\ell_m / \sigma(\Delta\ell_m),

    where the change of the log-likelihood and its standard error are those of `Labels.significance`. A mistake is
    confirmed if G_m exceeds 0.08, or 0.7 if it is not a usual one, if it is sound (`_is_sound`), and if z_m exceeds 4.
    If one of the first two conditions fails, z_m counts as 0. While some z_m is at most 4, the mistake with the least
    z_m is dropped and the others are tested again (backward elimination).
    """
    while True:
        corrected, evidence = _without(labels, mistakes), list[tuple[float, Mistake]]()
        for mistake in mistakes:
            uncorrected = _without(labels, [candidate for candidate in mistakes if candidate is not mistake])
            outputs = {p for p, _ in mistake.sources}
            errors = {p: corrected.error[p] for p in outputs}
            before, after = uncorrected.unexplained(outputs), corrected.unexplained(outputs)
            enough = uncorrected.gain(errors) > (_LEAST_GAIN_UNRELATED if mistake.kind == "unrelated" else _LEAST_GAIN)
            z = uncorrected.significance(errors) if enough and _is_sound(mistake, uncorrected, corrected) else 0.0
            evidence.append((z, mistake._replace(before=before, after=after)))
        if all(z > _LEAST_Z for z, _ in evidence):
            return [mistake for _, mistake in evidence], corrected
        weakest = min(range(len(evidence)), key=lambda i: evidence[i][0])
        mistakes = [mistake for i, mistake in enumerate(mistakes) if i != weakest]


def _is_sound(mistake: Mistake, wrong: Labels, right: Labels) -> bool:
    """Return whether a mistake explains the error of the labels better than noise or curvature can.

    Between distant rows the mean of two slopes is too large, as are derivatives with a factor.
    """
    outputs = sorted({p for p, _ in mistake.sources})
    factors = [source.factor for source in mistake.sources.values()]
    left = right.unexplained(outputs)
    if mistake.kind == "unrelated" and any(_explains_nearest(wrong, p) for p in outputs):
        return False
    if not mistake.is_unit and any(_may_be_coarse(wrong, place) for place in mistake.sources):
        return False
    if mistake.kind != "factor" or min(factors) < 0 or max(factors) > 1:
        return left < (_MOST_LEFT_IN_DOUBT if mistake.kind == "unrelated" else _MOST_LEFT)
    excess = np.mean([np.log(wrong.excess(p) / right.size[p]) for p in outputs])
    return left < _MOST_LEFT_IN_DOUBT and bool(excess > np.log(_LEAST_EXCESS))


def _explains_nearest(labels: Labels, p: int) -> bool:
    """Return whether the derivatives explain most of the nearest differences exactly, as of a step or a flag."""
    nearest = labels.error[p][labels.pairs.group == 0]
    return bool(np.mean(np.abs(nearest) <= _EXACT_ERROR * np.abs(labels.difference[p]).mean()) > 0.5)


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
    """Return the mistake of derivatives that explain less of an output than near values do, corrected or not."""
    inputs, exact = range(x.shape[1]), _explains_nearest(labels, p)
    if exact or any(_may_be_coarse(labels, (p, d), changes=False) for d in inputs):
        return None
    for variant in (corrected, labels):
        by_slopes, by_values, total = left_by_neighbours(x, variant.y[:, p], variant.dydx[:, p])
        if len(total) < LEAST_ROWS:
            return None
        before, after = by_slopes.mean() / total.mean(), by_values.mean() / total.mean()
        worse = np.mean(by_slopes > _WORSE_FACTOR * by_values + _EQUAL_ERRORS * total.mean())
        if before < _USELESS or after > min(_BY_PLANE, _RATIO_BY_PLANE * before) or worse < _WORSE_ROWS:
            return None
    return Mistake("useless", {(p, d): Source(None, np.nan) for d in inputs}, float(before), float(after))


def _without(labels: Labels, mistakes: Sequence[Mistake]) -> Labels:
    for mistake in mistakes:
        labels = labels.corrected(mistake.sources)
    return labels


def _matters(labels: Labels, place: Place) -> bool:
    """Return whether a wrong sign of a column would be visible."""
    p, d = place
    flipped = {p: labels.error[p] + 2 * labels.terms[p][:, d]}
    return labels.gain(flipped) < -_LEAST_GAIN and labels.significance(flipped) < -_LEAST_Z


def _numbered(check: ColumnCheck, outputs: Sequence[int]) -> ColumnCheck:
    """Return the check of some outputs with their numbers in the table."""

    def numbered(place: Place) -> Place:
        return outputs[place[0]], place[1]

    mistakes = [
        mistake._replace(
            sources={
                numbered(place): source._replace(place=None if source.place is None else numbered(source.place))
                for place, source in mistake.sources.items()
            }
        )
        for mistake in check.mistakes
    ]
    seen, unseen = (list(map(numbered, places)) for places in (check.seen, check.unseen))
    return ColumnCheck(mistakes, seen, unseen, {outputs[p]: rows for p, rows in check.rows.items()})
