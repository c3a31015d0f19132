"""The reactor's study in JAX, as its author runs it: pools and decays under vmap, all steps in one compiled scan.

    pip install jax optax
    python benchmarks/problems/peers_pfr.py DIR [--sizes 64 256] [--losses nll] [--steps 5000]

DIR holds the tables of `pfr.py`; only the whole study is kept for the page. A 5 -> 64 -> 64 -> 4 tanh network, all
standardised, takes full-batch Adam steps in 64 bit, with a cosine from 3e-3 to 0 and decoupled weight decay, which is
chosen for each pool by the validation error of the values. The whole study is 375 trainings: five pools, decays and
sizes, three losses. Times include compiling.
"""

import os
import time
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
import jax  # pyright: ignore[reportMissingImports]
import jax.numpy as jnp  # pyright: ignore[reportMissingImports]
import numpy as np
import optax  # pyright: ignore[reportMissingImports]
import page
from tables import nrmse
from tools.jax_by_hand import both, value

jax.config.update("jax_enable_x64", True)
DECAYS = 0.0, 0.03, 0.1, 0.3, 1.0
POOLS = 5
RATE = 3e-3


def initial(key: Any) -> Any:
    sizes = list(pairwise((5, 64, 64, 4)))
    keys = jax.random.split(key, len(sizes))
    return [
        (jax.random.normal(k, size) / size[0] ** 0.5, jnp.zeros(size[1])) for k, size in zip(keys, sizes, strict=True)
    ]


def values_only(weights: Any, x: Any, y: Any, dydx: Any) -> Any:
    return jnp.mean((value(weights, x) - y) ** 2)


def lambda_1(weights: Any, x: Any, y: Any, dydx: Any) -> Any:
    u, du = both(weights, x)
    return jnp.mean((u - y) ** 2) + jnp.mean((du - dydx) ** 2)


def nll(weights: Any, x: Any, y: Any, dydx: Any) -> Any:
    """Half the sum over all 24 channels of the log of the mean square error."""
    u, du = both(weights, x)
    return sum(jnp.sum(jnp.log(jnp.mean(r**2, axis=0) + 1e-12)) for r in (u - y, du - dydx)) / 2


LOSSES = {"values": values_only, "lambda": lambda_1, "nll": nll}


def train(loss: Any, steps: int, x: Any, y: Any, dydx: Any, key: Any, decay: Any) -> Any:
    rate = optax.cosine_decay_schedule(RATE, steps)
    adam = optax.adam(rate)

    def step(state: Any, i: Any) -> Any:
        weights, averages = state
        updates, averages = adam.update(jax.grad(loss)(weights, x, y, dydx), averages)
        weights = optax.apply_updates(weights, updates)
        return (jax.tree.map(lambda w: w * (1 - rate(i) * decay), weights), averages), None

    weights = initial(key)
    return jax.lax.scan(step, (weights, adam.init(weights)), jnp.arange(steps))[0][0]


class Pool:
    """A table in standard units: (x - mean) / std, as its training rows are; the Jacobian by the chain rule."""

    def __init__(self, path: Path) -> None:
        table = np.load(path)
        self.columns = {
            part: [table[name][table["split"] == part] for name in ("x", "y", "dydx")]
            for part in ("train", "val", "test")
        }
        x, y, _ = self.columns["train"]
        self.x_mean, self.x_std, self.y_mean, self.y_std = x.mean(0), x.std(0), y.mean(0), y.std(0)
        self.slope = self.y_std[:, None] / self.x_std

    def standard(self) -> Any:
        x, y, dydx = self.columns["train"]
        return (x - self.x_mean) / self.x_std, (y - self.y_mean) / self.y_std, dydx / self.slope

    def errors(self, weights: Any, part: str) -> tuple[float, float]:
        x, y, dydx = self.columns[part]
        u, du = map(np.asarray, both(weights, (x - self.x_mean) / self.x_std))
        return nrmse(u * self.y_std + self.y_mean, y), nrmse(du * self.slope, dydx)


def study(directory: Path, sizes: list[int], loss: str, steps: int) -> Iterator[dict[str, Any]]:
    for n in sizes:
        yield one_size(directory, n, loss, steps)


def one_size(directory: Path, n: int, loss: str, steps: int) -> dict[str, Any]:
    started = time.perf_counter()
    pools = [Pool(directory / f"pfr_{i}_{n}.npz") for i in range(POOLS)]
    data = [jnp.asarray(np.stack(column)) for column in zip(*(pool.standard() for pool in pools), strict=True)]
    keys, decays = jnp.stack([jax.random.key(7 + i) for i in range(POOLS)]), jnp.array(DECAYS)
    run = partial(train, LOSSES[loss], steps)
    over_decays = jax.vmap(run, in_axes=(None, None, None, None, 0))
    grid = jax.jit(jax.vmap(over_decays, in_axes=(0, 0, 0, 0, None)))(*data, keys, decays)
    jax.block_until_ready(grid)
    seconds = time.perf_counter() - started
    chosen = []
    for i, pool in enumerate(pools):
        runs = [jax.tree.map(lambda w, i=i, j=j: w[i, j], grid) for j in range(len(DECAYS))]
        best = int(np.argmin([pool.errors(weights, "val")[0] for weights in runs]))
        chosen.append((*pool.errors(runs[best], "test"), DECAYS[best]))
    value, derivative, decay = np.median(chosen, axis=0)
    figures = {"n": n, "loss": loss, "value": value, "derivative": derivative, "decay": decay}
    worst = dict(zip(("worst_value", "worst_derivative"), np.max(chosen, axis=0)[:2].tolist(), strict=True))
    return figures | worst | {"trainings": POOLS * len(DECAYS), "steps": steps, "seconds": seconds}


if __name__ == "__main__":
    page.keep_study("peers_pfr", __doc__, LOSSES, study)
