"""Problems whose loss is a weighted sum of squares, on which tests of optimisers train."""

from dataclasses import replace

import numpy as np
import torch

from runge.optimizers import LevenbergMarquardt, Problem
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from tests.conftest import model

LM = LevenbergMarquardt()
ELIMINATE = replace(LM, readout="eliminate")


def made(x, f, df, weight_f, weight_df, lambda_d, **shape):
    """Return the problem of these points in [-1, 1]^D for networks of a shape."""
    (members, n, dimension), outputs = x.shape, f.shape[2]
    network = StackedMLP(
        model(**shape),
        domains=torch.tensor([[-1.0, 1.0]] * dimension, dtype=torch.float64).expand(members, dimension, 2),
        generators=[torch.Generator().manual_seed(i) for i in range(members)],
        dtype=torch.float64,
        outputs=outputs,
    )
    ones, names = torch.ones(members, 1, n, dtype=torch.float64), tuple("fgh"[:outputs])
    points, scale = Points(x, f, df, weight_f, weight_df, ones, outputs=names), ones[:, 0, 0].clone()
    return Problem(network, points, scale, None if lambda_d is None else lambda_d * scale, losses.loss_and_gradient)


def problem(members=1, n=20, width=6, depth=2, lambda_d=0.1, f=torch.sin, df=torch.cos, outputs=1, **shape):
    """Return the problem of f(3x) on a line."""
    x = torch.linspace(-1, 1, n, dtype=torch.float64).expand(members, n)[..., None]
    values, slopes = (part.expand(-1, -1, outputs).clone() for part in (f(3 * x), 3 * df(3 * x)))
    weight, shape = torch.full_like(values, 1 / n), {"width": width, "depth": depth, **shape}
    return made(x, values, slopes[..., None], weight, weight[..., None], lambda_d, **shape)


def runge(members=1, n=40, width=16):
    """Return Runge's function at Chebyshev's points, for networks with evenly spaced knots."""
    x = torch.cos(torch.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n).expand(members, n)[..., None]
    weight = torch.full_like(x, 1 / n)
    return made(x, *labels(x), weight, weight[..., None], 1.0, depth=1, width=width, init="knots")


def labels(x):
    f = 1 / (1 + 25 * x**2)
    return f, (-50 * x * f**2)[..., None]


def plane(members=2, n=12, width=5, lambda_d=0.3, outputs=2):
    """Return two functions of two variables at random points, of which some values and derivatives are not known."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape):
        return torch.rand(n, *shape, generator=generator, dtype=torch.float64)

    x, weight_f, weight_df = 2 * uniform(2) - 1, uniform(outputs) / n, uniform(outputs, 2) / n
    weight_f[::5], weight_df[3::7, :, 0] = 0, 0
    (a, b), slope = x.unbind(1), torch.cos(2 * x[:, 0] + x[:, 1])
    f = torch.stack([torch.sin(2 * a + b), a * b], dim=1)[:, :outputs]
    df = torch.stack([torch.stack([2 * slope, slope], 1), torch.stack([b, a], 1)], 1)[:, :outputs]
    parts = (part.expand(members, *part.shape).clone() for part in (x, f, df, weight_f, weight_df))
    return made(*parts, lambda_d, width=width, depth=2)


def hypercube(members=2, n=60, width=6, dimension=5):
    """Return a product of cosines of several variables at random points."""
    x = 2 * torch.rand(n, dimension, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    f = torch.cos(x).prod(1, keepdim=True)
    df = (-torch.tan(x) * f)[:, None]
    weight, weight_df = torch.full_like(f, 1 / n), torch.full_like(df, 1 / n)
    parts = (part.expand(members, *part.shape).clone() for part in (x, f, df, weight, weight_df))
    return made(*parts, 1.0, width=width, depth=2)


def train(what, steps, method=LM):
    optimizer = method.build([what.network.theta])
    for _ in range(steps):
        method.step(optimizer, what, 0.0)
    return optimizer


@torch.no_grad()
def linearised(what, theta=None):
    """Return the errors of each member, their weights, the tape and J, at the present weights or others."""
    if theta is not None:
        what.network.theta.copy_(torch.as_tensor(theta))
    u, du, tape = what.network.propagate(what.points.x, with_derivative=what.lambda_d is not None)
    return *losses.least_squares(u, du, what.points, what.scale, what.lambda_d), tape, jacobian(what.network, tape)


def last_layers(what, ridge=0.0):
    """Return the last layer of least loss of each member, (M, K), by NumPy, where the present ones are 0."""
    errors, weights, _, rows = linearised(what)
    roots, outputs = weights.sqrt().numpy(), what.network.outputs
    count = int(np.prod(what.network.shapes[-1])) + outputs
    penalty = ridge**0.5 * np.eye(count - outputs, count)  # not of the biases
    labels = np.pad(-roots * errors.numpy(), ((0, 0), (0, len(penalty))))
    columns = roots[..., None] * rows.numpy()[..., -count:]
    return [np.linalg.lstsq(np.vstack([a, penalty]), b)[0] for a, b in zip(columns, labels, strict=True)]
