r"""The linear system of a Levenberg-Marquardt step with many errors and weights, solved by conjugate gradients.

With K = W^(1/2) J, the step is :math:`K^T y` with :math:`(K K^T + \mu I)\, y = W^{1/2} e`. A product with K or K^T is a
pass through the linearised network; K is never formed. The preconditioner is the Nystroem approximation of K K^T by its
columns S, those of a few points,

.. math:: K K^T \approx F F^T, \quad F = K K_S^T L^{-T}, \quad K_S K_S^T = L L^T,

whose damped inverse follows from :math:`(F F^T + \mu I)^{-1} = (I - F (F^T F + \mu I)^{-1} F^T) / \mu`. F serves all
dampings that a step tries. If too many iterations are needed, there are more columns. A step costs O(R C^2), R errors
and C columns. Members are solved one after the other, so that each has as many columns as it needs, and the same bits
in a stack as alone. With more errors than weights, round-off in K^T y limits how small mu can be.

References:
    A. Jnini, F. Vella (2025). Dual natural gradient descent for scalable training of physics-informed neural networks.
    https://arxiv.org/abs/2505.21404
    Z. Frangella, J. A. Tropp, M. Udell (2023). Randomized Nystroem preconditioning. https://arxiv.org/abs/2110.02820
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.optimizer import Problem
from runge.optimizers.systems import ErrorSpace, System, WeightSpace, add_square
from runge.sobolev.jacobian import Layer, gram_columns, linearise, product
from runge.sobolev.network import StackedMLP, Tape

__all__ = ["IterativeSpace", "numbers_of_a_system", "space_of"]

_FACTORISED = 3000
"""The largest system that is factorised."""

_COLUMNS, _DOUBLED = 384, 2
"""About how many columns precondition the system at first, and how often they are doubled at most."""

_ITERATIONS, _TOLERANCE = 20, 0.03
"""The iterations after which the columns are doubled; the residual to reach, relative to W^(1/2) e."""

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
    return 3 * _COLUMNS * 2**_DOUBLED * residuals if iterative else 4 * min(residuals, weights) ** 2


class IterativeSpace:
    """The systems of all members."""

    def __init__(self, members: "Sequence[_Member]") -> None:
        self._members = members

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """Return the systems of a problem."""
        each = torch.arange(len(weights), device=weights.device).split(1)
        return cls([_Member.of(problem.network.take(one), tape.take(one), weights[one]) for one in each])

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """Return the systems of some members."""
        return type(self)([self._members[i] for i in members.tolist()])

    def damp(self, damping: Tensor) -> None:
        """Set the damping mu, (M,)."""
        for member, one in zip(self._members, damping.split(1), strict=True):
            member.damp(one)

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        return torch.cat([member.solve(one) for member, one in zip(self._members, errors.split(1), strict=True)])


@dataclass
class _Member(System):
    """The system of one member in the space of the errors; `matrix` is F^T F, (1, C, C).

    Attributes:
        layers: the linearised network.
        columns: F, (1, R, C).
        doubled: how often C has been doubled.
    """

    layers: list[Layer]
    columns: Tensor
    doubled: int = 0

    @classmethod
    def of(cls, network: StackedMLP, tape: Tape, weights: Tensor) -> Self:
        """Return the system of a member."""
        layers = linearise(network, tape)
        columns = _nystroem(layers, weights, tape.x.shape[1], _COLUMNS)
        return cls(network, tape, _square(columns), torch.ones_like(weights[:, :1]), weights, layers, columns)

    def damp(self, damping: Tensor) -> None:
        """Factorise the preconditioner with a damping mu, (1,)."""
        self.damping = damping
        super().damp(damping + _ROUND_OFF * _trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (1, W), from the errors e, (1, R)."""
        roots = self.weights.sqrt()
        residual = roots * errors
        solution, goal = torch.zeros_like(residual), _TOLERANCE * residual.norm()
        while residual.norm() > goal:
            solution, residual = self._iterate(solution, residual, goal)
            if not residual.norm() > goal or self.doubled == _DOUBLED:
                break
            self._double()
        return self._transposed(roots * solution)

    def _iterate(self, solution: Tensor, residual: Tensor, goal: Tensor) -> tuple[Tensor, Tensor]:
        """Return the solution and the residual, (1, R), after some iterations of the method of conjugate gradients."""
        roots, n = self.weights.sqrt(), self.tape.x.shape[1]
        direction, before = torch.zeros_like(residual), torch.ones_like(goal)
        for _ in range(_ITERATIONS):
            preconditioned = self._precondition(residual)
            after = (residual * preconditioned).sum()
            direction, before = preconditioned + after / before * direction, after
            image = roots * product(self.layers, n, self._transposed(roots * direction)) + self.damping * direction
            length = after / (direction * image).sum()
            solution, residual = solution + length * direction, residual - length * image
            if not residual.norm() > goal:
                break
        return solution, residual

    def _precondition(self, residual: Tensor) -> Tensor:
        """Return mu (F F^T + mu I)^-1 r, (1, R)."""
        reduced = torch.bmm(residual[:, None], self.columns)[:, 0]
        return residual - torch.bmm(self.columns, self._solve(reduced)[..., None])[..., 0]

    def _double(self) -> None:
        self.doubled += 1
        self.columns = _nystroem(self.layers, self.weights, self.tape.x.shape[1], _COLUMNS * 2**self.doubled)
        self.matrix = _square(self.columns)
        self.damp(self.damping)


def _nystroem(layers: list[Layer], weights: Tensor, n: int, columns: int) -> Tensor:
    """Return F, (1, R, C), of about as many columns, the same ones in every step."""
    roots, rows = weights.sqrt(), weights.shape[1] // n
    points = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: max(1, columns // rows)].to(weights.device)
    chosen = (n * torch.arange(rows, device=points.device)[:, None] + points).flatten()
    part = gram_columns(layers, n, points).mul_(roots[..., None]).mul_(roots[:, None, chosen])
    square = part[:, chosen]
    square.diagonal(dim1=1, dim2=2).add_(_ROUND_OFF * _trace(square)[:, None])
    factor, failed = torch.linalg.cholesky_ex(square)
    part = torch.linalg.solve_triangular(factor.mT, part, upper=True, left=False)
    return part.masked_fill_(failed[:, None, None] != 0, 0)  # without a preconditioner then


def _square(columns: Tensor) -> Tensor:
    """Return the lower triangle of F^T F, (1, C, C)."""
    matrix = columns.new_zeros(1, columns.shape[2], columns.shape[2])
    add_square(matrix, columns)
    return matrix


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)
