"""The data: a function sampled for training, validation and test, and the blocks in which a stack consumes it."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.losses import SampleWeight, sample_weights
from runge.points import Points
from runge.sampling import Random, Sampling, Uniform, boundary_nodes
from runge.targets import Target
from runge.validation import Count, Natural, checked_call

T = TypeVar("T")


class Dataset(NamedTuple):
    """The three sets of points, each a stack of one."""

    train: Points
    val: Points
    test: Points


@checked_call
def make_dataset(
    target: Target,
    sampling: Sampling,
    generator: torch.Generator,
    *,
    n_train: Count,
    n_val: Count,
    n_test: Count,
    n_derivative: Count | None = None,
    boundary_points: Natural = 0,
    sample_weight: SampleWeight = "none",
) -> Dataset:
    """Sample a function and its derivative for training, validation and test.

    Args:
        target: the function.
        sampling: where the training points lie.
        generator: the source of randomness, for the training points first and the validation points after.
        n_train: training points, >= 2^D.
        n_val: validation points, random and independent of the training points, >= 2^D.
        n_test: test points, on the uniform grid over the domain, ends included, >= 2^D.
        n_derivative: None: every training point carries f and f'. A number, >= 2^D: the n_train points carry f alone,
            and so many further points of the same strategy carry f' alone.
        boundary_points: extra training points in the outer tenth of the domain, carrying f and f', >= 0.
        sample_weight: what a training point counts in both terms of the loss.

    Returns:
        The three sets, in float64. Their derivatives are unscaled.

    Raises:
        ValueError: a size is too small, or the strategy does not fit the target.

    Example:
        >>> from runge.sampling import Chebyshev
        >>> from runge.targets import Runge
        >>> generator = torch.Generator().manual_seed(0)
        >>> data = make_dataset(Runge(), Chebyshev(), generator, n_train=64, n_val=64, n_test=2001)
        >>> data.train.x.shape, data.test.df.shape
        (torch.Size([1, 64, 1]), torch.Size([1, 2001, 1]))
    """

    def place(strategy: Sampling, n: int, key: str) -> Tensor:
        if n < 2**target.dimension:
            raise ValueError(
                f"{key}: must be at least {2**target.dimension}, since the ends of the domain are always among "
                f"the points; got {n}"
            )
        return strategy.nodes(n, target, generator)

    x = place(sampling, n_train, "n_train")
    value_only = derivative_only = x[:0]
    if n_derivative is not None:
        value_only, derivative_only, x = x, place(sampling, n_derivative, "n_derivative"), x[:0]
    both = torch.cat([x, boundary_nodes(boundary_points, target.domain)])
    x = torch.cat([both, value_only, derivative_only])
    kind = torch.cat([torch.full((len(part),), i) for i, part in enumerate((both, value_only, derivative_only))])
    train = _points(target, x, kind != 2, kind != 1, sample_weight)
    val = _points(target, place(Random(), n_val, "n_val"))
    test = _points(target, place(Uniform(), n_test, "n_test"))
    return Dataset(train, val, test)


def _points(
    target: Target,
    x: Tensor,
    has_f: Tensor | None = None,
    has_df: Tensor | None = None,
    sample_weight: SampleWeight = "none",
) -> Points:
    f, df = target.value(x), target.derivative(x)
    everywhere = torch.ones(len(x), dtype=torch.bool)
    regions = target.regions(x)
    count = sample_weights(sample_weight, df)

    def normalised(given: Tensor | None) -> Tensor:
        weight = count if given is None else count * given
        return weight / weight.sum()

    return Points(
        x=x[None],
        f=f[None],
        df=df[None],
        weight_f=normalised(has_f)[None],
        weight_df=normalised(has_df)[None],
        masks=torch.stack([everywhere, *regions.values()])[None].to(x),
        regions=tuple(regions),
    )


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


class SobolevDataModule(pl.LightningDataModule):
    """The stack's points, made once and kept on the device.

    Args:
        targets: each member's function.
        samplings: where each member's training points lie.
        generators: each member's source of randomness.
        n_train: as `make_dataset`, and so the other sizes and `sample_weights`.
        n_val: validation points.
        n_test: test points.
        n_derivative: points that carry f' alone, or None.
        boundary_points: extra points near the ends.
        batch_size: the size of a mini-batch, >= 1; None: the full batch.
        sample_weights: what each member's training points count.
        dtype: the precision of the training.

    Raises:
        ValueError: as `make_dataset`; or a mini-batch is larger than the training set.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        samplings: Sequence[Sampling],
        generators: Sequence[torch.Generator],
        *,
        n_train: int,
        n_val: int,
        n_test: int,
        n_derivative: int | None,
        boundary_points: int,
        batch_size: int | None,
        sample_weights: Sequence[SampleWeight],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        members = [
            make_dataset(
                target,
                sampling,
                generator,
                n_train=n_train,
                n_val=n_val,
                n_test=n_test,
                n_derivative=n_derivative,
                boundary_points=boundary_points,
                sample_weight=sample_weight,
            )
            for target, sampling, generator, sample_weight in zip(
                targets, samplings, generators, sample_weights, strict=True
            )
        ]
        self.dataset = Dataset(*(Points.stack(points).to(dtype=dtype) for points in zip(*members, strict=True)))
        total = self.dataset.train.x.shape[1]
        self.minibatches = None
        if batch_size is not None:
            if isinstance(batch_size, bool) or not isinstance(batch_size, int) or not 1 <= batch_size <= total:
                raise ValueError(
                    f"batch_size: must be null or from 1 to the training points, {total}; got {batch_size!r}"
                )
            seeds = tuple(int(torch.randint(2**62, (), generator=generator)) for generator in generators)
            self.minibatches = Minibatches(seeds, total, batch_size)
        self.batch = total if batch_size is None else batch_size

    def setup(self, stage: str) -> None:
        """Move the points to the trainer's device."""
        if self.trainer is not None:
            self.dataset = Dataset(*(points.to(self.trainer.strategy.root_device) for points in self.dataset))

    def train_dataloader(self) -> "Repeated[Block]":
        """The training points, for as many blocks as there may be: the run ends when it has taken its steps."""
        return Repeated(Block(self.dataset.train, self.minibatches), 10**9)

    def val_dataloader(self) -> "Repeated[Points]":
        """The validation points, in one batch."""
        return Repeated(self.dataset.val, 1)

    def test_dataloader(self) -> "Repeated[Points]":
        """The test grid, in one batch."""
        return Repeated(self.dataset.test, 1)


class Repeated(Generic[T]):
    """One batch, so many times: all that a loader needs to be where the data stay on the device.

    A list would not do, since Lightning takes it for several loaders. It is resumable and has no state: which
    mini-batches a block brings follows from the module's step.
    """

    def __init__(self, batch: T, times: int) -> None:
        self.batch, self.times = batch, times

    def __len__(self) -> int:
        return self.times

    def __iter__(self) -> Iterator[T]:
        return itertools.repeat(self.batch, self.times)

    def state_dict(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Nothing."""
