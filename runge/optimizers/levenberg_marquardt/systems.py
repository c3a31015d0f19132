"""The linear system of a Levenberg-Marquardt step, in the space of the errors, in that of the weights, or iterative.

With the Jacobian J of the errors e, their weights W and the damping mu, all give (J^T W J + mu I)^-1 J^T W e. The first
needs only the Gram matrix of J and one adjoint pass.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Self

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt.linearised import Linearised
from runge.sobolev.jacobian import Layer, gram, gram_columns, jacobian, linearise, product
from runge.sobolev.network import StackedMLP
from runge.sobolev.normal import normal_matrix

__all__ = ["COLUMNS", "ErrorSpace", "IterativeSpace", "System", "WeightSpace", "space_of"]

_FACTORISED = 3000  # the largest system that is factorised: with 6144 a step took 4 s instead of 0.1 to 0.9 s

_POINTS_AT_ONCE, _NUMBERS_AT_ONCE = 256, 2**22
"""The most points, and numbers of a member's Jacobian, that are multiplied at a time."""

_BLOCK = 192
"""The columns of a symmetric product that are computed at a time, from the diagonal down."""

COLUMNS = 384.0
"""About how many columns F has at first."""

_MOST, _GROWTH = 1536.0, 1.1
"""How many columns F may have, and by which factor their number grows after a step."""

_PRODUCTS = 4
"""The outer products to which `normal_matrix` reduces the rows of an output at a point, 1 + D of them."""

_SINGLE_FROM = 1e8  # the products of a matrix from which 32 bits take less time, some milliseconds in 64 bits

_ITERATIONS, _SHARE = 16, 0.01  # the most iterations; the share of the reduction below which one is the last
_ROUND_OFF = 1e-14  # relative to the trace, what is added to the diagonal of a matrix that may be singular


def add_square(matrix: Tensor, rows: Tensor) -> None:
    """Add A^T A to the lower triangle of `matrix`, (M, K, K), from A, (M, R, K); some of the upper one changes too.

    For many columns this takes 60 % of the time of the whole product; torch has no call for it.
    """
    for first in range(0, matrix.shape[1], _BLOCK):
        block = slice(first, first + _BLOCK)
        matrix[:, first:, block].baddbmm_(rows[:, :, first:].mT, rows[:, :, block])


@dataclass
class System(ABC):
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

    @abstractmethod
    def solve(self, errors: Tensor) -> Tensor:
        """Return the change of the weights, (M, W), from the errors e, (M, R)."""

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
class ErrorSpace(System):
    """The system in the space of the errors; the damping keeps errors of weight 0 out of it."""

    order: Tensor  # the errors to which the rows of the matrix belong, (M, R)

    @classmethod
    def of(cls, at: Linearised, weights: Tensor) -> Self:
        """Return the system of a linearised network, given the weights of its errors."""
        matrix, order = gram(at.network, at.whole())
        order = order.expand_as(weights)
        diagonal = (1 / weights).clamp_max(1e200).gather(1, order)
        return cls(at, matrix, diagonal, weights, order)

    def solve(self, errors: Tensor) -> Tensor:
        """Return J^T (J J^T + mu W^-1)^-1 e."""
        solution = self._solve(errors.gather(1, self.order))
        return self.at.transposed(torch.zeros_like(errors).scatter_(1, self.order, solution))


class WeightSpace(System):
    """The system in the space of the weights."""

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, single: Tensor) -> Self:
        """Return the system, whose products are in 32 bits for members with `single` = 1, (M,)."""
        columns = at.network.theta.shape[1]
        single = (single != 0) & (weights.shape[1] * columns**2 >= _SINGLE_FROM)
        matrix = weights.new_empty(len(weights), columns, columns)
        # One member at a time in 32 bits: else the round-off would depend on the stack.
        groups = [(torch.float32, member) for member in single.nonzero()]
        groups += [(weights.dtype, members) for members in [(~single).nonzero()[:, 0]] if len(members)]
        for dtype, members in groups:
            matrix[members] = _normal_matrix(at.network.take(members), at.x[members], weights[members], dtype)
        return cls(at, matrix, torch.ones_like(weights[:, :1]), weights)

    def allows_single(self, damping: Tensor) -> Tensor:
        """Return 1 for members whose damping, (M,), is above the round-off of products in 32 bits, else 0, (M,)."""
        return (damping > torch.finfo(torch.float32).eps * _trace(self.matrix)).to(damping)

    def solve(self, errors: Tensor) -> Tensor:
        """Return (J^T W J + mu I)^-1 J^T W e."""
        return self._solve(self.at.transposed(self.weights * errors))


def _normal_matrix(network: StackedMLP, x: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the lower triangle of J^T W J, (M, W, W); with few inputs it is computed in 64 bits from J itself."""
    n, columns = x.shape[1], network.theta.shape[1]
    rows = weights.shape[1] // n
    if rows > _PRODUCTS * network.outputs:
        return normal_matrix(network, x, weights, dtype)
    matrix = weights.new_zeros(len(x), columns, columns)
    roots = weights.sqrt().unflatten(1, (rows, n))
    together = min(_POINTS_AT_ONCE, max(1, _NUMBERS_AT_ONCE // (rows * columns)))
    for first in range(0, n, together):
        block = slice(first, first + together)
        *_, tape = network.propagate(x[:, block], with_derivative=rows > network.outputs)
        root, full = roots[:, :, block].flatten(1), jacobian(network, tape)
        if not (labelled := root.any(0)).all():  # of gradients alone, all rows of values
            root, full = root[:, labelled], full[:, labelled]
        add_square(matrix, root[..., None] * full)
    return matrix


class IterativeSpace:
    """The systems of all members; each is built when it is first needed, because a member at rest needs none."""

    def __init__(self, members: "Sequence[Callable[[], _Member]]") -> None:
        self._members = members

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, count: Tensor) -> Self:
        """Return the systems of each member; `count`, (M,), are the columns of F, which a solution may raise."""
        members = torch.arange(len(weights), device=weights.device).split(1)
        counts = zip(members, count.split(1), strict=True)  # views, because a solution changes them in place
        return cls([cache(partial(_Member.of, at.take(i), weights[i], columns)) for i, columns in counts])

    def take(self, members: Tensor) -> Self:
        """Return the systems of some members."""
        return type(self)([self._members[i] for i in members.tolist()])

    def damp(self, damping: Tensor) -> None:
        """Set the damping mu, (M,)."""
        for member, mu in zip(self._members, damping.split(1), strict=True):
            member().damp(mu)

    def solve(self, errors: Tensor) -> Tensor:
        """Return about (J^T W J + mu I)^-1 J^T W e, (M, W), from the errors e, (M, R)."""
        return torch.cat([member().solve(error) for member, error in zip(self._members, errors.split(1), strict=True)])


@dataclass
class _Member(System):
    r"""The system of one member with many errors and weights, solved by conjugate gradients.

    With K = W^(1/2) J, the step v solves :math:`(K^T K + \mu I)\, v = K^T b`, :math:`b = W^{1/2} e`. A product with K
    or K^T is a pass through the linearised network; K is never formed. The eigenvalues fall by ten and more orders of
    magnitude down to mu. Therefore the system is first solved in a coarse space, that of the errors S at a few points,

    .. math:: Q = K_S^T L^{-T}, \quad K_S K_S^T = L L^T, \quad F = K Q,

    where its matrix is :math:`F^T F + \mu I`. The iterations then keep to directions that are conjugate to Q
    (deflation). F serves all dampings that a step tries, but not several steps: near the end of a run a step changes
    K K^T by much more than mu. The solution reduces the quadratic model of the loss, however few the iterations are.
    Iterations in the space of the errors do not: K^T y with an approximate y may be much worse than no step.

    The iterations end when one of them adds little to the reduction of the model. A solution that takes the most
    iterations allowed lets its member have a larger coarse space from the next step on. A step costs O(R C^2), R errors
    and C columns of F. Members are solved one after the other, each with the columns it needs, and the same bits alone.

    References:
        Y. Saad, M. Yeung, J. Erhel, F. Guyomarc'h (2000). A deflated version of the conjugate gradient algorithm.
        https://doi.org/10.1137/S1064829598339761
        A. Jnini, F. Vella (2025). Dual natural gradient descent for scalable training of physics-informed neural
        networks. https://arxiv.org/abs/2505.21404
    """

    layers: list[Layer]
    columns: Tensor  # F, (1, R, C); the `matrix` is F^T F
    triangle: Tensor  # L, (1, C, C)
    chosen: Tensor  # the indices of the errors S, (C,)
    count: Tensor  # about how many columns F has in the next step, (1,), in the optimiser's state
    larger: Tensor  # what it becomes if the iterations do not suffice, (1,)

    @classmethod
    def of(cls, at: Linearised, weights: Tensor, count: Tensor) -> Self:
        """Return the system of a member."""
        layers, roots = linearise(at.network, at.whole()), weights.sqrt()
        n, columns = at.x.shape[1], roots[..., None]
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
        diagonal, larger = torch.ones_like(weights[:, :1]), (_GROWTH * count).clamp_max(_MOST)
        return cls(at, matrix, diagonal, weights, layers, columns, triangle, chosen, count, larger)

    def damp(self, damping: Tensor) -> None:
        """Factorise the coarse system with a damping mu, (1,)."""
        self.damping = damping
        super().damp(damping + _ROUND_OFF * _trace(self.matrix))

    def solve(self, errors: Tensor) -> Tensor:
        r"""Return about (J^T W J + mu I)^-1 J^T W e, (1, W), from the errors e, (1, R).

        The step is kept as :math:`z - K_S^T x`, and the direction likewise: one product each with K and K^T suffices.
        """
        columns, roots = self.columns[0], self.weights.sqrt()
        right = roots * errors
        reduced = right @ columns
        c = self._solve(reduced)
        gained, x = (c * reduced).sum(), -self._on_chosen(c)
        residual = self._pulled(right - c @ columns.mT + self.damping * x)
        z, direction = torch.zeros_like(residual), torch.zeros_like(residual)
        image, of_chosen = torch.zeros_like(right), torch.zeros_like(right)
        square, before = residual.square().sum(), torch.full_like(gained, torch.inf)
        for _ in range(_ITERATIONS):
            along, ratio = roots * product(self.layers, self.at.x.shape[1], residual), square / before
            c = self._solve(along @ columns)  # Q^T r = 0, so that mu does not appear
            direction = residual + ratio * direction
            of_chosen = self._on_chosen(c) + ratio * of_chosen
            image = along - c @ columns.mT + ratio * image
            applied = self._pulled(image - self.damping * of_chosen) + self.damping * direction
            length = square / (residual * applied).sum()
            gain = length * square
            if not (gain.isfinite() and gain > _SHARE * gained):
                break
            z, x = z + length * direction, x + length * of_chosen
            gained = gained + gain
            residual = residual - length * applied
            square, before = residual.square().sum(), square
        else:
            self.count.copy_(self.larger)
        return z - self._pulled(x)

    def _pulled(self, errors: Tensor) -> Tensor:
        """Return K^T y, (1, W)."""
        return self.at.transposed(self.weights.sqrt() * errors)

    def _on_chosen(self, c: Tensor) -> Tensor:
        """Return L^-T c at the chosen errors and 0 at the others, (1, R), of which K^T gives Q c."""
        x = torch.zeros_like(self.weights)
        x[:, self.chosen] = torch.linalg.solve_triangular(self.triangle.mT, c[..., None], upper=True)[..., 0]
        return x


def _trace(matrix: Tensor) -> Tensor:
    return matrix.diagonal(dim1=1, dim2=2).sum(1)


def space_of(residuals: int, weights: int) -> type[ErrorSpace | WeightSpace | IterativeSpace]:
    """Return the form of a step's system: factorised in the smaller space, or iterative if both spaces are large."""
    if min(residuals, weights) > _FACTORISED:
        return IterativeSpace
    return ErrorSpace if residuals <= weights else WeightSpace
