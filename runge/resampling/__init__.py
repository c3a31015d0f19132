r"""Adaptive sampling: rules that move the training points to where the errors are large.

The error at a point is its part of the loss, with the full lambda_d and the derivative's scale c:

.. math:: r^2 = (u - f)^2 + \lambda_d\, |u' - f'|^2 / c^2 .

A rule turns the errors of one member into a strategy that places its points again, and has no state. Boundary points
stay, and with one or two inputs the domain's ends. Points that carry f and points that carry f' alone are two sets.
"""

from abc import ABC, abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from runge.configuration.validation import Natural, NonNegative, Positive, Share, checked
from runge.sampling import Density, SampledFunction, Sampling, fixed_ends
from runge.sampling.domain import candidates
from runge.schedules import due

__all__ = ["Periodic", "Region", "Resampling", "Residual"]

_LARGEST_FACTOR = 2.0
"""The largest factor by which a region's share changes at a time: an estimate. A larger one follows noise."""


@checked
class Resampling:
    """Training points that stay where they are.

    It is the base class of the rules by which they move.
    """

    def settled_from(self) -> int:
        """Return the step from which the points stay where they are."""
        return 0


@checked
class Periodic(Resampling, ABC):
    """A rule that is applied every few steps.

    Attributes:
        every: steps between two applications, >= 0; they fall on rows of the history, and 0 means 1.
        last_step: the last step after which the points may move, >= 0.
    """

    every: Natural
    last_step: Natural

    def due(self, before: int, step: int) -> bool:
        """Return whether the points move after `step` steps; the previous check was after `before` steps.

        They move if a multiple of `every` is after `before`, up to `step`, and `step` is at most `last_step`.
        """
        return step <= self.last_step and due(max(self.every, 1), before, step)

    def settled_from(self) -> int:
        """Return `last_step`."""
        return self.last_step

    @abstractmethod
    def looks_at(self, target: SampledFunction, nodes: Tensor, validation: Tensor) -> Tensor:
        """Return the points at which the rule needs the error, (K, D), given a set of training points, (N, D)."""

    @abstractmethod
    def sampling(self, target: SampledFunction, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """Return the strategy that places the nodes again, given |r|, (K,), at the points x of `looks_at`, (K, D)."""


@checked
class Region(Periodic):
    r"""A rule by which each region's share of the points follows its error on the validation points.

    With e_k^2 the mean of r^2 over a region, and e^2 the mean of all regions' e_k^2, its share q_k becomes

    .. math:: q_k \leftarrow q_k (e_k / e)^{strength},

    by a factor from 1/2 to 2, normalised to sum to 1, and at least `least`: integral control, which settles where all
    regions have the same error. Within a region points are evenly spread. Where regions overlap, a point counts for the
    last one: for Runge's function, `middle` excludes `peak`.

    Attributes:
        strength: how strongly the shares follow the errors, in [0, 1e12]; large: always by the factor 1/2 or 2.
        least: the smallest share of a region, in [0, 1]; at most one over their number is used.

    References:
        W. Huang, R. D. Russell (2011). Adaptive Moving Mesh Methods. https://doi.org/10.1007/978-1-4419-7916-2 (the
        equidistribution of an error).
    """

    strength: NonNegative
    least: Share

    def looks_at(self, target: SampledFunction, nodes: Tensor, validation: Tensor) -> Tensor:
        """Return the validation points."""
        return validation

    def sampling(self, target: SampledFunction, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """Return a density that is constant in each region."""
        where = candidates(len(nodes), target.domain)
        volumes, inner = _counts(target, where), nodes[~_are_ends(nodes, target.domain)]
        shares = torch.where(volumes > 0, _counts(target, inner) / max(len(inner), 1), 0)
        square = torch.zeros_like(volumes).index_add(0, _region(target, x), error.square()) / _counts(target, x)
        factor = (square / square.nanmean()).sqrt() ** self.strength
        shares = shares * factor.nan_to_num(1).clamp(1 / _LARGEST_FACTOR, _LARGEST_FACTOR)
        least = min(self.least, 1 / (count := int((volumes > 0).sum())))
        above = (shares / shares.sum() - least).clamp_min(0)  # shares that sum to 1 and are large enough stay
        shares = torch.where(volumes > 0, least + (1 - count * least) * above / above.sum().clamp_min(1e-300), 0)
        return Density(where, (shares / volumes.clamp_min(1))[_region(target, where)])


@checked
class Residual(Periodic):
    r"""RAD, residual-based adaptive distribution: the density :math:`p(x) \propto |r|^k / E|r|^k + c`.

    Attributes:
        power: the exponent k of |r|, in [0, 10], so that |r|^k is a number in 64 bits for |r| from 1e-30 to 1e30; 0:
            uniform.
        floor: the constant c that is added to the density, in [1e-12, 1e12]; large: uniform.

    Raises:
        ValueError: a parameter is outside its range.

    References:
        C. Wu et al. (2023). A comprehensive study of non-adaptive and residual-based adaptive sampling for
        physics-informed neural networks. https://arxiv.org/abs/2207.10289
    """

    power: Annotated[float, Field(ge=0, le=10)]
    floor: Positive

    def looks_at(self, target: SampledFunction, nodes: Tensor, validation: Tensor) -> Tensor:
        """Return evenly spread points, many for each training point."""
        return candidates(len(nodes), target.domain)

    def sampling(self, target: SampledFunction, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """Return the density above."""
        powered = error**self.power
        return Density(x, powered / powered.mean().clamp_min(torch.finfo(error.dtype).tiny) + self.floor)


def _region(target: SampledFunction, x: Tensor) -> Tensor:
    """Return the last region that contains each point, counted from 1, or 0 for none, (n,)."""
    masks = torch.stack(list(target.regions(x).values()))
    return (masks * torch.arange(1, len(masks) + 1)[:, None]).amax(0)


def _counts(target: SampledFunction, x: Tensor) -> Tensor:
    """Return the number of these points in each region, (1 + R,)."""
    return torch.bincount(_region(target, x), minlength=1 + len(target.regions(x))).to(x)


def _are_ends(x: Tensor, domain: Tensor) -> Tensor:
    """Return the mask of the ends, (n,): the nodes nearest to the corners, which also holds in low precision."""
    places = fixed_ends(len(x), domain)
    nearest = torch.cdist(places, x).argmin(1) if len(places) else places.new_empty(0, dtype=torch.long)
    return torch.zeros(len(x), dtype=torch.bool).index_fill(0, nearest, True)
