"""A ridge regression of the last layer on all points, from the decomposition of a sketch of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from runge.configuration.validation import Floats
from runge.optimizers.least_squares import Factorisation, libraries
from runge.optimizers.optimizer import Problem
from runge.sobolev import losses
from runge.sobolev.jacobian import readout

__all__ = ["improve_last_layer"]

_BLOCK_FEATURES = 2**22
"""The most features of a member, numbers of H, that are multiplied at a time, 32 MB."""


@torch.no_grad()
def improve_last_layer(problem: Problem, ridge: Tensor, sketch: Sequence[Factorisation], iterations: int) -> None:
    r"""Take conjugate gradients in the last layer's weights c, towards the minimum of the loss and its ridge.

    The gradient of :math:`|R (H c - y)|^2 + \rho |c|^2`, as in `least_squares.solve_last_layer`, is multiplied by the
    inverse of its matrix on a sketch of the rows. That of several times as many random sums of rows as weights is close
    to that of all rows, so that a few iterations suffice, however nearly dependent the columns are. A random sample of
    the rows is not close where points are clustered or far from all others.
    H is computed again in each iteration, in blocks of points, so that memory does not grow with them.

    Args:
        problem: of M members with P outputs.
        ridge: rho, (M,).
        sketch: the factorisations of the sketched R H and the ridge, of each output of each member.
        iterations: their number.

    References:
        V. Rokhlin, M. Tygert (2008). A fast randomized algorithm for overdetermined linear least-squares regression.
        https://doi.org/10.1073/pnas.0804869105
    """
    width, outputs = problem.network.shapes[-1]
    last = problem.network.theta[:, -(width + 1) * outputs :]
    # The bits of a product depend on the threads, and the BLAS of NumPy does not obey `torch.set_num_threads`.
    with libraries().limit(limits=1, user_api="blas"), np.errstate(all="ignore"):
        weights = last.unflatten(1, (width + 1, outputs)).cpu().numpy().copy()
        penalty = np.repeat(ridge.cpu().numpy()[:, None, None], width + 1, axis=1)
        penalty[:, -1] = 0  # of the bias
        residual = -penalty * weights
        for features, squares, errors in _blocks(problem):
            residual -= features.transpose(0, 2, 1) @ (squares * errors)
        direction, before = np.zeros_like(weights), np.inf
        for _ in range(iterations):
            scaled = _solved(sketch, residual)
            size = (residual * scaled).sum(1, keepdims=True)
            direction = scaled + (size / before) * direction
            image = penalty * direction
            for features, squares, _ in _blocks(problem):
                image += features.transpose(0, 2, 1) @ (squares * (features @ direction))
            length = size / (direction * image).sum(1, keepdims=True)
            length[~np.isfinite(length)] = 0  # at the minimum, and of a member that diverged
            weights += length * direction
            residual -= length * image
            before = size
    last.copy_(torch.from_numpy(weights).flatten(1))


def _blocks(problem: Problem) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Yield H, (M, R, C), of blocks of points, and the weights in the loss and the errors, both (M, R, P)."""
    rows, (width, outputs) = 1 + problem.network.dimension, problem.network.shapes[-1]
    for points in problem.points.split(max(1, _BLOCK_FEATURES // (rows * (width + 1)))):
        u, du, tape = problem.network.propagate(points.x, with_derivative=problem.lambda_d is not None)
        errors, squares = losses.least_squares(u, du, points, problem.scale, problem.lambda_d)
        squares, errors = (flat.unflatten(1, (outputs, -1)).mT.cpu().numpy() for flat in (squares, errors))
        yield readout(tape).cpu().numpy(), squares, errors


def _solved(sketch: Sequence[Factorisation], right: Floats) -> Floats:
    """Return the solutions of the normal equations of each output of each member, (M, C, P)."""
    members, columns, outputs = right.shape
    rights = right.transpose(0, 2, 1).reshape(-1, columns)
    solutions = [factorisation.solve_normal(row) for factorisation, row in zip(sketch, rights, strict=True)]
    return np.stack(solutions).reshape(members, outputs, columns).transpose(0, 2, 1)
