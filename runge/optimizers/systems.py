"""The linear system of a Levenberg-Marquardt step, in the space of the errors or in that of the weights."""

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.optimizer import Problem
from runge.sobolev.jacobian import gram, jacobian
from runge.sobolev.network import StackedMLP, Tape

_POINTS_AT_ONCE = 256


@dataclass
class ErrorSpace:
    """The system of a step, in the space of the errors."""

    network: StackedMLP
    tape: Tape
    matrix: Tensor
    diagonal: Tensor

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """The system of these members; what has no weight is left alone."""
        return cls(problem.network, tape, gram(problem.network, tape), (1 / weights).clamp_max(1e200))

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """That of some members, whose stack is given."""
        return replace(
            self,
            network=network,
            tape=self.tape.take(members),
            matrix=self.matrix[members],
            diagonal=self.diagonal[members],
        )

    def damp(self, damping: Tensor) -> None:
        """Factorise it with a damping mu, (M,)."""
        self.factors = _Cholesky(self.matrix, damping[:, None] * self.diagonal)

    def solve(self, errors: Tensor) -> Tensor:
        """(J^T W J + mu I)^-1 J^T W e, of shape (M, P), from e, (M, R)."""
        return _transposed(self.network, self.tape, self.factors.solve(errors))


@dataclass
class WeightSpace:
    """The system of a step, in the space of the weights."""

    network: StackedMLP
    tape: Tape
    matrix: Tensor
    weights: Tensor

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """The system of these members."""
        network, x = problem.network, problem.points.x
        members, columns = network.theta.shape
        n, outputs = x.shape[1], weights.shape[1] // x.shape[1]
        matrix = weights.new_zeros(members, columns, columns)
        roots = weights.sqrt().unflatten(1, (outputs, n))
        for first in range(0, n, _POINTS_AT_ONCE):
            some = slice(first, first + _POINTS_AT_ONCE)
            _, _, part = network.propagate(x[:, some], with_derivative=outputs > 1)
            weighted = roots[:, :, some].flatten(1)[..., None] * jacobian(network, part)
            matrix.baddbmm_(weighted.mT, weighted)
        return cls(network, tape, matrix, weights)

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """That of some members, whose stack is given."""
        return replace(
            self,
            network=network,
            tape=self.tape.take(members),
            matrix=self.matrix[members],
            weights=self.weights[members],
        )

    def damp(self, damping: Tensor) -> None:
        """Factorise it with a damping mu, (M,)."""
        self.factors = _Cholesky(self.matrix, damping[:, None].expand(-1, self.matrix.shape[1]))

    def solve(self, errors: Tensor) -> Tensor:
        """(J^T W J + mu I)^-1 J^T W e, of shape (M, P), from e, (M, R)."""
        return self.factors.solve(_transposed(self.network, self.tape, self.weights * errors))


class _Cholesky:
    """The factors of matrix + diagonal, of whose matrix the lower triangle is read, (M, R, R) and (M, R)."""

    def __init__(self, matrix: Tensor, diagonal: Tensor) -> None:
        damped = matrix.clone()
        damped.diagonal(dim1=1, dim2=2).add_(diagonal)
        self.factor, self.failed = torch.linalg.cholesky_ex(damped)

    def solve(self, right: Tensor) -> Tensor:
        """The solution, (M, R); 0 where there is none, so that more damping will be tried."""
        solution = torch.cholesky_solve(right[..., None], self.factor)[..., 0]
        return solution.masked_fill(self.failed[:, None] != 0, 0)


def _transposed(network: StackedMLP, tape: Tape, errors: Tensor) -> Tensor:
    """J^T e, (M, P)."""
    n = tape.x.shape[1]
    derivative = errors[:, n:].unflatten(1, (-1, n)).mT if errors.shape[1] > n else None
    return network.adjoint(tape, errors[:, :n], derivative)
