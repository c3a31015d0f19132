"""DeepXDE: a network trained on values and derivatives at points (Lu et al. 2021, https://doi.org/10.1137/19M1274067)."""

import importlib
import os
from collections.abc import Callable
from typing import Any, ClassVar, Self

import numpy as np
from tables import Array

from tools.units import Units

os.environ.setdefault("DDE_BACKEND", "pytorch")  # without it, the import writes a file in the home directory
deepxde: Any = importlib.import_module("deepxde")


class DeepXde:
    """Three layers of 20 neurons and 10,000 steps of Adam with the rate 0.001, as in its first example of a function.

    Each label has a `PointSetBC`, each of its derivatives a `PointSetOperatorBC`, at the points where it is known. Data
    are standardised, as in its example of a data set, which has layers of 50; its other examples end with L-BFGS.
    """

    GRID: ClassVar = {"lbfgs": True}, {"width": 50}, {"width": 50, "lbfgs": True}

    def __init__(self, seed: int = 0, width: int = 20, steps: int = 10_000, lbfgs: bool = False) -> None:
        self.seed, self.width, self.steps, self.lbfgs = seed, width, steps, lbfgs

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        deepxde.config.set_random_seed(self.seed)
        self.units, self.shape = Units(x, y, dydx), dydx.shape[1:]
        x, y, dydx = self.units.rows(x, y, dydx)
        labels = np.concatenate([y[..., None], dydx], axis=2)
        conditions = [
            condition(i, d - 1, x[known], labels[known, i, d, None])
            for i, d in np.ndindex(labels.shape[1:])
            if (known := np.isfinite(labels[:, i, d])).any()
        ]
        data = deepxde.data.PDE(deepxde.geometry.PointCloud(x), None, conditions)
        network = deepxde.nn.FNN([x.shape[1], *[self.width] * 3, y.shape[1]], "tanh", "Glorot uniform")
        self.model = deepxde.Model(data, network)
        self.model.compile("adam", lr=0.001, verbose=0)
        self.model.train(iterations=self.steps, verbose=0)
        if self.lbfgs:
            self.model.compile("L-BFGS", verbose=0)
            self.model.train(verbose=0)
        return self

    def predict(self, x: Array) -> Array:
        return self.units.values(self.model.predict(self.units.points(x)).astype(np.float64))

    def predict_derivative(self, x: Array) -> Array:
        points = self.units.points(x)
        found = [self.model.predict(points, slope(*one)) for one in np.ndindex(self.shape)]
        return self.units.derivatives(np.concatenate(found, axis=1).reshape(-1, *self.shape).astype(np.float64))


def slope(i: int, d: int) -> Callable[[Any, Any], Any]:
    return lambda x, u: deepxde.grad.jacobian(u, x, i=i, j=d)


def condition(i: int, d: int, points: Array, labels: Array) -> Any:
    """Return the condition for the derivative of output i with respect to input d; -1: for its value."""
    if d < 0:
        return deepxde.icbc.PointSetBC(points, labels, component=i)
    return deepxde.icbc.PointSetOperatorBC(points, labels, lambda x, u, _: slope(i, d)(x, u))
