"""The LightningDataModule of a stack: its points, in blocks of many steps.

A block is cut into the same mini-batches whenever a run is resumed, because they are a function of the step alone.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor

from runge.configuration.objects import build
from runge.data.channels import channel_weights, relevance, row_points, second_weights
from runge.data.memory import table_of
from runge.data.rows import Rows
from runge.data.sampled import Data, Dataset, SampleWeight, labelled, sample, training_points
from runge.data.seed import Seed
from runge.data.table import Table, numbered
from runge.sampling import Random, Sampling, Uniform, check_count
from runge.sobolev.points import Points
from runge.sobolev.units import Units
from runge.targets import Target
from runge.training.plan import Labels

T = TypeVar("T")

_MOST_MEASURED = 4096


@dataclass(frozen=True)
class Block:
    """Training points for many steps, so that Lightning's cost of a batch is paid once for all of them.

    With mini-batches each epoch permutes the points, and the sequence of epochs is cut into batches.

    Attributes:
        points: all training points of the stack.
        seeds: the seed of each member's mini-batches.
        size: the size B of a mini-batch; None: the full batch at every step.
    """

    points: Points
    seeds: Sequence[int]
    size: int | None

    def to(self, device: torch.device, **_: object) -> "Block":
        """Return the block on another device."""
        return replace(self, points=self.points.to(device))

    def sample(self) -> Points:
        """Return the points on which training errors are measured: with mini-batches at most 4096, evenly chosen.

        Measuring all rows of a large table would take longer than the steps between.
        """
        members, total = self.points.x.shape[:2]
        if self.size is None or total <= _MOST_MEASURED:
            return self.points
        index = torch.linspace(0, total - 1, _MOST_MEASURED, dtype=torch.float64).round().long()
        return self.points.minibatch(index.to(self.points.x.device).expand(members, -1))

    def batches(self, first: int, count: int) -> Tensor | None:
        """Return the points of the batch of each of the steps first, ..., first + count - 1, (count, M, B), or None."""
        size, total = self.size, self.points.x.shape[1]
        if size is None:
            return None
        start, stop = first * size, (first + count) * size
        epochs = range(start // total, -(-stop // total))
        offset = start - epochs.start * total

        def stream(seed: int) -> Tensor:
            # Every epoch has its own seed: the members' seeds are far apart.
            generators = [torch.Generator().manual_seed(seed + epoch) for epoch in epochs]
            shuffled = [torch.randperm(total, generator=generator) for generator in generators]
            return torch.cat(shuffled)[offset : offset + stop - start].view(count, size)

        return torch.stack([stream(seed) for seed in self.seeds], dim=1).to(self.points.x.device)


class Repeated(Generic[T]):
    """A loader that returns the result of a function a number of times; the data stay on the device.

    Lightning would take a list for several loaders, and warns of one without a state when a run is resumed.
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


def per_member(value: T | Sequence[T], members: int) -> list[T]:
    """Return a value for each member, given one for all of them, which is no list or tuple, or one for each."""
    return [*value] if isinstance(value, list | tuple) else [cast(T, value)] * members


class PointsDataModule(pl.LightningDataModule):
    """A LightningDataModule with given points, kept on the device.

    A batch is a `Block`, for many optimiser steps of a `SobolevRegression` or for one of a `PlainRegression`.

    Args:
        dataset: the points of a stack.
        seeds: the seed of each member's mini-batches of `batch_size` points; None: all points at every step.
        units: the user's units, if the points are in standardised ones.
        box: the boxes that the networks map to [-1, 1]^D, (M, D, 2); None: this one.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
    """

    def __init__(
        self,
        dataset: Dataset,
        seeds: Sequence[int],
        *,
        units: Units | None = None,
        box: Tensor | None = None,
        inputs: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        batch_size: int | None = None,
        batches_per_epoch: int = 1,
    ) -> None:
        super().__init__()
        self.dataset, self.units = dataset.transformed(lambda points: points.to(dtype=dtype)), units
        members, total, dimension = dataset.train.x.shape
        unit = torch.tensor([-1.0, 1.0], dtype=torch.float64).expand(members, dimension, 2)
        self.box, self.batches_per_epoch = unit if box is None else box, batches_per_epoch
        self.inputs = numbered("x", dimension) if inputs is None else tuple(inputs)
        if batch_size is not None and not 1 <= batch_size <= total:
            raise ValueError(f"batch_size: must be null or from 1 to the training points, {total}; got {batch_size}")
        self.seeds, self.batch_size = seeds, batch_size
        self.batch = batch_size or total

    @classmethod
    def of_rows(
        cls,
        tables: Sequence[Rows],
        seeds: Sequence[Seed],
        lambdas_dd: Sequence[float],
        standardize: bool,
        **options: Any,
    ) -> "PointsDataModule":
        """Return the data module of a table for each member, in the units of the training rows if `standardize`.

        These have the weights of `channel_weights`, and a box that is wider where an input has less `relevance`.
        """
        members, of_batches = list[Dataset](), list[int]()
        if not standardize and any(rows.table.log10 for rows in tables):
            raise ValueError("log10: must be empty with standardize=False, because logarithms are standardised")
        for rows, seed, lambda_dd in zip(tables, seeds, lambdas_dd, strict=True):
            generator = seed.generator("data")
            split = rows.split(generator)
            labels = [
                (rows.x[index], rows.y[index], rows.dydx[index], rows.outputs, rows.weights[index]) for index in split
            ]
            train, val, test = (row_points(*arrays) for arrays in labels)
            if lambda_dd:
                seconds = cast(np.ndarray, rows.d2ydx2)[split.train]
                train = row_points(*labels[0], seconds, lambda_dd)
            members.append(Dataset(train, val, test if len(split.test) else val))
            of_batches.append(int(torch.randint(2**62, (), generator=generator)))
        dataset, units = Dataset.stack(members), None
        if standardize:
            logs = torch.from_numpy(np.stack([rows.is_log for rows in tables]))
            units = Units.of(dataset.train, logs=logs if logs.any() else None)
            dataset = dataset.transformed(units.standardise)
            weights = channel_weights(dataset.train)
            dataset = dataset.transformed(lambda points: points.reweighted(weights))
            if (weight := dataset.train.weight_d2f) is not None:
                weight = weight * second_weights(dataset.train)
                dataset = dataset._replace(train=replace(dataset.train, weight_d2f=weight))
            upper = 1 / relevance(dataset.train)
            lower = -upper
        else:
            lower, upper = dataset.train.x.aminmax(dim=1)
            upper = torch.where(upper > lower, upper, lower + 1)
        box = torch.stack([lower, upper], dim=2)
        return cls(dataset, of_batches, units=units, box=box, inputs=tables[0].inputs, **options)

    @property
    def labels(self) -> Labels:
        """What a module is to know of the labels."""
        return Labels(len(self.dataset.train.outputs), self.units)

    def in_units(self, points: Points) -> Tensor:
        """Return the nodes, (M, N, D), in the user's units, in float64 on the CPU."""
        return (points if self.units is None else self.units.restore_points(points)).x.double().cpu()

    def setup(self, stage: str) -> None:
        """Move the points to the trainer's device."""
        if self.trainer is not None:
            device = self.trainer.strategy.root_device
            self.dataset = self.dataset.transformed(lambda points: points.to(device))

    def teardown(self, stage: str) -> None:
        """Move the points back to the processor, as Lightning does with the module."""
        if self.dataset.train.x.device.type != "cpu":
            self.dataset = self.dataset.transformed(lambda points: points.to(torch.device("cpu")))

    def train_dataloader(self) -> Repeated[Block]:
        """Return a loader of the blocks of an epoch, with the training points as they are at each of them."""
        return Repeated(lambda: Block(self.dataset.train, self.seeds, self.batch_size), self.batches_per_epoch)

    def val_dataloader(self) -> Repeated[Points]:
        """Return the validation points in one batch."""
        return Repeated(lambda: self.dataset.val, 1)

    def test_dataloader(self) -> Repeated[Points]:
        """Return the test points in one batch."""
        return Repeated(lambda: self.dataset.test, 1)


class SobolevDataModule(PointsDataModule):
    """A LightningDataModule with the points of a stack, placed on the domains of its targets, as `train.py` does.

    Args:
        target: the function, or one per member.
        sampling: the strategy that places the training points, or one per member; None: `Uniform`.
        seed: the seed of the data, or one per member; their number is that of the members.
        sample_weight: the weight of a training point in the loss, or one per member, as in `sample_weights`.
        fold: the fold that is left out of training and validates, or one per member; None: none.
        standardize: true: the points are in standardised units, those of the training points on the box [-1, 1]^D.
        dtype: the precision of the training, that of the module.
        batches_per_epoch: the batches of an epoch, each for a block of steps, or for one step of a `PlainRegression`.
        **sizes: the sizes, the keys of `runge.data.sampled.Data`.

    Raises:
        ValueError: a size is too small, a mini-batch is larger than the training set, or a strategy does not fit a
            target.

    Example:
        >>> from runge.targets import Runge
        >>> SobolevDataModule(Runge(), seed=[0, 1], n_train=64).dataset.train.x.shape
        torch.Size([2, 64, 1])
    """

    def __init__(
        self,
        target: Target | Sequence[Target],
        sampling: Sampling | Sequence[Sampling] | None = None,
        *,
        seed: int | Sequence[int] = 0,
        sample_weight: SampleWeight | Sequence[SampleWeight] = "none",
        fold: int | Sequence[int | None] | None = None,
        standardize: bool = False,
        dtype: torch.dtype = torch.float32,
        batches_per_epoch: int = 1,
        **sizes: Any,
    ) -> None:
        generators = [seed.generator("data") for seed in Seed.of_members(seed)]
        targets: list[Target] = per_member(target, len(generators))
        weights: list[SampleWeight] = per_member(sample_weight, len(generators))
        samplings: list[Sampling] = per_member(sampling or Uniform(), len(generators))
        settings = [Data(**sizes, fold=left_out) for left_out in per_member(fold, len(generators))]
        members = zip(targets, samplings, generators, settings, weights, strict=True)
        data, dataset = settings[0], Dataset.stack([sample(*member) for member in members])
        box, units = torch.stack([target.domain for target in targets]), None
        if standardize:
            units = Units.of(dataset.train, box)
            dataset, box = dataset.transformed(units.standardise), None
        seeds = [int(torch.randint(2**62, (), generator=generator)) for generator in generators]
        options: dict[str, Any] = {
            "dtype": dtype,
            "batch_size": data.batch_size,
            "batches_per_epoch": batches_per_epoch,
        }
        super().__init__(dataset, seeds, units=units, box=box, **options)
        self.targets, self.sample_weights = targets, weights
        loss_weights = dataset.train.weight_f[0, :, 0], dataset.train.weight_df[0, :, 0, 0]
        counts = [int((weight > 0).sum()) - data.boundary_points for weight in loss_weights]
        # A grid in several dimensions may have fewer points than were asked for.
        derivative = None if data.n_derivative is None else counts[1]
        self.sizes = replace(data, n_train=counts[0], n_derivative=derivative, folds=None, fold=None)

    @staticmethod
    def from_table(
        data: Any,
        *,
        seed: int | Sequence[int] = 0,
        standardize: bool = True,
        dtype: torch.dtype = torch.float32,
        batches_per_epoch: int = 1,
        **table: Any,
    ) -> PointsDataModule:
        """Return the data module of the rows of a table, which are divided as in a run with `data=table`.

        The module has the arguments `domain=data.box` (`data.box[0]` of a `PlainRegression`) and `labels=data.labels`.

        Args:
            data: a DataFrame, a mapping of arrays, or the path of a file, as `runge.fit` takes.
            seed: the seed of the split and the mini-batches, or one per member.
            standardize: as above; the units are those of the training rows.
            dtype: the precision of the training, that of the module.
            batches_per_epoch: as above.
            **table: the other keys of `runge.data.table.Table`, such as `inputs`, `outputs`, `split` or `batch_size`.

        Raises:
            ConfigurationError: the data are no table, or do not fit these keys.
            ValueError: there are inputs with a logarithm, `log10`, and `standardize` is false.

        Example:
            >>> import numpy
            >>> x = numpy.linspace(0, 1, 20)
            >>> data = SobolevDataModule.from_table({"x": x, "y": x**2, "dydx": 2 * x}, batch_size=8)
            >>> data.dataset.train.x.shape, data.inputs
            (torch.Size([1, 14, 1]), ('x',))
        """
        file = table_of(data)
        rows = Rows.of_file(file, build("data", table | {"file": file.path}, Table))
        seeds = Seed.of_members(seed)
        return PointsDataModule.of_rows(
            [rows] * len(seeds),
            seeds,
            [0.0] * len(seeds),
            standardize,
            dtype=dtype,
            batch_size=rows.table.batch_size,
            batches_per_epoch=batches_per_epoch,
        )

    def nodes(self, member: int) -> list[Tensor]:
        """Return a member's training points without boundary points, (N, D): those with f, and any with f' alone."""
        x, sizes = self.in_units(self.dataset.train)[member], self.sizes
        if sizes.n_derivative is None:
            return [x[: sizes.n_train]]
        return list(x[sizes.boundary_points :].split([sizes.n_train, sizes.n_derivative]))

    def labelled(self, x: Tensor) -> Points:
        """Return points at x, (M, N, D), as those of the data set, all with f and f', in float64."""
        points = Points.stack([labelled(target, nodes) for target, nodes in zip(self.targets, x, strict=True)])
        return points if self.units is None else self.units.standardise(points)

    def check_resampling(self) -> None:
        """Raise a ValueError if there are too few points for a rule that moves them: its strategies place the ends."""
        train, derivative = self.sizes.n_train, self.sizes.n_derivative
        for target in self.targets:
            if derivative is not None:
                check_count(derivative, target.domain, Random(), "n_derivative")
            if derivative is None or train > 1:
                check_count(train, target.domain, Random(), "n_train")

    def resample(self, samplings: Mapping[int, Sequence[Sampling]], generators: Mapping[int, torch.Generator]) -> None:
        """Move training points by strategies, one for each of a member's sets of `nodes`, by the member's index."""
        tensors = {name: tensor.clone() for name, tensor in self.dataset.train.tensors().items()}
        for i, chosen in samplings.items():
            points = training_points(self.targets[i], chosen, generators[i], self.sizes, self.sample_weights[i])
            if self.units is not None:
                points = self.units.take(torch.tensor([i])).standardise(points)
            for name, tensor in points.tensors().items():
                tensors[name][i] = tensor[0].to(tensors[name])
        self.set_train(tensors)

    def set_train(self, tensors: Mapping[str, Tensor]) -> None:
        """Train on these points from now on, by the names of `Points.tensors`."""
        train = self.dataset.train
        moved = {name: tensors[name].to(tensor).contiguous() for name, tensor in train.tensors().items()}
        self.dataset = self.dataset._replace(train=replace(train, **moved))
