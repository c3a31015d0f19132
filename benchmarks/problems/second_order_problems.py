"""Functions with values, gradients and Hessians, and points at which a fit of them learns or is tested."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from fresh import franke
from functions import FUNCTIONS
from numpy.typing import NDArray
from optimal_control import BOX, value_function
from pfr import INPUTS, reactor
from scipy.stats import qmc
from tables import Array, label


class Labels(NamedTuple):
    """Points (m, D), values (m, P), Jacobians (m, P, D) and, of training points, Hessians (m, P, D, D)."""

    x: Array
    y: Array
    dydx: Array
    hessian: Array | None = None


Label = Callable[[Array, Array, bool], Labels]  # of points, the lengths of the box, and whether Hessians are wanted


def formula(value: Callable[[NDArray], NDArray]) -> Label:
    """Return what labels a formula, (m, D) to (m, P) or (m,): Hessians by differences, of order 4, of exact slopes."""

    def at(x: Array) -> Labels:
        return Labels(*label(lambda x: value(x).reshape(len(x), -1), x))

    def labels(x: Array, lengths: Array, second: bool) -> Labels:
        if not second:
            return at(x)
        columns = []
        for h in 1e-3 * np.diag(lengths):
            before, after = at(x - h).dydx, at(x + h).dydx
            columns.append((at(x - 2 * h).dydx - 8 * before + 8 * after - at(x + 2 * h).dydx) / (12 * h.sum()))
        return at(x)._replace(hessian=np.stack(columns, axis=-1))

    return labels


class Problem(NamedTuple):
    """A function that labels points, the box, and the numbers of training rows."""

    label: Label
    box: Sequence[tuple[float, float]]
    rows: tuple[int, ...]


OF_HESSIAN = {
    "runge": Problem(formula(lambda x: 1 / (1 + 25 * x**2)), ((-1, 1),), (6, 12)),
    "forrester": Problem(formula(lambda x: (6 * x - 2) ** 2 * np.sin(12 * x - 4)), ((0, 1),), (6, 12)),
    "franke": Problem(formula(franke), ((0, 1),) * 2, (20, 40)),
    "branin": Problem(formula(FUNCTIONS["branin"].value), FUNCTIONS["branin"].box, (20, 40)),
    "rastrigin": Problem(formula(FUNCTIONS["rastrigin"].value), FUNCTIONS["rastrigin"].box, (20, 40)),
    "value function": Problem(lambda x, *_: Labels(x, *value_function(x)), BOX, (20, 40)),
    "reactor": Problem(formula(reactor), tuple(INPUTS.values()), (12,)),
}


@cache
def points(problem: Problem, n: int, seed: int, training: bool) -> Labels:
    """Return labels of n points: a Latin hypercube, with Hessians, for training, or random points."""
    low, high = np.array(problem.box, float).T
    dimension = len(low)
    if training:
        unit = qmc.LatinHypercube(dimension, rng=seed).random(n)
    else:
        unit = np.random.default_rng(seed).random((n, dimension))
    return problem.label(low + (high - low) * unit, high - low, training)
