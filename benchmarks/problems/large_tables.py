"""Compare second-order methods with AdamW and Levenberg-Marquardt on six tables of 2,000 to 100,000 rows.

    pip install -e '.[bench]'
    taskset -c 0 python benchmarks/problems/large_tables.py [--seconds 20] [--seeds 1] [--methods SOAP ...]

Each fit has the same CPU seconds on one core, after its compilation. All minimise runge's own loss on all rows, from
weights that runge draws; the errors are those of `tables.errors` on fresh points without noise. Methods that have a
matrix with a column for each weight fit two layers of 32 neurons, the others three of 64, the default of `data=table`.
SOAP's learning rate was the best of a few on the borehole, which is not among the tables. The batch of K-FAC was the
best of a few of a prototype there. AdamW has its defaults.
"""

# pyright: reportMissingImports=false

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fresh import FRESH
from functions import Function, problem
from hard import HARD
from numpy.typing import NDArray
from tables import Rows, errors, noisy

from runge import machine
from runge.optimizers import Course, Problem
from runge.schedules import learning_rate_factor
from runge.sweeps.compose import compose
from runge.training.member import Member
from runge.training.stack import Stack

FIGURES = Path(__file__).parent / "figures" / "large_tables.json"


def arm(x: NDArray) -> NDArray:
    """Return the six torques by which a planar arm holds its links against gravity, by its joints' angles."""
    moments = np.cos(x.cumsum(axis=1)) * np.arange(6, 0, -1)
    return moments[:, ::-1].cumsum(axis=1)[:, ::-1]


def ridges(x: NDArray) -> NDArray:
    """Return a sum of four sines, four logistic functions and four squares of random linear functions."""
    a, b, c = (x @ weights for weights in np.random.default_rng(7).standard_normal((3, x.shape[1], 4)) / 2)
    return (np.sin(2 * a) + 1 / (1 + np.exp(-3 * b)) + 0.3 * c**2).sum(axis=1)


RIDGES = Function(ridges, ((-1, 1),) * 20, 100_000)
TABLES = {
    "OTL circuit": (FRESH["otl_circuit"]._replace(n=2_000), 0.0),
    "planar arm": (Function(arm, ((-1.5, 1.5),) * 6, 5_000), 0.0),
    "piston": (HARD["piston"]._replace(n=10_000), 0.0),
    "wing weight": (HARD["wing_10"]._replace(n=20_000), 0.0),
    "ridges": (RIDGES, 0.0),
    "ridges, 1 % noise": (RIDGES, 0.01),
}


class Fit:
    """A network, its training points, and the share of the time that has passed."""

    def __init__(self, rows: Rows, seed: int, *overrides: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            np.savez(f"{folder}/rows.npz", **rows._asdict())
            table = ("data=table", f"data.file={folder}/rows.npz", "data.split.val=0", "data.split.test=0")
            self.stack = Stack([Member(compose(*table, f"seed={seed}", *overrides))])
        module, self.points = self.stack.module, self.stack.data.dataset.train
        self.network, self.method = module.network.requires_grad_(False), module.optimizer
        self.lambda_d = module.lambda_d.to(module.scale)
        self.problem = Problem(self.network, self.points, module.scale, self.lambda_d, module.loss_and_gradient)
        self.step, self.progress = 0, 0.0

    def batch(self, count: int) -> torch.Tensor | None:
        """Return the rows of the next mini-batches, (count, 1, B); None: all rows."""
        self.step += count
        minibatches = self.stack.data.minibatches
        return None if minibatches is None else minibatches.index(self.step - count, count)

    def errors(self, test: Rows) -> dict[str, float]:
        """Return the errors of a copy, whose last layer Levenberg-Marquardt solves."""
        problem, units = self.problem.take(torch.tensor([0])), self.stack.data.units
        assert units is not None
        self.method.finish(problem)
        x = units.standardise_inputs(torch.from_numpy(test.x)[None]).to(self.network.theta.dtype)
        u, du = units.restore(*problem.network.predict(x))
        return errors(u[0].numpy(), du[0].numpy(), test)


def adamw(fit: Fit, count: int = 20) -> Iterator[None]:
    """AdamW of runge, whose learning rate follows a cosine to the end of the time."""
    network, points, scale, lambda_d, function = vars(fit.problem).values()
    optimizer, lambdas, on = fit.method.build([network.theta]), lambda_d.expand(count, -1), [True] * count
    while True:
        yield
        progress, taken = [fit.progress] * count, 0
        course = Course(network, points, fit.batch(count), scale, lambdas, on, progress, function)
        while taken < count:
            taken += fit.method.steps(optimizer, course, taken, count)


def levenberg_marquardt(fit: Fit) -> Iterator[None]:
    """Levenberg-Marquardt of runge, in 64 bit on all rows."""
    optimizer = fit.method.build([fit.network.theta])
    while True:
        yield
        fit.method.step(optimizer, fit.problem, fit.progress)


def soap(fit: Fit, rate: float = 1e-2) -> Iterator[None]:
    """SOAP of pytorch-optimizer, with the mini-batches and the cosine of AdamW."""
    from pytorch_optimizer import SOAP

    network, _, scale, lambda_d, function = vars(fit.problem).values()
    shapes = [shape for fan_in, fan_out in network.shapes for shape in ((fan_in, fan_out), (fan_out,))]

    def parts(flat: torch.Tensor) -> list[torch.Tensor]:  # views, which SOAP changes
        split = flat[0].split([int(np.prod(shape)) for shape in shapes])
        return [part.view(shape) for part, shape in zip(split, shapes, strict=True)]

    weights = [torch.nn.Parameter(part) for part in parts(network.theta.data)]
    optimizer = SOAP(weights, lr=rate, weight_decay=0.0)
    while True:
        yield
        batch = fit.batch(1)
        points = fit.points if batch is None else fit.points.minibatch(batch[0])
        _, gradient = function(network, points, scale, lambda_d)
        for weight, part in zip(weights, parts(gradient), strict=True):
            weight.grad = part
        optimizer.param_groups[0]["lr"] = rate * learning_rate_factor("cosine", fit.progress)
        optimizer.step()


def broyden(fit: Fit) -> Iterator[None]:
    """Self-scaled Broyden of ssbroyden-optimistix, in 64 bit on all rows, with runge's compiled gradient."""
    import equinox
    import jax
    import ssbroyden_optimistix  # sets JAX to 64 bit

    theta = fit.network.theta
    shapes = jax.ShapeDtypeStruct((), "float64"), jax.ShapeDtypeStruct(theta.shape[1:], "float64")

    def host(weights: Any) -> list[NDArray]:
        theta[0] = torch.from_numpy(np.array(weights))
        return [part[0].numpy() for part in fit.problem.loss_and_gradient()]

    def both(weights: Any) -> Any:
        return tuple(jax.pure_callback(lambda at: tuple(host(at)), shapes, weights))

    loss = jax.custom_vjp(lambda weights: both(weights)[0])
    loss.defvjp(both, lambda gradient, bar: (bar * gradient,))
    solver = ssbroyden_optimistix.SSBroyden(rtol=1e-14, atol=1e-14)
    more: dict[str, Any] = {"fn": lambda y, _: (loss(y), None), "args": None, "options": {}, "tags": frozenset()}
    step, y = equinox.filter_jit(equinox.Partial(solver.step, **more)), jax.numpy.asarray(theta[0].numpy().copy())
    state = solver.init(more["fn"], y, None, {}, shapes[0], None, more["tags"])
    while True:
        y, state, _ = jax.block_until_ready(step(y=y, state=state))
        theta[0] = torch.from_numpy(np.array(y))
        yield


def kfac(fit: Fit) -> Iterator[None]:
    """K-FAC of kfac-jax, which chooses learning rate, momentum and damping by its quadratic model.

    Value and tangents of a point are rows [h, 1] and [g, 0] of the input of a layer, which is used repeatedly.
    """
    import jax
    import kfac_jax
    from jax import numpy as jnp
    from kfac_jax._src import tag_graph_matcher

    def evaluate(equation: Any, values: Any) -> Any:  # kfac-jax 0.0.8 expects what JAX before 0.9 returned
        results = equation.primitive.bind(*values, **equation.primitive.get_bind_params(equation.params))
        return results if isinstance(results, list | tuple) else [results]

    tag_graph_matcher.eval_jaxpr_eqn = evaluate
    points, network = fit.points, fit.network
    x = (points.x * network.scale + network.shift)[0].numpy()
    target = torch.cat([points.f[..., None], points.df], dim=-1)[0].mT.numpy()  # (N, 1 + D, P)
    weight = torch.cat([points.weight_f[..., None], fit.lambda_d * points.weight_df], dim=-1)[0].mT.numpy()
    root, ends = np.sqrt(len(x) * weight[:1]), ((0, 0), (0, 0), (0, 1))
    tangents = np.pad(np.diag(network.scale[0, 0].numpy()), ends[1:])

    def loss(layers: Any, batch: Any) -> Any:
        h, g = batch[0][:, None], jnp.broadcast_to(tangents, (len(batch[0]), *tangents.shape))
        for layer in layers[:-1]:
            z = jnp.concatenate([jnp.pad(h, ends, constant_values=1), g], 1) @ layer
            z, dz, s = z[:, :1], z[:, 1:], 1 / (1 + jnp.exp(-z[:, :1]))
            h, g = z * s, jnp.pad(s * (1 + z * (1 - s)) * dz, ends)  # silu
        u = jnp.concatenate([jnp.pad(h, ends, constant_values=1), g], 1) @ layers[-1]
        u, labels = ((root * part).reshape(len(u), -1) for part in (u, batch[1]))
        kfac_jax.register_squared_error_loss(u, labels)
        return jnp.mean(jnp.sum((u - labels) ** 2, 1))

    options: dict[str, Any] = {f"use_adaptive_{name}": True for name in ("learning_rate", "momentum", "damping")}
    options |= {"l2_reg": 0.0, "initial_damping": 1.0, "min_damping": 1e-12, "num_burnin_steps": 0}
    optimizer = kfac_jax.Optimizer(jax.value_and_grad(loss), estimation_mode="ggn_curvature_prop", **options)
    initial = [jnp.concatenate([w[0].numpy(), b[0].numpy()]) for w, b in network.layers()]
    for steps in (range(7), itertools.count()):  # the first steps compile, and are taken again
        layers: Any = jax.tree.map(jnp.copy, initial)
        key, state = jax.random.key(0), None
        for step in steps:
            key, used = jax.random.split(key)
            batch = fit.batch(1)
            rows = (x, target) if batch is None else (x[batch[0, 0]], target[batch[0, 0]])
            state = optimizer.init(layers, key, rows) if state is None else state
            layers, state, *_ = optimizer.step(layers, state, used, batch=rows, global_step_int=step)
            network.theta[0] = torch.from_numpy(np.concatenate([np.array(layer).ravel() for layer in layers]))
            if not isinstance(steps, range):
                yield


COMPILED, SMALL = "trainer.compile=on", ("model.depth=2", "model.width=32")
METHODS: dict[str, tuple[Callable[[Fit], Iterator[None]], tuple[str, ...]]] = {
    "AdamW": (adamw, (COMPILED,)),
    "Levenberg-Marquardt": (levenberg_marquardt, ("optimizer=levenberg_marquardt", *SMALL)),
    "SOAP": (soap, (COMPILED,)),
    "self-scaled Broyden": (broyden, (COMPILED, "trainer.precision=64", *SMALL)),
    "K-FAC": (kfac, ("data.batch_size=512",)),
}


def fit_once(name: str, table: str, seed: int, seconds: float) -> list[dict[str, float]]:
    """Return the errors after a quarter, a half and all of the seconds, and the calls taken."""
    machine.use_threads(0)
    function, noise = TABLES[table]
    rows, test = problem(function, seed)
    method, overrides = METHODS[name]
    fit = Fit(noisy(rows, noise, noise, seed), seed, *overrides)
    if fit.stack.members[0].work() > 3 * seconds:
        return []  # the first step would take longer
    steps, spent, taken, found = method(fit), 0.0, 0, []
    next(steps)
    for share in (0.25, 0.5, 1.0):
        while spent < share * seconds:
            began = time.process_time()
            next(steps)
            spent, taken = spent + time.process_time() - began, taken + 1
            fit.progress = min(spent / seconds, 1.0)
        found.append({"seconds": spent, "steps": taken, **fit.errors(test)})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--tables", nargs="+", default=list(TABLES))
    parser.add_argument("--only", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(fit_once(*options.only)))
        return
    for table, name, seed in itertools.product(options.tables, options.methods, range(options.seeds)):
        command = [sys.executable, __file__, "--only", json.dumps([name, table, seed, options.seconds])]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        found = json.loads(done.stdout.splitlines()[-1]) if not done.returncode else None
        print(table, name, seed, *(f"{x['seconds']:.0f} s {x['value']:.1e} {x['derivative']:.1e}" for x in found or ()))
        kept = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
        kept.setdefault(table, {}).setdefault(name, {})[f"{seed}"] = found
        FIGURES.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
