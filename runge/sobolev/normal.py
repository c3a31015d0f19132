r"""Compute the matrix J^T W J of a network's values and derivatives, without the Jacobian J.

With a 1 appended to its inputs h, and a 0 to their tangents g_d, the weights and the biases of a layer are one matrix.
Its part of a row of J is :math:`h \otimes \epsilon_a + g_a \otimes \delta`, where a = 0 is the value, with g_0 = 0 and
epsilon_0 = delta, and a = d a partial derivative (`runge.sobolev.jacobian`). The sum over a of the products of these
rows, of two layers at a point, is

.. math:: h h'^T \otimes \sum_a w_a \epsilon_a \epsilon_a'^T + \sum_a w_a g_a g_a'^T \otimes \delta \delta'^T
          + h \delta'^T \otimes \sum_a w_a g_a' \epsilon_a^T + \sum_a w_a g_a \epsilon_a'^T \otimes h' \delta^T,

each term with its own order of indices. So a point adds at most four outer products, whatever the number of inputs D,
where J has 1 + D rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from runge.sobolev.jacobian import Layer, linearise
from runge.sobolev.network import StackedMLP

__all__ = ["normal_matrix"]

_PRODUCT_POINTS, _PRODUCT_NUMBERS = 256, 2**22
"""The most points, and numbers of the factors of a member's outer products, that are multiplied at a time."""


@torch.no_grad()
def normal_matrix(network: StackedMLP, x: Tensor, weights: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the lower triangle of J^T W J, (M, K, K), whose products are in the precision `dtype`.

    Args:
        network: the stack, of K weights each.
        x: the points, (M, N, D).
        weights: the weights of the errors, (M, P (1 + D) N), or of values only, (M, P N).
        dtype: the precision of the products and of their sums.
    """
    by_error = weights.unflatten(1, (network.outputs, -1, x.shape[1]))
    by_point = by_error.permute(0, 3, 1, 2)[..., None]
    shapes = [(fan_in + 1, fan_out) for fan_in, fan_out in network.shapes]
    last, like = len(shapes) - 1, torch.empty_like(by_point, dtype=dtype)
    blocks = {(i, j): _Products.zeros(like, shapes[i], shapes[j]) for i in range(last + 1) for j in range(i)}
    blocks |= {(i, i): _Symmetric.zeros(like, shape, shape) for i, shape in enumerate(shapes[:-1])}
    # The square of the last bias is a sum of equal numbers, whose round-off has the same sign each time.
    blocks |= {(last, last): _Symmetric.zeros(by_point, shapes[-1], shapes[-1])}
    numbers = 4 * network.outputs * max(shape[0] for shape in shapes) * max(shape[1] for shape in shapes)
    together = min(_PRODUCT_POINTS, max(1, _PRODUCT_NUMBERS // numbers))
    for at, of_errors in zip(x.split(together, dim=1), by_point.split(together, dim=1), strict=True):
        *_, tape = network.propagate(at, with_derivative=by_point.shape[3] > 1)
        layers = [_Rows.of(layer, of_errors) for layer in linearise(network, tape)]
        fast = [layer.to(dtype) for layer in layers]
        for (i, j), block in blocks.items():
            rows = layers if j == last else fast
            block.add(rows[i], rows[j])
    sizes = [fan_in * fan_out for fan_in, fan_out in shapes]
    matrix = weights.new_zeros(len(x), sum(sizes), sum(sizes))
    strips = [strip.split(sizes, dim=2) for strip in matrix.split(sizes, dim=1)]
    for (i, j), block in blocks.items():
        strips[i][j].copy_(block.total(shapes[i], shapes[j]))
    return matrix


class _Rows(NamedTuple):
    """A layer at each of N points; the rows of a point are together."""

    h: Tensor  # (M, N, 1, in + 1)
    g: Tensor  # (M, N, 1, D, in + 1)
    epsilon: Tensor  # (M, N, P, 1 + D, out)
    weights: Tensor  # w_a, (M, N, P, 1 + D, 1)

    @classmethod
    def of(cls, layer: Layer, weights: Tensor) -> "_Rows":
        """Return the rows of a layer."""
        n = weights.shape[1]
        inputs = torch.nn.functional.pad(layer.inputs.unflatten(1, (-1, n)).transpose(1, 2), (0, 1))[:, :, None]
        inputs[:, :, :, 0, -1] = 1
        epsilon = layer.adjoints.unflatten(2, (-1, n)).permute(0, 3, 1, 2, 4)
        return cls(inputs[:, :, :, 0], inputs[:, :, :, 1:], epsilon, weights)

    def to(self, dtype: torch.dtype) -> "_Rows":
        """Return the rows in a precision."""
        return _Rows(*(tensor.to(dtype) for tensor in self))

    def mixed(self, rows: "_Rows") -> tuple[Tensor, Tensor]:
        """Return h delta'^T and the sum of w_a g_a epsilon_a'^T, each (M, N, P, in, out')."""
        slopes = (self.weights * rows.epsilon)[:, :, :, 1:]
        return _outer(self.h, rows.epsilon[:, :, :, 0]), self.g.mT @ slopes


@dataclass
class _Products:
    """The sums over points of the outer products of two layers."""

    straight: Tensor  # of the first two terms, (M, in in', out out')
    crossed: Tensor  # of the others, (M, in out', in' out)

    @classmethod
    def zeros(cls, like: Tensor, a: tuple[int, int], b: tuple[int, int]) -> "_Products":
        """Return empty sums for layers of the shapes (in, out)."""
        members = len(like)
        straight = like.new_zeros(members, a[0] * b[0], a[1] * b[1])
        return cls(straight, like.new_zeros(members, a[0] * b[1], b[0] * a[1]))

    def add(self, a: _Rows, b: _Rows) -> None:
        """Add the products at some points."""
        inputs, outputs = self.factors(a, b)
        self.straight.baddbmm_(_joined(inputs).mT, _joined(outputs))
        if a.g.shape[3]:
            (value, slope), (other_value, other_slope) = a.mixed(b), b.mixed(a)
            self.crossed.baddbmm_(_joined([value, slope]).mT, _joined([other_slope, other_value]))

    def factors(self, a: _Rows, b: _Rows) -> tuple[list[Tensor], list[Tensor]]:
        """Return the factors of the first two terms, (M, N, 1 or P, in, in') and (M, N, 1 or P, out, out')."""
        weighted = (a.weights * a.epsilon).flatten(2, 3)
        inputs, outputs = [_outer(a.h, b.h)], [(weighted.mT @ b.epsilon.flatten(2, 3))[:, :, None]]
        if a.g.shape[3]:
            inputs.append((a.weights[:, :, :, 1:] * a.g).mT @ b.g)
            outputs.append(_outer(a.epsilon[:, :, :, 0], b.epsilon[:, :, :, 0]))
        return inputs, outputs

    def total(self, a: tuple[int, int], b: tuple[int, int]) -> Tensor:
        """Return the block of the matrix, (M, in out, in' out')."""
        straight = self.straight.unflatten(2, (a[1], b[1])).unflatten(1, (a[0], b[0])).transpose(2, 3)
        crossed = self.crossed.unflatten(2, (b[0], a[1])).unflatten(1, (a[0], b[1])).permute(0, 1, 4, 3, 2)
        return (straight + crossed).flatten(3).flatten(1, 2)


class _Symmetric(_Products):
    """The sums of a layer with itself: both factors of the first two terms are symmetric, and the last two are one."""

    @classmethod
    def zeros(cls, like: Tensor, a: tuple[int, int], b: tuple[int, int]) -> "_Products":
        """Return empty sums, the first of the lower triangles of the factors."""
        straight = like.new_zeros(len(like), *(size * (size + 1) // 2 for size in a))
        return cls(straight, like.new_zeros(len(like), a[0] * a[1], a[0] * a[1]))

    def add(self, a: _Rows, b: _Rows) -> None:
        """Add the products at some points."""
        inputs, outputs = ([_lower(factor) for factor in factors] for factors in self.factors(a, b))
        self.straight.baddbmm_(_joined(inputs).mT, _joined(outputs))
        if a.g.shape[3]:
            value, slope = a.mixed(b)
            self.crossed.baddbmm_(_joined([value]).mT, _joined([slope]))

    def total(self, a: tuple[int, int], b: tuple[int, int]) -> Tensor:
        """Return the block of the matrix, (M, in out, in out)."""
        rows, columns = (_places(size, self.straight.device) for size in a)
        block = self.straight.index_select(1, rows).index_select(2, columns)
        return _Products(block, self.crossed + self.crossed.mT).total(a, b)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    """Return a b^T of the last dimension."""
    return a[..., None] * b[..., None, :]


def _joined(matrices: Sequence[Tensor]) -> Tensor:
    """Return matrices at N points, (M, N, P, A, B) or (M, N, P, AB), as the rows of one, (M, rows, A B)."""
    return torch.cat([matrix.flatten(3).flatten(1, 2) for matrix in matrices], dim=1)


def _lower(matrices: Tensor) -> Tensor:
    """Return the lower triangles of matrices, (M, N, P, A, A), row by row, (M, N, P, A (A + 1) / 2)."""
    size = matrices.shape[-1]
    row, column = torch.tril_indices(size, size, device=matrices.device)
    return matrices.flatten(3).index_select(3, row * size + column)


def _places(size: int, device: torch.device) -> Tensor:
    """Return the place of each element of a symmetric matrix among those of its lower triangle, (A^2,)."""
    row, column = torch.cartesian_prod(*[torch.arange(size, device=device)] * 2).unbind(1)
    larger = torch.maximum(row, column)
    return larger * (larger + 1) // 2 + torch.minimum(row, column)
