r"""Find single labels that do not agree with those of the rows near them: outliers, and rows with the same inputs.

A row is predicted from the values and the derivatives of the rows near it, by the quadratic polynomial that fits these
best. What is left, relative to its median over all rows, is large for an outlier, but also where the function changes
quickly. There it is large for the other labels of the same row and for the rows around it, too, whose sizes an outlier
has to exceed.
"""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from runge.trust.pairs import LEAST_ROWS, Integers, Place
from runge.validation import Floats

__all__ = ["Cell", "check_cells"]


_NEAR = 12
_OUTLIER, _GAP, _LEAVES = 12.0, 2.0, 0.75
"""How far an outlier exceeds what is around it, and what is no outlier; the most that the right label leaves.

Of 320 tables of twenty smooth, steep and noisy functions without outliers, none had one.
"""

_SUSPECT, _MOST = 4.0, 5
"""From where on a label has no part in the second prediction, and the number of such labels of an output."""

_LEAST, _MATTERS = 3e-3, 0.1
"""The least usual error, relative to the size of a column; and the least size of a column, relative to the values."""
_SAME = 10.0  # how far labels at the same inputs differ, in the median errors of the predictions
_ENDS = 0.03  # the share of rows at either end of an input whose derivative by it may be any
_CHUNK = 10_000_000  # numbers in memory at a time
_WORK, _MOST_WORK = 2e10, 2e11  # operations, of some seconds: of more rows a sample is tested, or none
_RIDGE, _TINY = 1e-9, float(np.finfo(float).tiny)
_EQUATIONS = 1.3  # for each coefficient of a polynomial: with fewer a row is not predicted


class Cell(NamedTuple):
    """A label that contradicts those around it.

    Attributes:
        place: its column.
        row: its row.
        label: its value.
        expected: what the rows near it suggest; for the same inputs the label of `twin`.
        excess: the difference, relative to the usual one.
        twin: an earlier row with the same inputs; None: the label is an outlier.
    """

    place: Place
    row: int
    label: float
    expected: float
    excess: float
    twin: int | None = None


class Cells(NamedTuple):
    """The labels that were found, and the number of rows that were tested."""

    found: list[Cell]
    tested: int


def check_cells(x: Floats, y: Floats, dydx: Floats) -> Cells:
    """Find labels that contradict those of the rows near them, unless there are too few rows or too many inputs.

    Args:
        x: the inputs, (n, D).
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
    """
    (n, dimension), found = x.shape, list[Cell]()
    if n < LEAST_ROWS:
        return Cells([], 0)
    neighbours, coefficients = min(max(_NEAR, dimension + 2), n - 1), (dimension + 1) * (dimension + 2) // 2
    work = 2 * neighbours * (1 + dimension) * coefficients**2 * y.shape[1]
    if work * LEAST_ROWS > _MOST_WORK:  # from 51 inputs on; with 300 a polynomial needs 30 GiB
        return Cells([], 0)
    rows = np.arange(n)
    if n > (most := max(int(_WORK / work), LEAST_ROWS)):
        rows = np.sort(np.random.default_rng(0).choice(n, most, replace=False))
    spread = x.std(0)
    unit = np.where(spread > 0, spread, 1)
    z, scale = x / unit, np.r_[1, unit]
    near = _neighbours(z, rows, neighbours)
    for p in range(y.shape[1]):
        labels = np.c_[y[:, p], dydx[:, p]] * scale
        error, usual, outliers = _errors(z, labels, rows, near)
        same = list(_twins(x, labels, usual))
        pairs = {row for row, _, twin in same for row in (row, twin)}
        for i, k, excess in outliers:
            row, expected = int(rows[i]), float(labels[rows[i], k] - error[i, k])
            if row not in pairs and _explains(z, labels, row, near[i], k, expected):
                found.append(Cell(_place(p, k), row, float(labels[row, k] / scale[k]), expected / scale[k], excess))
        for row, k, twin in same:
            label, expected = labels[[row, twin], k] / scale[k]
            excess = abs(labels[row, k] - labels[twin, k]) / usual[k]
            found.append(Cell(_place(p, k), row, float(label), float(expected), float(excess), twin))
    return Cells(found, len(rows))


def _place(p: int, k: int) -> Place:
    return p, k - 1 if k else None


def _neighbours(z: Floats, rows: Integers, count: int) -> Integers:
    """Return the rows near each of some rows, itself excepted, (m, K)."""
    near = np.asarray(KDTree(z).query(z[rows], count + 1)[1])
    own = near == rows[:, None]
    own[~own.any(1), -1] = True  # among many rows with the same inputs
    return near[~own].reshape(len(rows), count)


def _errors(z: Floats, labels: Floats, rows: Integers, near: Integers) -> tuple[Floats, Floats, list[Any]]:
    """Return the errors of the predictions, (m, 1 + D), the usual ones, (1 + D,), and the outliers, as (i, k, excess).

    What is suspect has no part in the second prediction of the rows around it.
    """
    used, number = ~np.isnan(labels), np.full(len(z), -1)
    number[rows] = np.arange(len(rows))
    low, high = np.quantile(z, [_ENDS, 1 - _ENDS], axis=0)
    judged = np.c_[np.ones(len(rows), bool), (z[rows] >= low) & (z[rows] <= high)]
    error = labels[rows] - _predicted(rows, near, z, labels, used)
    usual, excess = _excess(error, labels, number[near])
    suspects = np.argwhere(excess > _SUSPECT)
    suspects = suspects[np.argsort(-excess[tuple(suspects.T)])][:_MOST]
    used[rows[suspects[:, 0]], suspects[:, 1]] = False
    again = np.flatnonzero((~used & ~np.isnan(labels))[near].any((1, 2)))
    if len(again):
        error[again] = labels[rows[again]] - _predicted(rows[again], near[again], z, labels, used)
        usual, excess = _excess(error, labels, number[near])
    excess = excess * judged
    largest = excess.max(1)
    order = np.argsort(-largest)
    sizes = largest[order[: _MOST + 1]]
    apart = [j for j in range(1, len(sizes)) if sizes[j - 1] > max(_OUTLIER, _GAP * sizes[j])]
    outliers = order[: max(apart, default=0)]
    return error, usual, [(i, int(excess[i].argmax()), float(largest[i])) for i in outliers.tolist()]


def _explains(z: Floats, labels: Floats, row: int, near: Integers, k: int, expected: float) -> bool:
    """Return whether an expected label leaves less of the differences of values to near rows than the label does.

    Without derivatives it does not.
    """
    step = z[near] - z[row]
    other = labels[row].copy()
    other[k] = expected
    label, new = (
        labels[near, 0] - one[0] - ((labels[near, 1:] + one[1:]) / 2 * step).sum(1) for one in (labels[row], other)
    )
    return bool(np.nansum(np.abs(new)) < _LEAVES * np.nansum(np.abs(label)))


def _excess(error: Floats, labels: Floats, around: Integers) -> tuple[Floats, Floats]:
    """Return the usual size of errors, (1 + D,), and how far each exceeds what is usual around it, (m, 1 + D).

    Args:
        error: the errors, (m, 1 + D); NaN: not known.
        labels: the labels, (n, 1 + D), whose sizes are the standard deviation of values and the mean slopes.
        around: the numbers, among the errors, of the rows near each, (m, K); -1: not among them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any label
        whole = np.nanstd(labels[:, 0])
        size = np.maximum(np.r_[whole, np.sqrt(np.nanmean(labels[:, 1:] ** 2, axis=0))], _MATTERS * whole)
        usual = np.nan_to_num(np.nanmedian(np.abs(error), axis=0) + _LEAST * size) + _TINY
        relative = np.abs(error) / usual
        near = np.where((around >= 0)[:, :, None], relative[around], np.nan)
        local = np.nan_to_num(np.nanmedian(near, axis=1))
    relative = np.nan_to_num(relative)
    first, second = np.sort(relative, axis=1)[:, [-1, -2]].T[:, :, None]
    others = np.where(relative == first, second, first)
    return usual, relative / np.maximum(1, np.maximum(local, others))


def _twins(x: Floats, labels: Floats, usual: Floats) -> Iterator[tuple[int, int, int]]:
    """Yield each row with the inputs of an earlier one but another label: its number, the label and the earlier row.

    The earlier row is the first one in which that label is known.
    """
    group = np.unique(x, axis=0, return_inverse=True)[1].ravel()
    first = np.full((group.max() + 1, labels.shape[1]), len(x) - 1)
    np.minimum.at(first, group, np.where(np.isnan(labels), len(x) - 1, np.arange(len(x))[:, None]))
    twin = first[group]
    differs = np.abs(labels - np.take_along_axis(labels, twin, axis=0)) > _SAME * usual
    yield from ((int(row), int(k), int(twin[row, k])) for row, k in np.argwhere(differs))


def _predicted(rows: Integers, near: Integers, z: Floats, labels: Floats, used: NDArray[np.bool_]) -> Floats:
    """Predict the values and derivatives of some rows by a polynomial around each, (m, 1 + D); NaN: it is not known.

    Args:
        rows: the numbers of the rows, (m,).
        near: the rows near each, (m, K).
        z: the inputs, (n, D).
        labels: values, and derivatives by z, (n, 1 + D).
        used: those that have a part in the prediction of other rows, (n, 1 + D).
    """
    dimension = z.shape[1]
    i, j = np.triu_indices(dimension)
    size = 1 + dimension + len(i)
    chunk = max(1, _CHUNK // (near.shape[1] * (1 + dimension) * size))
    if len(rows) > chunk:
        parts = [slice(start, start + chunk) for start in range(0, len(rows), chunk)]
        return np.concatenate([_predicted(rows[part], near[part], z, labels, used) for part in parts])
    step = z[near] - z[rows][:, None]
    distance = np.linalg.norm(step, axis=2)
    reach = distance.max(1)[:, None, None] + _TINY
    step, known = step / reach, used[near]
    matrix = np.zeros((*near.shape, 1 + dimension, size))
    matrix[..., 0, 0] = 1
    matrix[..., 0, 1 : 1 + dimension] = step
    matrix[..., 0, 1 + dimension :] = step[..., i] * step[..., j] * np.where(i == j, 0.5, 1)
    for d in range(dimension):
        matrix[..., 1 + d, 1 + d] = 1
        matrix[..., 1 + d, 1 + dimension :] = (i == d) * step[..., j] + ((j == d) & (i != j)) * step[..., i]
    weight = known / (0.1 + distance[..., None] / reach)
    unit = np.concatenate([np.ones_like(reach), np.repeat(reach, dimension, axis=2)], axis=2)
    right = np.where(known, labels[near], 0) * unit * weight
    matrix = (matrix * weight[..., None]).reshape(len(rows), -1, size)
    normal = matrix.transpose(0, 2, 1) @ matrix
    normal += (_RIDGE * np.trace(normal, axis1=1, axis2=2)[:, None, None] / size + _TINY) * np.eye(size)
    found = np.linalg.solve(normal, matrix.transpose(0, 2, 1) @ right.reshape(len(rows), -1, 1))[:, : 1 + dimension, 0]
    return np.where(known.sum((1, 2))[:, None] < _EQUATIONS * size, np.nan, found / unit[:, 0])
