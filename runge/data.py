"""The data: a function sampled for training, validation and test, and the blocks in which a stack consumes it."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from runge.domain import cells
from runge.sampling import Random, Sampling, Uniform, boundary_nodes
from runge.sobolev.points import Points
from runge.targets import Target
from runge.validation import Count, Natural, checked, checked_call

SampleWeight = Literal["none", "derivative", "density"]


@checked
class Data:
    """The section `data`: how many points there are, and what they carry.

    Attributes:
        n_train: training points, >= 2^D.
        n_val: validation points, random and independent of the training points, >= 2^D.
        n_test: test points, on the uniform grid over the domain, ends included, >= 2^D.
        n_derivative: None: every training point carries f and f'. A number, >= 2^D: the n_train points carry f alone,
            and so many further points of the same strategy carry f' alone.
        boundary_points: extra training points in the outer tenth of the domain, carrying f and f', >= 0.
        batch_size: the size of a mini-batch, from 1 to the number of training points; None: the full batch.
        seed: the seed of the data, >= 0; None: that of the run.
    """

    n_train: Count
    n_val: Count
    n_test: Count
    n_derivative: Count | None
    boundary_points: Natural
    batch_size: int | None
    seed: Natural | None


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
    sample_weight: SampleWeight = "none",
    **sizes: Any,
) -> Dataset:
    """Sample a function and its derivative for training, validation and test.

    Args:
        target: the function.
        sampling: where the training points lie.
        generator: the source of randomness, for the training points first and the validation points after.
        sample_weight: what a training point counts in both terms of the loss, as in `sample_weights`.
        **sizes: `n_train`, `n_val`, `n_test`, and if needed `n_derivative` and `boundary_points`, as in `Data`.

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
    unset: dict[str, Any] = {"n_derivative": None, "boundary_points": 0, "batch_size": None, "seed": None}
    return sample(target, sampling, generator, Data(**unset | sizes), sample_weight)


def sample(
    target: Target, sampling: Sampling, generator: torch.Generator, data: Data, sample_weight: SampleWeight
) -> Dataset:
    """Sample the three sets of `make_dataset`, whose sizes are those of `data`."""
    samplings = [sampling] if data.n_derivative is None else [sampling] * 2
    train = training_points(target, samplings, generator, data, sample_weight)
    val = _points(target, _place(target, Random(), generator, data.n_val, "n_val"))
    test = _points(target, _place(target, Uniform(), generator, data.n_test, "n_test"))
    return Dataset(train, val, test)


def training_points(
    target: Target, samplings: Sequence[Sampling], generator: torch.Generator, data: Data, sample_weight: SampleWeight
) -> Points:
    """Place the training points: those that carry f and f', boundary points at their end; f alone; f' alone.

    Args:
        target: the function.
        samplings: where those with f lie, and with `n_derivative` where those with f' alone lie.
        generator: the source of randomness.
        data: how many there are of each kind.
        sample_weight: what a point counts.
    """
    x = _place(target, samplings[0], generator, data.n_train, "n_train")
    value_only = derivative_only = x[:0]
    if data.n_derivative is not None:
        value_only, x = x, x[:0]
        derivative_only = _place(target, samplings[1], generator, data.n_derivative, "n_derivative")
    both = torch.cat([x, boundary_nodes(data.boundary_points, target.domain)])
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


def sample_weights(kind: SampleWeight, x: Tensor, df: Tensor, domain: Tensor) -> Tensor:
    """What each sample counts before the weights are made to sum to 1.

    Args:
        kind: `none`: all alike; `derivative`: 1 + |f'| / mean |f'|, which lifts the flanks and keeps the flat parts;
            `density`: 1 over the density of the points, which takes back that many points count for much, so that the
            loss is a mean over the domain wherever they lie.
        x: the points, (N, D).
        df: the gradients, (N, D).
        domain: the box, (D, 2).

    Returns:
        The weights, of shape (N,).
    """
    if kind == "density":
        return cells(x, domain)
    size = df.norm(dim=-1)
    if kind == "none" or not size.any():
        return torch.ones_like(size)
    return 1 + size / size.mean()
