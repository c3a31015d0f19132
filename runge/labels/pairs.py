r"""Compute the differences of values between near rows that the partial derivatives leave unexplained.

For each row a and the rows b near it, correct labels have

.. math:: y_b - y_a = \sum_d \tfrac12 (g_{ad} + g_{bd}) (x_{bd} - x_{ad}) + e_{ab},

where g are the partial derivatives and e is the error of the trapezoidal rule and of noise, which grows with the
distance of a and b. Pairs are therefore grouped by distance, and S is the mean of abs(e) in each group.

If an output has no derivatives with respect to an input, slopes that fit the values take their place (`FreeSlopes`).
"""

from collections.abc import Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from runge.configuration.validation import Floats

__all__ = ["LEAST_ROWS", "ROUND_OFF", "SMALLEST", "Pairs", "Place", "Source", "column_of", "corrected"]
__all__ += ["left_by_neighbours"]

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

ROUND_OFF = 1e-7
"""The relative round-off of labels that were written with seven digits, or in float32."""

SMALLEST = float(np.finfo(float).tiny)


class Source(NamedTuple):
    """Where the right labels of a column are: in a column, times a factor, `shift` rows further down.

    Without a column they are not known, and slopes that fit the values take their place.
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
        """Pair each row of an output with the 12 nearest ones; None: there are too few rows.

        The value of a row is known, and each partial derivative in a row of a pair, except of inputs without any. At
        most 2000 rows are used, drawn at random.

        Args:
            x: the inputs, (n, D), in the order of the file.
            y: the values, (n,); NaN: not known.
            dydx: the partial derivatives, (n, D); likewise.
        """
        rows, has_labels = np.flatnonzero(~np.isnan(y)), ~np.isnan(dydx).all(0)
        if len(rows) < LEAST_ROWS or not has_labels.any():
            return None
        rows = _drawn(rows)
        spread = x[rows].std(0)
        z = x[rows] / np.where(spread > 0, spread, 1)
        count = _NEIGHBOURS + 1 + 2 * (~has_labels).sum()
        distance, near = map(np.asarray, KDTree(z).query(z, min(count, len(rows))))
        ends = np.sort([np.repeat(np.arange(len(rows)), near.shape[1]), near.ravel()], axis=0)
        (a, b), first = np.unique(ends, axis=1, return_index=True)
        distance, step = distance.ravel()[first], x[rows[b]] - x[rows[a]]
        coarse = _is_coarse(z)
        unknown = np.isnan(dydx[rows][:, has_labels])
        compared = (distance > 0) & (step[:, coarse] == 0).all(1) & ~(unknown[a] & unknown[b]).any(1)
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
        step = step[step > ROUND_OFF * step.max()]
        if not len(step):
            return 0.0
        multiples = step / step.min()
        return float(step.min()) if (np.abs(multiples - np.round(multiples)) < _LEVEL_TOLERANCE).all() else 0.0

    def mean(self, error: Floats) -> Floats:
        """Return the mean of abs(error), (k,), in each group, (G,)."""
        return np.bincount(self.group, np.abs(error)) / np.bincount(self.group)


def corrected(y: Floats, dydx: Floats, sources: Mapping[Place, Source]) -> tuple[Floats, Floats]:
    """Return values, (n, P), and derivatives, (n, P, D), with corrected columns."""
    new_y, new_dydx = y.copy(), dydx.copy()
    for (p, d), source in sources.items():
        (new_y[:, p] if d is None else new_dydx[:, p, d])[:] = column_of(y, dydx, source)
    return new_y, new_dydx


def column_of(y: Floats, dydx: Floats, source: Source) -> Floats:
    """Return the labels of a column, (n,), from their source."""
    if source.place is None:
        return np.full(len(y), source.factor)
    p, d = source.place
    return source.factor * np.roll(y[:, p] if d is None else dydx[:, p, d], -source.shift)


def _drawn(rows: Integers) -> Integers:
    """Return all of some rows, or 2000 of them, drawn at random."""
    return np.sort(np.random.default_rng(0).choice(rows, min(len(rows), _MOST_COMPARED_ROWS), replace=False))


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
    of_plane = (difference - fitted) / np.maximum(1 - leverage, ROUND_OFF)
    ends = dydx[rows, None], dydx[near]
    of_slopes = difference - ((np.fmin(*ends) + np.fmax(*ends)) / 2 * (x[near] - x[rows, None])).sum(2)
    used = ~np.isnan(of_slopes) & (step[:, :, _is_coarse(z[labelled])] == 0).all(2)
    errors = (np.abs(error[used.any(1)]) for error in (of_slopes, of_plane, difference))
    by_slopes, by_values, total = (error.mean(1, where=used[used.any(1)]) for error in errors)
    return by_slopes, by_values, total
