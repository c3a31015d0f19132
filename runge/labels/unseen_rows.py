"""The bounds of residuals in rows that networks have not seen, and the uncertainty of the errors there."""

import math

import numpy as np
from numpy.typing import NDArray

from runge.configuration.validation import Floats
from runge.data.channels import Channels
from runge.data.fit_errors import rank

Integers = NDArray[np.integer]

__all__ = ["LEAST_GROUPS", "are_enough", "bounds_of", "count_groups", "factors_of"]

LEAST_GROUPS = 9
"""The least number of groups in which a channel must be known to be judged: a bound of 90 % needs as many. If no groups
are named, rows with different inputs are groups.
"""

_BLOCKS = 100
"""The most blocks of groups of the jackknife: a standard error of 100 of them has a relative error of 7 %."""

_CONFIDENCE = 0.9
"""The nominal confidence of the interval of an error."""

_JACKKNIFE_FACTOR, _NETWORK_DEVIATION = 1.75, 0.4
"""The factor of the jackknife's standard error, which is too small if few rows have most of the squared error; and the
standard deviation of the logarithm of the error of another network of the same kind. Chosen on 34 tables, with 20 s
each: of 61 errors, 21 were stated with an interval, of which 20 were in it, and one was above it.
"""

_LEAST_ROWS, _LEAST_GROUPS = 30, 10
"""The fewest rows, and the fewest groups of them, with which an error has an interval."""


def count_groups(residuals: Floats, groups: Integers) -> Integers:
    """Return in how many groups each channel is known, (P + P D,)."""
    return np.array([len(np.unique(groups[known])) for known in ~np.isnan(residuals).T])


def are_enough(residuals: Floats, groups: Integers) -> NDArray[np.bool_]:
    """Return whether the errors of each channel are known in enough rows for an interval, (P + P D,)."""
    return ((~np.isnan(residuals)).sum(axis=0) >= _LEAST_ROWS) & (count_groups(residuals, groups) >= _LEAST_GROUPS)


def factors_of(residuals: Floats, groups: Integers, channels: Channels) -> Floats:
    r"""Return the factors by which errors of values and derivatives may be larger or smaller, (2, P); NaN: not known.

    The logarithm of a factor is half the 90 % confidence interval of that of the error E. With the differences
    :math:`d_b` of the errors without block b of B blocks of groups from their mean it is

    .. math:: \sqrt{(1.75\, t_{0.95,\, \nu}\, s)^2 + (0.4\, t_{0.95,\, \infty})^2}, \quad
              s^2 = \frac{B - 1}{B E^2} \sum_b d_b^2, \quad
              \nu = \frac{2 B}{\kappa - 1}, \quad \kappa = B \frac{\sum_b d_b^4}{(\sum_b d_b^2)^2}

    The first term is the jackknife's, with the degrees of freedom of a variance of numbers with the kurtosis kappa, and
    a measured factor. The second one is measured between networks. Errors that are known in few rows or groups have no
    factor.

    Args:
        residuals: the residuals in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        groups: the group of each row, (n,).
        channels: the sizes of values and derivatives.

    References:
        B. Efron, C. Stein (1981). The jackknife estimate of variance. https://doi.org/10.1214/aos/1176345462
    """
    from scipy.stats import t  # late: it takes a while

    known = ~np.isnan(residuals)
    judged = known.any(axis=1)
    if not judged.any():
        return np.full((2, len(channels.value)), np.nan)
    block = np.unique(groups[judged], return_inverse=True)[1].ravel() % _BLOCKS
    blocks = int(block.max()) + 1
    squares, counts = np.zeros((2, blocks, residuals.shape[1]))
    np.add.at(squares, block, np.where(known, residuals, 0)[judged] ** 2)
    np.add.at(counts, block, known[judged])
    with np.errstate(invalid="ignore"):
        without = np.sqrt(np.maximum(squares.sum(axis=0) - squares, 0) / (counts.sum(axis=0) - counts))
    errors = np.array([channels.nrmse(row[None]) for row in without])
    squares = (errors - errors.mean(axis=0)) ** 2
    few, outputs = known.any(axis=0) & ~are_enough(residuals, groups), len(channels.value)
    too_few = np.stack([few[:outputs], few[outputs:].reshape(outputs, -1).any(axis=1)])
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        kurtosis = blocks * (squares**2).sum(axis=0) / squares.sum(axis=0) ** 2
        of_rows, of_networks = t.ppf(
            (1 + _CONFIDENCE) / 2, [2 * blocks / (kurtosis - 1), np.full((2, outputs), np.inf)]
        )
        error = np.sqrt((blocks - 1) / blocks * squares.sum(axis=0)) / channels.nrmse(residuals)
        width = np.hypot(_JACKKNIFE_FACTOR * of_rows * error, _NETWORK_DEVIATION * of_networks)
        return np.where(too_few, np.nan, np.exp(width))


def bounds_of(residuals: Floats, groups: Integers, channels: Channels, level: float) -> Floats:
    """Return the bounds of the share `level` of the residuals of the values and derivatives of each output, (2, P).

    Of the n residuals of a channel in G groups, over its standard deviation, the bound is the k-th smallest in size,
    k = ceil(level (G + 1) n / G). If each row is a group, at least the share `level` of n + 1 residuals is within it.
    This share is guaranteed in no new rows, because the rows may have chosen the networks, and the answer is another
    one. The bound of several partial derivatives is the largest. It is infinite if there are too few groups, k > n, and
    NaN without any. The other arguments are as for `factors_of`.
    """
    outputs, sizes = len(channels.value), channels.of_residuals
    counts = count_groups(residuals, groups)
    bounds = np.full(len(sizes), np.nan)
    for channel, size in enumerate(sizes):
        errors = np.sort(np.abs(residuals[~np.isnan(residuals[:, channel]), channel]))
        if size and len(errors):
            k = rank(len(errors), int(counts[channel]), level)
            bounds[channel] = size * errors[k - 1] if k <= len(errors) else math.inf
    return np.stack([bounds[:outputs], np.fmax.reduce(bounds[outputs:].reshape(outputs, -1), axis=1)])
