"""The linear system of a Levenberg-Marquardt step, and its factorised forms in the space of the errors or the weights.

With the Jacobian J of the errors e, their weights W and the damping mu, all give (J^T W J + mu I)^-1 J^T W e. The form
in the space of the errors needs only the Gram matrix of J and one adjoint pass.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.linearised import Linearised
from runge.sobolev.jacobian import gram, jacobian
from runge.sobolev.network import StackedMLP
from runge.sobolev.normal import normal_matrix

__all__ = ["ErrorSpace", "Factorised", "System", "WeightSpace", "add_square", "trace"]


def add_square(matrix: Tensor, rows: Tensor) -> None:
    """Add A^T A to the lower triangle of `matrix`, (M, K, K), from A, (M, R, K); some of the upper one changes too.

    For many columns this takes 60 % of the time of the whole product; torch has no call for it.
    """
    for first in range(0, matrix.shape[1], limits.SQUARE_COLUMNS):
        block = slice(first, first + limits.SQUARE_COLUMNS)
        matrix[:, first:, block].baddbmm_(rows[:, :, first:].mT, rows[:, :, block])


def trace(matrix: Tensor) -> Tensor:
    """Return the trace of each matrix, (M,), from (M, K, K)."""
    return matrix.diagonal(dim1=1, dim2=2).sum(1)


class System(ABC):
    """The linear system of a step, for each of M members: damped, solved, and damped again until a step succeeds."""

    @abstractmethod
    def take(self, members: Tensor) -> Self:
        """Return the system of some members."""

    @abstractmethod
    def damp(self, damping: Tensor) -> None:
        """Set the damping mu, (M,)."""

    @abstractmethod
    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R); 0 if this fails."""

    def keep(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027
        """Write what the system of the next step depends on into the optimiser's state; nothing by default."""


@dataclass
class Factorised(System):
    """A symmetric system: the lower triangle of `matrix`, (M, R, R), plus the damping times `diagonal`, (M, R or 1)."""

    at: Linearised
    matrix: Tensor
    diagonal: Tensor
    weights: Tensor

    def take(self, members: Tensor) -> Self:
        """Return the system of some members."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        tensors = {name: tensor[members] for name, tensor in fields.items() if isinstance(tensor, Tensor)}
        return replace(self, at=self.at.take(members), **tensors)

    def damp(self, damping: Tensor) -> None:
        """Factorise the system with a damping mu, (M,)."""
        diagonal = self.matrix.diagonal(dim1=1, dim2=2)
        before = diagonal.clone()
        diagonal.add_(damping[:, None] * self.diagonal)
        self.factor, self.failed = torch.linalg.cholesky_ex(self.matrix)
        diagonal.copy_(before)

    def _solve(self, right: Tensor) -> Tensor:
        """Return the solution, (M, R), or 0 where the factorisation failed, so that more damping is tried."""
        # torch.cholesky_solve copies the factor, which takes several times as long.
        solution = torch.linalg.solve_triangular(self.factor, right[..., None], upper=False)
        solution = torch.linalg.solve_triangular(self.factor.mT, solution, upper=True)[..., 0]
        return solution.masked_fill(self.failed[:, None] != 0, 0)


@dataclass
class ErrorSpace(Factorised):
    """The system in the space of the errors; the damping keeps errors of weight 0 out of it."""

    order: Tensor  # the errors to which the rows of the matrix belong, (M, R)

    @classmethod
    def of(cls, at: Linearised, weights: Tensor) -> Self:
        """Return the system of a linearised network, from the weights of its errors, (M, R)."""
        matrix, order = gram(at.network, at.whole())
        order = order.expand_as(weights)
        diagonal = (1 / weights).clamp_max(1e200).gather(1, order)
        return cls(at, matrix, diagonal, weights, order)

    def solve(self, errors: Tensor) -> Tensor:
        """Return J^T (J J^T + mu W^-1)^-1 e."""
        solution = self._solve(errors.gather(1, self.order))
        return self.at.transposed(torch.zeros_like(errors).scatter_(1, self.order, solution))


class WeightSpace(Factorised):
    """The system in the space of the weights."""

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, single: Tensor) -> Self:
        """Return the system, whose products are in 32 bits for members with `single` = 1, (M,)."""
        columns = at.network.theta.shape[1]
        single = (single != 0) & (weights.shape[1] * columns**2 >= limits.SINGLE_PRODUCTS)
        matrix = weights.new_empty(len(weights), columns, columns)
        # One member at a time in 32 bits: else the round-off would depend on the stack.
        groups = [(torch.float32, member) for member in single.nonzero()]
        groups += [(weights.dtype, members) for members in [(~single).nonzero()[:, 0]] if len(members)]
        for dtype, members in groups:
            matrix[members] = _normal_matrix(at.network.take(members), at.x[members], weights[members], dtype)
        return cls(at, matrix, torch.ones_like(weights[:, :1]), weights)

    def keep(self, state: Mapping[str, Tensor]) -> None:
        """Choose the precision of the next step's products: 32 bits where the damping is above their round-off."""
        state["single"].copy_(state["damping"] > torch.finfo(torch.float32).eps * trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e."""
        return self._solve(self.at.transposed(self.weights * errors))


def _normal_matrix(network: StackedMLP, x: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the lower triangle of J^T W J, (M, W, W); with few inputs it is computed in 64 bits from J itself."""
    n, columns = x.shape[1], network.theta.shape[1]
    rows = weights.shape[1] // n
    if rows > limits.REDUCED_ROWS * network.outputs:
        return normal_matrix(network, x, weights, dtype)
    matrix = weights.new_zeros(len(x), columns, columns)
    roots = weights.sqrt().unflatten(1, (rows, n))
    together = min(limits.JACOBIAN_POINTS, max(1, limits.JACOBIAN_NUMBERS // (rows * columns)))
    for first in range(0, n, together):
        block = slice(first, first + together)
        *_, tape = network.propagate(x[:, block], with_derivative=rows > network.outputs)
        root, full = roots[:, :, block].flatten(1), jacobian(network, tape)
        if not (labelled := root.any(0)).all():  # of gradients alone, all rows of values
            root, full = root[:, labelled], full[:, labelled]
        add_square(matrix, root[..., None] * full)
    return matrix
