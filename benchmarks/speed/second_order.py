"""Compare a step of Levenberg-Marquardt with its arithmetic alone, and with the same step by torch.func.

    python benchmarks/speed/second_order.py [--rounds 5] [--depth 3] [--points 96]

A network of ten inputs and hidden layers of 64 with tanh fits values and gradients of a smooth function at 96 points,
1056 errors, in 64 bit on all cores. A step has one damping and no acceleration, so that each contender solves the same
system once. The arithmetic alone are the products of the layers' inputs and adjoints, and Cholesky's factorisation, by
the same BLAS. By torch.func the Jacobian is formed by reverse differentiation of all errors.
"""

import time
from collections.abc import Callable

import torch
from figures import parser, report
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from runge import machine
from runge.optimizers import LevenbergMarquardt, Problem
from runge.sobolev import losses
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

INPUTS, WIDTH = 10, 64
DAMPING = 10.0


def problem(n: int, depth: int) -> Problem:
    """Return the problem of a stack of one member at n points."""
    x = torch.rand(1, n, INPUTS, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1
    phase = x.sum(2, keepdim=True)
    f, df = phase.sin(), phase.cos()[..., None].expand(-1, -1, 1, INPUTS).clone()
    points = Points(x, f, df, torch.full_like(f, 1 / n), torch.full_like(df, 1 / n), torch.ones_like(f).mT)
    network = StackedMLP(
        Model(activation="tanh", depth=depth, width=WIDTH, init="default", stages=1, derivative="forward"),
        torch.tensor([[-1.0, 1.0]], dtype=torch.float64).expand(1, INPUTS, 2),
        [torch.Generator().manual_seed(0)],
        torch.float64,
    )
    one = torch.ones(1, dtype=torch.float64)
    return Problem(network, points, one, one, losses.loss_and_gradient)


def ours(what: Problem) -> Callable[[], object]:
    """Return a step of this package, from the same weights each time."""
    method = LevenbergMarquardt(damping=DAMPING, acceleration=0)
    start = what.network.theta.detach().clone()

    def step() -> None:
        what.network.theta.data.copy_(start)
        method.step(method.build([what.network.theta]), what, 0.0)

    return step


def by_functions(what: Problem) -> Callable[[], object]:
    """Return a step that forms the Jacobian of all errors by torch.func."""
    network, n, depth = what.network, what.points.x.shape[1], len(what.network.shapes)
    layers: list[torch.nn.Module] = []
    for i, shape in enumerate(network.shapes):
        layers += [torch.nn.Linear(*shape, dtype=torch.float64), *[torch.nn.Tanh()] * (i < depth - 1)]
    model = torch.nn.Sequential(*layers)
    weights, points = {name: part.detach() for name, part in model.named_parameters()}, what.points

    def errors(weights: dict[str, Tensor]) -> Tensor:
        def u(x: Tensor) -> Tensor:
            return functional_call(model, weights, x)[0]

        x = points.x[0]
        both = torch.cat([vmap(u)(x)[:, None], vmap(jacrev(u))(x)], dim=1)
        return (both - torch.cat([points.f[0], points.df[0, :, 0]], dim=1)).flatten() / n**0.5

    def step() -> Tensor:
        e, rows = errors(weights), jacrev(errors)(weights)
        jacobian = torch.cat([part.flatten(1) for part in rows.values()], dim=1)
        square = jacobian @ jacobian.T
        square.diagonal().add_(DAMPING)
        change = jacobian.T @ torch.cholesky_solve(e[:, None], torch.linalg.cholesky(square))
        return errors(dict(zip(weights, _split(change[:, 0], weights), strict=True)))  # whether it is better

    return step


def _split(change: Tensor, weights: dict[str, Tensor]) -> list[Tensor]:
    parts = change.split([part.numel() for part in weights.values()])
    return [part - one.view_as(part) for part, one in zip(weights.values(), parts, strict=True)]


def arithmetic(what: Problem) -> Callable[[], object]:
    """Return the products and the factorisation of a step alone."""
    rows = what.points.x.shape[1] * (1 + INPUTS)
    sides = [torch.randn(rows, size, dtype=torch.float64) for shape in what.network.shapes for size in shape]
    square = torch.eye(rows, dtype=torch.float64)

    def step() -> None:
        for side in sides[:-1]:  # of inputs and adjoints; those of the last layer are 1
            torch.mm(side, side.T)
        torch.linalg.cholesky(square)

    return step


@torch.no_grad()
def main() -> None:
    options = parser(__doc__, rounds=5)
    options.add_argument("--depth", type=int, default=3)
    options.add_argument("--points", type=int, default=96)
    chosen = options.parse_args()
    what, times = problem(chosen.points, chosen.depth), dict[str, list[float]]()
    machine.keep_memory()
    errors, neurons = chosen.points * (1 + INPUTS), chosen.points * (1 + INPUTS) * WIDTH
    machine.use_threads(neurons, LevenbergMarquardt().products(errors, what.network.theta.shape[1], WIDTH))
    steps = {"its arithmetic alone": arithmetic(what), "runge": ours(what), "torch.func": by_functions(what)}
    for step in steps.values():
        step()
    for _ in range(chosen.rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            for _ in range(10):
                step()
            times.setdefault(name, []).append((time.perf_counter() - began) * 100)
    others = {"errors": errors, "weights": what.network.theta.shape[1], "threads": torch.get_num_threads()}
    report("second_order", "milliseconds", times, chosen.keep, others)


if __name__ == "__main__":
    main()
