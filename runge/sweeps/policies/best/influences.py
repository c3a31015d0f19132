"""The sensitivity of the answer of a search to its inputs, and what to be careful of."""

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from runge.data.column_roles import listed
from runge.data.rows import Rows
from runge.function.sensitivity import measure, measure_function, total_indices, unevenness
from runge.records.leaderboard import Influence, Sensitivity

if TYPE_CHECKING:
    from runge.function.function import Function

__all__ = ["sensitivity_of"]

_CORRELATED, _UNEVEN = 0.3, 0.15  # a normal input has 0.2 in the box of its rows
# Over the root of the number of rows: three standard deviations of the correlation of independent inputs, and the
# distance of Kolmogorov and Smirnov that uniform ones exceed in about 1 % of cases.
_BY_CHANCE = 3.0, 1.6
_ACTIVATIONS = 2**25  # about a second of one core


def sensitivity_of(function: "Function", rows: Rows) -> Sensitivity:
    """Return the sensitivity of a function to its inputs in the box of some rows, and that of their labels."""
    box = np.stack([rows.x.min(axis=0), rows.x.max(axis=0)], axis=1)
    # The activations take most of the time: at n (D + 2) points, and with D tangents at n.
    neurons = sum(bias.numel() for network in function.networks for _, bias in network.layers())
    # SciPy has the numbers of all points at once, D^2 for each of n.
    most = max(neurons * (2 * len(box) + 3), len(box) ** 2)
    n = 2 ** min(max(int(math.log2(_ACTIVATIONS / most)), 4), 12)
    fit, labels = measure_function(function, box, n), measure(rows.y, rows.dydx, box)
    indices = total_indices(function, box, n), fit.bound, fit.nu, fit.mean, fit.rising
    figures = np.stack([*indices, labels.bound, labels.bound_error, labels.nu, labels.mean, labels.mean_error], axis=-1)
    influences = [
        Influence(y, x, *(float(figure) if math.isfinite(figure) else None for figure in figures[p, d]))
        for (p, y), (d, x) in product(enumerate(rows.outputs), enumerate(rows.inputs))
    ]
    return Sensitivity(influences, n, _cautions(rows, box))


def _cautions(rows: Rows, box: NDArray[np.float64]) -> list[str]:
    """Return sentences on inputs that are correlated, or not uniform in the box."""
    chance = [deviations / math.sqrt(len(rows.x)) for deviations in _BY_CHANCE]
    correlation, cautions = np.triu(np.atleast_2d(np.corrcoef(rows.x, rowvar=False)), 1), list[str]()
    i, j = np.unravel_index(np.abs(correlation).argmax(), correlation.shape)
    if abs(correlation[i, j]) > max(_CORRELATED, chance[0]):
        pair = f"{rows.inputs[i]} and {rows.inputs[j]} are correlated in the rows ({correlation[i, j]:.2f})"
        cautions.append(f"{pair}, but bounds and indices hold for independent inputs alone.")
    limit, distances = max(_UNEVEN, chance[1]), unevenness(rows.x, box)
    if uneven := [name for name, distance in zip(rows.inputs, distances, strict=True) if distance > limit]:
        where = f"The rows are not spread evenly along {listed(uneven)}"
        cautions.append(f"{where}: a bound from the labels, a mean over the rows, may be wrong.")
    return cautions
