"""Functions beyond those of `functions.py`, most of them from https://www.sfu.ca/~ssurjano/.

Some are problems of the table. The points are as in `functions.py`.
"""

import numpy as np
from functions import Function
from numpy.typing import NDArray

SQUARE = ((0.0, 1.0),) * 2


def styblinski_tang(x: NDArray) -> NDArray:
    return (x**4 - 16 * x**2 + 5 * x).sum(axis=1) / 2


def mccormick(x: NDArray) -> NDArray:
    first, second = x.T
    return np.sin(first + second) + (first - second) ** 2 - 1.5 * first + 2.5 * second + 1


def six_hump_camel(x: NDArray) -> NDArray:
    first, second = x.T
    return (4 - 2.1 * first**2 + first**4 / 3) * first**2 + first * second + (4 * second**2 - 4) * second**2


def franke(x: NDArray) -> NDArray:
    """Return two peaks and a dip."""
    a, b = 9 * x.T
    return (
        0.75 * np.exp(-((a - 2) ** 2) / 4 - (b - 2) ** 2 / 4)
        + 0.75 * np.exp(-((a + 1) ** 2) / 49 - (b + 1) / 10)
        + 0.5 * np.exp(-((a - 7) ** 2) / 4 - (b - 3) ** 2 / 4)
        - 0.2 * np.exp(-((a - 4) ** 2) - (b - 7) ** 2)
    )


def currin(x: NDArray) -> NDArray:
    """Return Currin's exponential function, whose second input decides near 0."""
    first, second = x.T
    cubic = (2300 * first**3 + 1900 * first**2 + 2092 * first + 60) / (100 * first**3 + 500 * first**2 + 4 * first + 20)
    return (1 - np.exp(-1 / (2 * second + 0.1))) * cubic


def ishigami(x: NDArray) -> NDArray:
    first, second, third = x.T
    return np.sin(first) + 7 * np.sin(second) ** 2 + 0.1 * third**4 * np.sin(first)


def friedman(x: NDArray) -> NDArray:
    return 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]


def otl_circuit(x: NDArray) -> NDArray:
    """Return the midpoint voltage of a push-pull circuit."""
    b1, b2, f, c1, c2, gain = x.T
    base, beta = 12 * b2 / (b1 + b2), gain * (c2 + 9)
    return (base + 0.74) * beta / (beta + f) + 11.35 * f / (beta + f) + 0.74 * f * beta / ((beta + f) * c1)


def ridge(x: NDArray) -> NDArray:
    """Return a function with a kink along an oblique plane."""
    return np.sqrt((x[:, 0] + 0.5 * x[:, 1] - 0.7) ** 2) + np.sin(3 * x[:, 1])


CIRCUIT = ((50, 150), (25, 70), (0.5, 3), (1.2, 2.5), (0.25, 1.2), (50, 300))
FRESH = {
    "styblinski_tang": Function(styblinski_tang, ((-5, 5),) * 2, 100),
    "mccormick": Function(mccormick, ((-1.5, 4), (-3, 4)), 60),
    "six_hump_camel": Function(six_hump_camel, ((-2, 2), (-1, 1)), 80),
    "franke": Function(franke, SQUARE, 80),
    "currin": Function(currin, ((0.05, 1.0), (0.05, 1.0)), 60),
    "ishigami": Function(ishigami, ((-np.pi, np.pi),) * 3, 150),
    "friedman": Function(friedman, ((0.0, 1.0),) * 5, 100),
    "otl_circuit": Function(otl_circuit, CIRCUIT, 100),
    "ridge": Function(ridge, SQUARE, 120),
    "exp_sum": Function(lambda x: np.exp(x.sum(axis=1) / 2), ((-1.0, 1.0),) * 8, 60),
}
