"""scikit-learn, which knows no derivatives: the price of ignoring them."""

from typing import Any, ClassVar, Self

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import Array


class Regressor:
    """A regressor of standardised inputs and outputs; standardised inputs are what its documentation recommends.

    Derivatives are central differences of the prediction, with steps of 1e-3 standard deviations of the input.
    """

    GRID: ClassVar[tuple[dict[str, Any], ...]] = ()

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        inner = make_pipeline(StandardScaler(), self.make(seed, **settings))
        self.model = TransformedTargetRegressor(inner, transformer=StandardScaler())

    def make(self, seed: int, **settings: Any) -> Any:
        raise NotImplementedError

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        self.outputs, self.steps = y.shape[1], 1e-3 * np.diag(np.where(x.std(0), x.std(0), 1))
        self.model.fit(x, y)
        return self

    def predict(self, x: Array) -> Array:
        return self.model.predict(x).reshape(len(x), self.outputs)

    def predict_derivative(self, x: Array) -> Array:
        slopes = [(self.predict(x + step) - self.predict(x - step)) / (2 * step.sum()) for step in self.steps]
        return np.stack(slopes, axis=2)


class Network(Regressor):
    """`MLPRegressor`; its documentation recommends L-BFGS for small data, and to choose `alpha`."""

    GRID: ClassVar = tuple(
        {"solver": "lbfgs", "max_iter": 5000, "activation": name, "alpha": alpha}
        for name in ("tanh", "relu")
        for alpha in (1e-4, 1e-2)
    )

    def make(self, seed: int, **settings: Any) -> Any:
        return MLPRegressor(random_state=seed, **settings)


class Process(Regressor):
    """`GaussianProcessRegressor`; its default kernel has a fixed length scale, the grid one to fit for each input."""

    GRID: ClassVar = tuple({"kernel": name, "alpha": alpha} for name in ("RBF", "Matern") for alpha in (1e-10, 1e-6))

    def make(self, seed: int, kernel: str | None = None, **settings: Any) -> Any:
        self.kernel = kernel
        return GaussianProcessRegressor(random_state=seed, **settings)

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        if self.kernel is not None:
            scales: Any = np.ones(x.shape[1])
            kernel = 1.0 * (RBF(scales, (1e-2, 1e3)) if self.kernel == "RBF" else Matern(scales, (1e-2, 1e3), nu=2.5))
            self.model.set_params(regressor__gaussianprocessregressor__kernel=kernel)
        return super().fit(x, y, dydx)


class Boosting(Regressor):
    """`HistGradientBoostingRegressor`, one for each output; it is piecewise constant."""

    GRID: ClassVar = tuple(
        {"min_samples_leaf": rows, "learning_rate": rate, "max_iter": steps}
        for rows in (5, 20)
        for rate, steps in ((0.1, 300), (0.03, 1000))
    )

    def make(self, seed: int, **settings: Any) -> Any:
        return MultiOutputRegressor(HistGradientBoostingRegressor(random_state=seed, **settings))

    def predict_derivative(self, x: Array) -> Array:
        raise NotImplementedError("boosted trees are piecewise constant")
