"""Columns of derivatives that contradict the values, by networks that were fitted to only the values."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from runge.data.column_roles import column_names, listed
from runge.data.rows import Rows
from runge.labels.unseen_rows import LEAST_GROUPS, count_groups
from runge.search.constants import MOST_SCATTER
from runge.search.results import Result

__all__ = ["WrongFactor", "describe_contradiction", "wrong_factors"]


class WrongFactor(NamedTuple):
    """A column of derivatives, its factor over the derivative of a fit of only the values, and the standard error."""

    output: int
    input: int
    factor: float
    error: float


def wrong_factors(results: Sequence[Result], rows: Rows) -> list[WrongFactor]:
    r"""Return the columns of derivatives that are a multiple of the derivative of a fit of only the values.

    With n labels g, and the derivatives u' of the fit, the factor c and its standard error s are those of a regression
    through the origin,

    .. math:: c = \frac{\sum u' g}{\sum u'^2}, \quad s = \frac{\sigma}{\sqrt{\sum u'^2}}, \quad
              \sigma^2 = \frac{1}{n - 1} \sum (g - c u')^2.

    Sigma is at least the error of the values over the standard deviation of the input: so large are the errors of
    derivatives that hardly matter. If it is less than a tenth of the root mean square of c u', the fit knows the
    factor. If it is also less than a third of that of (c - 1) u', the labels are wrong: neither their noise nor an
    error of the fit causes this.

    Args:
        results: the networks of the fit, each with its errors in other rows that it has not seen.
        rows: the rows of the table.
    """
    places = np.concatenate([x.left_out[x.validated] for x in results])
    errors = np.concatenate([x.residuals[x.validated] for x in results])
    values, errors = np.split(errors, [len(rows.outputs)], axis=1)
    values, labels = values + 0 * rows.y[places], rows.dydx[places].reshape(len(places), -1)
    known = ~np.isnan(labels)
    labels = np.where(known, labels, 0)
    fitted, count = np.where(known, labels + errors, 0), known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        size = np.linalg.norm(fitted, axis=0)
        factor = (fitted * labels).sum(axis=0) / size**2
        least = np.sqrt(np.nansum(values**2, axis=0) / (~np.isnan(values)).sum(axis=0))[:, None] / rows.x.std(axis=0)
        sigma = np.linalg.norm(labels - factor * fitted, axis=0) / np.sqrt(count - 1)
        error = np.maximum(sigma, least.ravel()) / size
        wrong = error * np.sqrt(count) < np.minimum(MOST_SCATTER * np.abs(factor), np.abs(factor - 1) / 3)
    wrong &= count_groups(np.where(known, errors, np.nan), rows.groups[places]) >= LEAST_GROUPS
    return [
        WrongFactor(*divmod(column, len(rows.inputs)), float(factor[column]), float(error[column]))
        for column in np.flatnonzero(wrong).tolist()
    ]


def describe_contradiction(wrong: Sequence[WrongFactor], rows: Rows) -> str:
    """Return sentences on wrong columns, and on what follows for the answer; empty: there are none."""
    if not wrong:
        return ""
    factors = list[str]()
    for column in wrong:
        name = column_names(rows.inputs, rows.outputs, 1)[column.output][column.input]
        error = max(column.error, 1e-3 * abs(column.factor))  # as many digits as are shown
        factors.append(f"{name} is {column.factor:#.4g} +- {error:.1g}")
    which = f"Derivatives contradict the values: {listed(factors, last=' and ')} times the derivative of a fit of only"
    return f"{which} the values. The answer is such a fit, and no error against these labels is stated."
