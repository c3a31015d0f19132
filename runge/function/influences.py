"""The sensitivity of a function to its inputs, in a box and over the rows of its table, and what to be careful of."""

import math
from itertools import product

import numpy as np
from numpy.typing import NDArray

from runge.data.column_roles import listed
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.sensitivity import measure, measure_function, row_indices, total_indices, unevenness
from runge.records.leaderboard import Influence, Sensitivity

__all__ = ["sensitivity_of"]

_CORRELATED = 0.3
"""The correlation of two inputs above which a caution is stated."""

_CORRELATED_BY_CHANCE = 3.0
"""Three standard deviations of the correlation of independent inputs, times the root of the number of rows: the caution
needs a larger correlation.
"""

_UNEVEN = 0.15
"""The distance of Kolmogorov and Smirnov from a uniform input above which a caution is stated. A normal input has 0.2
in the box of its rows.
"""

_UNEVEN_BY_CHANCE = 1.6
"""The distance that uniform inputs exceed in about 1 % of cases, times the root of the number of rows: the caution
needs a larger distance.
"""

_SENSITIVITY_ACTIVATIONS = 2**25
"""The activations that sensitivities may take, about a second of one core."""


def sensitivity_of(function: Function, rows: Rows) -> Sensitivity:
    """Return the sensitivity of a function to its inputs, in the box of some rows and over them, and of the labels."""
    box = np.stack([rows.x.min(axis=0), rows.x.max(axis=0)], axis=1)
    # The activations take most of the time: at n (D + 2) points, and with D tangents at n, in the box and at rows.
    neurons = sum(network.members * sum(n for _, n in network.shapes) for network in function.networks)
    # SciPy has the numbers of all points at once, D^2 for each of n.
    most = max(1, neurons * (3 * len(box) + 4), len(box) ** 2)
    n = 2 ** min(max(int(math.log2(_SENSITIVITY_ACTIVATIONS / most)), 4), 12)
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
    if abs(correlation[i, j]) > max(_CORRELATED, _CORRELATED_BY_CHANCE / root):
        pair = f"{rows.inputs[i]} and {rows.inputs[j]} are correlated in the rows ({correlation[i, j]:.2f})"
        cautions.append(f"{pair}, but the total index and the bounds are those of independent inputs.")
    limit, distances = max(_UNEVEN, _UNEVEN_BY_CHANCE / root), unevenness(rows.x, box)
    if uneven := [name for name, distance in zip(rows.inputs, distances, strict=True) if distance > limit]:
        where = f"The rows are not spread evenly along {listed(uneven)}"
        cautions.append(f"{where}: a bound from the labels, a mean over the rows, may be wrong.")
    return cautions
