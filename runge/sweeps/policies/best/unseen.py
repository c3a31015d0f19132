"""The errors of each output in rows that networks have not seen, and the bounds of their residuals."""

import math

import numpy as np
from numpy.typing import NDArray

from runge.configuration.validation import Floats
from runge.data.channels import Channels
from runge.records.fits import LEVEL
from runge.records.leaderboard import OutputError
from runge.sweeps.policies.best.search_table import SearchTable

Integers = NDArray[np.integer]

__all__ = ["LEAST_JUDGED", "count_groups", "errors_of", "rank", "sizes_of"]

LEAST_JUDGED = 9
"""The least number of groups in which a channel is known, which is that of a bound of 90 %.

Rows with different inputs are groups, if none are named.
"""

_BLOCKS = 100  # of groups: a standard error of 100 of them has a relative error of 7 %
_CONFIDENCE = 0.95


def errors_of(residuals: Floats, groups: Integers, table: SearchTable) -> list[OutputError]:
    """Return the errors of each output; channels that are known in fewer than nine groups are not judged.

    Args:
        residuals: those in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        groups: the group of each row, (n,).
        table: the table.
    """
    residuals = np.where(count_groups(residuals, groups) < LEAST_JUDGED, np.nan, residuals)
    errors, factors = table.channels.nrmse(residuals), _factors(residuals, groups, table.channels)
    figures = np.concatenate([errors, _bounds(residuals, groups, table), factors]).T.tolist()
    outputs = zip(table.rows.outputs, figures, strict=True)
    return [OutputError(y, *(x if math.isfinite(x) else None for x in numbers)) for y, numbers in outputs]


def count_groups(residuals: Floats, groups: Integers) -> Integers:
    """Return in how many groups each channel is known, (P + P D,)."""
    return np.array([len(np.unique(groups[known])) for known in ~np.isnan(residuals).T])


def _factors(residuals: Floats, groups: Integers, channels: Channels) -> Floats:
    r"""Return the factors by which errors of values and derivatives may be larger or smaller, (2, P); NaN: not known.

    The logarithm of a factor is half the 95 % confidence interval of that of the error E. With the errors
    :math:`E_{(b)}` without block b of B blocks of groups it is

    .. math:: \frac{t_{0.975,\, B - 1}}{E}
              \sqrt{\tfrac{B - 1}{B} \textstyle\sum_b (E_{(b)} - \overline{E_{(\cdot)}})^2}

    (the jackknife). The arguments are those of `errors_of`.

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
    variance = (blocks - 1) / blocks * ((errors - errors.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return np.exp(t.ppf((1 + _CONFIDENCE) / 2, blocks - 1) * np.sqrt(variance) / channels.nrmse(residuals))


def _bounds(residuals: Floats, groups: Integers, table: SearchTable) -> Floats:
    """Return the bounds of 90 % of the residuals of the values and the derivatives of each output, (2, P).

    Of the n residuals of a channel in G groups, over its standard deviation, the bound is the k-th smallest in size,
    k = ceil(0.9 (G + 1) n / G). If each row is a group, k = ceil(0.9 (n + 1)), so that the residual of another such row
    is within it with a probability of at least 0.9 (split conformal prediction). If groups have several rows, this
    holds about, for the rows of another group (pooled distributions). The bound of several partial derivatives is the
    largest. It is infinite if there are too few groups, k > n, and NaN without any.

    References:
        J. Lei et al. (2018). Distribution-free predictive inference for regression. https://arxiv.org/abs/1604.04173
        R. Dunn et al. (2022). Distribution-free prediction sets for two-layer hierarchical models.
        https://arxiv.org/abs/1809.07441
    """
    outputs, sizes = len(table.channels.value), table.channels.of_residuals
    counts = count_groups(residuals, groups)
    bounds = np.full(len(sizes), np.nan)
    for channel, size in enumerate(sizes):
        errors = sizes_of(residuals, channel)
        if size and len(errors):
            k = rank(len(errors), int(counts[channel]))
            bounds[channel] = size * errors[k - 1] if k <= len(errors) else math.inf
    return np.stack([bounds[:outputs], np.fmax.reduce(bounds[outputs:].reshape(outputs, -1), axis=1)])


def sizes_of(residuals: Floats, channel: int) -> Floats:
    """Return the sizes of the known residuals of a channel, the smallest first."""
    return np.sort(np.abs(residuals[~np.isnan(residuals[:, channel]), channel]))


def rank(n: int, groups: int) -> int:
    """Return the rank k of the bound of 90 % among n residuals in some groups; there is none if k > n."""
    return math.ceil(LEVEL * (n * (groups + 1) / groups))
