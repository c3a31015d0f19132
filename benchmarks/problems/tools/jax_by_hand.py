"""JAX by hand: a jitted scan of Optax's Adam, with the value and the Jacobian of each row by `vmap`."""

import importlib
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from tables import Array

from tools.units import Units

jax: Any = importlib.import_module("jax")
optax: Any = importlib.import_module("optax")
jnp = jax.numpy

BATCH = 1024  # rows of a step, in larger tables


class ByHand:
    """Two layers, standardised data, Adam with a cosine schedule, and the sum of both mean square errors."""

    GRID: ClassVar = tuple(
        {"width": width, "rate": rate, "steps": 20_000} for width in (32, 128) for rate in (1e-3, 1e-2)
    )

    def __init__(self, seed: int = 0, width: int = 64, rate: float = 3e-3, steps: int = 5000) -> None:
        self.seed, self.width, self.rate, self.steps = seed, width, rate, steps

    def fit(self, x: Array, y: Array, dydx: Array) -> Self:
        self.units = Units(x, y, dydx)
        rows = [jnp.asarray(part, jnp.float32) for part in self.units.rows(x, y, dydx)]
        sizes, keys = (x.shape[1], self.width, self.width, y.shape[1]), jax.random.split(jax.random.key(self.seed), 4)
        start = jax.nn.initializers.glorot_normal()
        weights = [(start(keys[i], sizes[i : i + 2]), jnp.zeros(sizes[i + 1])) for i in range(3)]
        adam = optax.adam(optax.cosine_decay_schedule(self.rate, self.steps))

        def loss(weights: Any, x: Any, *labels: Any) -> Any:
            return sum(map(mean_square, both(weights, x), labels))

        def step(state: Any, key: Any) -> Any:
            part = jax.random.randint(key, (BATCH,), 0, len(x)) if len(x) > BATCH else slice(None)
            slope = jax.grad(loss)(state[0], *(column[part] for column in rows))
            updates, moments = adam.update(slope, state[1])
            return (optax.apply_updates(state[0], updates), moments), None

        train = jax.jit(partial(jax.lax.scan, step))
        self.weights = train((weights, adam.init(weights)), jax.random.split(keys[3], self.steps))[0][0]
        return self

    def predict(self, x: Array) -> Array:
        return self.units.values(self._both(x)[0])

    def predict_derivative(self, x: Array) -> Array:
        return self.units.derivatives(self._both(x)[1])

    def _both(self, x: Array) -> tuple[Array, Array]:
        u, du = jax.jit(both)(self.weights, jnp.asarray(self.units.points(x), jnp.float32))
        return np.asarray(u, np.float64), np.asarray(du, np.float64)


def value(weights: Any, x: Any) -> Any:
    for w, b in weights[:-1]:
        x = jnp.tanh(x @ w + b)
    return x @ weights[-1][0] + weights[-1][1]


def both(weights: Any, x: Any) -> Any:
    return jax.vmap(lambda point: (value(weights, point), jax.jacrev(value, 1)(weights, point)))(x)


def mean_square(u: Any, label: Any) -> Any:
    """Return the mean over the labels that are known."""
    known = ~jnp.isnan(label)
    return (jnp.where(known, u - jnp.where(known, label, 0), 0) ** 2).sum() / known.sum().clip(1)
