"""Compare partial derivatives with differences of values, without a fit: wrong units and wrong signs stand out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

__all__ = ["Agreement", "compare"]

Floats = NDArray[np.float64]

_NEIGHBOURS = 12
_ROWS_PER_INPUT, _MOST_ROWS = 100, 1000  # of more rows a sample is compared: nearer pairs show noise rather than slopes
_LEAST_ROWS, _PAIRS_PER_INPUT = 20, 10
_LEVELS = 5
"""The least number of values of an input: between fewer, a slope may do anything."""

_STEPS = 20  # of the reweighting

_UNEXPLAINED, _CLOSE = 0.3, 0.1
_EXCESS = 2.5
"""None of thousands of random functions, in 1 to 8 inputs with 20 to 1000 rows, had an excess above 2.2.

They were smooth, rough, with kinks, with 20 % noise in values or derivatives, with outliers or with missing labels.
"""


class Agreement(NamedTuple):
    """How the differences of an output between near rows follow from its partial derivatives.

    Attributes:
        factors: what each input's partial derivative has to be multiplied by, (D,); NaN: not known.
        wrong: the inputs whose derivatives contradict the values; empty unless the comparison is conclusive.
    """

    factors: Floats
    wrong: list[int]


def compare(x: Floats, y: Floats, dydx: Floats) -> Agreement | None:
    r"""Compare the values of one output with its partial derivatives; None: there are too few pairs of rows.

    For each row a and the rows b near it

    .. math:: y_b - y_a \approx \sum_d c_d \tfrac12 (g_{ad} + g_{bd}) (x_{bd} - x_{ad}),

    where g are the partial derivatives, and the factors c are those with the least sum of absolute errors, each divided
    by the distance of a and b. Correct labels have c = 1. The other errors are those of the trapezoidal rule: if the
    slope along a pair is monotone, they are at most half the difference of the slopes at both ends times the distance.
    The excess is what is beyond that, relative to what the factors do not explain. The comparison is conclusive if they
    explain most of the differences, and the excess is large.

    Args:
        x: the inputs, (n, D).
        y: the values, (n,); NaN: not known.
        dydx: the partial derivatives, (n, D); likewise.
    """
    dimension = x.shape[1]
    rows = np.flatnonzero(~np.isnan(y))
    if len(rows) > (most := min(_ROWS_PER_INPUT * dimension, _MOST_ROWS)):
        rows = np.random.default_rng(0).choice(rows, most, replace=False)
    if len(rows) < _LEAST_ROWS:
        return None
    x, y, dydx = x[rows], y[rows], dydx[rows]
    spread = np.ptp(x, axis=0)
    z = (x - x.min(0)) / np.where(spread > 0, spread, 1)
    g = dydx * spread
    distance, near = (part.ravel() for part in KDTree(z).query(z, min(_NEIGHBOURS + 1, len(rows))))
    a, b = np.repeat(np.arange(len(rows)), len(near) // len(rows)), near
    step = z[b] - z[a]
    at_a, at_b = (np.where(step == 0, 0, g[end] * step) for end in (a, b))
    coarse = [len(np.unique(column)) < _LEVELS for column in z.T]
    kept = (distance > 0) & ~np.isnan(at_a + at_b).any(1) & (step[:, coarse] == 0).all(1)
    if len(np.unique(a[kept])) < _LEAST_ROWS or kept.sum() < _PAIRS_PER_INPUT * dimension:
        return None
    a, b, at_a, at_b, distance = (part[kept] for part in (a, b, at_a, at_b, distance))
    slope = (y[b] - y[a]) / distance
    terms = (at_a + at_b) / 2 / distance[:, None]
    allowed = np.abs((at_b - at_a).sum(1)) / 2 / distance
    if not (np.isfinite(terms).all() and np.isfinite(slope).all() and (largest := np.abs(slope).max()) > 0):
        return None
    factors = _least_absolute(terms, slope)
    rest, tiny = np.abs(slope - terms @ np.nan_to_num(factors)).mean(), 1e-9 * largest
    excess = np.maximum(np.abs(slope - terms.sum(1)) - allowed, 0).mean() / max(rest, tiny)
    conclusive = rest / np.abs(slope).mean() < _UNEXPLAINED and excess > _EXCESS
    return Agreement(factors, np.flatnonzero(conclusive & (np.abs(factors - 1) > _CLOSE)).tolist())


def _least_absolute(terms: Floats, slope: Floats) -> Floats:
    """Return the coefficients with the least sum of absolute errors, (D,), by reweighting; NaN where a term is 0."""
    size = np.sqrt((terms**2).mean(0))
    seen = size > 0
    columns, weight = terms[:, seen] / size[seen], np.ones(len(slope))
    found = np.zeros(columns.shape[1])
    for _ in range(_STEPS):
        weighted = columns * weight[:, None]
        found = np.linalg.lstsq(weighted.T @ columns, weighted.T @ slope, rcond=1e-10)[0]
        error = np.abs(slope - columns @ found)
        weight = 1 / np.maximum(error, 0.1 * np.median(error) + 1e-12 * np.abs(slope).max())
        weight /= weight.mean()
    factors = np.full(len(size), np.nan)
    factors[seen] = found / size[seen]
    return factors
