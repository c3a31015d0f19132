"""Find columns of partial derivatives that contradict the values of a table, without a fit."""

import math
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from runge.configuration.validation import Floats
from runge.labels.differences import Labels
from runge.labels.mistakes import Mistake, Part, of_output, of_several, usual_factor
from runge.labels.pairs import LEAST_ROWS, Pairs, Place, Source, left_by_neighbours

__all__ = ["MOST_LEFT", "ColumnCheck", "check_columns"]

# The limits were chosen with 432 tables with a mistake, and with sound ones, of twenty functions. Of other functions,
# half with noise of 5 %, exactly the wrong columns are named in 175 of 175 tables, and none in 100 of 100 sound ones.
# Stricter limits miss mistakes, looser ones name right columns.

_LEAST_GAIN = 0.08
"""The least decrease of log S that confirms a mistake: S is 8 % smaller."""

_LEAST_GAIN_UNRELATED = 0.5
"""The least decrease if the mistake is not a usual one: slopes between rows on a curve fit noise of other columns."""

_LEAST_ERROR_UNRELATED = 0.6
"""The least error of a column that follows no usual mistake, relative to the slopes that fit the values."""

_LEAST_Z = 4.0
"""The least decrease in its standard errors: a normal variable exceeds 4 with a probability of 3e-5."""

MOST_LEFT = 0.8
"""The largest share of the differences that a correction may leave unexplained."""

_MOST_EXCESS_LEFT = 0.25
"""The largest share that it may leave beyond what curvature can cause: right labels with noise of 5 % leave less."""

_LEAST_EXCESS = 0.5
"""The least part of the error that curvature cannot cause, over the error after the correction.

1856 sound tables had no mistake with it. They were of smooth, steep and rough functions, on grids, with missing labels,
outliers, and noise up to 100 %.
"""

# Prices of a mistake, in log S: of two explanations that gain about the same, the simpler one is chosen.
_PER_COLUMN = 0.02
_PER_FACTOR = 0.05
_PER_UNUSUAL = 0.1

_MOST_MISTAKES = 8
"""The most mistakes of a table, a bound on the time: each takes a search over all possible ones."""

_EXACT_ERROR = 1e-6
"""An error that is round-off, relative to the mean difference."""

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

_NORMAL_QUARTILE = 0.3186
"""The number that a normal variable exceeds in size with a probability of 3/4, in standard deviations."""

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
        left: the share of the differences that the corrected derivatives leave, of each tested output.
        deviation: the robust deviation of the differences that the corrected derivatives leave between the nearest
            rows, of each tested output.
    """

    mistakes: list[Mistake]
    seen: list[Place]
    unseen: list[Place]
    rows: dict[int, int]
    left: dict[int, float]
    deviation: dict[int, float]


def check_columns(x: Floats, y: Floats, dydx: Floats) -> ColumnCheck:
    """Find columns of derivatives that contradict the values.

    A mistake is confirmed if its correction explains much more of the differences of the values between near rows, if
    the rows agree on that, and if little is left unexplained. `_search` and `_confirmed` have the formulas.

    Args:
        x: the inputs, (n, D), in the order of the file.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    labelled = (~np.isnan(y)[:, :, None] & ~np.isnan(dydx)).sum(0)
    dydx = np.where(labelled < LEAST_ROWS, np.nan, dydx)
    pairs, by_pattern = dict[int, Pairs](), dict[bytes, Pairs | None]()
    for p, column in enumerate(y.T):
        pattern = np.isnan(np.c_[column, dydx[:, p]]).tobytes()
        if pattern not in by_pattern:
            by_pattern[pattern] = Pairs.of(x, column, dydx[:, p])
        if (of_output := by_pattern[pattern]) and len(set(column[~np.isnan(column)])) > 1:
            pairs[p] = of_output
    labels = Labels(pairs, y, dydx)
    mistakes, corrected = _confirmed(labels, _search(labels) if pairs else [])
    usual = _without(labels, [mistake for mistake in mistakes if mistake.kind != "unrelated"])
    for p in pairs:
        left = usual.unexplained([p]), usual.unexplained_excess([p])
        if min(left[0] - _USELESS, left[1] - _MOST_EXCESS_LEFT) < 0 or _others_explain(usual, corrected, p):
            continue
        if mistake := _useless(x, labels, usual, p):
            mistakes = [*(previous for previous in mistakes if {q for q, _ in previous.sources} != {p}), mistake]
    useless = {p for mistake in mistakes if mistake.kind == "useless" for p, _ in mistake.sources}
    wrong = {place for mistake in mistakes for place in mistake.sources}
    places: list[Place] = [
        (p, d) for p in pairs if p not in useless for d in range(x.shape[1]) if d not in labels.free[p].inputs
    ]
    seen = [place for place in places if place in wrong or _matters(corrected, place)]
    rows = {p: len(np.unique([of_output.a, of_output.b])) for p, of_output in pairs.items()}
    deviation = {p: _deviation(corrected.error[p][of_output.group == 0]) for p, of_output in pairs.items()}
    left = {p: corrected.unexplained([p]) for p in pairs}
    return ColumnCheck(mistakes, seen, [place for place in places if place not in seen], rows, left, deviation)


def _others_explain(usual: Labels, corrected: Labels, p: int) -> bool:
    """Return whether some columns of an output are unrelated to its values, and the others explain them."""
    without = {p: corrected.error[p] + corrected.terms[p].sum(1)}
    return corrected.free[p].inputs != usual.free[p].inputs and corrected.gain(without) < -_LEAST_GAIN


def _deviation(error: Floats) -> float:
    """Return the deviation of errors, of which up to half may be of other data: a normal one has this quartile."""
    return float(np.quantile(np.abs(error), 0.25)) / _NORMAL_QUARTILE


def _search(labels: Labels) -> list[Mistake]:
    r"""Return the mistakes whose correction lowers S most, one after the other.

    Let e(C) be the errors of the pairs after the corrections C, and S_pg(C) the mean of abs(e) of output p in group g
    of pairs. Each step adds the possible mistake m with the largest net gain

    .. math:: G(m | C) - c(m), \quad
              G(m | C) = \sum_p \frac1G \sum_g \log \frac{S_{pg}(C)}{S_{pg}(C \cup m)},

    where c is the price of `_price`. It ends if no net gain is positive, or after eight steps. This is forward
    selection, as of regressors: the sum of gains never decreases, but a mistake that was added early may not be needed
    any more after later ones. `_confirmed` therefore tests all of them again.

    Mistakes with the same columns of an output share its term of the sum. A step only changes the terms of corrected
    outputs, and those of others whose right labels are in a corrected column.
    """
    mistakes, gains = list[Mistake](), dict[Part, float]()
    changed, of_outputs = {*labels.pairs}, dict[int, list[Mistake]]()
    while len(mistakes) < _MOST_MISTAKES:
        of_outputs |= {p: [*of_output(labels, p)] for p in changed}
        candidates = [*chain.from_iterable(of_outputs.values()), *of_several(labels)]
        for part in {part for mistake in candidates for part in mistake.parts} - gains.keys():
            gains[part] = labels.gain(labels.errors(dict(part)))
        net = [sum(gains[part] for part in mistake.parts) - _price(mistake) for mistake in candidates]
        if max(net, default=0) <= 0:
            break
        best = candidates[net.index(max(net))]
        mistakes += best.per_factor
        labels, changed = labels.corrected(best.sources), {p for p, _ in best.sources}
        for part in [*gains]:
            if part[0][0][0] in changed or any(source.place in best.sources for _, source in part):
                del gains[part]
    return mistakes


def _price(mistake: Mistake) -> float:
    """Return the price c of a mistake, in log S.

    It keeps an input that does not matter from being named, and two wrong signs from taking the place of a swap.
    """
    factors = [one.factor for one in mistake.sources.values()] if mistake.kind == "factor" else []
    is_usual = mistake.kind != "unrelated" and all(map(usual_factor, factors))
    return _PER_COLUMN * len(mistake.sources) + _PER_FACTOR * len(set(factors)) + _PER_UNUSUAL * (not is_usual)


def _confirmed(labels: Labels, mistakes: Sequence[Mistake]) -> tuple[list[Mistake], Labels]:
    r"""Return the mistakes that are needed next to all others, with their evidence; and the corrected labels.

    For the mistake m of a set C, the labels with the corrections C \ m are compared with those with C:

    .. math:: G_m = G(m | C \setminus m), \quad z_m = \Delta\ell_m / \sigma(\Delta\ell_m),

    where the change of the log-likelihood and its standard error are those of `Labels.significance`. A mistake is
    confirmed if G_m exceeds 0.08, or 0.5 if it is not a usual one, if it is sound (`_is_sound`), and if z_m exceeds 4.
    If one of the first two conditions fails, z_m counts as 0. While some z_m is at most 4, the mistake with the least
    z_m is dropped and the others are tested again (backward elimination).
    """
    while True:
        corrected, evidence = _without(labels, mistakes), list[tuple[float, Mistake]]()
        for mistake in mistakes:
            outputs = {p for p, _ in mistake.sources}
            of_mistake = Labels({p: labels.pairs[p] for p in outputs}, labels.y, labels.dydx)
            uncorrected = _without(of_mistake, [candidate for candidate in mistakes if candidate is not mistake])
            errors = {p: corrected.error[p] for p in outputs}
            before, after = uncorrected.unexplained(outputs), corrected.unexplained(outputs)
            least = _LEAST_GAIN_UNRELATED if mistake.kind == "unrelated" else _LEAST_GAIN
            enough = uncorrected.gain(errors) > least and _is_sound(mistake, uncorrected, corrected)
            z = uncorrected.significance(errors) if enough else 0.0
            error = _error(uncorrected, corrected, *mistake.sources) if mistake.kind == "unrelated" else math.nan
            evidence.append((z, mistake._replace(before=before, after=after, error=error)))
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
    if right.unexplained(outputs) > MOST_LEFT or right.unexplained_excess(outputs) > _MOST_EXCESS_LEFT:
        return False
    if not mistake.is_unit and any(_may_be_coarse(wrong, place) for place in mistake.sources):
        return False
    if mistake.kind == "unrelated":
        (place,) = mistake.sources
        return not _explains_nearest(wrong, place[0]) and _error(wrong, right, place) > _LEAST_ERROR_UNRELATED
    if mistake.kind != "factor" or min(factors) < 0 or max(factors) > 1:
        return True
    excess = np.mean([np.log(wrong.excess(p) / right.size[p]) for p in outputs])
    return bool(excess > np.log(_LEAST_EXCESS))


def _error(wrong: Labels, right: Labels, place: Place) -> float:
    """Return the error of a column, relative to the slopes that fit the values between near rows."""
    p, given = place[0], wrong.terms[place[0]][:, place[1]]
    fitted = wrong.error[p] + given - right.error[p]
    return float(np.linalg.norm(given - fitted) / (np.linalg.norm(fitted) + np.finfo(float).tiny))


def _explains_nearest(labels: Labels, p: int) -> bool:
    """Return whether the derivatives explain most of the nearest differences exactly, as of a step or a flag."""
    nearest = labels.error[p][labels.pairs[p].group == 0]
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
    if d is None or not (spacing := labels.pairs[p].spacing(d)):
        return False
    slope, pairs = labels.dydx[:, p, d], labels.pairs[p]
    size, next_to = np.sqrt(np.nanmean(slope**2)), np.abs(np.abs(pairs.step[:, d]) / spacing - 1) < 0.5
    change = (slope[pairs.b] - slope[pairs.a])[next_to]
    varies = bool(np.nan_to_num(change**2).sum() > size**2 * (~np.isnan(change)).sum())
    return (changes and varies) or bool(size * spacing > np.nanstd(labels.y[:, p]))


def _useless(x: Floats, labels: Labels, corrected: Labels, p: int) -> Mistake | None:
    """Return the mistake of derivatives that explain less of an output than near values do, corrected or not."""
    inputs = range(x.shape[1])
    if labels.free[p].inputs or _explains_nearest(labels, p):
        return None
    if any(_may_be_coarse(labels, (p, d), changes=False) for d in inputs):
        return None
    for variant in (corrected, labels):
        by_slopes, by_values, total = left_by_neighbours(x, variant.y[:, p], variant.dydx[:, p])
        if len(total) < LEAST_ROWS:
            return None
        before, after = by_slopes.mean() / total.mean(), by_values.mean() / total.mean()
        worse = np.mean(by_slopes > _WORSE_FACTOR * by_values + _EQUAL_ERRORS * total.mean())
        if not (before > _USELESS and after < min(_BY_PLANE, _RATIO_BY_PLANE * before) and worse > _WORSE_ROWS):
            return None
    return Mistake("useless", {(p, d): Source(None, np.nan) for d in inputs}, float(before), float(after))


def _without(labels: Labels, mistakes: Sequence[Mistake]) -> Labels:
    for mistake in mistakes:
        labels = labels.corrected(mistake.sources)
    return labels


def _matters(labels: Labels, place: Place) -> bool:
    """Return whether a wrong sign of a column would be visible, next to which little else is unexplained."""
    p, d = place
    if labels.unexplained([p]) > MOST_LEFT or labels.unexplained_excess([p]) > _MOST_EXCESS_LEFT:
        return False
    if _may_be_coarse(labels, place):
        return False
    flipped = {p: labels.error[p] + 2 * labels.terms[p][:, d]}
    return labels.gain(flipped) < -_LEAST_GAIN and labels.significance(flipped) < -_LEAST_Z
