r"""The last layer eliminated from the errors (variable projection), and the system of a step in the other weights.

The errors are linear in the last layer's weights c of an output, e = A c - b in units of their weights' roots, where A
depends on the hidden weights alpha. They are replaced by the errors at the best c with a ridge rho,

.. math:: r(\alpha) = \tilde A c - \tilde b, \quad \tilde A = [A; \rho I], \quad \tilde b = [b; 0], \quad
          c = \tilde A^+ \tilde b, \quad |r|^2 = \min_c |A c - b|^2 + \rho^2 |c|^2,

whose Jacobian, without the term that is orthogonal to r (Kaufman), is that of e at fixed c, projected on the complement
of the range of A: :math:`(I - Q Q^T) [J_\alpha; 0]` with the orthonormal factor Q of :math:`\tilde A`.

The columns of A are nearly dependent. Without a ridge, or with a fixed small one at the beginning, c is large and
follows the last digits of alpha, so that only tiny steps reduce the loss. Here it is proportional to the relative error
at the beginning of each step.

References:
    G. H. Golub, V. Pereyra (1973). The differentiation of pseudo-inverses and nonlinear least squares problems whose
    variables separate. https://doi.org/10.1137/0710036
    L. Kaufman (1975). A variable projection method for solving separable nonlinear least squares problems.
    https://doi.org/10.1007/BF01932995
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.linearised import Linearised
from runge.optimizers.levenberg_marquardt.systems import Factorised
from runge.optimizers.optimizer import Problem
from runge.sobolev import losses
from runge.sobolev.jacobian import jacobian, readout
from runge.sobolev.tape import Tape

__all__ = ["Eliminated", "HiddenSpace", "eliminate", "relative_ridge"]


class Eliminated(NamedTuple):
    """The errors at the best last layer, of P outputs with R = (1 + D) N errors and K = width + 1 weights c each."""

    errors: Tensor  # r, (M, P (R + K))
    tape: Tape
    basis: Tensor  # the rows of Q, (M, P, R + K, K)
    roots: Tensor  # of the errors' weights, (M, P, R)


def relative_ridge(problem: Problem, loss: Tensor) -> Tensor:
    """Return the ridge for a loss, (M,): a share of the root of the loss over that of u = 0."""
    relative = (loss / _labels(problem)[0].square().sum(1)).nan_to_num().sqrt()
    return (limits.RIDGE * relative).clamp(limits.SMALLEST_RIDGE, 1)


def _labels(problem: Problem) -> tuple[Tensor, Tensor]:
    """Return the labels times the roots of their weights, and the roots, each (M, P R)."""
    points = problem.points
    du = None if problem.lambda_d is None else torch.zeros_like(points.df)
    at_0, weights = losses.least_squares(torch.zeros_like(points.f), du, points, problem.scale, problem.lambda_d)
    return -weights.sqrt() * at_0, weights.sqrt()


def eliminate(problem: Problem, ridge: Tensor) -> Eliminated:
    """Set the last layer to its best for a ridge, (M,), and return the errors there."""
    network = problem.network
    *_, tape = network.propagate(problem.points.x, with_derivative=problem.lambda_d is not None)
    target, roots = (flat.unflatten(1, (network.outputs, -1)) for flat in _labels(problem))
    columns = roots[..., None] * readout(tape)[:, None]
    outputs, width = columns.shape[1::2]
    ridges = (ridge[:, None, None] * torch.eye(width).to(columns))[:, None].expand(-1, outputs, -1, -1)
    stacked = torch.cat([columns, ridges], dim=2)
    right = torch.nn.functional.pad(target, (0, width))[..., None]
    basis, triangle = torch.linalg.qr(stacked)
    c = torch.zeros_like(right[:, :, :width])
    for _ in range(2):  # the second time refines the solution
        c = c + torch.linalg.solve_triangular(triangle, basis.mT @ (right - stacked @ c), upper=True)
    network.theta[:, -outputs * width :] = c[..., 0].mT.flatten(1)  # W and then b of all outputs
    return Eliminated((stacked @ c - right).flatten(1), tape, basis, roots)


@dataclass
class HiddenSpace(Factorised):
    """The system (J^T J + mu I) v = J^T r with the projected Jacobian J; `matrix` is the smaller of J J^T and J^T J."""

    jacobian: Tensor  # (M, R, W - K), without the K weights of the last layer, which a step leaves to `eliminate`

    @classmethod
    def of(cls, problem: Problem, at: Eliminated) -> Self:
        """Return the system of a problem, whose last layer is eliminated."""
        _, outputs, rows, width = at.basis.shape
        hidden = problem.network.theta.shape[1] - outputs * width
        by_output = jacobian(problem.network, at.tape)[..., :hidden].unflatten(1, (outputs, -1))
        by_output = at.roots[..., None] * by_output
        projected = -at.basis @ (at.basis[:, :, : rows - width].mT @ by_output)
        projected[:, :, : rows - width] += by_output
        projected = projected.flatten(1, 2)
        short = projected.shape[1] < hidden
        matrix = torch.bmm(projected, projected.mT) if short else torch.bmm(projected.mT, projected)
        weights = torch.ones_like(at.errors)
        return cls(Linearised.of(problem, None), matrix, weights[:, :1], weights, projected)

    def solve(self, errors: Tensor) -> Tensor:
        """Return v, 0 in the last layer, (M, W), or 0 where the factorisation failed, from the errors r, (M, R)."""
        short, transposed = self.matrix.shape[1] < self.jacobian.shape[2], self.jacobian.mT
        step = self._solve(errors if short else (transposed @ errors[..., None])[..., 0])
        step = (transposed @ step[..., None])[..., 0] if short else step
        return torch.nn.functional.pad(step, (0, self.at.network.theta.shape[1] - step.shape[1]))
