"""Blocks: training points for many steps at once, and the order in which mini-batches are cut from them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from runge.sobolev.points import Points

T = TypeVar("T")


@dataclass(frozen=True)
class Minibatches:
    """The order in which members go through their points: permutation after permutation, cut into pieces of one size.

    It is a function of the step alone, so that a resumed run sees the same mini-batches.

    Attributes:
        seeds: one for each member.
        points: N.
        size: the size B of a mini-batch.
    """

    seeds: tuple[int, ...]
    points: int
    size: int

    def index(self, first: int, count: int) -> Tensor:
        """The points of the steps first, ..., first + count - 1, of shape (count, M, B)."""
        start, stop = first * self.size, (first + count) * self.size
        epochs = range(start // self.points, -(-stop // self.points))
        offset = start - epochs.start * self.points

        def stream(seed: int) -> Tensor:
            # A seed of its own for every epoch: the members' seeds are drawn far apart.
            shuffled = [
                torch.randperm(self.points, generator=torch.Generator().manual_seed(seed + epoch)) for epoch in epochs
            ]
            return torch.cat(shuffled)[offset : offset + stop - start].view(count, self.size)

        return torch.stack([stream(seed) for seed in self.seeds], dim=1)


@dataclass(frozen=True)
class Block:
    """Training points for many steps, so that Lightning's cost of a batch is paid once for all of them.

    Attributes:
        points: all training points of the stack.
        minibatches: how they are cut; None: the full batch at every step.
    """

    points: Points
    minibatches: Minibatches | None

    def to(self, device: torch.device, **_: object) -> "Block":
        """The same block on another device."""
        return replace(self, points=self.points.to(device))

    def batches(self, first: int, count: int) -> Iterator[Points]:
        """The batch of each of the steps first, ..., first + count - 1."""
        if self.minibatches is None:
            for _ in range(count):
                yield self.points
        else:
            for index in self.minibatches.index(first, count).to(self.points.x.device):
                yield self.points.take(index)


class Repeated(Generic[T]):
    """What a function returns, so many times: all that a loader needs to be where the data stay on the device.

    A list would not do, since Lightning takes it for several loaders. It is resumable and has no state: which
    mini-batches a block brings follows from the module's step.
    """

    def __init__(self, batch: Callable[[], T], times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[T]:
        return (self.batch() for _ in range(self.times))

    def state_dict(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Nothing."""
