"""The linear system of a Levenberg-Marquardt step from the Jacobian itself, for errors of second derivatives."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.optimizer import Problem
from runge.optimizers.systems import System, add_square
from runge.sobolev.jacobian import jacobian
from runge.sobolev.network import Tape
from runge.sobolev.second import second_jacobian

__all__ = ["ExplicitSpace"]


@dataclass
class ExplicitSpace(System):
    """The system of errors of u, u' and u'', with their Jacobian J, (M, R, W), in the smaller of both spaces."""

    rows: Tensor

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor) -> Self:
        """Return the system of a problem."""
        first = jacobian(problem.network, tape)
        rows = torch.cat([first, second_jacobian(problem.network, problem.points.x)], dim=1)
        if rows.shape[1] <= rows.shape[2]:
            matrix, diagonal = rows @ rows.mT, (1 / weights).clamp_max(1e200)
        else:
            matrix, diagonal = rows.new_zeros(len(rows), *rows.shape[2:] * 2), torch.ones_like(weights[:, :1])
            add_square(matrix, weights.sqrt()[..., None] * rows)
        return cls(problem.network, tape, matrix, diagonal, weights, rows)

    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        if self.diagonal.shape[1] > 1:
            return self._pulled(self._solve(errors))
        return self._solve(self._pulled(self.weights * errors))

    def _pulled(self, errors: Tensor) -> Tensor:
        return (self.rows.mT @ errors[..., None])[..., 0]
