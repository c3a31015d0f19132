"""Blocks of many steps: the training points, cut into the same mini-batches whenever a run is resumed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import torch
from torch import Tensor

from runge.sobolev.points import Points

T = TypeVar("T")

_MOST_MEASURED = 4096


@dataclass(frozen=True)
class Minibatches:
    """The order of mini-batches: each epoch permutes the points, and the sequence of epochs is cut into batches.

    It is a function of the step alone, so that a resumed run sees the same mini-batches.

    Attributes:
        seeds: the seed of each member.
        points: the number N of points.
        size: the size B of a mini-batch.
    """

    seeds: tuple[int, ...]
    points: int
    size: int

    def index(self, first: int, count: int) -> Tensor:
        """Return the indices of the points of the steps first, ..., first + count - 1, (count, M, B)."""
        start, stop = first * self.size, (first + count) * self.size
        epochs = range(start // self.points, -(-stop // self.points))
        offset = start - epochs.start * self.points

        def stream(seed: int) -> Tensor:
            # Every epoch has its own seed: the members' seeds are far apart.
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
        """Return the block on another device."""
        return replace(self, points=self.points.to(device))

    def sample(self) -> Points:
        """Return the points on which training errors are measured at the end of a block.

        They are all points, or with mini-batches at most 4096 of them, evenly chosen: measuring all of a large table
        would take longer than the steps between.
        """
        members, total = self.points.x.shape[:2]
        if self.minibatches is None or total <= _MOST_MEASURED:
            return self.points
        index = torch.linspace(0, total - 1, _MOST_MEASURED, dtype=torch.float64).round().long()
        return self.points.minibatch(index.to(self.points.x.device).expand(members, -1))

    def batches(self, first: int, count: int) -> Tensor | None:
        """Return the points of the batch of each of the steps first, ..., first + count - 1, (count, M, B), or None."""
        return None if self.minibatches is None else self.minibatches.index(first, count).to(self.points.x.device)


class Repeated(Generic[T]):
    """A loader that returns the result of a function a number of times; the data stay on the device.

    Lightning would take a list for several loaders, and warns of one without a state when a run is resumed; there is
    none to save, because the mini-batches of a block follow from the module's step.
    """

    def __init__(self, batch: Callable[[], T], times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[T]:
        return (self.batch() for _ in range(self.times))

    def state_dict(self) -> dict[str, int]:
        """Return nothing to save."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Do nothing."""
