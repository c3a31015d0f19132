r"""Compute the distance of a point from the training data, as a number r(x) / q: up to 1 inside, above 1.5 outside.

Of several networks that were trained on the same rows, r is their disagreement,

.. math:: r(x)^2 = \sum_c f_c^2\, s_c(x)^2,

with the spread :math:`s_c` of each output and each partial derivative, and the factors of `Channels`, which make errors
comparable. q is the 0.95 quantile of r at rows that these networks, or the networks of folds, have not seen.

Of other functions, r is the distance from the nearest training row,

.. math:: r(x)^2 = \min_i \sum_d w_d^2\, (x_d - x_{id})^2 / \sigma_d^2, \quad
    w_d = \max_p \frac{\sigma_d\, rms(u'_{pd})}{\max_{d'} \sigma_{d'}\, rms(u'_{pd'})},

with the standard deviation :math:`\sigma_d` of the input and the partial derivatives u' of the fit at the rows: an
input that does not matter does not count. Where the network sees the logarithm of an input, so does the distance. Where
inputs are collinear, a direction in which the standardised rows hardly vary is a further coordinate, over its own
standard deviation, as in the Mahalanobis distance, if there are more than two rows for each input. q is the 0.95
quantile of the distances of the rows from the nearest other row.

So about 5 % of new points of the same distribution have a number above 1.

References:
    B. Lakshminarayanan et al. (2017). Simple and scalable predictive uncertainty estimation using deep ensembles.
    https://arxiv.org/abs/1612.01474
    F. Sahigara et al. (2012). Comparison of different approaches to define the applicability domain of QSAR models.
    https://doi.org/10.3390/molecules17054791
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from runge.configuration.validation import Floats

__all__ = ["EDGE", "OUTSIDE", "Box", "NearestRow", "input_weights", "per_quantile", "thinned"]


EDGE = 1.0
"""The number from which on a point is at the edge: its error is several times the largest 5 % inside."""

OUTSIDE = 1.5
"""The number from which on a point is outside: its error is many times as large.

In the median of ten functions the error of the value there is 270 times the 95th percentile inside, and at the edge 4.5
times. In an empty corner of the data the area under the ROC curve is 0.96, compared with 0.83 for the distance from the
nearest row, and 0.94 for the standard deviation of a Gaussian process.
"""

_INSIDE_SHARE = 0.95
"""The share of the training data that is inside, by definition."""

_MOST_KEPT_ROWS = 1000
"""The most rows in a checkpoint, to which distances are computed: a bound on its size and on the time."""

_COLLINEAR, _LEAST_SPREAD = 0.01, 1e-6
"""The standard deviations below which a direction is a coordinate of its own, and to which smaller ones are raised.

They are relative to those of the inputs.
"""

_LEAST_WEIGHT = 0.01
"""The least weight of an input that counts: on a grid the nearest row would always differ only in such an input."""


def thinned(x: Floats) -> Floats:
    """Return the distinct rows of inputs, (n, D), or of more than 1000 the ends of each input and a random sample."""
    x = np.unique(x, axis=0)
    if len(x) <= _MOST_KEPT_ROWS:
        return x
    ends = np.unique([x.argmin(0), x.argmax(0)])
    inner = np.setdiff1d(np.arange(len(x)), ends)
    sample = np.random.default_rng(0).choice(inner, max(_MOST_KEPT_ROWS - len(ends), 0), replace=False)
    return x[np.sort(np.concatenate([ends, sample]))]


def input_weights(x: Floats, slopes: Floats) -> Floats:
    """Return the weight w of each input, (D,) in [0, 1]; all 1 if no input matters.

    Args:
        x: the inputs of rows, (n, D).
        slopes: the partial derivatives of a fit there, (n, P, D).
    """
    share = np.sqrt(np.square(slopes).mean(0)) * x.std(0)
    largest = share.max(1, keepdims=True)
    weight = np.divide(share, largest, where=largest > 0, out=np.zeros_like(share)).max(0)
    return weight if weight.any() else np.ones_like(weight)


def per_quantile(spread: Floats, factors: Floats) -> Floats:
    """Return factors f, (C,), such that (sum_c f_c^2 s_c^2)^(1/2) is above 1 in 5 % of rows; 0 if all networks agree.

    Args:
        spread: the spread s of networks at rows that they have not seen, (n, C).
        factors: the same factors, up to a common one.
    """
    quantile = _quantile(np.linalg.norm(spread * factors, axis=1))
    return factors / quantile if quantile > np.finfo(float).tiny else np.zeros_like(factors)


def _quantile(numbers: Floats) -> float:
    """Return the limit that a new number exceeds with the probability 1 / 20, or 1 / (n + 1) of n < 19 numbers."""
    return float(np.quantile(numbers, _INSIDE_SHARE, method="weibull"))


class Box(NamedTuple):
    """The domain of a formula: the number is 0 at its centre, 1 on its faces, and grows linearly.

    Attributes:
        low: the lower end of each input, (D,).
        high: the upper end.
    """

    low: Floats
    high: Floats

    def outside(self, x: Tensor) -> Tensor:
        """Return the distance of points x, (m, D), from the centre, (m,): 0 to 1 inside, above 1 outside."""
        low, high = map(torch.from_numpy, self)
        beyond = torch.maximum(low - x, x - high) * 2 / (high - low)
        return 1 + beyond.nan_to_num(nan=-1, posinf=torch.inf).amax(1)  # NaN: an input at its only value


class NearestRow:
    """The distance from the nearest training row.

    An input that is constant in the rows must have this value.

    Args:
        x: the inputs of the rows, (n, D).
        weights: the weight of each input, (D,), from `input_weights`.
        is_log: whether the logarithm of each input takes its place, (D,); where it is not positive, the distance is
            infinite. None: of none.

    Example:
        >>> x = np.linspace(0, 1, 11)[:, None]
        >>> NearestRow(x, np.ones(1)).outside(torch.tensor([[0.5], [0.55], [2.0]]).double()).round(decimals=2)
        tensor([ 0.0000,  0.5000, 10.0000], dtype=torch.float64)
    """

    def __init__(self, x: Floats, weights: Floats, is_log: Tensor | None = None) -> None:
        self._is_log = torch.zeros(x.shape[1], dtype=torch.bool) if is_log is None else is_log
        x = self._logarithms(torch.from_numpy(x)).numpy()
        weights = np.where(weights < _LEAST_WEIGHT, 0, weights)
        scale = np.divide(weights, x.std(0), where=x.max(0) > x.min(0), out=np.full_like(weights, np.inf))
        self._origin, self._scale = torch.from_numpy(x[0]), torch.from_numpy(scale)
        unit = np.divide(1, x.std(0), where=(x.max(0) > x.min(0)) & (weights > 0), out=np.zeros_like(weights))
        _, spread, directions = np.linalg.svd((x - x.mean(0)) * unit / math.sqrt(len(x)), full_matrices=False)
        # An input that does not count has a direction of its own, in which no row varies.
        narrow = (spread < _COLLINEAR) & (np.abs(directions) @ unit > 0)
        narrow &= len(x) > 2 * np.count_nonzero(unit)  # few rows do not vary in some directions of any inputs
        size = np.maximum(spread[narrow], _LEAST_SPREAD)[:, None]
        self._along = torch.from_numpy(np.ascontiguousarray((directions[narrow] / size * unit).T))
        sizes = np.divide(1, unit, where=unit > 0, out=np.zeros_like(unit))
        self._back = torch.from_numpy(np.ascontiguousarray(directions[narrow] * size * sizes))
        self._rows = torch.unique(self._scaled(torch.from_numpy(x)), dim=0)
        self._unit = 0.0  # with one row, every other point is infinitely far away
        if len(self._rows) > 1:
            between = _distances(self._rows, self._rows).fill_diagonal_(torch.inf)
            self._unit = _quantile(between.amin(1).numpy())

    def outside(self, x: Tensor) -> Tensor:
        """Return the number of points x, (m, D), as `Box`."""
        away = _distances(self._scaled(self._logarithms(x)), self._rows).amin(1)
        is_positive = ((x > 0) | ~self._is_log).all(1)
        return (away / self._unit).nan_to_num(nan=0, posinf=torch.inf).where(is_positive, torch.inf)

    def onto_rows(self, x: Tensor) -> Tensor:
        """Return points x, (m, D), moved along the directions in which the rows hardly vary, to where these are."""
        return x - (x - self._origin) @ self._along @ self._back

    def _logarithms(self, x: Tensor) -> Tensor:
        """Return points x, (m, D), with the logarithms of some inputs."""
        return torch.where(self._is_log, x.log(), x)

    def _scaled(self, x: Tensor) -> Tensor:
        """Return z; the value at which an input is constant is 0, any other is infinite."""
        step = x - self._origin
        scaled = (step * self._scale).nan_to_num(nan=0, posinf=torch.inf, neginf=-torch.inf)
        return torch.cat([scaled, step @ self._along], dim=1)


def _distances(x: Tensor, rows: Tensor) -> Tensor:
    """Return the distance of each point, (m, D), from each row, (n, D): (m, n), without loss of digits.

    SciPy's `KDTree` takes 0.3 s to import, a tenth of `runge predict`.
    """
    return torch.cdist(x, rows, compute_mode="donot_use_mm_for_euclid_dist")
