r"""The linear system of a Levenberg-Marquardt step with many errors and weights, solved by conjugate gradients.

With K = W^(1/2) J, the step is :math:`K^T y` with :math:`(K K^T + \mu I)\, y = W^{1/2} e`. A product with K or K^T is a
pass through the linearised network; K is never formed. The preconditioner is the Nystroem approximation of K K^T by its
columns S, those of a few points,

.. math:: K K^T \approx F F^T, \quad F = K K_S^T L^{-T}, \quad K_S K_S^T = L L^T,

whose damped inverse follows from :math:`(F F^T + \mu I)^{-1} = (I - F (F^T F + \mu I)^{-1} F^T) / \mu`. F serves all
dampings that a step tries. A step costs O(R K^2), R errors and K columns.

References:
    A. Jnini, F. Vella (2025). Dual natural gradient descent for scalable training of physics-informed neural networks.
    https://arxiv.org/abs/2505.21404
    Z. Frangella, J. A. Tropp, M. Udell (2023). Randomized Nystroem preconditioning. https://arxiv.org/abs/2110.02820
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from runge.optimizers.optimizer import Problem
from runge.optimizers.systems import ErrorSpace, System, WeightSpace
from runge.sobolev.jacobian import Layer, gram_columns, linearise, product
from runge.sobolev.network import StackedMLP, Tape

__all__ = ["IterativeSpace", "numbers_of_a_system", "space_of"]

_FACTORISED = 3000
"""The largest system that is factorised."""

_COLUMNS, _ITERATIONS, _TOLERANCE = 384, 50, 0.03
"""About how many columns precondition the system; the most iterations; the residual to reach, relative to W^(1/2) e."""

_ROUND_OFF = 1e-14
"""Relative to the trace, what is added to the diagonal of a matrix that may be singular."""


def space_of(residuals: int, weights: int) -> "type[ErrorSpace | WeightSpace | IterativeSpace]":
    """Return the form of a step's system: factorised in the smaller space, or iterative if both spaces are large."""
    if min(residuals, weights) > _FACTORISED:
        return IterativeSpace
    return ErrorSpace if residuals <= weights else WeightSpace


def numbers_of_a_system(residuals: int, weights: int) -> int:
    """Estimate the numbers of a system: three matrices the size of F, or four of the size that is factorised."""
    iterative = space_of(residuals, weights) is IterativeSpace
    return 3 * _COLUMNS * residuals if iterative else 4 * min(residuals, weights) ** 2


@dataclass
class IterativeSpace(System):
    """The system of a step in the space of the errors; `matrix` is F^T F, (M, K, K).

    Attributes:
        columns: F, (M, R, K).
        layers: the linearised network.
    """

    columns: Tensor
    layers: list[Layer]

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """Return the system of a problem."""
        n = tape.x.shape[1]
        layers, roots, rows = linearise(problem.network, tape), weights.sqrt(), weights.shape[1] // n
        # In every step and for every member the same points, so that a member's bits depend on nothing else.
        points = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: max(1, _COLUMNS // rows)].to(
            weights.device
        )
        chosen = (n * torch.arange(rows, device=points.device)[:, None] + points).flatten()
        columns = gram_columns(layers, n, points).mul_(roots[..., None]).mul_(roots[:, None, chosen])
        square = columns[:, chosen]
        square.diagonal(dim1=1, dim2=2).add_(_ROUND_OFF * _trace(square)[:, None])
        factor, failed = torch.linalg.cholesky_ex(square)
        columns = torch.linalg.solve_triangular(factor.mT, columns, upper=True, left=False)
        columns.masked_fill_(failed[:, None, None] != 0, 0)  # no preconditioner
        return cls(
            problem.network, tape, columns.mT @ columns, torch.ones_like(weights[:, :1]), weights, columns, layers
        )

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """Return the system of some members, whose stack is `network`."""
        part = super().take(members, network)
        part.columns, part.layers = tree_map(lambda tensor: tensor[members], (self.columns, self.layers))
        return part

    def damp(self, damping: Tensor) -> None:
        """Factorise the preconditioner with a damping mu, (M,)."""
        self.damping = damping[:, None]
        super().damp(damping + _ROUND_OFF * _trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        roots = self.weights.sqrt()
        residual = roots * errors
        solution, goal = torch.zeros_like(residual), _TOLERANCE * residual.norm(dim=1, keepdim=True)
        direction, before = torch.zeros_like(residual), torch.ones_like(goal)
        for _ in range(_ITERATIONS):
            waiting = residual.norm(dim=1, keepdim=True) > goal  # the others keep their solution
            if not waiting.any():
                break
            preconditioned = self._precondition(residual)
            after = _dot(residual, preconditioned)
            direction, before = preconditioned + after / before * direction, after
            image = self._product(roots * direction).mul_(roots) + self.damping * direction
            length = after / _dot(direction, image)
            solution = torch.where(waiting, solution + length * direction, solution)
            residual = torch.where(waiting, residual - length * image, residual)
        return self._transposed(roots * solution)

    def _product(self, errors: Tensor) -> Tensor:
        """Return J J^T e, (M, R)."""
        return product(self.layers, self.tape.x.shape[1], self._transposed(errors))

    def _precondition(self, residual: Tensor) -> Tensor:
        """Return mu (F F^T + mu I)^-1 r, (M, R)."""
        reduced = torch.bmm(residual[:, None], self.columns)[:, 0]  # by rows: the same bits in a stack as alone
        return residual - torch.bmm(self.columns, self._solve(reduced)[..., None])[..., 0]


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1, keepdim=True)
