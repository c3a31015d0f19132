"""The errors of a problem, and the products of their Jacobian's transpose, over blocks of points.

A pass keeps 3 + 2 D numbers for each hidden neuron at each point, and more of second derivatives. With many points the
passes are in blocks, and the adjoint of a block repeats its pass, so that memory does not grow with the points.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.optimizer import Problem
from runge.sobolev import losses
from runge.sobolev.network import StackedMLP
from runge.sobolev.second import second_errors
from runge.sobolev.tape import Tape

__all__ = ["Linearised", "errors_and_weights", "has_second", "joined_blocks"]


def has_second(problem: Problem) -> bool:
    """Return whether the errors of second derivatives count."""
    return problem.lambda_d is not None and problem.points.d2f is not None


def errors_and_weights(problem: Problem) -> tuple[Tensor, Tensor, Tape | None]:
    """Return the errors of all points, their weights, both (M, R), and the tape, or None if there are several blocks.

    The errors of u and u' are in the order of `losses.least_squares`. Those of u'', if they count, follow.
    """
    directions = 0 if problem.lambda_d is None else problem.network.dimension
    blocks = problem.points.split(_points_at_once(problem.network, directions, second=has_second(problem)))
    errors, weights = list[Tensor](), list[Tensor]()
    tape: Tape | None = None
    for points in blocks:
        u, du, tape = problem.network.propagate(points.x, with_derivative=problem.lambda_d is not None)
        of_block, weights_of_block = losses.least_squares(u, du, points, problem.scale, problem.lambda_d)
        if has_second(problem):
            second, of_second = second_errors(problem.network, points)
            of_second = torch.where((problem.lambda_d > 0)[:, None], of_second, 0)  # pyright: ignore[reportOptionalOperand]
            of_block = torch.cat([of_block, second], dim=1)
            weights_of_block = torch.cat([weights_of_block, of_second], dim=1)
        errors.append(of_block)
        weights.append(weights_of_block)
    sizes = [points.x.shape[1] for points in blocks]
    return joined_blocks(errors, sizes), joined_blocks(weights, sizes), tape if len(blocks) == 1 else None


def joined_blocks(blocks: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Return the errors of all points, (M, R), from those of blocks with some sizes."""
    if len(blocks) == 1:
        return blocks[0]
    by_row = [block.unflatten(1, (-1, size)) for block, size in zip(blocks, sizes, strict=True)]
    return torch.cat(by_row, dim=2).flatten(1)


def _points_at_once(network: StackedMLP, directions: int, *, second: bool) -> int:
    """Return the most points of a block."""
    neurons = sum(fan_out for _, fan_out in network.shapes[:-1])
    numbers = neurons * (3 + 2 * directions + (directions * (directions + 1) if second else 0))
    least = -(-limits.PASS_LEAST_ERRORS // (network.outputs * (1 + directions)))
    return max(least, limits.PASS_NUMBERS // numbers)


@dataclass(frozen=True)
class Linearised:
    """A network at the weights from which a step begins, to first order in them."""

    network: StackedMLP  # a copy, whose weights stay
    x: Tensor  # the points, (M, N, D)
    with_derivative: bool
    second: bool  # whether errors of u'' are among the errors
    tape: Tape | None  # of all points; None: their passes are repeated

    @classmethod
    def of(cls, problem: Problem, tape: Tape | None) -> "Linearised":
        """Return the network of a problem at its present weights, from the result of `errors_and_weights`."""
        members = torch.arange(problem.network.members, device=problem.points.x.device)
        network = problem.network.take(members)
        if tape is not None:  # its layers are views of weights that are about to change
            tape = tape._replace(layers=[(weight.clone(), bias.clone()) for weight, bias in tape.layers])
        return cls(network, problem.points.x, problem.lambda_d is not None, has_second(problem), tape)

    def take(self, members: Tensor) -> "Linearised":
        """Return the networks of some members."""
        tape = None if self.tape is None else self.tape.take(members)
        return replace(self, network=self.network.take(members), x=self.x[members], tape=tape)

    def pass_at(self, x: Tensor) -> Tape:
        """Return the tape of some points."""
        return self.network.propagate(x, with_derivative=self.with_derivative)[2]

    def whole(self) -> Tape:
        """Return the tape of all points."""
        return self.pass_at(self.x) if self.tape is None else self.tape

    def points_at_once(self) -> int:
        """Return the most points of a block."""
        directions = self.network.dimension if self.with_derivative else 0
        return _points_at_once(self.network, directions, second=self.second)

    def transposed(self, errors: Tensor) -> Tensor:
        """Return J^T e, (M, W), from errors of u and u', (M, R)."""
        by_point = errors.unflatten(1, (self.network.outputs, -1, self.x.shape[1])).permute(0, 3, 1, 2)
        if self.tape is not None:
            return _adjoint(self.network, self.tape, by_point)
        size, total = self.points_at_once(), torch.zeros_like(self.network.theta)
        for x, of_block in zip(self.x.split(size, dim=1), by_point.split(size, dim=1), strict=True):
            total += _adjoint(self.network, self.pass_at(x), of_block)
        return total


def _adjoint(network: StackedMLP, tape: Tape, by_point: Tensor) -> Tensor:
    """Return J^T e, (M, W), from the errors of a tape's points, (M, N, P, 1 + D), or of values only."""
    return network.adjoint(tape, by_point[..., 0], by_point[..., 1:] if by_point.shape[3] > 1 else None)
