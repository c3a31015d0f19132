r"""Find labels that networks do not predict, although they predict the other labels of the row.

The residuals e of column c at rows that the networks were trained without are compared with their robust deviation,

.. math:: z_{ic} = |e_{ic}| / s_c, \quad s_c = 1.4826\, median_i |e_{ic} - median_j\, e_{jc}|,

which a few wrong labels hardly change. A residual is large where a label is wrong, but also where the function is hard
to learn, as at a kink, a front or a corner. There other labels of the row have large residuals too, or the nearest rows
have similar labels, or rows that are near in one input have large residuals too, as at the end of its range. A wrong
label leaves the other residuals small, because the networks were trained without it.

References:
    F. Hampel (1974). The influence curve and its role in robust estimation.
    https://doi.org/10.1080/01621459.1974.10482962
    C. Leys et al. (2013). Detecting outliers: do not use standard deviation around the mean, use absolute deviation
    around the median. https://doi.org/10.1016/j.jesp.2013.03.013
"""

import warnings
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree
from scipy.stats import median_abs_deviation

from runge.configuration.validation import Floats

__all__ = ["Outlier", "outliers"]

# The next four were chosen with 18 tables with a wrong label and 37 without: 17 of the 18 are right, and one of the 37
# names a label, in the only row at a spike. Of other functions, 60 to 150 rows each, 29 of 30 wrong labels are named,
# and no label in 20 sound tables.

_LEAST_DEVIATIONS = 12.0
"""The least z, also relative to the others of the row. With 8, right labels are named in two more of these tables."""

_LEAST_SIZE = 0.25
"""The least size of a residual, in standard deviations of the labels."""

_LEAST_BEYOND = 0.05
"""The least share of a residual by which its label is beyond those of the nearest rows."""

_NEAREST_ROWS = 6
"""The number of these rows."""

_SIMILAR_SHARE, _MOST_SIMILAR = 1 / 6, 1
"""The share of a residual that counts as similar, and the most nearest rows in one input with similar residuals.

They were chosen with the borehole function, a derivative of which is large at one end of the range of an input: up to
13 exact labels of 939 rows were named, now none. Of 60 wrong labels in tables of 80 to 150 rows, 52 are named instead
of 54: networks that have seen a wrong label are also wrong near it.
"""

_MOST_UNEXPLAINED = 0.1
"""The largest root mean square of the other residuals of a column, in standard deviations of their labels.

The networks then explain at least 99 % of the variance. Where they do not, a residual is no evidence on a label: a fit
with an error of 0.57 accused nine right labels at the steep end of an input.
"""

_NORMAL_DEVIATION = 1 / 1.4826
"""The median absolute deviation of a normal distribution, in standard deviations."""

_MOST_RESIDUALS = 100
"""The most residuals that are tested: in many dimensions the nearest rows of one take up to a tenth of a second."""

_LEAST_LABELS = 5
"""The least known labels of a column, by which its robust deviation means something."""

_LEAST_SLOPE = 0.01
"""The least size of a derivative, relative to the values: others are round-off."""


class Outlier(NamedTuple):
    """A label that may be wrong: its row, its column, and its residual in robust deviations of the column."""

    row: int
    column: int
    deviations: float


def outliers(residuals: Floats, x: Floats, y: Floats, dydx: Floats) -> list[Outlier]:
    """Find labels that may be wrong, the largest residual in robust deviations first.

    The residual of such a label is more than 12 robust deviations, and more than a quarter of the standard deviation of
    the labels. In robust deviations, it is more than 12 times as large as each other residual of its row, in which some
    other label must be known. The label is larger, or smaller, than all labels of the column in the six nearest rows,
    by at least a twentieth of the residual. In each input, at most one of the six nearest rows has a residual in the
    column that is more than a sixth of it. Without all labels with such residuals, the networks explain 99 %
    of the variance of the column. The hundred largest residuals are looked at.

    Args:
        residuals: the errors at rows that the networks were trained without, (n, P + P D), those of values first; NaN:
            the label is not known.
        x: the inputs, (n, D).
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    n, spread = len(x), x.std(axis=0)
    unit = np.where(spread > 0, spread, 1)
    labels, is_known = np.c_[y, dydx.reshape(n, -1)], ~np.isnan(residuals)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any label
        robust = np.nan_to_num(median_abs_deviation(residuals, axis=0, scale=_NORMAL_DEVIATION, nan_policy="omit"))
    size = np.where(is_known.sum(axis=0) < _LEAST_LABELS, 0, np.abs(np.nan_to_num(residuals)))
    # Most residuals of a column may be equal, as those of a network with relu: the robust deviation is then 0.
    round_off = np.finfo(float).eps * size.max(axis=0) + np.finfo(float).tiny
    deviations = size / np.maximum(robust, round_off)
    large = (deviations > _LEAST_DEVIATIONS) & (size > _LEAST_SIZE * _scale(labels, y.shape[1], unit))
    usual = is_known & ~large
    unexplained = np.sqrt((size**2 * usual).sum(axis=0) / np.maximum(usual.sum(axis=0), 1))
    large &= unexplained <= _MOST_UNEXPLAINED * _scale(np.where(large, np.nan, labels), y.shape[1], unit)
    suspects, tree = list[Outlier](), KDTree(x / unit) if large.any() else None
    in_order = cache(lambda column: _in_order_of_inputs(x, is_known[:, column]))
    order = np.argsort(-deviations[large], kind="stable")[:_MOST_RESIDUALS]
    for row, column in np.argwhere(large)[order].tolist():
        of_row = np.delete(deviations[row], column)[np.delete(is_known[row], column)]
        if tree is None or not len(of_row) or deviations[row, column] <= _LEAST_DEVIATIONS * of_row.max():
            continue
        around = size[_near_in_one_input(in_order(column), row), column]  # with the row itself
        if (around > _SIMILAR_SHARE * size[row, column]).sum(axis=0).max() > 1 + _MOST_SIMILAR:
            continue
        near = np.reshape(tree.query(x[row] / unit, min(1 + _NEAREST_ROWS, n))[1], -1)
        near = near[(near != row) & ~np.isnan(labels[near, column])]
        if len(near):
            low, high = labels[near, column].min(), labels[near, column].max()
            if max(low - labels[row, column], labels[row, column] - high) > _LEAST_BEYOND * size[row, column]:
                suspects.append(Outlier(row, column, float(deviations[row, column])))
    return suspects


def _in_order_of_inputs(x: Floats, which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return some of the rows in the order of each input, (m, D)."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(x[rows], axis=0, kind="stable")]


def _near_in_one_input(in_order: NDArray[np.int64], row: int) -> NDArray[np.int64]:
    """Return a row and the six nearest ones in the order of each input, (7, D); fewer if there are fewer."""
    first = (in_order == row).argmax(axis=0) - _NEAREST_ROWS // 2
    first = first.clip(0, max(0, len(in_order) - 1 - _NEAREST_ROWS))
    return np.take_along_axis(in_order, first + np.arange(min(1 + _NEAREST_ROWS, len(in_order)))[:, None], axis=0)


def _scale(labels: Floats, outputs: int, unit: Floats) -> Floats:
    """Return the standard deviation of each column, (P + P D,), those of slopes not smaller than round-off allows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any label
        deviation = np.nan_to_num(np.nanstd(labels, axis=0))
    least = _LEAST_SLOPE * deviation[:outputs, None] / unit
    return np.r_[deviation[:outputs], np.maximum(deviation[outputs:], least.ravel())]
