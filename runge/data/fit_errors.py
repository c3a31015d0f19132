"""The record of how good a fit is in some rows: its errors in each column of values and derivatives."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from runge.configuration.validation import Floats

__all__ = ["FitErrors", "rank"]


class FitErrors(NamedTuple):
    r"""The errors of a fit in C columns of labels, each (C,), over the rows in which the label is known.

    With e = u - f in a column of values or of partial derivatives, whose standard deviation is s,

    .. math:: rmse = \sqrt{\overline{e^2}}, \quad nrmse = rmse / s.

    These are the formulas of `runge.sobolev.accuracy`, which computes `metrics.json` with torch for stacks of networks.

    Attributes:
        labels: the number of known labels.
        rmse: the root mean squared error, in the unit of the label; NaN (here and below): no label is known.
        nrmse: the relative error, without a unit; also NaN: no standard deviation is given.

    Example:
        >>> FitErrors.of(np.array([[3.0], [-4.0], [np.nan]]), 5.0)
        FitErrors(labels=array([2]), rmse=array([3.53553391]), nrmse=array([0.70710678]))
    """

    labels: NDArray[np.int64]
    rmse: Floats
    nrmse: Floats

    @classmethod
    def of(cls, residuals: Floats, deviations: ArrayLike = np.nan) -> "FitErrors":
        """Return the errors, given residuals, (n, C), and standard deviations, (C,); NaN: not known."""
        is_known = ~np.isnan(residuals)
        labels, errors = is_known.sum(axis=0), np.where(is_known, residuals, 0)
        with np.errstate(all="ignore"):
            rmse = np.sqrt(np.where(labels > 0, (errors**2).sum(axis=0) / labels, np.nan))
            return cls(labels, rmse, rmse / np.asarray(deviations))


def rank(n: int, groups: int, level: float) -> int:
    """Return the rank k = ceil(level (G + 1) n / G) of a bound among n residuals in G groups; k > n: there is none."""
    return math.ceil(round(level * (n + n / groups), 9)) if n else 1
