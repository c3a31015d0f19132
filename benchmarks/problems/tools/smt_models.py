"""SMT, the Surrogate Modeling Toolbox, by its common interface (Saves et al. 2024, https://smt.readthedocs.io)."""

from typing import Any, ClassVar, Self

import numpy as np
from smt import surrogate_models as smt
from tables import Array


class Model:
    """A model of SMT for each output. All of SMT's models standardise the data."""

    GRID: ClassVar[tuple[dict[str, Any], ...]] = ()

    def __init__(self, seed: int = 0, **settings: Any) -> None:
        self.seed, self.settings = seed, settings

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        self.models = [self.make(x) for _ in y.T]
        for model, value, slopes in zip(self.models, y.T, dydx.transpose(1, 2, 0), strict=True):
            model.set_training_values(x, value[:, None])
            if model.supports["training_derivatives"]:
                for d, slope in enumerate(slopes):
                    model.set_training_derivatives(x, slope[:, None], d)
            model.train()
        return self

    def make(self, x: Array) -> Any:
        raise NotImplementedError

    def predict(self, x: Array) -> Array:
        return np.concatenate([model.predict_values(x) for model in self.models], axis=1)

    def predict_derivative(self, x: Array) -> Array:
        inputs = range(x.shape[1])
        found = [np.concatenate([model.predict_derivatives(x, d) for d in inputs], axis=1) for model in self.models]
        return np.stack(found, axis=1)


class Genn(Model):
    """Two layers of twelve neurons: JENN's network with other defaults. The grid is as that of JENN."""

    GRID: ClassVar = tuple(
        {"hidden_layer_sizes": hidden, "lambd": lambd, "alpha": 0.01, "num_iterations": 5000, "is_backtracking": True}
        for hidden, lambd in (([24], 0.01), ([12, 12], 0.01), ([24, 24], 0.01), ([24, 24], 0.0))
    )

    def make(self, x: Array) -> Any:
        return smt.GENN(seed=self.seed, print_global=False, **self.settings)


class Gekpls(Model):
    """Kriging with the gradients in its partial least squares, and with `extra_points` a row along each gradient.

    Its default has two directions and no such rows, so that only the directions of the kernel depend on the gradients.
    """

    GRID: ClassVar = (
        *({"extra_points": rows, "delta_x": step} for rows in (1, 2) for step in (1e-4, 1e-2)),
        *({"n_comp": 5, "extra_points": rows, "delta_x": 1e-3} for rows in (1, 2)),
    )

    def make(self, x: Array) -> Any:
        settings = {**self.settings, "n_comp": min(self.settings.get("n_comp", 2), x.shape[1])}
        return smt.GEKPLS(theta0=[1e-2] * settings["n_comp"], seed=self.seed, print_global=False, **settings)


class Krg(Model):
    """Kriging of the values; it ignores derivatives."""

    GRID: ClassVar = {"poly": "linear"}, {"corr": "matern52"}, {"corr": "matern32"}, {"theta0": [1.0]}

    def make(self, x: Array) -> Any:
        return smt.KRG(seed=self.seed, print_global=False, **self.settings)
