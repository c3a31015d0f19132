"""JENN: the network of Berguin's Jacobian-enhanced neural networks (2024, https://doi.org/10.48550/arXiv.2406.09132)."""

from typing import Any, ClassVar, Self

from jenn import NeuralNet
from tables import Array


class Jenn:
    """One layer of twelve neurons, standardised data and lambd = 0.1, as in its documentation's first example.

    All else is the default of `fit`. The documentation says that normalising usually helps. The grid has the line
    search, more iterations with a smaller rate, as SMT's own tests of it have, and other layers.
    """

    GRID: ClassVar = tuple(
        {"hidden": hidden, "lambd": lambd, "alpha": 0.01, "max_iter": 5000, "is_backtracking": True}
        for hidden, lambd in (([24], 0.01), ([12, 12], 0.01), ([24, 24], 0.01), ([24, 24], 0.0))
    )

    def __init__(self, seed: int = 0, hidden: tuple[int, ...] = (12,), lambd: float = 0.1, **settings: Any) -> None:
        self.hidden, self.settings = hidden, {"lambd": lambd, "random_state": seed, **settings}

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        self.network = NeuralNet([x.shape[1], *self.hidden, y.shape[1]])
        self.network.fit(x.T, y.T, dydx.transpose(1, 2, 0), is_normalize=len(x) > 1, **self.settings)
        return self

    def predict(self, x: Array) -> Array:
        return self.network.predict(x.T).T

    def predict_derivative(self, x: Array) -> Array:
        return self.network.predict_partials(x.T).transpose(2, 0, 1)
