"""The errors of each output in rows that networks have not seen, and the bounds of their residuals."""

import math

import numpy as np

from runge.comparison.leaderboard import OutputError
from runge.configuration.validation import Floats
from runge.records.fits import LEVEL
from runge.sweeps.policies.best.known import Known

__all__ = ["LEAST_JUDGED", "errors_of", "rank", "sizes_of"]

LEAST_JUDGED = 5
"""The least number of labels of a channel."""


def errors_of(residuals: Floats, known: Known) -> list[OutputError]:
    """Return the errors of each output, given residuals, (n, P + P D), those of values first; NaN: not known.

    Channels with fewer than five labels are not judged.
    """
    residuals = np.where((~np.isnan(residuals)).sum(axis=0) < LEAST_JUDGED, np.nan, residuals)
    bounds = _bounds(residuals, known)
    figures = np.concatenate([known.channels.nrmse(residuals), bounds]).T.tolist()
    outputs = zip(known.rows.outputs, figures, strict=True)
    return [OutputError(y, *(x if math.isfinite(x) else None for x in numbers)) for y, numbers in outputs]


def _bounds(residuals: Floats, known: Known) -> Floats:
    """Return the bounds of 90 % of the residuals of the values and the derivatives of each output, (2, P).

    Of the n residuals of a channel, over its standard deviation, the bound is the k-th smallest in size,
    k = ceil(0.9 (n + 1)), so that the residual of another such row is within it with a probability of at least 0.9
    (split conformal prediction). That of several partial derivatives is the largest. It is infinite if there are too
    few rows, k > n, and NaN without any.

    Args:
        residuals: those in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        known: the table.

    References:
        J. Lei et al. (2018). Distribution-free predictive inference for regression. https://arxiv.org/abs/1604.04173
    """
    outputs, sizes = len(known.channels.value), known.channels.of_residuals
    bounds = np.full(len(sizes), np.nan)
    for channel, size in enumerate(sizes):
        errors = sizes_of(residuals, channel)
        k = rank(len(errors))
        if size and len(errors):
            bounds[channel] = size * errors[k - 1] if k <= len(errors) else math.inf
    return np.stack([bounds[:outputs], np.fmax.reduce(bounds[outputs:].reshape(outputs, -1), axis=1)])


def sizes_of(residuals: Floats, channel: int) -> Floats:
    """Return the sizes of the known residuals of a channel, the smallest first."""
    return np.sort(np.abs(residuals[~np.isnan(residuals[:, channel]), channel]))


def rank(n: int) -> int:
    """Return the rank k of the bound of 90 % among n residuals; there is none if k > n."""
    return math.ceil(LEVEL * (n + 1))
