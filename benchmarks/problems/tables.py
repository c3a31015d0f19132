"""Tables of inputs, outputs and partial derivatives, and the figures by which fits of them are judged."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Rows(NamedTuple):
    """Rows of a table: inputs x (m, D), outputs y (m, P), their partial derivatives dydx (m, P, D)."""

    x: Array
    y: Array
    dydx: Array

    def part(self, rows: Any) -> "Rows":
        """Return some of the rows."""
        return Rows(*(column[rows] for column in self))


class Entry(NamedTuple):
    """A problem of the public table.

    Attributes:
        field: the field that it is from.
        rows: a function of the seed that returns the rows that a tool may see, and those of the test.
        source: where it is from, and its published figures.
        value: the function (m, D) to (m, P) that the rows are of, without noise; None without a formula.
    """

    field: str
    rows: Callable[[int], tuple[Rows, Rows]]
    source: str
    value: Callable[[Array], Array] | None = None


def label(value: Callable[[Any], Any], x: Array) -> Rows:
    """Evaluate a function of (m, D) to (m, P) and its Jacobian by complex steps, exact to round-off.

    The step is below the square root of the smallest number, so that nothing is cancelled:
    dy/dx_d = Im value(x + i h e_d) / h (Squire and Trapp 1998, https://doi.org/10.1137/S003614459631241X).
    """
    h = 1e-30
    steps = 1j * h * np.eye(x.shape[1])
    dydx = np.stack([value(x + step).imag / h for step in steps], axis=-1)
    return Rows(x, value(x), dydx)


def noisy(rows: Rows, value: float, slope: float, seed: int | np.random.Generator) -> Rows:
    """Return rows with normal noise, by the standard deviations of the values and of each partial derivative."""
    normal = np.random.default_rng(seed).standard_normal
    y, dydx = (
        part + size * part.std(axis=0) * normal(part.shape)
        for part, size in zip((rows.y, rows.dydx), (value, slope), strict=True)
    )
    return Rows(rows.x, y, dydx)


def nrmse(u: Array, y: Array) -> float:
    """Return the root mean square error over the standard deviation of y, per channel; the mean over the channels."""
    u, y = u.reshape(len(u), -1), y.reshape(len(y), -1)
    return float(np.mean(np.sqrt(np.mean((u - y) ** 2, axis=0)) / y.std(axis=0)))


def errors(u: Array, du: Array | None, test: Rows) -> dict[str, float]:
    """Return the errors of values (m, P) and of derivatives (m, P, D), NaN without any.

    That of the value is the RMSE over the standard deviation; that of the derivative the relative L2 error by
    standardised inputs, |(du - dydx) s| / |dydx s| with the inputs' standard deviations s. Both are means over the
    outputs. A label that is NaN is not known, and left out.
    """
    known = np.isfinite(test.y)
    some = known.any(axis=0)
    wrong = np.where(known, u - test.y, 0)[:, some]
    ratios = np.sqrt((wrong**2).sum(axis=0) / known[:, some].sum(axis=0)) / np.nanstd(test.y[:, some], axis=0)
    found = {"value": float(np.mean(ratios)) if some.any() else np.nan, "derivative": np.nan}
    known, scale = np.isfinite(test.dydx), test.x.std(axis=0)
    some = known.any(axis=(0, 2))
    if du is not None and some.any():
        sides = (np.where(known, part * scale, 0)[:, some] for part in (du - test.dydx, test.dydx))
        wrong, size = (np.linalg.norm(side, axis=(0, 2)) for side in sides)
        found["derivative"] = float(np.mean(wrong / size))
    return found
