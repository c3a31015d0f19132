"""Sample a function for training, validation and test."""

from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from runge.configuration.validation import Natural, Size, checked
from runge.data.folds import FEWEST_POINTS, deal
from runge.data.table import Fold, Folds, check_fold
from runge.sampling import Random, SampledFunction, Sampling, Uniform, boundary_nodes, check_count
from runge.sampling.domain import MOST_ON_GRIDS, cells, onto, sobol
from runge.sobolev.points import Points
from runge.targets import Target

__all__ = ["Data", "Dataset", "SampleWeight", "labelled", "sample", "sample_weights", "training_points"]

SampleWeight = Literal["none", "derivative", "density"]
Noise = Annotated[float, Field(ge=0, le=100)]
_TEST_SEED = 1  # another seed than that of the candidates for training points


class _Draw(Random):
    """Independent draws from the uniform distribution on the domain, in which no point is fixed."""

    with_ends: ClassVar[bool] = False

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return n random nodes."""
        return onto(target.domain, 2 * torch.rand(n, len(target.domain), generator=generator, dtype=torch.float64) - 1)


@checked
class Data:
    """The section `data` of a formula: the number of points, and their labels.

    With one or two inputs there are at least as many points as corners of the domain, 2 or 4, which are among the
    points. With more it is 1, except for a grid, which has two or more points along each input.

    Attributes:
        n_train: training points.
        n_val: validation points, random and independent of the training points.
        n_test: test points.
        test: where they are. `grid`: on the uniform grid over the domain, ends included; for D > 2 of a Sobol sequence.
            `random`: all points are one random draw, which is cut into training, validation and test points, and the
            ends are not among them, except by chance. This needs sampling=random.
        n_derivative: None: every training point carries f and f'. A number: the n_train points carry f alone, and
            n_derivative further points of the same strategy carry f' alone. A single point with f, n_train=1, is then
            at the centre of the domain: f is fitted to its derivatives, and this value fixes the constant.
        boundary_points: extra training points in the outer tenth of the domain, carrying f and f', >= 0.
        noise_f: the standard deviation of the normal noise that is added to the values of the training and validation
            points, in units of the standard deviation of f over the training points, in [0, 100].
        noise_df: the same for the noise of each partial derivative. Test points have no noise.
        folds: the number K of folds, >= 2, into which the training points are dealt, for cross-validation; None: none.
            There are no other validation points then. There are not more folds than points.
        fold: the fold that is left out of training and validates, from 0 to K - 1. A sweep without this key trains a
            run for each fold.
        batch_size: the size of a mini-batch, from 1 to the number of training points; None: the full batch.
        seed: the seed of the data, >= 0; None: the seed of the run, or 0 with `folds`.
    """

    n_train: Size = 128
    n_val: Size = 256
    n_test: Size = 2001
    test: Literal["grid", "random"] = "grid"
    n_derivative: Size | None = None
    boundary_points: Natural = 0
    noise_f: Noise = 0.0
    noise_df: Noise = 0.0
    folds: Folds = None
    fold: Fold = None
    batch_size: int | None = None
    seed: Natural | None = None

    def __post_init__(self) -> None:
        check_fold(self.folds, self.fold)
        if self.folds is None:
            return
        if self.n_train < FEWEST_POINTS:
            raise ValueError(
                f"folds: must be null with fewer than {FEWEST_POINTS} training points, got n_train={self.n_train}"
            )
        if self.n_derivative is not None or self.boundary_points:
            got = f"n_derivative={self.n_derivative} and boundary_points={self.boundary_points}"
            raise ValueError(f"folds: must be null unless all training points are of one kind, got {got}")
        if self.fold is not None and self.fold >= self.fold_count:
            count = self.fold_count
            rule = f"must be from 0 to {count - 1}, because there are {count} folds of {self.n_train} points"
            raise ValueError(f"fold: {rule}, got {self.fold}")

    @property
    def fold_count(self) -> int:
        """The number of folds, at most `folds`, and `n_train`; 0 without."""
        return 0 if self.folds is None else min(self.folds, self.n_train)


class Dataset(NamedTuple):
    """The three sets of points, each a stack of one."""

    train: Points
    val: Points
    test: Points

    @classmethod
    def stack(cls, members: "Sequence[Dataset]") -> "Dataset":
        """Return the points of all members as one stack."""
        return cls(*(Points.stack(points) for points in zip(*members, strict=True)))

    def transformed(self, function: Callable[[Points], Points]) -> "Dataset":
        """Return the three sets, each transformed by a function."""
        return Dataset(*map(function, self))


def sample(
    target: Target, sampling: Sampling, generator: torch.Generator, data: Data, sample_weight: SampleWeight = "none"
) -> Dataset:
    """Sample a function and its derivative, unscaled, in float64, for training, validation and test.

    Args:
        target: the function.
        sampling: the strategy that places the training points.
        generator: the source of randomness, for the training points first and the validation points after.
        data: the sizes.
        sample_weight: the weight of a training point in both terms of the loss, as in `sample_weights`.

    Raises:
        ValueError: a size is too small, or the strategy does not fit the target.
    """
    noise, test, others = _noise_source(generator), Uniform(), Random()
    if data.test == "random":
        if not isinstance(sampling, Random):
            raise ValueError(f"test: must be grid unless sampling=random, got random with {type(sampling).__name__}")
        sampling = test = others = _Draw()
    train = training_points(target, [sampling] * 2, generator, data, sample_weight, noise)
    if data.folds is None:
        x = _place(target, others, generator, data.n_val, "n_val")
        labels = _noisy(_labels(target, x), _labels(target, train.x[0]), data, noise)
        val = labelled(target, x, labels=labels)
    else:
        n = train.x.shape[1]
        left_out = deal(np.arange(n), np.ones((n, 1), bool), data.fold_count, generator) == data.fold
        x, labels = train.x[0], (train.f[0], train.df[0])
        val = labelled(target, x[left_out], labels=(labels[0][left_out], labels[1][left_out]))
        labels_kept = labels[0][~left_out], labels[1][~left_out]
        train = labelled(target, x[~left_out], sample_weight=sample_weight, labels=labels_kept)
    if target.dimension > MOST_ON_GRIDS and isinstance(test, Uniform):
        x = sobol(data.n_test, target.domain, _TEST_SEED)
    else:
        x = _place(target, test, generator, data.n_test, "n_test")
    return Dataset(train, val, labelled(target, x))


def training_points(
    target: Target,
    samplings: Sequence[Sampling],
    generator: torch.Generator,
    data: Data,
    sample_weight: SampleWeight,
    noise: torch.Generator | None = None,
) -> Points:
    """Place the training points: first points with f and f', boundary points at their end; then f alone; then f' alone.

    The first of `samplings` places the points with f; with `n_derivative`, the second places the points with only f'.
    """
    noise = noise or _noise_source(generator)
    anchor = data.n_derivative is not None and data.n_train == 1
    x = target.domain.mean(1)[None] if anchor else _place(target, samplings[0], generator, data.n_train, "n_train")
    ends = boundary_nodes(data.boundary_points, target.domain)
    if data.n_derivative is None:
        kinds = [torch.cat([x, ends])]
    else:
        kinds = [ends, x, _place(target, samplings[1], generator, data.n_derivative, "n_derivative")]
    kind, x = torch.cat([torch.full((len(points),), i) for i, points in enumerate(kinds)]), torch.cat(kinds)
    labels = _labels(target, x)
    return labelled(target, x, (kind != 2, kind != 1), sample_weight, _noisy(labels, labels, data, noise))


def _noise_source(generator: torch.Generator) -> torch.Generator:
    """Return a source of noise that follows from a generator's state, which it leaves as it is.

    Points and mini-batches are therefore the same whatever the noise is.
    """
    return torch.Generator().manual_seed(int(torch.randint(2**62, (), generator=generator.clone_state())))


def _place(target: Target, strategy: Sampling, generator: torch.Generator, n: int, key: str) -> Tensor:
    check_count(n, target.domain, strategy, key)
    return strategy.nodes(n, target, generator)


def _labels(target: Target, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return f, (N, P), and its derivatives, (N, P, D); raise a ValueError if one of them is not finite."""
    f, df = target.value(x).reshape(len(x), -1), target.derivative(x).reshape(len(x), -1, target.dimension)
    if not (finite := f.isfinite().all(1) & df.isfinite().flatten(1).all(1)).all():
        point = x[~finite][0].tolist()
        raise ValueError(f"target: must be finite with its derivative at all points; it is not at x = {point}")
    return f, df


def _noisy(
    labels: tuple[Tensor, Tensor], train: tuple[Tensor, Tensor], data: Data, noise: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return labels with the noise of `data`, in units of the standard deviations of the training points' labels."""

    def add(strength: float, label: Tensor, unit: Tensor) -> Tensor:
        normal = torch.randn(label.shape, generator=noise, dtype=label.dtype)  # also for 0, so that later draws stay
        return label + strength * unit.std(0, correction=0) * normal if strength else label

    return add(data.noise_f, labels[0], train[0]), add(data.noise_df, labels[1], train[1])


def labelled(
    target: Target,
    x: Tensor,
    carries: Sequence[Tensor | None] = (None, None),
    sample_weight: SampleWeight = "none",
    labels: tuple[Tensor, Tensor] | None = None,
) -> Points:
    """Return the points; the masks `carries` select the points with f, and the points with f' (None: all)."""
    (f, df), regions = labels or _labels(target, x), target.regions(x)
    everywhere, weights = torch.ones(len(x), dtype=torch.bool), []
    for mask in carries:
        where, weight = everywhere if mask is None else mask, torch.zeros_like(x[:, 0])
        weight[where] = sample_weights(sample_weight, x[where], df[where].flatten(1), target.domain)
        weights.append(weight / weight.sum() / len(target.outputs))
    weight_f, weight_df = weights[0][:, None].expand_as(f), weights[1][:, None, None].expand_as(df)
    masks = torch.stack([everywhere, *regions.values()])[None].to(x)
    tensors = (tensor.contiguous()[None] for tensor in (x, f, df, weight_f, weight_df))
    return Points(*tensors, masks=masks, regions=tuple(regions), outputs=target.outputs)


def sample_weights(kind: SampleWeight, x: Tensor, df: Tensor, domain: Tensor) -> Tensor:
    """Return the weight of each sample, (N,), before normalisation to a sum of 1.

    `none`: all are equal. `derivative`: 1 + |f'| / mean |f'|, which lifts the flanks and keeps the flat parts.
    `density`: 1 over the density of the points, so that the loss is a mean over the domain however they are placed.

    Args:
        kind: one of these names.
        x: the points, (N, D).
        df: the gradients, (N, D), of several outputs all in one row.
        domain: the box, (D, 2).
    """
    if kind == "density":
        return cells(x, domain)
    size = df.norm(dim=-1)
    return torch.ones_like(size) if kind == "none" or not size.any() else 1 + size / size.mean()
