"""Sampling strategies: where on the domain the nodes are. Both ends are always among them.

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

__all__ = ["Chebyshev", "Density", "Derivative", "Endpoint", "Function", "Mixed", "Random", "Sampling", "Stratified"]
__all__ += ["Strength", "Uniform", "boundary_nodes", "check_count"]

Strength = Annotated[float, Field(ge=0.2, le=5)]  # beyond, nodes coincide
_OUTER = 0.1


class Function(Protocol):
    """The part of a target that a strategy may use."""

    domain: Tensor

    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient at x, both of shape (n, D)."""
        ...

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Return the masks, (n,), of the named regions at x, (n, D)."""
        ...


class Sampling(ABC):
    """A rule that places n nodes on a function's domain."""

    @abstractmethod
    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return n >= 2^D nodes, (n, D), in float64; the ends (the corners in D dimensions) are among them.

        Raises:
            ValueError: n is too small, or the strategy's parameters do not fit the target.
        """


class _Tensor(Sampling):
    """A tensor product of the same deterministic nodes t in [-1, 1] on each axis."""

    @abstractmethod
    def coordinates(self, n: int) -> Tensor:
        """Return the n nodes of one axis, in [-1, 1], -1 and 1 included."""

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Place floor(n^(1/D)) nodes on each axis and return all their combinations."""
        check_count(n, target.domain)
        dimension = len(target.domain)
        axis = self.coordinates(int(n ** (1 / dimension) + 1e-9))
        return onto(target.domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))


@checked
class Uniform(_Tensor):
    """An evenly spaced grid, t_i = -1 + 2 i / (n - 1) for i = 0, ..., n - 1.

    Example:
        >>> Uniform().coordinates(5).tolist()
        [-1.0, -0.5, 0.0, 0.5, 1.0]
    """

    def coordinates(self, n: int) -> Tensor:
        """Return n evenly spaced nodes."""
        return torch.linspace(-1, 1, n, dtype=torch.float64)


@checked
class Chebyshev(_Tensor):
    """Chebyshev-Lobatto nodes, t_i = -cos(pi i / (n - 1)) for i = 0, ..., n - 1.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, chapter 2.
        https://www.chebfun.org/ATAP/

    Example:
        >>> Chebyshev().coordinates(4)
        tensor([-1.0000, -0.5000,  0.5000,  1.0000], dtype=torch.float64)
    """

    def coordinates(self, n: int) -> Tensor:
        """Return n Chebyshev-Lobatto nodes."""
        # The sine form is odd to the last bit, and hits -1 and 1.
        return torch.sin(torch.pi / 2 * torch.linspace(-1, 1, n, dtype=torch.float64))


@checked
class Endpoint(_Tensor):
    """Nodes that crowd towards the ends, t = sign(v) (1 - (1 - |v|)^strength) with v evenly spaced on [-1, 1].

    The density is proportional to (1 - |t|)^(1/strength - 1).

    Attributes:
        strength: how strongly the ends are favoured, in [0.2, 5]; below 1 nodes crowd towards the centre, 1 is uniform,
            2 crowds like Chebyshev nodes.

    Example:
        >>> Endpoint(strength=2.0).coordinates(5).tolist()
        [-1.0, -0.75, 0.0, 0.75, 1.0]
    """

    strength: Strength

    def coordinates(self, n: int) -> Tensor:
        """Return n end-weighted nodes."""
        return _towards_ends(torch.linspace(-1, 1, n, dtype=torch.float64), self.strength)


@checked
class Mixed(_Tensor):
    """A mixture of a uniform grid and end-weighted nodes, merged in order.

    Attributes:
        share: the share of the nodes that is end-weighted, in [0, 1].
        strength: how strongly these favour the ends, in [0.2, 5], as in `Endpoint`.

    Example:
        >>> Mixed(share=0.4, strength=2.0).coordinates(5).tolist()
        [-1.0, -0.75, 0.0, 0.75, 1.0]
    """

    share: Share
    strength: Strength

    def coordinates(self, n: int) -> Tensor:
        """Return the n nodes of both kinds."""
        # An even number of cell midpoints avoids the ends and the centre, which the grid may contain.
        weighted = min(2 * round(self.share * n / 2), 2 * ((n - 2) // 2))
        v = (2 * torch.arange(weighted, dtype=torch.float64) + 1) / max(weighted, 1) - 1
        return torch.cat([Uniform().coordinates(n - weighted), _towards_ends(v, self.strength)]).sort().values


@checked
class Random(Sampling):
    """Independent draws from the uniform distribution on the domain, the ends first.

    Example:
        >>> from runge.targets import Runge
        >>> Random().nodes(64, Runge(), torch.Generator())[:2].tolist()
        [[-1.0], [1.0]]
    """

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return the 2^D corners, followed by n - 2^D random nodes."""
        check_count(n, target.domain)
        ends = corners(target.domain)
        t = 2 * torch.rand(n - len(ends), len(target.domain), generator=generator, dtype=torch.float64) - 1
        return torch.cat([ends, onto(target.domain, t)])


@checked
class Stratified(Sampling):
    """A quota of nodes for each region of the domain, evenly spread within it.

    Attributes:
        quotas: the share of the nodes for each of the target's regions, summing to 1; None: the same share for
            each region that is not empty.

    Example:
        >>> Stratified(quotas={"middle": 0.5, "peak": 0.5})
        Stratified(quotas={'middle': 0.5, 'peak': 0.5})
    """

    quotas: dict[str, NonNegative] | None

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return the ends, and each region's quota chosen among evenly spread candidates."""
        where, ends = candidates(n, target.domain), corners(target.domain)
        regions = {name: mask.to(torch.float64) for name, mask in target.regions(where).items() if mask.any()}
        quotas = dict.fromkeys(regions, 1 / len(regions)) if self.quotas is None else self.quotas
        if not (quotas.keys() <= regions.keys() and abs(sum(quotas.values()) - 1) < 1e-6):
            raise ValueError(
                f"sampling.quotas: must be shares of the regions {', '.join(regions)} that sum to 1, got {quotas}"
            )
        check_count(n, target.domain)
        bounds = [round(share * (n - len(ends))) for share in itertools.accumulate(quotas.values(), initial=0.0)]
        counts = [stop - start for start, stop in itertools.pairwise(bounds)]
        chosen = [_systematic(regions[name], count, generator) for name, count in zip(quotas, counts, strict=True)]
        return torch.cat([ends, where[torch.cat(chosen)]])


@checked
class Derivative(Sampling):
    """Nodes with the density p(x) proportional to |f'(x)| / max|f'| + floor.

    Without a floor there would be no node where f' vanishes, such as at the top of Runge's function, although the
    curvature is largest there.

    Attributes:
        floor: the constant added to the density, in units of max|f'|, in [1e-12, 1e12]; large: uniform.

    References:
        C. Wu et al. (2023). A comprehensive study of non-adaptive and residual-based adaptive sampling for
        physics-informed neural networks. https://arxiv.org/abs/2207.10289 (the same form, with the residual for f').

    Example:
        >>> Derivative(floor=0.1)
        Derivative(floor=0.1)
    """

    floor: Positive

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Choose n nodes among evenly spread candidates by systematic sampling."""
        check_count(n, target.domain)
        where = candidates(n, target.domain)
        size = target.derivative(where).norm(dim=-1)
        density = size / size.max().clamp_min(torch.finfo(size.dtype).tiny) + self.floor
        return Density(where, density).nodes(n, target, generator)


@dataclass(frozen=True)
class Density(Sampling):
    """Nodes chosen among candidates by a density, the ends first.

    Attributes:
        x: the candidates, (K, D).
        density: their density, (K,), in any unit.

    Example:
        >>> from runge.targets import Runge
        >>> x = torch.tensor([[-0.5], [0.5]])
        >>> Density(x, torch.tensor([1.0, 0.0])).nodes(4, Runge(), torch.Generator())[:, 0].tolist()
        [-1.0, 1.0, -0.5, -0.5]
    """

    x: Tensor
    density: Tensor

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Choose by systematic sampling."""
        ends = corners(target.domain)
        return torch.cat([ends, self.x[_systematic(self.density, n - len(ends), generator)]])


def boundary_nodes(n: int, domain: Tensor) -> Tensor:
    """Place n >= 0 extra nodes in the outer tenth of the box, (D, 2), and return them, (n, D), in float64.

    They are denser towards its faces (the two ends in one dimension), which take turns. The k-th of a face's K nodes is
    at the depth 0.1 ((k + 1) / (K + 1))^2 below it, in units of the domain's length; its other coordinates follow the
    golden ratio's powers.
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


def check_count(n: int, domain: Tensor, key: str = "n") -> None:
    """Raise a ValueError if n is below the number of corners of the domain; its message begins with `key`."""
    if n < (least := 2 ** len(domain)):
        raise ValueError(f"{key}: must be at least {least}, because the nodes include the domain's ends; got {n}")


def _towards_ends(v: Tensor, strength: float) -> Tensor:
    return v.sign() * (1 - (1 - v.abs()) ** strength)


def _systematic(weight: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Choose n indices with probability proportional to `weight`, as evenly as it allows.

    Pointers (i + v) / n, with one v ~ U(0, 1), fall into the cells of the cumulative sum.
    """
    total = weight.cumsum(0)
    offset = torch.rand(1, generator=generator, dtype=torch.float64)
    pointers = (torch.arange(n, dtype=torch.float64) + offset) / max(n, 1)
    return torch.searchsorted(total, pointers * total[-1], right=True).clamp_max(len(weight) - 1)
