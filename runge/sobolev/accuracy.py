r"""The errors of a fit, unscaled and unweighted, over the components that are known.

With e = u - f or u' - f', and means over the points and outputs of a region,

.. math:: mse_f = \overline{e^2}, \quad mse_{df} = \overline{|e|^2}, \quad max = \max |e|, \quad
          rel\_l2 = \sqrt{\sum |e|^2 / \sum |f|^2}, \quad
          r2_f = \overline{1 - \overline{e_p^2} / Var f_p},

.. math:: nrmse_f = \overline{\sqrt{\overline{e_p^2} / Var f_p}}, \quad
          nrmse_{df} = \overline{\sqrt{\textstyle\sum_d s_d^2 \overline{e_{pd}^2} / \sum_d s_d^2 Var f'_{pd}}},

where :math:`|e|` is the Euclidean norm of a gradient, p counts the outputs, d the inputs, and s_d is the standard
deviation of input d over the points: an input that hardly matters decides nothing. If some components of a gradient are
not known, mse_df is D times the mean square of the others.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from runge.sobolev.points import Points
from runge.sobolev.units import Units

__all__ = ["Metric", "Reference", "errors", "intervals", "own_errors", "partial_errors", "variance"]

Metric = Callable[[Tensor, Tensor, Points], Tensor]
"""A function of u, (M, N, P), u', (M, N, P, D), and the points, in the user's units; it returns (M,)."""

_RESAMPLES = 1000
"""The sets of points that the bootstrap draws."""

_RESAMPLED_NUMBERS = 2**20
"""The most numbers of these sets that are in memory at a time."""

_BOOTSTRAP_LEVEL = 0.95
"""The level of the bootstrap intervals."""

_CONSTANT_DEVIATION = 1e-12
"""The standard deviation, over the largest number, up to which an output is constant in 64 bits."""


class Reference(NamedTuple):
    """The part of the errors that does not depend on the fit, of values and of partial derivatives."""

    known_f: Tensor  # 1 where a value is known, (M, N, P), and otherwise 0
    known_df: Tensor
    square_f: Tensor  # in the user's units
    square_df: Tensor
    variance_f: Tensor  # over the points, in standardised units, (M, P)
    variance_df: Tensor
    spread: Tensor  # the square of the standard deviation s_d of each input over the largest of them, (M, 1, D)
    unit_f: Tensor | float  # the square of the unit of each output, (M, 1, P)
    unit_df: Tensor | float
    restored: tuple[Units, Points] | None = None  # with logarithms: the units, and the points in the user's units

    @staticmethod
    def of(points: Points, units: Units | None = None, beside: Sequence[Points] = ()) -> "Reference":
        """Return the reference of a set of points, whose values are in standardised units if `units` are given.

        The variances and standard deviations are over these points, and any others `beside` them. With logarithms the
        unit of a derivative differs from point to point, and all is in the user's units.
        """
        if units is not None and units.logs is not None:
            plain, *others = map(units.restore_points, [points, *beside])
            return Reference.of(plain, None, others)._replace(restored=(units, plain))
        subsets = [(subset.x, subset.f, subset.df, subset.weight_f, subset.weight_df) for subset in [points, *beside]]
        x, f, df, weight_f, weight_df = (torch.cat(tensors, dim=1) for tensors in zip(*subsets, strict=True))
        spread = x.double().var(1, correction=0, keepdim=True)
        largest = spread.amax(2, keepdim=True)
        lengths = spread.sqrt().unsqueeze(2) if units is None else None  # standardised inputs have equal lengths
        variance_f, variance_df = variance(f, weight_f > 0), variance(df, weight_df > 0, lengths)
        f, df = points.f, points.df
        unit_f, unit_df = 1.0, 1.0
        known_f, known_df = ((weight > 0).to(f) for weight in (points.weight_f, points.weight_df))
        if units is not None:  # in float64: in the user's units squares may be beyond the range of float32
            f, df = units.restore(f.double(), df.double(), points.x)
            unit_f, unit_df = (unit.square() for unit in units.of_outputs(points.x))
        return Reference(
            known_f=known_f,
            known_df=known_df,
            square_f=known_f * f.square(),
            square_df=known_df * df.square(),
            variance_f=variance_f,
            variance_df=variance_df,
            spread=torch.where(largest > 0, spread / largest, 1),
            unit_f=unit_f,
            unit_df=unit_df,
        )

    def comparable(self, u: Tensor, du: Tensor, points: Points) -> tuple[Tensor, Tensor, Points]:
        """Return u, u' and the labels in the units in which errors are measured, given standardised ones."""
        if self.restored is None:
            return u, du, points
        units, plain = self.restored
        return *units.restore(u, du, points.x), plain


def variance(f: Tensor, mask: Tensor, lengths: Tensor | None = None) -> Tensor:
    """Return the variance over the known points, (M, P, ...), of f, (M, N, P, ...); NaN where f is constant.

    It is constant up to round-off: with a standard deviation of at most 1e-12 of its largest number, of 1e-7 in 32 bit.
    A derivative that is at most 1e-10 of the output's largest one counts as constant, too, each times the length of its
    inputs, (D,): whether it is round-off does not depend on their units. Without lengths, these are equal.
    """
    precision = torch.finfo(f.dtype).eps if f.dtype == torch.float32 else _CONSTANT_DEVIATION
    f, mask = f.double(), mask.double()
    count = mask.sum(1, keepdim=True).clamp_min(1)
    variance = (mask * (f - (mask * f).sum(1, keepdim=True) / count).square()).sum(1) / count[:, 0]
    noise = (precision * (mask * f).abs().amax(1)).square()
    if f.ndim == 4:
        squares = (mask * f.square()).sum(1) / count[:, 0]
        areas = torch.ones(()) if lengths is None else torch.where(lengths > 0, lengths, 1).double().square().squeeze(1)
        noise = noise.maximum(1e-20 * (areas * squares).amax(-1, keepdim=True) / areas)
    return torch.where(variance > noise, variance, torch.nan)


@torch.no_grad()
def errors(u: Tensor, du: Tensor, points: Points, reference: Reference) -> dict[str, Tensor]:
    """Return the errors of each member by name, (M,), of the whole and of each group, as in `runge.records.metrics`.

    They are in the user's units. NaN where a group has no known component, where the reference of a relative error is
    0, or, for nrmse and r2, where a channel is constant.
    """
    u, du, points = reference.comparable(u, du, points)
    square_f, square_df = (u - points.f).square() * reference.known_f, (du - points.df).square() * reference.known_df
    own_df, own_square_df = (square_df * reference.unit_df).sum(-1), reference.square_df.sum(-1)
    magnitudes = {
        "f": _errors(square_f * reference.unit_f, reference.square_f, reference.known_f, points),
        "df": _errors(own_df, own_square_df, reference.known_df.mean(-1), points),
    }
    by_quantity = {
        f"{name}_{of}": magnitude[i]
        for i, name in enumerate(("mse", "max", "rel_l2"))
        for of, magnitude in magnitudes.items()
    }
    relative_f = square_f.sum(1) / reference.known_f.sum(1) / reference.variance_f
    relative = {"nrmse_f": relative_f.sqrt(), "nrmse_df": _relative_gradient(square_df, reference).sqrt()}
    by_quantity |= {name: _with_whole(channels) for name, channels in (relative | {"r2_f": 1 - relative_f}).items()}
    return {
        f"{quantity}/{name}".rstrip("/"): figure
        for quantity, figures in by_quantity.items()
        for name, figure in zip(("", *points.groups), figures.unbind(-1), strict=False)
    }


def own_errors(
    functions: Mapping[str, Metric], u: Tensor, du: Tensor, points: Points, units: Units | None = None
) -> dict[str, Tensor]:
    """Return the errors by further functions, (M,), by name; u, u' and the points are in standardised units."""
    if functions and units is not None:
        (u, du), points = units.restore(u, du, points.x), units.restore_points(points)
    return {name: function(u, du, points) for name, function in functions.items()}


def _errors(square: Tensor, reference: Tensor, share: Tensor, points: Points) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean square, largest and relative error, each (M, 1 + G), from squares and known shares, (M, N, P)."""
    if len(points.outputs) == 1:
        square, reference, share = (tensor[:, None, :, 0] for tensor in (square, reference, share))
        total, related, count = ((points.masks * tensor).sum(-1) for tensor in (square, reference, share))
        largest = torch.where(points.masks * share > 0, square, 0).amax(-1)
    else:
        sums = [tensor.sum(1) for tensor in (square, reference, share)]
        total, related, count = (torch.cat([by_output.sum(1, keepdim=True), by_output], dim=1) for by_output in sums)
        maxima = torch.where(share > 0, square, 0).amax(1)
        largest = torch.cat([maxima.amax(1, keepdim=True), maxima], dim=1)
    relative = torch.where(related > 0, total / related, torch.nan).sqrt()
    return total / count, largest.sqrt() / (count > 0), relative


def _relative_gradient(square: Tensor, reference: Reference) -> Tensor:
    """Return the mean square error of each output's gradient over its variance, (M, P), with the weights s_d^2."""
    count = reference.known_df.sum(1)
    error = torch.where(count > 0, square.sum(1) / count, 0)
    of_df = reference.variance_df.nan_to_num(0)  # of a partial derivative that is constant
    error, of_df = ((reference.spread[:, 0, None] * by_input).sum(2) for by_input in (error, of_df))
    # The variance may be known where no derivative is: it is over other points, too.
    return error / torch.where((of_df > 0) & (count > 0).any(2), of_df, torch.nan)


def _with_whole(channels: Tensor) -> Tensor:
    """Return the mean over the channels, (M, 1), or for several outputs the mean and each of them, (M, 1 + P)."""
    mean = channels.nanmean(1, keepdim=True)
    return mean if channels.shape[1] == 1 else torch.cat([mean, channels], dim=1)


def partial_errors(du: Tensor, points: Points, reference: Reference) -> Tensor:
    """Return the nrmse of each partial derivative, (M, P, D), from the Jacobians of the fit, (M, N, P, D)."""
    _, du, points = reference.comparable(points.f, du, points)
    square = (du - points.df).square() * reference.known_df
    return (square.sum(1) / reference.known_df.sum(1) / reference.variance_df).sqrt()


def intervals(
    u: Tensor, du: Tensor, points: Points, groups: Sequence[Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the lower and upper ends of 95 % bootstrap intervals of the errors of one member, by name, each ().

    The ends are percentiles over 1000 sets of groups of points, which are drawn with replacement until a set has all n
    points. They say how much a figure depends on
    which points happen to be there; few large errors that no point shows are not in them. The largest error has none.

    Args:
        u: the values of the fit.
        du: its derivatives.
        points: the points.
        groups: the numbers of the points of each group.

    References:
        B. Efron (1979). Bootstrap methods: another look at the jackknife. https://doi.org/10.1214/aos/1176344552
    """
    n, generator = points.x.shape[1], torch.Generator().manual_seed(0)
    drawn_groups = torch.randint(len(groups), (_RESAMPLES, n), generator=generator).tolist()
    draws = torch.stack([torch.cat([groups[i] for i in each])[:n] for each in drawn_groups]).to(u.device)
    resampled: list[dict[str, Tensor]] = []
    for index in draws.split(max(1, _RESAMPLED_NUMBERS // du.numel())):
        sample = points.take(torch.zeros(len(index), dtype=torch.long)).minibatch(index)
        resampled.append(errors(u[0, index], du[0, index], sample, Reference.of(sample)))
    ends = torch.tensor([(1 - _BOOTSTRAP_LEVEL) / 2, (1 + _BOOTSTRAP_LEVEL) / 2], dtype=torch.float64, device=u.device)
    low, high = {}, {}
    for name in resampled[0]:
        if not name.startswith("max_"):
            drawn = torch.cat([figures[name] for figures in resampled]).double()
            low[name], high[name] = drawn.nanquantile(ends).unbind()
    return low, high
