"""Sampling strategies: where on the domain the nodes lie. Both ends are always among them.

Each strategy is a frozen dataclass with one method, `nodes(n, target, generator)`, which returns x of shape (n, D) in
float64. In one dimension exactly n nodes are returned; a tensor grid in D dimensions has floor(n^(1/D))^D of them.
"""

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from pydantic import Field
from torch import Tensor

from runge.domain import candidates, corners, onto
from runge.validation import NonNegative, Positive, Share, checked

Strength = Annotated[float, Field(gt=0, le=5)]
_OUTER = 0.1


class Function(Protocol):
    """What a strategy may ask of the function that is sampled."""

    domain: Tensor

    def derivative(self, x: Tensor) -> Tensor:
        """The gradient at x of shape (n, D), of that shape."""
        ...

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Masks of shape (n,) of the named regions at x of shape (n, D)."""
        ...


class Sampling(ABC):
    """A rule that places n nodes on a function's domain."""

    @abstractmethod
    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Place n nodes.

        Args:
            n: how many; at least 2^D, so that the ends (the corners in D dimensions) are among them.
            target: the function, with its domain of shape (D, 2).
            generator: the source of randomness.

        Returns:
            The nodes, of shape (n, D), in float64.

        Raises:
            ValueError: n is too small, or the strategy's parameters do not fit the target.
        """


class _Tensor(Sampling):
    """A tensor product of the same nodes t in [-1, 1] on each axis; nothing random."""

    @abstractmethod
    def coordinates(self, n: int) -> Tensor:
        """The n nodes of one axis, in [-1, 1], -1 and 1 included."""

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Place floor(n^(1/D)) nodes on each axis and take all their combinations."""
        _check(n, target.domain)
        dimension = len(target.domain)
        per_axis = int(n ** (1 / dimension) + 1e-9)
        axes = [self.coordinates(per_axis)] * dimension
        return onto(target.domain, torch.cartesian_prod(*axes).reshape(-1, dimension))


@checked
class Uniform(_Tensor):
    """An evenly spaced grid, t_i = -1 + 2 i / (n - 1) for i = 0, ..., n - 1."""

    def coordinates(self, n: int) -> Tensor:
        """The n evenly spaced nodes of one axis, in [-1, 1]."""
        return torch.linspace(-1, 1, n, dtype=torch.float64)


@checked
class Chebyshev(_Tensor):
    """Chebyshev-Lobatto nodes, t_i = -cos(pi i / (n - 1)) for i = 0, ..., n - 1.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, chapter 2.
        https://www.chebfun.org/ATAP/
    """

    def coordinates(self, n: int) -> Tensor:
        """The n Chebyshev-Lobatto nodes of one axis, in [-1, 1]."""
        # The sine form is odd to the last bit, and hits -1 and 1.
        return torch.sin(torch.pi / 2 * torch.linspace(-1, 1, n, dtype=torch.float64))


@checked
class Endpoint(_Tensor):
    """Nodes that crowd towards the ends, t = sign(v) (1 - (1 - |v|)^strength) with v evenly spaced on [-1, 1].

    The density is proportional to (1 - |t|)^(1/strength - 1).

    Attributes:
        strength: how strongly the ends are favoured, in (0, 5]; 1 is uniform, 2 crowds like Chebyshev nodes.
    """

    strength: Strength

    def coordinates(self, n: int) -> Tensor:
        """The n end-weighted nodes of one axis, in [-1, 1]."""
        return _towards_ends(torch.linspace(-1, 1, n, dtype=torch.float64), self.strength)


@checked
class Mixed(_Tensor):
    """A mixture of a uniform grid and end-weighted nodes, merged in order.

    Attributes:
        share: the share of the nodes that is end-weighted, in [0, 1].
        strength: how strongly these favour the ends, in (0, 5], as in `Endpoint`.
    """

    share: Share
    strength: Strength

    def coordinates(self, n: int) -> Tensor:
        """The n nodes of one axis, in [-1, 1]."""
        # An even number at the middles of as many cells: neither the ends nor the centre, which the grid may have.
        weighted = min(2 * round(self.share * n / 2), 2 * ((n - 2) // 2))
        v = (2 * torch.arange(weighted, dtype=torch.float64) + 1) / max(weighted, 1) - 1
        return torch.cat([Uniform().coordinates(n - weighted), _towards_ends(v, self.strength)]).sort().values


@checked
class Random(Sampling):
    """Independent draws from the uniform distribution on the domain, the ends put first."""

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Draw n - 2^D nodes and put the 2^D corners before them."""
        _check(n, target.domain)
        ends = corners(target.domain)
        t = 2 * torch.rand(n - len(ends), len(target.domain), generator=generator, dtype=torch.float64) - 1
        return torch.cat([ends, onto(target.domain, t)])


@checked
class Stratified(Sampling):
    """A quota of nodes for each segment of the domain, evenly spread within it.

    Attributes:
        quotas: the share of the nodes for each of the target's regions, summing to 1; None: the same share for
            each region that is not empty.
    """

    quotas: dict[str, NonNegative] | None

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Choose each region's quota among candidates that fill it."""
        where, ends = candidates(n, target.domain), corners(target.domain)
        regions = {name: mask.to(torch.float64) for name, mask in target.regions(where).items() if mask.any()}
        quotas = dict.fromkeys(regions, 1 / len(regions)) if self.quotas is None else self.quotas
        if not (quotas.keys() <= regions.keys() and abs(sum(quotas.values()) - 1) < 1e-6):
            raise ValueError(
                f"sampling.quotas: must be shares of the regions {', '.join(regions)} that sum to 1, got {quotas}"
            )
        _check(n, target.domain)
        bounds = [round(share * (n - len(ends))) for share in itertools.accumulate(quotas.values(), initial=0.0)]
        chosen = [
            where[_systematic(regions[name], stop - start, generator)]
            for name, (start, stop) in zip(quotas, itertools.pairwise(bounds), strict=True)
        ]
        return torch.cat([ends, *chosen])


@checked
class Derivative(Sampling):
    """Nodes with the density p(x) proportional to |f'(x)| / max|f'| + floor.

    Without a floor there would be no node where f' vanishes, such as at the top of Runge's function, although the
    curvature is largest there.

    Attributes:
        floor: what is added to the density, > 0, in units of max|f'|.

    References:
        C. Wu et al. (2023). A comprehensive study of non-adaptive and residual-based adaptive sampling for
        physics-informed neural networks. https://arxiv.org/abs/2207.10289 (the same form, with the residual for f').
    """

    floor: Positive

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Choose n nodes among evenly spread candidates by systematic sampling."""
        _check(n, target.domain)
        where = candidates(n, target.domain)
        size = target.derivative(where).norm(dim=-1)
        density = size / size.max().clamp_min(torch.finfo(size.dtype).tiny) + self.floor
        return Density(where, density).nodes(n, target, generator)


@dataclass(frozen=True)
class Density(Sampling):
    """Nodes among candidates, by their density; the ends are put first.

    Attributes:
        x: the candidates, (K, D).
        density: what they count, (K,), in any unit.
    """

    x: Tensor
    density: Tensor

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Choose by systematic sampling."""
        ends = corners(target.domain)
        return torch.cat([ends, self.x[_systematic(self.density, n - len(ends), generator)]])


def boundary_nodes(n: int, domain: Tensor) -> Tensor:
    """Place extra nodes in the outer tenth of the domain, denser towards its faces (the two ends in one dimension).

    The faces take turns. The k-th of a face's K nodes lies at the depth 0.1 ((k + 1) / (K + 1))^2 below it, in units of
    the domain's length; its other coordinates follow the golden ratio's powers.

    Args:
        n: how many, >= 0.
        domain: the box, of shape (D, 2).

    Returns:
        The nodes, of shape (n, D), in float64.
    """
    dimension = len(domain)
    j = torch.arange(n)
    face, k = j % (2 * dimension), j // (2 * dimension)
    depth = _OUTER * ((k + 1) / (n // (2 * dimension) + 2)).to(torch.float64) ** 2
    root = 2.0
    for _ in range(40):  # the plastic constants: root of r^(D+1) = r + 1 (the golden ratio for D = 1)
        root = (1 + root) ** (1 / (dimension + 1))
    steps = root ** -torch.arange(1, dimension + 1, dtype=torch.float64)
    t = 2 * ((j[:, None] + 1) * steps % 1) - 1
    t[j, face // 2] = torch.where(face % 2 == 0, 2 * depth - 1, 1 - 2 * depth)
    return onto(domain, t)


def _check(n: int, domain: Tensor) -> None:
    least = 2 ** len(domain)
    if n < least:
        raise ValueError(
            f"n: must be at least {least}, since the ends of the domain are always among the nodes; got {n}"
        )


def _towards_ends(v: Tensor, strength: float) -> Tensor:
    return v.sign() * (1 - (1 - v.abs()) ** strength)


def _systematic(weight: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Choose n indices with probability proportional to `weight`, evenly along its cumulative sum.

    Pointers (i + v) / n, with one v ~ U(0, 1), fall into the cells of the cumulative sum, so that the chosen points are
    as even as the weight allows.
    """
    total = weight.cumsum(0)
    pointers = (torch.arange(n, dtype=torch.float64) + torch.rand(1, generator=generator, dtype=torch.float64)) / max(
        n, 1
    )
    return torch.searchsorted(total, pointers * total[-1], right=True).clamp_max(len(weight) - 1)
