"""The standardised table, for tools whose documentation, or whose user's experience, asks for one."""

import numpy as np
from tables import Array


class Units:
    """The means and the standard deviations of a table; a constant has the unit 1.

    With inputs (x - mean) / s and outputs (y - mean) / t, derivatives are dydx s / t. The unit t of an output with less
    than two known values is the root mean square of its derivatives dydx s.
    """

    def __init__(self, x: Array, y: Array, dydx: Array) -> None:
        self.x, self.s = x.mean(0), _positive(x.std(0))
        self.y, known = np.nanmean(y, 0), np.isfinite(dydx)
        slope = np.sqrt(np.square(dydx * self.s).sum((0, 2), where=known) / np.maximum(known.sum((0, 2)), 1))
        self.t = _positive(np.where(np.isfinite(y).sum(0) > 1, np.nanstd(y, 0), slope))

    def rows(self, x: Array, y: Array, dydx: Array) -> tuple[Array, Array, Array]:
        return self.points(x), (y - self.y) / self.t, dydx * self.s / self.t[:, None]

    def points(self, x: Array) -> Array:
        return (x - self.x) / self.s

    def values(self, u: Array) -> Array:
        return u * self.t + self.y

    def derivatives(self, du: Array) -> Array:
        return du * self.t[:, None] / self.s


def _positive(units: Array) -> Array:
    return np.where(units > 0, units, 1)
