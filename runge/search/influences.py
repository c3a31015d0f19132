"""The sensitivity of the answer of a search to its inputs, and what to be careful of."""

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runge.data.column_roles import listed
from runge.data.rows import Rows
from runge.function.sensitivity import measure, measure_function, row_indices, total_indices, unevenness
from runge.records.leaderboard import Influence, Sensitivity
from runge.search.constants import (
    CORRELATED,
    CORRELATED_BY_CHANCE,
    SENSITIVITY_ACTIVATIONS,
    UNEVEN,
    UNEVEN_BY_CHANCE,
)

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["sensitivity_of"]


def sensitivity_of(function: "Function", rows: Rows) -> Sensitivity:
    """Return the sensitivity of a function to its inputs, in the box of some rows and over them, and of the labels."""
    box = np.stack([rows.x.min(axis=0), rows.x.max(axis=0)], axis=1)
    # The activations take most of the time: at n (D + 2) points, and with D tangents at n, in the box and at rows.
    neurons = sum(network.members * sum(n for _, n in network.shapes) for network in function.networks)
    # SciPy has the numbers of all points at once, D^2 for each of n.
    most = max(1, neurons * (3 * len(box) + 4), len(box) ** 2)
    n = 2 ** min(max(int(math.log2(SENSITIVITY_ACTIVATIONS / most)), 4), 12)
    fit, labels = measure_function(function, box, n), measure(rows.y, rows.dydx, box)
    x = np.random.default_rng(0).permutation(rows.x)[:n]
    u, du = function.value_and_derivative(x)
    u, du = u.reshape(len(x), -1), du.reshape(len(x), -1, len(box))
    at_rows = measure(u, du, box)
    of_fit = total_indices(function, box, n), fit.bound, fit.nu, fit.mean, fit.rising
    of_labels = labels.bound, labels.bound_error, labels.nu, labels.mean, labels.mean_error
    figures = np.stack([*of_fit, *of_labels, row_indices(u, du, x), at_rows.mean, at_rows.rising], axis=-1)
    influences = [
        Influence(y, x, *(float(figure) if math.isfinite(figure) else None for figure in figures[p, d]))
        for (p, y), (d, x) in product(enumerate(rows.outputs), enumerate(rows.inputs))
    ]
    return Sensitivity(influences, n, _cautions(rows, box))


def _cautions(rows: Rows, box: NDArray[np.float64]) -> list[str]:
    """Return sentences on inputs that are correlated, or not uniform in the box."""
    root = math.sqrt(len(rows.x))
    correlation, cautions = np.triu(np.atleast_2d(np.corrcoef(rows.x, rowvar=False)), 1), list[str]()
    i, j = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    if abs(correlation[i, j]) > max(CORRELATED, CORRELATED_BY_CHANCE / root):
        pair = f"{rows.inputs[i]} and {rows.inputs[j]} are correlated in the rows ({correlation[i, j]:.2f})"
        cautions.append(f"{pair}, but the total index and the bounds are those of independent inputs.")
    limit, distances = max(UNEVEN, UNEVEN_BY_CHANCE / root), unevenness(rows.x, box)
    if uneven := [name for name, distance in zip(rows.inputs, distances, strict=True) if distance > limit]:
        where = f"The rows are not spread evenly along {listed(uneven)}"
        cautions.append(f"{where}: a bound from the labels, a mean over the rows, may be wrong.")
    return cautions
