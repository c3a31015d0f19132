"""A polynomial by least squares for values and gradients, in NumPy."""

import math
from functools import partial
from itertools import combinations_with_replacement
from typing import Any, ClassVar, Self

import numpy as np
import scipy.linalg
from numpy.polynomial import legendre
from tables import Array

from tools.units import Units

MOST_NUMBERS = 1e8
"""The numbers of the largest matrix, 0.8 GB."""


class Polynomial:
    """Products of Legendre polynomials up to a total degree, in the box of the rows, on standardised data.

    The validation chooses the degree. One with more terms than labels is refused.
    """

    GRID: ClassVar = tuple({"degree": degree} for degree in (1, 2, 4, 5, 6, 8, 10, 12, 15, 20, 30))

    def __init__(self, seed: int = 0, degree: int = 3) -> None:
        self.degree = degree

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        self.units = Units(x, y, dydx)
        x, y, dydx = self.units.rows(x, y, dydx)
        (count, inputs), terms = x.shape, math.comb(x.shape[1] + self.degree, self.degree)
        if not terms <= count * (1 + inputs) <= MOST_NUMBERS / terms:
            raise ValueError(f"{count} rows of {inputs} inputs are too few or too many for {terms} terms")
        self.box = x.min(0), x.max(0)
        chosen = combinations_with_replacement(range(inputs + 1), self.degree)
        self.powers = np.stack([np.bincount(one, minlength=inputs + 1)[1:] for one in chosen], axis=1)
        matrix = self._terms(x).reshape(-1, terms)
        labels = np.concatenate([y[:, None], dydx.transpose(0, 2, 1)], axis=1).reshape(len(matrix), -1)
        known = np.isfinite(labels)
        solve: Any = partial(scipy.linalg.lstsq, lapack_driver="gelsy")
        some = zip(labels.T, known.T, strict=True)
        self.coefficients = np.stack([solve(matrix[rows], column[rows])[0] for column, rows in some], axis=1)
        return self

    def predict(self, x: Array) -> Array:
        return self.units.values(self._both(x)[:, 0])

    def predict_derivative(self, x: Array) -> Array:
        return self.units.derivatives(self._both(x)[:, 1:].transpose(0, 2, 1))

    def _both(self, x: Array) -> Array:
        """Return values and derivatives, (n, 1 + D, P)."""
        parts = np.array_split(self.units.points(x), max(1, len(x) // 200))
        return np.concatenate([self._terms(part) @ self.coefficients for part in parts])

    def _terms(self, x: Array) -> Array:
        """Return the values and derivatives of all terms, (n, 1 + D, K)."""
        low, high = self.box
        values = legendre.legvander((2 * x - low - high) / (high - low), self.degree)
        slopes = values[..., :-1] @ legendre.legder(np.eye(self.degree + 1)) * (2 / (high - low))[:, None]
        inputs = np.arange(len(self.powers))[:, None]
        values, slopes = values[:, inputs, self.powers], slopes[:, inputs, self.powers]
        terms = [np.where(inputs == d, slopes, values).prod(axis=1) for d in (-1, *range(len(inputs)))]
        return np.stack(terms, axis=1)
