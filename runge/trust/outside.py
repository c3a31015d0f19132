r"""How far a point is outside the training inputs: beyond their box, in a hole, or off the surface they are on.

The distance of x from the rows x_i is that from the nearest of their weighted means,

.. math:: d(x) = \min_{\sum_i \lambda_i = 1} \sum_i \lambda_i |x - x_i|
          - \tfrac12 \sum_{ij} \lambda_i \lambda_j |x_i - x_j|,

half the variance of ordinary kriging with a linear variogram. It is at most the distance to the nearest row, smaller
where rows surround x, and grows without bound. It needs no length scale. An input is measured in units of

.. math:: \sigma_d / w_d, \quad w_d = \max_p \frac{\sigma_d\, rms(u'_{pd})}{\max_{d'} \sigma_{d'}\, rms(u'_{pd'})},

with the standard deviation :math:`\sigma_d` of the input and the partial derivatives u' of the fit at the rows: an
input that does not matter does not count. The number `outside` is d(x) over the 0.95 quantile of the rows' own d, each
row left out: about 5 % of new points of the same distribution have a number above 1.

References:
    G. Matheron (1963). Principles of geostatistics. https://doi.org/10.2113/gsecongeo.58.8.1246
    O. Dubrule (1983). Cross validation of kriging in a unique neighborhood. https://doi.org/10.1007/BF01033232
    F. Sahigara et al. (2012). Comparison of different approaches to define the applicability domain of QSAR models.
    https://doi.org/10.3390/molecules17054791
    G. Székely, M. Rizzo (2013). Energy statistics. https://doi.org/10.1016/j.jspi.2013.03.018
"""

import numpy as np
from numpy.typing import NDArray

from runge.validation import Floats

__all__ = ["EDGE", "OUTSIDE", "Box", "Support", "thinned"]


EDGE = 1.0
"""The number from which on a point is at the edge: its error is as large as the largest errors inside."""

OUTSIDE = 1.5
"""The number from which on a point is outside: its error is several times as large (docs/howto/outside.md)."""

_LEVEL = 0.95
_MOST = 1000  # rows: the time of a point grows with their square
_NUGGET = 1e-8  # of the mean distance: rows that differ only in an input that does not matter are one


def thinned(x: Floats) -> Floats:
    """Return the distinct rows of inputs, (n, D), or of more than 1000 the ends of each input and a random sample."""
    x = np.unique(x, axis=0)
    if len(x) <= _MOST:
        return x
    ends = np.unique([x.argmin(0), x.argmax(0)])
    others = np.setdiff1d(np.arange(len(x)), ends)
    sample = np.random.default_rng(0).choice(others, max(_MOST - len(ends), 0), replace=False)
    return x[np.sort(np.concatenate([ends, sample]))]


class Box:
    """The domain of a formula: `outside` is 0 at its centre, 1 on its faces, and grows linearly.

    Args:
        low: the lower end of each input, (D,).
        high: the upper end.
    """

    def __init__(self, low: Floats, high: Floats) -> None:
        self.low, self.high = low, high

    def outside(self, x: Floats) -> Floats:
        """Return how far points x, (m, D), are outside, (m,): 0 to 1 inside, above 1 outside."""
        return 1 + (np.maximum(self.low - x, x - self.high) * 2 / (self.high - self.low)).max(1)

    def beyond(self, x: Floats) -> NDArray[np.int_]:
        """Return 1 where an input of x, (m, D), is above its range, -1 where it is below, and otherwise 0."""
        return (x > self.high).astype(int) - (x < self.low)


class Support:
    r"""The training inputs: `outside` is the number of this module.

    A point beyond the box of the rows has at least :math:`1 + e - 1/(n - 1)`, if that is above 1, where e is the
    largest of its excesses, each relative to the range of the input and times its weight w. The margin
    1 / (n - 1) makes the ends of the rows an unbiased estimate of those of a uniform distribution.

    A row is left out together with all rows that share its value of an input, if that is neither the smallest nor the
    largest one: on a grid, points between two levels are no further from the rows than a level from its neighbours.

    Args:
        x: the distinct inputs of the rows, (n, D).
        slopes: the partial derivatives of the fit there, (n, P, D).

    Example:
        >>> x = np.linspace(0, 1, 11)[:, None]
        >>> Support(x, np.ones((11, 1, 1))).outside(np.array([[0.5], [0.55], [1.0], [2.0]])).round(2)
        array([ 0.  ,  0.25,  0.  , 10.  ])
    """

    def __init__(self, x: Floats, slopes: Floats) -> None:
        self.low, self.high, self._mean, std = x.min(0), x.max(0), x.mean(0), x.std(0)
        self._varies = self.high > self.low
        share = np.sqrt(np.square(slopes).mean(0)) * std
        largest = share.max(1, keepdims=True)
        weight = np.divide(share, largest, where=largest > 0, out=np.zeros_like(share)).max(0)
        self.weight = weight if weight.any() else np.ones_like(std)
        self._scale = np.divide(self.weight, std, where=self._varies, out=np.zeros_like(std))
        self._margin = 1 / max(len(x) - 1, 1)
        self._rows = (x - self._mean) * self._scale
        self._unit, self._inverse = 1.0, np.empty((0, 0))
        if self._varies.any():
            self._fit(x)

    def _fit(self, x: Floats) -> None:
        """Solve for the weighted means, and find the distance that is 1."""
        n, between = len(x), _distances(self._rows, self._rows)
        matrix = np.ones((n + 1, n + 1))
        matrix[:n, :n], matrix[n, n] = _NUGGET * between.mean() * np.eye(n) - between, 0
        self._inverse = np.linalg.inv(matrix)
        own = 1 / np.diag(self._inverse)[:n]
        for column in x.T:
            level, count = np.unique(column, return_inverse=True, return_counts=True)[1:]
            for shared in np.flatnonzero(count[1:-1] > 1) + 1:
                rows = np.flatnonzero(level == shared)
                left_out = np.linalg.inv(self._inverse[np.ix_(rows, rows)])
                own[rows] = np.maximum(own[rows], np.diag(left_out))
        self._unit = np.quantile(own / 2, _LEVEL)

    def outside(self, x: Floats) -> Floats:
        """Return how far points x, (m, D), are outside, (m,), as `Box`."""
        number = np.zeros(len(x))
        if self._varies.any():
            away = _distances((x - self._mean) * self._scale, self._rows)
            mean = away.mean(1)  # subtracted, so that no digits are lost far away
            ends = np.column_stack([mean[:, None] - away, np.ones(len(x))])
            number = np.maximum(mean - ((ends @ self._inverse) * ends).sum(1) / 2, 0) / self._unit
        excess = np.abs(self._excess(x)).max(1) - self._margin
        return np.where(excess > 0, np.maximum(number, 1 + excess), number)

    def beyond(self, x: Floats) -> NDArray[np.int_]:
        """Return which inputs of x, (m, D), are beyond their range by more than the margin, as `Box`."""
        excess = self._excess(x)
        return np.where(np.abs(excess) > self._margin, np.sign(excess), 0).astype(int)

    def _excess(self, x: Floats) -> Floats:
        """Return how far each input is above or, negative, below its range, relative to it, times its weight."""
        excess = np.maximum(x - self.high, 0) - np.maximum(self.low - x, 0)
        by = np.where(self._varies, self.weight / np.where(self._varies, self.high - self.low, 1), np.inf)
        return np.multiply(excess, by, where=excess != 0, out=np.zeros_like(excess))


def _distances(x: Floats, rows: Floats) -> Floats:
    """Return the distance of each point, (m, D), from each row, (n, D): (m, n).

    SciPy's `cdist` takes 0.3 s to import, an eighth of `runge predict`.
    """
    squares = np.zeros((len(x), len(rows)))
    for one, other in zip(x.T, rows.T, strict=True):
        squares += np.subtract.outer(one, other) ** 2
    return np.sqrt(squares)
