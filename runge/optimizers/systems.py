"""The linear system of a Levenberg-Marquardt step, in the space of the errors or in that of the weights.

With the Jacobian J of the errors e, their weights W and the damping mu, both give (J^T W J + mu I)^-1 J^T W e. The
second needs only the Gram matrix of J and one adjoint pass.
"""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.optimizer import Problem
from runge.sobolev.jacobian import gram, jacobian
from runge.sobolev.network import StackedMLP, Tape

__all__ = ["ErrorSpace", "System", "WeightSpace", "add_square"]

_POINTS_AT_ONCE, _NUMBERS_AT_ONCE = 256, 2**22
"""The most points, and numbers of a member's Jacobian, that are multiplied at a time."""

_BLOCK = 192
"""The columns of a symmetric product that are computed at a time, from the diagonal down."""


def add_square(matrix: Tensor, rows: Tensor) -> None:
    """Add A^T A to the lower triangle of `matrix`, (M, K, K), from A, (M, R, K); some of the upper one changes too.

    For many columns this takes 60 % of the time of the whole product; torch has no call for it.
    """
    for first in range(0, matrix.shape[1], _BLOCK):
        some = slice(first, first + _BLOCK)
        matrix[:, first:, some].baddbmm_(rows[:, :, first:].mT, rows[:, :, some])


@dataclass
class System(ABC):
    """A symmetric system: the lower triangle of `matrix`, (M, R, R), plus the damping times `diagonal`, (M, R or 1)."""

    network: StackedMLP
    tape: Tape
    matrix: Tensor
    diagonal: Tensor
    weights: Tensor

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """Return the system of some members, whose stack is `network`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: part[members] for name, part in fields.items() if isinstance(part, Tensor)}
        return replace(self, network=network, tape=self.tape.take(members), **tensors)

    @abstractmethod
    def solve(self, errors: Tensor) -> Tensor:
        """Return the change of the weights, (M, W), from the errors e, (M, R)."""

    def damp(self, damping: Tensor) -> None:
        """Factorise the system with a damping mu, (M,)."""
        damped = self.matrix.clone()
        damped.diagonal(dim1=1, dim2=2).add_(damping[:, None] * self.diagonal)
        self.factor, self.failed = torch.linalg.cholesky_ex(damped)

    def _solve(self, right: Tensor) -> Tensor:
        """Return the solution, (M, R), or 0 where the factorisation failed, so that more damping is tried."""
        solution = torch.cholesky_solve(right[..., None], self.factor)[..., 0]
        return solution.masked_fill(self.failed[:, None] != 0, 0)

    def _transposed(self, errors: Tensor) -> Tensor:
        """Return J^T e, (M, W)."""
        by_row = errors.unflatten(1, (self.network.outputs, -1, self.tape.x.shape[1])).permute(0, 3, 1, 2)
        return self.network.adjoint(self.tape, by_row[..., 0], by_row[..., 1:] if by_row.shape[3] > 1 else None)


class ErrorSpace(System):
    """The system in the space of the errors; the damping keeps errors of weight 0 out of it."""

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """Return the system of a problem."""
        diagonal = (1 / weights).clamp_max(1e200)
        return cls(problem.network, tape, gram(problem.network, tape), diagonal, weights)

    def solve(self, errors: Tensor) -> Tensor:
        """Return J^T (J J^T + mu W^-1)^-1 e."""
        return self._transposed(self._solve(errors))


class WeightSpace(System):
    """The system in the space of the weights."""

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """Return the system of a problem."""
        network, x = problem.network, problem.points.x
        members, columns = network.theta.shape
        n, rows = x.shape[1], weights.shape[1] // x.shape[1]
        matrix = weights.new_zeros(members, columns, columns)
        roots = weights.sqrt().unflatten(1, (rows, n))
        together = min(_POINTS_AT_ONCE, max(1, _NUMBERS_AT_ONCE // (rows * columns)))
        for first in range(0, n, together):
            some = slice(first, first + together)
            _, _, part = network.propagate(x[:, some], with_derivative=rows > network.outputs)
            weighted = roots[:, :, some].flatten(1)[..., None] * jacobian(network, part)
            add_square(matrix, weighted)
        return cls(network, tape, matrix, torch.ones_like(weights[:, :1]), weights)

    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e."""
        return self._solve(self._transposed(self.weights * errors))
