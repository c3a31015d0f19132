"""Fit slopes to the differences of the values between near rows, for inputs without partial derivatives."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array

from runge.configuration.validation import Floats
from runge.labels.pairs import Pairs

__all__ = ["FreeSlopes"]

_MOST_LEVERAGE = 0.9
"""The largest weight of a pair in the slopes of a row: with a larger one, the row has too few neighbours."""

_LEAST_EIGENVALUE = 1e-6
"""The least eigenvalue of the normal equations, relative to the largest: below, steps are in a plane."""


class FreeSlopes:
    r"""Slopes of some inputs at each row, as the values of near rows have them.

    The slopes c_a of row a fit the differences v to near rows b best,

    .. math:: \min_{c_a} \sum_b \frac{(v_{ab} - c_a \cdot (x_b - x_a))^2}{|x_b - x_a|^2} .

    Args:
        pairs: the pairs of near rows.
        inputs: the numbers of the inputs; none: no difference is explained.
    """

    def __init__(self, pairs: Pairs, inputs: Sequence[int]) -> None:
        self.inputs, count = list(inputs), len(pairs.a)
        if not self.inputs:
            return
        step = pairs.step / (np.abs(pairs.step).mean(0) + np.finfo(float).tiny)
        self._length = np.linalg.norm(step, axis=1)
        self._step = step[:, self.inputs] / self._length[:, None]
        ends = np.r_[pairs.a, pairs.b]
        self._of_row = csr_array((np.ones(2 * count), (ends, np.tile(np.arange(count), 2))))
        squares = self._of_row @ (self._step[:, :, None] * self._step[:, None]).reshape(count, -1)
        squares = squares.reshape(-1, len(self.inputs), len(self.inputs))
        self._inverse = np.linalg.pinv(squares, _LEAST_EIGENVALUE, hermitian=True)
        of_rows = [(row, np.einsum("kd,kde,ke->k", self._step, self._inverse[row], self._step)) for row in pairs[:2]]
        self._ends = [
            (row, np.where(share < _MOST_LEVERAGE, 1 / np.maximum(1 - share, 1e-9), 0)) for row, share in of_rows
        ]

    def rest(self, difference: Floats) -> Floats:
        """Return the errors of differences, (k,), whose slopes are fitted to the other pairs: a linear function.

        The error is the mean over both rows of a pair. Where a row has too few neighbours, it is the difference.
        """
        if not self.inputs:
            return difference
        products = self._of_row @ (self._step * (difference / self._length)[:, None])
        slope, left = np.einsum("nde,ne->nd", self._inverse, products), np.zeros(len(difference))
        for row, factor in self._ends:
            error = difference - (slope[row] * self._step).sum(1) * self._length
            left += np.where(factor > 0, factor * error, difference) / 2
        return left
