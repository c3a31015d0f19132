"""The data: a function sampled for training, validation and test, and the blocks in which a stack consumes it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.blocks import Block, Minibatches, Repeated
from runge.sampling import Random, Sampling, Uniform, boundary_nodes
from runge.sobolev.losses import SampleWeight, sample_weights
from runge.sobolev.points import Points
from runge.targets import Target
from runge.validation import Count, Natural, checked_call


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
    train = training_points(
        target,
        [sampling] if n_derivative is None else [sampling] * 2,
        generator,
        n_train=n_train,
        n_derivative=n_derivative,
        boundary_points=boundary_points,
        sample_weight=sample_weight,
    )
    val = _points(target, _place(target, Random(), generator, n_val, "n_val"))
    test = _points(target, _place(target, Uniform(), generator, n_test, "n_test"))
    return Dataset(train, val, test)


def training_points(
    target: Target,
    samplings: Sequence[Sampling],
    generator: torch.Generator,
    *,
    n_train: int,
    n_derivative: int | None,
    boundary_points: int,
    sample_weight: SampleWeight,
) -> Points:
    """The training points of `make_dataset`: first those that carry f and f', boundary points at their end.

    Args:
        target: the function.
        samplings: where those with f lie, and with `n_derivative` where those with f' alone lie.
        generator: as `make_dataset`, and so the others.
        n_train: those with f.
        n_derivative: those with f' alone.
        boundary_points: extra points near the ends.
        sample_weight: what a point counts.
    """
    x = _place(target, samplings[0], generator, n_train, "n_train")
    value_only = derivative_only = x[:0]
    if n_derivative is not None:
        value_only, x = x, x[:0]
        derivative_only = _place(target, samplings[1], generator, n_derivative, "n_derivative")
    both = torch.cat([x, boundary_nodes(boundary_points, target.domain)])
    x = torch.cat([both, value_only, derivative_only])
    kind = torch.cat([torch.full((len(part),), i) for i, part in enumerate((both, value_only, derivative_only))])
    return _points(target, x, kind != 2, kind != 1, sample_weight)


def _place(target: Target, strategy: Sampling, generator: torch.Generator, n: int, key: str) -> Tensor:
    if n < 2**target.dimension:
        raise ValueError(
            f"{key}: must be at least {2**target.dimension}, since the ends of the domain are always among "
            f"the points; got {n}"
        )
    return strategy.nodes(n, target, generator)


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

    def normalised(given: Tensor | None) -> Tensor:
        given = everywhere if given is None else given
        weight = torch.zeros_like(f)
        weight[given] = sample_weights(sample_weight, x[given], df[given], target.domain)
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
        self.targets, self.boundary_points, self.sample_weights = targets, boundary_points, sample_weights
        train = self.dataset.train
        given = [int((weight[0] > 0).sum()) - boundary_points for weight in (train.weight_f, train.weight_df)]
        self.n_train, self.n_derivative = given[0], None if n_derivative is None else given[1]
        total = train.x.shape[1]
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

    def nodes(self, member: int) -> list[Tensor]:
        """A member's training points without boundary points: those with f, and those with f' alone if there are any.

        Returns:
            One set or two, each (N, D), in float64.
        """
        x = self.dataset.train.x[member].double().cpu()
        if self.n_derivative is None:
            return [x[: self.n_train]]
        return list(x[self.boundary_points :].split([self.n_train, self.n_derivative]))

    def resample(self, samplings: Mapping[int, Sequence[Sampling]], generators: Mapping[int, torch.Generator]) -> None:
        """Place the training points of some members anew, as many as there are.

        Args:
            samplings: by which strategies, one for each of their sets of `nodes`, by the members' places in the stack.
            generators: their sources of randomness, likewise.
        """
        train = self.dataset.train
        tensors = {name: tensor.clone() for name, tensor in train.tensors().items()}
        for member, chosen in samplings.items():
            points = training_points(
                self.targets[member],
                chosen,
                generators[member],
                n_train=self.n_train,
                n_derivative=self.n_derivative,
                boundary_points=self.boundary_points,
                sample_weight=self.sample_weights[member],
            )
            for name, tensor in points.tensors().items():
                tensors[name][member] = tensor[0].to(tensors[name])
        self.dataset = self.dataset._replace(train=replace(train, **tensors))

    def train_dataloader(self) -> Repeated[Block]:
        """The training points as they are, block after block: the run ends when it has taken its steps."""
        return Repeated(lambda: Block(self.dataset.train, self.minibatches), 10**9)

    def val_dataloader(self) -> Repeated[Points]:
        """The validation points, in one batch."""
        return Repeated(lambda: self.dataset.val, 1)

    def test_dataloader(self) -> Repeated[Points]:
        """The test grid, in one batch."""
        return Repeated(lambda: self.dataset.test, 1)
