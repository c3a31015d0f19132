r"""Compute the differences of values between near rows that the partial derivatives leave unexplained.

For each row a and the rows b near it, correct labels have

.. math:: y_b - y_a = \sum_d \tfrac12 (g_{ad} + g_{bd}) (x_{bd} - x_{ad}) + e_{ab},

where g are the partial derivatives and e is the error of the trapezoidal rule and of noise, which grows with the
distance of a and b. Pairs are therefore grouped by distance, and S is the mean of abs(e) in each group.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from runge.configuration.validation import Floats

__all__ = ["LEAST_ROWS", "Labels", "Pairs", "Place", "Source", "corrected", "left_by_neighbours"]

Integers = NDArray[np.intp]

Place = tuple[int, int | None]
"""A column of labels: an output, and the input of its partial derivative; None: its values."""

LEAST_ROWS = 20
"""The least number of rows of an output, and of the rows in its pairs."""

_MOST_COMPARED_ROWS = 2000
"""The most rows that are compared, a bound on the time: 0.4 s for 10,000 rows of 10 inputs on one core."""

_NEIGHBOURS = 12
"""The neighbours of a row: more of them average more noise, but are farther away, where curvature matters."""

_DISTANCE_GROUPS = 8
"""The groups of pairs by distance, in each of which S is a mean: more have fewer pairs, of a more equal distance."""

_LEAST_LEVELS = 5
"""The least number of values of an input: between fewer levels, a slope may do anything."""

_MOST_PLANES, _MOST_PLANE_WORK = 200, 4000
"""The most rows with a plane through their neighbours, and planes times inputs: a plane takes time with D^3."""

_LEAST_SINGULAR_VALUE = 1e-6
"""The least singular value of the steps to near rows, relative to the largest: below, they lie in a plane."""

_LEVEL_TOLERANCE = 1e-3
"""The largest deviation of evenly spaced levels from multiples of their distance: levels may be rounded."""

_ROUND_OFF = 1e-7
"""The relative round-off of labels that were written with seven digits, or in float32."""

_SMALLEST = float(np.finfo(float).tiny)


class Source(NamedTuple):
    """Where the right labels of a column are: in a column, times a factor, `shift` rows further down.

    Without a column, the best known labels are the constant `factor`.
    """

    place: Place | None
    factor: float = 1.0
    shift: int = 0


class Pairs(NamedTuple):
    """Pairs of near rows: their numbers a and b, (k,), x_b - x_a, (k, D), and the number of their group, (k,)."""

    a: Integers
    b: Integers
    step: Floats
    group: Integers

    @classmethod
    def of(cls, x: Floats, y: Floats, dydx: Floats) -> Self | None:
        """Pair each row with the 12 nearest ones; None: there are too few rows.

        All values of a row are known, and each partial derivative in a row of a pair. At most 2000 rows are used, drawn
        at random.

        Args:
            x: the inputs, (n, D).
            y: the values, (n, P); NaN: not known.
            dydx: the partial derivatives, (n, P, D); likewise.
        """
        rows = np.flatnonzero(~np.isnan(y).any(1))
        if len(rows) < LEAST_ROWS:
            return None
        rows = _drawn(rows)
        spread = x[rows].std(0)
        z = x[rows] / np.where(spread > 0, spread, 1)
        distance, near = map(np.asarray, KDTree(z).query(z, min(_NEIGHBOURS + 1, len(rows))))
        ends = np.sort([np.repeat(np.arange(len(rows)), near.shape[1]), near.ravel()], axis=0)
        (a, b), first = np.unique(ends, axis=1, return_index=True)
        distance, step = distance.ravel()[first], x[rows[b]] - x[rows[a]]
        coarse = _is_coarse(z)
        unknown = np.isnan(dydx[rows])
        compared = (distance > 0) & (step[:, coarse] == 0).all(1) & ~(unknown[a] & unknown[b]).any((1, 2))
        if len(np.unique(np.r_[a[compared], b[compared]])) < LEAST_ROWS:
            return None
        edges = np.quantile(distance[compared], np.linspace(0, 1, _DISTANCE_GROUPS + 1)[1:-1])
        group = np.unique(np.searchsorted(edges, distance[compared]), return_inverse=True)[1]
        return cls(rows[a[compared]], rows[b[compared]], step[compared], group)

    def term(self, slope: Floats, d: int) -> Floats:
        """Return the part of the differences, (k,), that a partial derivative with respect to x_d, (n,), explains.

        If it is known in one row of a pair, this slope is used instead of the mean of both.
        """
        ends = slope[self.a], slope[self.b]
        return (np.fmin(*ends) + np.fmax(*ends)) / 2 * self.step[:, d]

    def spacing(self, d: int) -> float:
        """Return the distance between levels of an input whose levels are evenly spaced, else 0."""
        step = np.abs(self.step[:, d])
        step = step[step > _ROUND_OFF * step.max()]
        if not len(step):
            return 0.0
        multiples = step / step.min()
        return float(step.min()) if (np.abs(multiples - np.round(multiples)) < _LEVEL_TOLERANCE).all() else 0.0

    def mean(self, error: Floats) -> Floats:
        """Return the mean of abs(error), (k,), in each group, (G,)."""
        return np.bincount(self.group, np.abs(error)) / np.bincount(self.group)


class Labels:
    """The labels of a table, and the differences between pairs of rows that they leave unexplained.

    Args:
        pairs: the pairs.
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        before: labels that take the place of labels that are known in no row of a pair.

    Attributes:
        difference: the difference of the values of each output, (k,).
        terms: the part of the difference that each partial derivative explains, (k, D).
        error: the unexplained part, (k,).
        size: the S of the error, (G,).
        total: the S of the difference, (G,).
    """

    def __init__(self, pairs: Pairs, y: Floats, dydx: Floats, before: "Labels | None" = None) -> None:
        self.pairs = pairs
        self.y, self.dydx = y, dydx
        outputs, inputs = range(y.shape[1]), range(dydx.shape[2])
        self.difference = [y[pairs.b, p] - y[pairs.a, p] for p in outputs]
        self.terms = [np.stack([pairs.term(dydx[:, p, d], d) for d in inputs], axis=1) for p in outputs]
        if before is not None:
            self.difference, self.terms = (
                [np.where(np.isnan(new), old, new) for new, old in zip(*columns, strict=True)]
                for columns in ((self.difference, before.difference), (self.terms, before.terms))
            )
        self.error = [self.difference[p] - self.terms[p].sum(1) for p in outputs]
        self.total = [
            pairs.mean(difference) + _ROUND_OFF * np.abs(difference).mean() + _SMALLEST
            for difference in self.difference
        ]
        self.size = [self.size_of(p, error) for p, error in enumerate(self.error)]

    def size_of(self, p: int, error: Floats) -> Floats:
        """Return S of an error of an output, (G,), with a floor at round-off."""
        return self.pairs.mean(error) + _ROUND_OFF * self.total[p] + _SMALLEST

    def excess(self, p: int) -> Floats:
        """Return S of the part of an error, (G,), that exceeds the largest error of the trapezoidal rule.

        If the slope along a pair is monotone, the rule's error is at most half the difference of the slopes at both
        ends times the distance. Slopes that are known at one end count as the others.
        """
        change = (self.dydx[self.pairs.b, p] - self.dydx[self.pairs.a, p]) * self.pairs.step
        is_known = ~np.isnan(change)
        change = (
            np.abs(np.where(is_known, change, 0).sum(1)) * is_known.shape[1] / np.maximum(is_known.sum(1), _ROUND_OFF)
        )
        return self.size_of(p, np.maximum(np.abs(self.error[p]) - change / 2, 0))

    def corrected(self, sources: Mapping[Place, Source]) -> "Labels":
        """Return the labels with corrected columns."""
        return Labels(self.pairs, *corrected(self.y, self.dydx, sources), self)

    def errors(self, sources: Mapping[Place, Source]) -> dict[int, Floats]:
        """Return the errors, (k,), of each output with corrected columns."""
        changed = {p: self.error[p].copy() for p, _ in sources}
        for (p, d), source in sources.items():
            column = _column(self.y, self.dydx, source)
            if d is None:
                change = column[self.pairs.b] - column[self.pairs.a] - self.difference[p]
            else:
                change = self.terms[p][:, d] - self.pairs.term(column, d)
            changed[p] += np.where(np.isnan(change), 0, change)
        return changed

    def gain(self, errors: Mapping[int, Floats]) -> float:
        """Return the decrease of log S with other errors: the mean over groups, summed over outputs."""
        return float(sum(np.log(self.size[p] / self.size_of(p, error)).mean() for p, error in errors.items()))

    def significance(self, errors: Mapping[int, Floats]) -> float:
        """Return the log-likelihood that other errors gain over its standard error, with rows as clusters.

        Errors of a group have a Laplace distribution with the mean size S, as in the test of Vuong (1989,
        https://doi.org/10.2307/1912557).
        """
        pairs, gain = self.pairs, np.zeros(len(self.pairs.a))
        for p, error in errors.items():
            old, new = (size[pairs.group] for size in (self.size[p], self.size_of(p, error)))
            gain += np.log(old / new) + np.abs(self.error[p]) / old - np.abs(error) / new
        centred = gain - gain.mean()
        of_row = np.bincount(np.r_[pairs.a, pairs.b], np.r_[centred, centred])
        return float(gain.sum() / (np.linalg.norm(of_row) + _SMALLEST))

    def unexplained(self, outputs: Iterable[int]) -> float:
        """Return S over the mean difference of the values of some outputs, in the geometric mean."""
        return float(np.exp(np.mean([np.log(self.size[p] / self.total[p]).mean() for p in outputs])))


def corrected(y: Floats, dydx: Floats, sources: Mapping[Place, Source]) -> tuple[Floats, Floats]:
    """Return values, (n, P), and derivatives, (n, P, D), with corrected columns."""
    new_y, new_dydx = y.copy(), dydx.copy()
    for (p, d), source in sources.items():
        (new_y[:, p] if d is None else new_dydx[:, p, d])[:] = _column(y, dydx, source)
    return new_y, new_dydx


def _column(y: Floats, dydx: Floats, source: Source) -> Floats:
    """Return the labels of a column, (n,), from their source."""
    if source.place is None:
        return np.full(len(y), source.factor)
    p, d = source.place
    return source.factor * np.roll(y[:, p] if d is None else dydx[:, p, d], -source.shift)


def _drawn(rows: Integers) -> Integers:
    """Return all of some rows, or 2000 of them, drawn at random."""
    if len(rows) <= _MOST_COMPARED_ROWS:
        return rows
    return np.sort(np.random.default_rng(0).choice(rows, _MOST_COMPARED_ROWS, replace=False))


def _is_coarse(x: Floats) -> list[bool]:
    """Return which inputs, of (n, D), have few levels."""
    return [len(np.unique(column)) < _LEAST_LEVELS for column in x.T]


def left_by_neighbours(x: Floats, y: Floats, dydx: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the unexplained parts of the differences to near rows, the means of their sizes in at most 200 rows.

    At most 2000 rows are used, as in `Pairs`. The differences are explained by the partial derivatives, with the
    trapezoidal rule, by a plane through the values of the row and of its other neighbours (least squares, with the
    leave-one-out error e / (1 - h)), or not at all. Rows on different levels of an input with fewer than five levels
    are not compared.

    Args:
        x: the inputs, (n, D).
        y: the values of an output, (n,); NaN: not known.
        dydx: its partial derivatives, (n, D); likewise.
    """
    labelled = _drawn(np.flatnonzero(~np.isnan(y)))
    # Keep distinct rows: a row that is left out must have no copy.
    labelled = labelled[np.sort(np.unique(x[labelled], axis=0, return_index=True)[1])]
    spread = x[labelled].std(0)
    z = x / np.where(spread > 0, spread, 1)
    most = min(len(labelled), _MOST_PLANES, max(LEAST_ROWS, _MOST_PLANE_WORK // x.shape[1]))
    rows = labelled[np.linspace(0, len(labelled) - 1, most).astype(int)]
    count = min(max(_NEIGHBOURS, 3 * x.shape[1]), len(labelled) - 1)
    near = labelled[np.asarray(KDTree(z[labelled]).query(z[rows], count + 1)[1])[:, 1:]]
    step, difference = z[near] - z[rows, None], y[near] - y[rows, None]
    inverse = np.linalg.pinv(step, rcond=_LEAST_SINGULAR_VALUE)
    fitted = np.einsum("nkd,nde,ne->nk", step, inverse, difference)
    leverage = np.einsum("nkd,ndk->nk", step, inverse)
    of_plane = (difference - fitted) / np.maximum(1 - leverage, _ROUND_OFF)
    ends = dydx[rows, None], dydx[near]
    of_slopes = difference - ((np.fmin(*ends) + np.fmax(*ends)) / 2 * (x[near] - x[rows, None])).sum(2)
    used = ~np.isnan(of_slopes) & (step[:, :, _is_coarse(z[labelled])] == 0).all(2)
    errors = (np.where(used, np.abs(error), 0).sum(1)[used.any(1)] for error in (of_slopes, of_plane, difference))
    counts = used.sum(1)[used.any(1)]
    by_slopes, by_values, total = (error / counts for error in errors)
    return by_slopes, by_values, total
