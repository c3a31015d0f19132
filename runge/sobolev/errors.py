r"""The errors of a fit, unscaled and unweighted, over the components that are known.

With e = u - f or u' - f', and means over the points and outputs of a region,

.. math:: mse_f = \overline{e^2}, \quad mse_{df} = \overline{|e|^2}, \quad max = \max |e|, \quad
          rel\_l2 = \sqrt{\sum |e|^2 / \sum |f|^2}, \quad
          nrmse = \overline{\sqrt{\overline{e_c^2} / Var f_c}}, \quad r2_f = \overline{1 - \overline{e_c^2} / Var f_c},

where :math:`|e|` is the Euclidean norm of a gradient, and c counts the channels: outputs, or partial derivatives. If
some components of a gradient are not known, mse_df is D times the mean square of the others.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from runge.sobolev.points import Points
from runge.sobolev.units import Units

__all__ = ["Reference", "errors", "partial_errors", "variance"]


class Reference(NamedTuple):
    """The part of the errors that does not depend on the fit.

    Attributes:
        known_f: 1 where a value is known, (M, N, P), and otherwise 0.
        known_df: likewise for each partial derivative, (M, N, P, D).
        square_f: the squares of the values in the user's units, (M, N, P).
        square_df: those of the partial derivatives, (M, N, P, D).
        variance_f: the variance of each output over the points, in standardised units, (M, P).
        variance_df: that of each partial derivative, (M, P, D).
        unit_f: the square of the unit of each output, (M, 1, P); None: 1.
        unit_df: that of each partial derivative, (M, 1, P, D); None: 1.
    """

    known_f: Tensor
    known_df: Tensor
    square_f: Tensor
    square_df: Tensor
    variance_f: Tensor
    variance_df: Tensor
    unit_f: Tensor | None
    unit_df: Tensor | None

    @staticmethod
    def of(points: Points, units: Units | None = None) -> "Reference":
        """Return the reference of a set of points, whose values are in standardised units if `units` are given."""
        known_f, known_df = ((weight > 0).to(points.f) for weight in (points.weight_f, points.weight_df))
        f, df = points.f, points.df
        variance_f, variance_df = variance(f, known_f), variance(df, known_df)
        unit_f = unit_df = None
        if units is not None:  # in float64: in the user's units squares may be beyond the range of float32
            f, df = units.restore(f.double(), df.double())
            unit_f, unit_df = (unit.square() for unit in units.of_outputs())
        squares = known_f * f.square(), known_df * df.square()
        return Reference(known_f, known_df, *squares, variance_f, variance_df, unit_f, unit_df)


def variance(f: Tensor, known: Tensor) -> Tensor:
    """Return the variance over the known points, (M, P, ...), of f, (M, N, P, ...); NaN where f is constant.

    A partial derivative of at most 1e-10 of the output's largest one counts as constant: it is round-off.
    """
    f, known = f.double(), known.double()
    count = known.sum(1, keepdim=True).clamp_min(1)
    variance = (known * (f - (known * f).sum(1, keepdim=True) / count).square()).sum(1) / count[:, 0]
    noise = (torch.finfo(torch.float32).eps * (known * f).abs().amax(1)).square()  # constant up to round-off
    if f.ndim == 4:
        squares = (known * f.square()).sum(1) / count[:, 0]
        noise = noise.maximum(1e-20 * squares.amax(-1, keepdim=True))
    return torch.where(variance > noise, variance, torch.nan)


@torch.no_grad()
def errors(u: Tensor, du: Tensor, points: Points, reference: Reference) -> dict[str, Tensor]:
    """Return the errors of each member by name, of the whole and of each group, as in `runge.metrics`.

    Args:
        u: the values of the fit, (M, N, P).
        du: its Jacobians, (M, N, P, D).
        points: the points.
        reference: their reference.

    Returns:
        Each (M,), in the user's units; of standardised points in float64. NaN where a group has no known component,
        where the reference of a relative error is 0, or, for nrmse and r2, where a channel is constant.
    """
    square_f, square_df = (u - points.f).square() * reference.known_f, (du - points.df).square() * reference.known_df
    own_f = square_f if reference.unit_f is None else square_f * reference.unit_f
    own_df = square_df if reference.unit_df is None else square_df * reference.unit_df
    share = reference.known_df.mean(-1)  # of the gradient that is known
    parts = [
        _errors(own_f, reference.square_f, reference.known_f, points),
        _errors(own_df.sum(-1), reference.square_df.sum(-1), share, points),
    ]
    found = {
        f"{quantity}_{of}": part
        for quantity, both in zip(("mse", "max", "rel_l2"), zip(*parts, strict=True), strict=True)
        for of, part in zip(("f", "df"), both, strict=True)
    }
    relative_f = _relative(square_f, reference.known_f, reference.variance_f)
    relative_df = _relative(square_df, reference.known_df, reference.variance_df)
    found |= {
        "nrmse_f": _with_whole(relative_f.sqrt()),
        "nrmse_df": _with_whole(relative_df.sqrt().nanmean(2)),
        "r2_f": _with_whole(1 - relative_f),
    }
    names = ("", *points.groups)
    return {
        f"{quantity}/{name}".rstrip("/"): figure
        for quantity, figures in found.items()
        for name, figure in zip(names, figures.unbind(-1), strict=False)
    }


def _errors(square: Tensor, reference: Tensor, share: Tensor, points: Points) -> tuple[Tensor, Tensor, Tensor]:
    """Return the mean square, largest and relative error, each (M, 1 + G), from squares and known shares, (M, N, P)."""
    if len(points.outputs) == 1:
        masks, square, reference, share = points.masks, *(part[:, None, :, 0] for part in (square, reference, share))
        total, related, count = ((masks * part).sum(-1) for part in (square, reference, share))
        largest = torch.where(masks * share > 0, square, 0).amax(-1)
    else:
        sums = [part.sum(1) for part in (square, reference, share)]
        total, related, count = (torch.cat([part.sum(1, keepdim=True), part], dim=1) for part in sums)
        each = torch.where(share > 0, square, 0).amax(1)
        largest = torch.cat([each.amax(1, keepdim=True), each], dim=1)
    relative = torch.where(related > 0, total / related, torch.nan).sqrt()
    return total / count, largest.sqrt() / (count > 0), relative


def _relative(square: Tensor, known: Tensor, variance: Tensor) -> Tensor:
    """Return the mean square error of each channel over its variance, (M, P, ...)."""
    return square.sum(1) / known.sum(1) / variance


def _with_whole(channels: Tensor) -> Tensor:
    """Return the mean over the channels, (M, 1), or for several outputs the mean and each of them, (M, 1 + P)."""
    mean = channels.nanmean(1, keepdim=True)
    return mean if channels.shape[1] == 1 else torch.cat([mean, channels], dim=1)


def partial_errors(du: Tensor, points: Points, reference: Reference) -> Tensor:
    """Return the nrmse of each partial derivative, (M, P, D), from the Jacobians of the fit, (M, N, P, D)."""
    square = (du - points.df).square() * reference.known_df
    return _relative(square, reference.known_df, reference.variance_df).sqrt()
