r"""Sampling that corrects itself: where the training points go, once it is seen where the errors are.

The error at a point is its part of the loss, with the full lambda_d and the derivative's scale c:

.. math:: r^2 = (u - f)^2 + \lambda_d\, |u' - f'|^2 / c^2 .

A rule turns what it sees of one member into a strategy, by which the member's points are placed anew. It remembers
nothing: what it must know of the past it sees in the points. Ends and boundary points stay. Points that carry f and
points that carry f' alone are two sets, each of which is placed by itself.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from runge.domain import candidates, corners
from runge.sampling import Density, Function, Random, Sampling
from runge.schedules import due
from runge.validation import Natural, NonNegative, Positive, Share, checked

_MOST_AT_ONCE = 2.0
"""A region's share grows or shrinks by this factor at most at a time."""


class Resampling(ABC):
    """When and where the training points are moved."""

    @abstractmethod
    def due(self, before: int, step: int) -> bool:
        """Say if the points move after `step` steps; the last occasion was after `before` steps."""

    @abstractmethod
    def rests_from(self) -> int:
        """Return the step from which the points stay where they are."""


@checked
class Never(Resampling):
    """The points stay where they are."""

    def due(self, before: int, step: int) -> bool:
        """Return False."""
        return False

    def rests_from(self) -> int:
        """Return 0."""
        return 0


@checked
class Periodic(Resampling):
    """A rule that is applied every few steps.

    Attributes:
        every: steps between two applications, >= 0; they fall on rows of the history, and 0 means 1.
        last_step: the last step after which the points may move, >= 0.
    """

    every: Natural
    last_step: Natural

    def due(self, before: int, step: int) -> bool:
        """Whether a multiple of `every` lies after `before`, up to `step`, which is not beyond `last_step`."""
        return step <= self.last_step and due(max(self.every, 1), before, step)

    def rests_from(self) -> int:
        """Return `last_step`."""
        return self.last_step

    @abstractmethod
    def looks_at(self, target: Function, nodes: Tensor, validation: Tensor) -> Tensor:
        """Return the points at which the rule needs the error, (K, D).

        Args:
            target: the function.
            nodes: a set of training points without boundary points, (N, D).
            validation: the validation points.
        """

    @abstractmethod
    def sampling(self, target: Function, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """Return the strategy by which the points are placed again.

        Args:
            target: the function.
            nodes: a set of training points without boundary points, (N, D).
            x: the points of `looks_at`, (K, D).
            error: |r| there, (K,).
        """


@checked
class Region(Periodic):
    r"""Each region's share of the points follows its error on the validation points.

    With e_k the root of the mean of r^2 over a region, and e that of all regions' e_k^2, its share q_k becomes

    .. math:: q_k \leftarrow q_k (e_k / e)^{strength},

    by a factor from 1/2 to 2, made to sum to 1, and at least `least`. Again and again that is integral control, which
    comes to rest where all regions have the same error. Within a region points are evenly spread. Where regions
    overlap, a point counts for the last one: for Runge's function, `middle` is what `peak` leaves of it.

    Attributes:
        strength: how strongly the shares follow the errors, >= 0.
        least: the smallest share of a region, in [0, 1]; at most one over their number is used.
    """

    strength: NonNegative
    least: Share

    def looks_at(self, target: Function, nodes: Tensor, validation: Tensor) -> Tensor:
        """The validation points."""
        return validation

    def sampling(self, target: Function, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """A density that is constant in each region."""
        where = candidates(len(nodes), target.domain)
        volumes = _counted(target, where)
        inner = nodes[~_are_ends(nodes, target.domain)]
        shares = _counted(target, inner) / max(len(inner), 1)
        shares = torch.where(volumes > 0, shares, 0)
        square = torch.zeros_like(volumes).index_add(0, _region(target, x), error.square()) / _counted(target, x)
        factor = (square / square.nanmean()).sqrt() ** self.strength
        shares = shares * factor.nan_to_num(1).clamp(1 / _MOST_AT_ONCE, _MOST_AT_ONCE)
        count = int((volumes > 0).sum())
        least = min(self.least, 1 / count)
        above = (shares / shares.sum() - least).clamp_min(0)  # shares that sum to 1 and are large enough stay
        shares = torch.where(volumes > 0, least + (1 - count * least) * above / above.sum().clamp_min(1e-300), 0)
        density = (shares / volumes.clamp_min(1))[_region(target, where)]
        return Density(where, density)


@checked
class Residual(Periodic):
    r"""RAD, residual-based adaptive distribution: the density :math:`p(x) \propto |r|^k / E|r|^k + c`.

    Attributes:
        power: k, >= 0.
        floor: c, > 0.

    References:
        C. Wu et al. (2023). A comprehensive study of non-adaptive and residual-based adaptive sampling for
        physics-informed neural networks. https://arxiv.org/abs/2207.10289
    """

    power: NonNegative
    floor: Positive

    def looks_at(self, target: Function, nodes: Tensor, validation: Tensor) -> Tensor:
        """Evenly spread points, many for each training point."""
        return candidates(len(nodes), target.domain)

    def sampling(self, target: Function, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """The density above."""
        powered = error**self.power
        return Density(x, powered / powered.mean().clamp_min(torch.finfo(error.dtype).tiny) + self.floor)


@checked
class RetainResampleRelease(Periodic):
    """R3: points with more than the mean error stay, the others are drawn anew from the uniform distribution.

    References:
        A. Daw, J. Bu, S. Wang, P. Perdikaris, A. Karpatne (2023). Mitigating propagation failures in physics-informed
        neural networks using retain-resample-release (R3) sampling. https://arxiv.org/abs/2207.02338
    """

    def looks_at(self, target: Function, nodes: Tensor, validation: Tensor) -> Tensor:
        """The training points."""
        return nodes

    def sampling(self, target: Function, nodes: Tensor, x: Tensor, error: Tensor) -> Sampling:
        """Those that stay, the worst first, and random ones."""
        stays = (error > error.mean()) & ~_are_ends(x, target.domain)
        order = error.argsort(descending=True, stable=True)
        return Retained(x[order[stays[order]]])


@dataclass(frozen=True)
class Retained(Sampling):
    """Given nodes and random ones; the ends are put first.

    Attributes:
        x: the nodes, (K, D); of too many the first are taken.
    """

    x: Tensor

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Take what is given and fill it up."""
        ends = corners(target.domain)
        kept = self.x[: n - len(ends)]
        return torch.cat([Random().nodes(n - len(kept), target, generator), kept])


def _region(target: Function, x: Tensor) -> Tensor:
    """The last region that each point lies in, counted from 1; 0: in none. Of shape (n,)."""
    masks = torch.stack(list(target.regions(x).values()))
    return (masks * torch.arange(1, len(masks) + 1)[:, None]).amax(0)


def _counted(target: Function, x: Tensor) -> Tensor:
    """How many of these points count for each region, (1 + R,)."""
    return torch.bincount(_region(target, x), minlength=1 + len(target.regions(x))).to(x)


def _are_ends(x: Tensor, domain: Tensor) -> Tensor:
    """Which of these nodes are the ends, which are always among them: those next to the corners, in any precision."""
    ends = torch.zeros(len(x), dtype=torch.bool)
    ends[torch.cdist(corners(domain), x).argmin(1)] = True
    return ends
