r"""The linear system of a Levenberg-Marquardt step with many errors and weights, solved by conjugate gradients.

With K = W^(1/2) J, the step v solves :math:`(K^T K + \mu I)\, v = K^T b`, :math:`b = W^{1/2} e`. A product with K or
K^T is a pass through the linearised network; K is never formed. The eigenvalues fall by ten and more orders of
magnitude down to mu. Therefore the system is first solved in a coarse space, that of the errors S at a few points,

.. math:: Q = K_S^T L^{-T}, \quad K_S K_S^T = L L^T, \quad F = K Q,

where its matrix is :math:`F^T F + \mu I`. The iterations then keep to directions that are conjugate to Q (deflation).
F serves all dampings that a step tries. The solution reduces the quadratic model of the loss, however few the
iterations are. Iterations in the space of the errors do not: K^T y with an approximate y may be worse than no step by
orders of magnitude.

The iterations end when one of them adds little to the reduction of the model. A solution that takes the most iterations
allowed lets its member have a larger coarse space from the next step on. F cannot be kept for several steps: near the
end of a run a step changes K K^T by much more than mu. A step costs O(R C^2), R errors and C columns of F. Members are
solved one after the other, so that each has as many columns as it needs, and the same bits in a stack as alone.

References:
    Y. Saad, M. Yeung, J. Erhel, F. Guyomarc'h (2000). A deflated version of the conjugate gradient algorithm.
    https://doi.org/10.1137/S1064829598339761
    A. Jnini, F. Vella (2025). Dual natural gradient descent for scalable training of physics-informed neural networks.
    https://arxiv.org/abs/2505.21404
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.optimizer import Problem
from runge.optimizers.systems import System, add_square
from runge.sobolev.jacobian import Layer, gram_columns, linearise, product
from runge.sobolev.network import StackedMLP, Tape

__all__ = ["COLUMNS", "IterativeSpace"]

COLUMNS, _MOST, _GROWTH = 384.0, 1536.0, 1.1
"""About how many columns F has at first, how many it may have, and by which factor their number grows after a step."""

_ITERATIONS, _SHARE = 16, 0.01  # the most iterations; the share of the reduction below which one is the last
_ROUND_OFF = 1e-14  # relative to the trace, what is added to the diagonal of a matrix that may be singular


class IterativeSpace:
    """The systems of all members; each is built when it is first needed, because a member at rest needs none."""

    def __init__(self, members: "Sequence[Callable[[], _Member]]") -> None:
        self._members = members

    @classmethod
    def of(cls, problem: Problem, tape: Tape, weights: Tensor, count: Tensor) -> Self:
        """Return the systems of a problem; `count`, (M,), are the columns of F, which a solution may raise."""
        each = torch.arange(len(weights), device=weights.device).split(1)
        parts = [(problem.network.take(one), tape.take(one), weights[one]) for one in each]
        return cls([cache(partial(_Member.of, *part, one)) for part, one in zip(parts, count.split(1), strict=True)])

    def take(self, members: Tensor, network: StackedMLP) -> Self:
        """Return the systems of some members."""
        return type(self)([self._members[i] for i in members.tolist()])

    def damp(self, damping: Tensor) -> None:
        """Set the damping mu, (M,)."""
        for member, one in zip(self._members, damping.split(1), strict=True):
            member().damp(one)

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        return torch.cat([member().solve(one) for member, one in zip(self._members, errors.split(1), strict=True)])


@dataclass
class _Member(System):
    """The system of one member; `matrix` is F^T F, (1, C, C)."""

    layers: list[Layer]
    columns: Tensor  # F, (1, R, C)
    triangle: Tensor  # L, (1, C, C)
    chosen: Tensor  # the indices of the errors S, (C,)
    count: Tensor  # about how many columns F has in the next step, (1,), in the optimiser's state
    larger: Tensor  # what it becomes if the iterations do not suffice, (1,)

    @classmethod
    def of(cls, network: StackedMLP, tape: Tape, weights: Tensor, count: Tensor) -> Self:
        """Return the system of a member."""
        layers, roots = linearise(network, tape), weights.sqrt()
        n, columns = tape.x.shape[1], roots[..., None]
        rows = roots.shape[1] // n
        points = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: int(count) // rows].to(roots.device)
        chosen = (n * torch.arange(rows, device=points.device)[:, None] + points).flatten()
        columns = gram_columns(layers, n, points) if len(points) else roots.new_zeros(1, roots.shape[1], 0)
        columns.mul_(roots[..., None]).mul_(roots[:, None, chosen])
        square = columns[:, chosen]
        square.diagonal(dim1=1, dim2=2).add_(_ROUND_OFF * _trace(square)[:, None])
        triangle, failed = torch.linalg.cholesky_ex(square)
        if failed:  # then there is no coarse space
            columns.zero_()
            triangle = torch.eye(len(chosen)).to(square)[None]
        columns = torch.linalg.solve_triangular(triangle.mT, columns, upper=True, left=False)
        matrix = torch.zeros_like(square)
        add_square(matrix, columns)
        one, larger = torch.ones_like(weights[:, :1]), (_GROWTH * count).clamp_max(_MOST)
        return cls(network, tape, matrix, one, weights, layers, columns, triangle, chosen, count, larger)

    def damp(self, damping: Tensor) -> None:
        """Factorise the coarse system with a damping mu, (1,)."""
        self.damping = damping
        super().damp(damping + _ROUND_OFF * _trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        r"""Return about (J^T W J + mu I)^-1 J^T W e, (1, W), from the errors e, (1, R).

        The step and the direction are kept as :math:`z - K_S^T x`, by z and x, so that an iteration needs one product
        with K and one with K^T.
        """
        right = self.weights.sqrt() * errors
        reduced = self._reduced(right)
        c = self._solve(reduced)
        gained, x = (c * reduced).sum(), -self._on_chosen(c)
        residual = self._pulled(right - self._prolonged(c) + self.damping * x)
        z, direction = torch.zeros_like(residual), torch.zeros_like(residual)
        image, of_chosen = torch.zeros_like(right), torch.zeros_like(right)
        square, before = residual.square().sum(), torch.full_like(gained, torch.inf)
        for _ in range(_ITERATIONS):
            along, ratio = self._pushed(residual), square / before
            c = self._solve(self._reduced(along))  # Q^T r = 0, so that mu does not appear
            direction = residual + ratio * direction
            of_chosen = self._on_chosen(c) + ratio * of_chosen
            image = along - self._prolonged(c) + ratio * image
            applied = self._pulled(image - self.damping * of_chosen) + self.damping * direction
            length = square / (residual * applied).sum()
            gain = length * square
            if not (gain.isfinite() and gain > _SHARE * gained):
                break
            z, x, gained = z + length * direction, x + length * of_chosen, gained + gain
            residual = residual - length * applied
            square, before = residual.square().sum(), square
        else:
            self.count.copy_(self.larger)
        return z - self._pulled(x)

    def _pushed(self, change: Tensor) -> Tensor:
        """Return K v, (1, R)."""
        return self.weights.sqrt() * product(self.layers, self.tape.x.shape[1], change)

    def _pulled(self, errors: Tensor) -> Tensor:
        """Return K^T y, (1, W)."""
        return self._transposed(self.weights.sqrt() * errors)

    def _reduced(self, errors: Tensor) -> Tensor:
        """Return F^T y, (1, C)."""
        return torch.bmm(errors[:, None], self.columns)[:, 0]

    def _prolonged(self, c: Tensor) -> Tensor:
        """Return F c, (1, R)."""
        return torch.bmm(self.columns, c[..., None])[..., 0]

    def _on_chosen(self, c: Tensor) -> Tensor:
        """Return L^-T c at the chosen errors and 0 at the others, (1, R), of which K^T gives Q c."""
        x = torch.zeros_like(self.weights)
        x[:, self.chosen] = torch.linalg.solve_triangular(self.triangle.mT, c[..., None], upper=True)[..., 0]
        return x


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)
