r"""Labels of second order, and labels along one direction of each row: how much they lower the errors.

A network of two hidden layers of tanh is fitted to values and gradients, and then also to Hessians, or to values and
one product J v of each row. In standardised units the loss is

    MSE_f + lambda_d MSE_df + lambda_dd MSE_ddf,

each mean square over the variance of its labels. The weights are those of the step, and of the one of four lambdas,
with the smallest errors of values and gradients on validation rows, one for every four training rows. Errors are root
mean squares over the standard deviation on 1000 points.

    python benchmarks/problems/second_order.py hessian [--method adam] [--seeds 3] [--names franke branin]
    python benchmarks/problems/second_order.py direction --seeds 2
"""

import argparse
import json
from collections.abc import Sequence
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np
import page
import torch
from second_order_problems import OF_DIRECTION, OF_HESSIAN, Labels, Problem, points
from tables import Array
from torch import Tensor
from torch.func import jacrev, vmap

N_TEST, TEST_SEED, LAMBDA_D, LAMBDA_DD = 1000, 999, (0.1, 1.0, 10.0, 100.0), (1e-3, 1e-2, 1e-1, 1.0)
LM_TRIES, ADAM_STEPS, ADAM_EVERY = 30, 2000, 50
EASY, WIDE, MANY = (24, 200, 40), (16, 100, 25), 20
"""The width, the most steps of Levenberg-Marquardt, those without a better one that end a fit; for many inputs."""


class Network(NamedTuple):
    """Two hidden layers of tanh, in float64, whose weights are one vector theta, (W,)."""

    inputs: int
    width: int
    outputs: int

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """The inputs and outputs of each layer."""
        return list(pairwise((self.inputs, self.width, self.width, self.outputs)))

    def draw(self, seed: int) -> Tensor:
        """Draw the initial weights."""
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(*shape, dtype=torch.float64) for shape in self.shapes]
        for layer in layers:
            torch.nn.init.xavier_normal_(layer.weight)
            torch.nn.init.normal_(layer.bias, std=0.5)
        return torch.cat([part.detach().flatten() for layer in layers for part in (layer.weight, layer.bias)])

    def jet(self, theta: Tensor, x: Tensor, v: Tensor, second: bool) -> Tensor:
        """Return u, u' v_k and, if `second`, v_k^T u'' v_l for k <= l, flat, at x, (D,), along v, (K, D)."""
        z, dz, ddz, last = x, v, x.new_zeros(len(v), len(v), len(x)), len(self.shapes) - 1
        for i, (fan_in, fan_out) in enumerate(self.shapes):
            weight, bias, theta = theta.tensor_split([fan_in * fan_out, (fan_in + 1) * fan_out])
            weight = weight.view(fan_out, fan_in).T
            z, dz, ddz = z @ weight + bias, dz @ weight, ddz @ weight if second else ddz
            if i < last:
                z = torch.tanh(z)
                slope = 1 - z**2
                if second:
                    ddz = slope * ddz - 2 * z * slope * dz[:, None] * dz
                dz = slope * dz
        parts = [z, dz, ddz[*np.triu_indices(len(v))]] if second else [z, dz]
        return torch.cat([part.flatten() for part in parts])


class Rows(NamedTuple):
    """Points (m, D), directions (m, K, D), labels (m, R), and the roots of the weights of their squares, (R,)."""

    x: Tensor
    v: Tensor
    target: Tensor
    root: Tensor
    second: bool

    def errors(self, network: Network, theta: Tensor) -> Tensor:
        """Return the errors (m, R), times the roots of their weights."""
        return (vmap(partial(network.jet, theta, second=self.second))(self.x, self.v) - self.target) * self.root

    @torch.no_grad()
    def relative(self, network: Network, theta: Tensor) -> Array:
        """Return the relative errors of values and gradients, if lambda_d is 1."""
        parts = self.errors(network, theta).square().tensor_split([network.outputs], dim=1)
        return np.sqrt([float(part.sum()) for part in parts])


class Units(NamedTuple):
    """The centre and the standard deviation of inputs in a box, and the mean and the standard deviation of outputs."""

    centre: Array
    width: Array
    mean: Array
    size: Array

    def rows(self, labels: Labels, lambdas: Sequence[float], v: Array | None = None, of: Labels | None = None) -> Rows:
        """Return rows in these units, with the weights lambda_d and, with Hessians, lambda_dd.

        With v, (m, D), the products with it take the place of the gradients. Each term is divided by the variance of
        the labels `of`, by default the same ones.
        """
        (m, dimension), outputs, of = labels.x.shape, labels.y.shape[1], of or labels
        to_y, to_slope = 1 / self.size, self.width / self.size[:, None]
        along = np.broadcast_to(np.eye(dimension), (m, dimension, dimension)) if v is None else v[:, None]
        slopes = np.einsum("mpd,mkd->mkp", labels.dydx * to_slope, along).reshape(m, -1)
        variance = (of.dydx * to_slope).var(axis=0).sum(-1).mean() * len(along[0]) / dimension
        parts = [(labels.y - self.mean) * to_y, slopes]
        weights = [1 / (of.y * to_y).var(axis=0), np.full(slopes.shape[1], lambdas[0] / variance)]
        if len(lambdas) > 1 and labels.hessian is not None:
            hessian = labels.hessian * (to_slope[:, None] * self.width[:, None])
            first, second = np.triu_indices(dimension)
            parts.append(hessian[..., first, second].swapaxes(1, 2).reshape(m, -1))
            twice = np.repeat(np.where(first == second, 1, 2), outputs)
            weights.append(lambdas[1] / hessian.var(axis=0).sum((-2, -1)).mean() * twice)
        root = np.sqrt(np.concatenate(weights) / (m * outputs))
        x = (labels.x - self.centre) / self.width
        tensors = (torch.from_numpy(np.array(part)) for part in (x, along, np.concatenate(parts, axis=1), root))
        return Rows(*tensors, second=len(parts) > 2)


class Best:
    """The weights with the smallest geometric mean of the errors of values and gradients on validation rows."""

    def __init__(self, network: Network, val: Rows, seed: int) -> None:
        self.network, self.val, self.error, self.waited = network, val, np.inf, 0
        self.theta = network.draw(seed)

    def look(self, theta: Tensor) -> None:
        """Keep weights that are better."""
        error = float(np.sqrt(self.val.relative(self.network, theta).prod()))
        self.waited += 1
        if error < self.error:
            self.error, self.waited, self.theta = error, 0, theta.detach().clone()


@torch.no_grad()
def levenberg_marquardt(best: Best, train: Rows, steps: int, patience: int) -> None:
    """Take accepted steps, each in the smaller of the spaces of the errors and of the weights."""
    network, theta, damping = best.network, best.theta, 1e-2
    jacobian = vmap(jacrev(partial(network.jet, second=train.second)), in_dims=(None, 0, 0))
    e = train.errors(network, theta).flatten()
    for _ in range(steps):
        j = (jacobian(theta, train.x, train.v) * train.root[:, None]).flatten(0, 1)
        dual = len(j) <= j.shape[1]
        gram, right = (j @ j.T, e) if dual else (j.T @ j, j.T @ e)
        for attempt in range(LM_TRIES):
            factor, failed = torch.linalg.cholesky_ex(gram + damping * torch.eye(len(gram)).to(gram))
            if not failed:
                step = torch.cholesky_solve(right[:, None], factor)[:, 0]
                trial = theta - (j.T @ step if dual else step)
                new = train.errors(network, trial).flatten()
                if new @ new < e @ e:
                    theta, e, damping = trial, new, damping / (1 if attempt else 3)
                    break
            damping *= 2
        else:
            return
        best.look(theta)
        if best.waited == patience:
            return


def adam(best: Best, train: Rows, *_: int) -> None:
    """Train with a rate that falls from 1e-2 along a cosine."""
    theta = best.theta.requires_grad_()
    optimizer = torch.optim.Adam([theta], lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ADAM_STEPS, 1e-5)
    for step in range(1, ADAM_STEPS + 1):
        optimizer.zero_grad()
        train.errors(best.network, theta).square().sum().backward()
        optimizer.step()
        schedule.step()
        if step % ADAM_EVERY == 0:
            best.look(theta)


def fit(problem: Problem, n: int, seed: int, arm: str, method: str) -> Array:
    """Return the test errors of value and gradient of a fit to n rows."""
    low, high = np.array(problem.box, float).T
    train, val = points(problem, n, seed, True), points(problem, n // 4, seed, False)
    units = Units((low + high) / 2, (high - low) / 12**0.5, train.y.mean(0), train.y.std(0))
    width, *limits = EASY if len(low) < MANY else WIDE
    v = np.random.default_rng(seed).normal(size=train.x.shape)
    v = v / np.linalg.norm(v, axis=1, keepdims=True) if arm == "direction" else None
    fits = list[Best]()
    network = Network(len(low), width, train.y.shape[1])
    for lambdas in TRIES[arm]:
        fits.append(Best(network, units.rows(val, (1,), of=train), seed))
        METHODS[method](fits[-1], units.rows(train, lambdas, v), *limits)
    best = min(fits, key=lambda one: one.error)
    return units.rows(points(problem, N_TEST, TEST_SEED, False), (1,)).relative(network, best.theta)


def measure(study: str, names: Sequence[str], method: str, seeds: int) -> list[dict[str, Any]]:
    """Return the test errors of fits to gradients, and with what is studied, as rows of figures."""
    rows = list[dict[str, Any]]()
    for name, problem in ((name, STUDIES[study][name]) for name in names or STUDIES[study]):
        for n, seed, arm in product(problem.rows, range(seeds), ("gradient", study)):
            value, derivative = fit(problem, n, seed, arm, method)
            rows.append(
                {"problem": name, "rows": n, "seed": seed, "arm": arm, "value": value, "derivative": derivative}
            )
            print(json.dumps(rows[-1]), flush=True)
    return rows


TRIES = {
    "gradient": [(one,) for one in LAMBDA_D],
    "direction": [(one,) for one in LAMBDA_D],
    "hessian": [(1.0, one) for one in LAMBDA_DD],
}
METHODS = {"lm": levenberg_marquardt, "adam": adam}
STUDIES = {"hessian": OF_HESSIAN, "direction": OF_DIRECTION}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", choices=STUDIES)
    parser.add_argument("--method", choices=METHODS, default="lm")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--names", nargs="*", default=())
    arguments = parser.parse_args()
    found = measure(arguments.study, arguments.names, arguments.method, arguments.seeds)
    if arguments.method == "lm":
        page.keep("second_order", found, "python benchmarks/problems/second_order.py hessian --seeds 5")
