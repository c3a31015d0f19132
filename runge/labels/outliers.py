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

_TIMES, _SIZE, _BEYOND, _NEAREST = 12.0, 0.25, 0.05, 6
"""The least z, also relative to the others of the row; the least size of a residual, relative to the labels; and the
share of it by which a label is beyond those of the nearest rows, and the number of these rows.

They were chosen with 18 tables with a wrong label and 37 without: 17 of the 18 are right, and one of the 37 names a
label, in the only row at a spike. With 8 instead of 12, right labels are named in two more of these tables. Of other
functions, 60 to 150 rows each, 29 of 30 wrong labels are named, and no label in 20 sound tables.
"""

_HARD, _FEW = 1 / 6, 1
"""The share of a residual that at most so many of the nearest rows in one input may have. Chosen with the borehole
function, a derivative of which is large at one end of the range of an input: up to 13 exact labels of 939 rows were
named, now none. Of 60 wrong labels in tables of 80 to 150 rows, 52 are named instead of 54: networks that have seen a
wrong label are also wrong near it.
"""

_EXPLAINED = 0.5
"""The largest root mean square of the other residuals of a column, over the standard deviation of their labels: the
networks explain at least 1 - 0.5^2 = 3/4 of the variance. Where they do not, a residual is no evidence on a label.
"""

_NORMAL = 1 / 1.4826  # the median absolute deviation of a normal distribution, in standard deviations
_MOST = 100  # residuals that are looked at: in many dimensions the nearest rows of one take up to a tenth of a second
_FEWEST = 5  # known labels of a column, by which its robust deviation means something
_MATTERS = 0.01  # the least size of a derivative, relative to the values: others are round-off


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
    column that is more than a sixth of it. Without all labels with such residuals, the networks explain three quarters
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
        robust = np.nan_to_num(median_abs_deviation(residuals, axis=0, scale=_NORMAL, nan_policy="omit"))
    size = np.where(is_known.sum(axis=0) < _FEWEST, 0, np.abs(np.nan_to_num(residuals)))
    # Most residuals of a column may be equal, as those of a network with relu: the robust deviation is then 0.
    round_off = np.finfo(float).eps * size.max(axis=0) + np.finfo(float).tiny
    deviations = size / np.maximum(robust, round_off)
    large = (deviations > _TIMES) & (size > _SIZE * _scale(labels, y.shape[1], unit))
    usual = is_known & ~large
    unexplained = np.sqrt((size**2 * usual).sum(axis=0) / np.maximum(usual.sum(axis=0), 1))
    large &= unexplained <= _EXPLAINED * _scale(np.where(large, np.nan, labels), y.shape[1], unit)
    suspects, tree = list[Outlier](), KDTree(x / unit) if large.any() else None
    in_order = cache(lambda column: _in_order_of_inputs(x, is_known[:, column]))
    order = np.argsort(-deviations[large], kind="stable")[:_MOST]
    for row, column in np.argwhere(large)[order].tolist():
        of_row = np.delete(deviations[row], column)[np.delete(is_known[row], column)]
        if tree is None or not len(of_row) or deviations[row, column] <= _TIMES * of_row.max():
            continue
        around = size[_near_in_one_input(in_order(column), row), column]  # with the row itself
        if (around > _HARD * size[row, column]).sum(axis=0).max() > 1 + _FEW:
            continue
        near = np.reshape(tree.query(x[row] / unit, min(1 + _NEAREST, n))[1], -1)
        near = near[(near != row) & ~np.isnan(labels[near, column])]
        if len(near):
            low, high = labels[near, column].min(), labels[near, column].max()
            if max(low - labels[row, column], labels[row, column] - high) > _BEYOND * size[row, column]:
                suspects.append(Outlier(row, column, float(deviations[row, column])))
    return suspects


def _in_order_of_inputs(x: Floats, which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return some of the rows in the order of each input, (m, D)."""
    rows = np.flatnonzero(which)
    return rows[np.argsort(x[rows], axis=0, kind="stable")]


def _near_in_one_input(in_order: NDArray[np.int64], row: int) -> NDArray[np.int64]:
    """Return a row and the six nearest ones in the order of each input, (7, D); fewer if there are fewer."""
    first = (in_order == row).argmax(axis=0) - _NEAREST // 2
    first = first.clip(0, max(0, len(in_order) - 1 - _NEAREST))
    return np.take_along_axis(in_order, first + np.arange(min(1 + _NEAREST, len(in_order)))[:, None], axis=0)


def _scale(labels: Floats, outputs: int, unit: Floats) -> Floats:
    """Return the standard deviation of each column, (P + P D,), those of slopes not smaller than round-off allows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any label
        deviation = np.nan_to_num(np.nanstd(labels, axis=0))
    least = _MATTERS * deviation[:outputs, None] / unit
    return np.r_[deviation[:outputs], np.maximum(deviation[outputs:], least.ravel())]
