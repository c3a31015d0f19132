"""Small smooth functions of the surrogate literature, as tables with all partial derivatives.

The formulas are those of `smt.problems` (https://smt.readthedocs.io). Training points are a Latin hypercube; the test
is on 2000 random points.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import qmc
from tables import Array, Entry, Rows, label

N_TEST = 2000


class Function(NamedTuple):
    """A function of (m, D) to (m,) or (m, P), its box, and how many points carry its value and gradient."""

    value: Callable[[NDArray], NDArray]
    box: tuple[tuple[float, float], ...]
    n: int


def product(factor: Callable[[NDArray], NDArray]) -> Callable[[NDArray], NDArray]:
    return lambda x: factor(x).prod(axis=1)


def rosenbrock(x: NDArray) -> NDArray:
    return 100 * (x[:, 1] - x[:, 0] ** 2) ** 2 + (1 - x[:, 0]) ** 2


def branin(x: NDArray) -> NDArray:
    parabola = x[:, 1] - 5.1 / (4 * np.pi**2) * x[:, 0] ** 2 + 5 / np.pi * x[:, 0] - 6
    return parabola**2 + 10 * (1 - 1 / (8 * np.pi)) * np.cos(x[:, 0]) + 10


def rastrigin(x: NDArray) -> NDArray:
    return (x**2 - 10 * np.cos(2 * np.pi * x) + 10).sum(axis=1)


def cantilever_beam(x: NDArray) -> NDArray:
    """Return the deflection of a beam under 50 kN, with Young's modulus 200 GPa: its width, height and length."""
    width, height, length = x.T
    return 50e3 / 3 / 200e9 * 12 * length**3 / (width * height**3)


def robot_arm(x: NDArray) -> NDArray:
    """Return the reach of an arm of two segments: the length and the angle of each."""
    angles = x[:, 1::2].cumsum(axis=1)
    across, up = (x[:, ::2] * np.cos(angles)).sum(axis=1), (x[:, ::2] * np.sin(angles)).sum(axis=1)
    return (across**2 + up**2) ** 0.5


CUBE = ((-1.0, 1.0),) * 3
FUNCTIONS = {
    "exp_product": Function(product(np.exp), CUBE[:2], 100),
    "tensor_exp": Function(product(np.exp), CUBE, 100),
    "tensor_tanh": Function(product(np.tanh), CUBE, 100),
    "tensor_cos": Function(product(lambda x: np.cos(np.pi * x)), CUBE, 100),
    "rosenbrock": Function(rosenbrock, ((-2, 2), (-2, 2)), 100),
    "branin": Function(branin, ((-5, 10), (0, 15)), 100),
    "rastrigin": Function(rastrigin, ((-1, 1.5), (-1, 1.5)), 100),
    "cantilever_beam": Function(cantilever_beam, ((0.01, 0.05), (0.3, 0.65), (0.5, 1)), 150),
    "robot_arm": Function(robot_arm, ((0, 1), (0, 2 * np.pi)) * 2, 80),
}


def outputs(function: Function) -> Callable[[Array], Array]:
    """Return a function's values with an axis of outputs, (m, D) to (m, P)."""
    return lambda x: function.value(x).reshape(len(x), -1)


def problem(function: Function, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of a Latin hypercube, which a tool may see, and those of the test, at random points."""
    low, high = zip(*function.box, strict=True)
    hypercube = qmc.LatinHypercube(d=len(low), rng=seed).random(function.n)
    random = np.random.default_rng(1000 + seed).random((N_TEST, len(low)))
    seen, test = (label(outputs(function), qmc.scale(x, low, high)) for x in (hypercube, random))
    return seen, test


def entry(function: Function, field: str, source: str) -> Entry:
    """Return a function as a problem of the public table."""
    return Entry(field, partial(problem, function), source, outputs(function))
