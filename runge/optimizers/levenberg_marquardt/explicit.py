"""The linear system of a Levenberg-Marquardt step from the Jacobian itself, for errors of second derivatives."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.linearised import Linearised
from runge.optimizers.levenberg_marquardt.systems import Factorised, add_square
from runge.sobolev.jacobian import jacobian
from runge.sobolev.second import second_adjoint, second_jacobian

__all__ = ["ExplicitSpace"]


@dataclass
class ExplicitSpace(Factorised):
    """The system of errors of u, u' and u'', in the smaller of both spaces."""

    rows: Tensor | None  # their Jacobian J, (M, R, W); None: there are more errors than weights, and J is too large

    @classmethod
    def of(cls, at: Linearised, weights: Tensor) -> Self:
        """Return the system of a linearised network, from the weights of its errors, (M, R)."""
        n, columns = at.x.shape[1], at.network.theta.shape[1]
        if weights.shape[1] <= columns:
            rows = _jacobian(at, slice(n))
            return cls(at, rows @ rows.mT, (1 / weights).clamp_max(1e200), weights, rows)
        size = max(1, limits.EXPLICIT_NUMBERS // (weights.shape[1] // n * columns))
        roots, rows = weights.sqrt().unflatten(1, (-1, n)), None
        matrix = weights.new_zeros(len(weights), columns, columns)
        for first in range(0, n, size):
            points = slice(first, first + size)
            rows = _jacobian(at, points)
            add_square(matrix, roots[:, :, points].flatten(1)[..., None] * rows)
        return cls(at, matrix, torch.ones_like(weights[:, :1]), weights, rows if size >= n else None)

    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        if self.diagonal.shape[1] > 1:
            return self._pulled(self._solve(errors))
        return self._solve(self._pulled(self.weights * errors))

    def _pulled(self, errors: Tensor) -> Tensor:
        """Return J^T e, (M, W)."""
        if self.rows is not None:
            return (self.rows.mT @ errors[..., None])[..., 0]
        n = self.at.x.shape[1]
        count = self.at.network.outputs * (1 + self.at.network.dimension) * n
        total, size = self.at.transposed(errors[:, :count]), self.at.points_at_once()
        of_second = errors[:, count:].unflatten(1, (-1, n)).split(size, dim=2)
        for x, of_block in zip(self.at.x.split(size, dim=1), of_second, strict=True):
            total += second_adjoint(self.at.network, x, of_block.flatten(1))
        return total


def _jacobian(at: Linearised, points: slice) -> Tensor:
    """Return the Jacobian of the errors at some points."""
    x = at.x[:, points]
    tape = at.tape if at.tape is not None and x.shape == at.x.shape else at.pass_at(x)
    return torch.cat([jacobian(at.network, tape), second_jacobian(at.network, x)], dim=1)
