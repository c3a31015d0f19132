"""Sampling strategies: their interface, tensor grids, and scattered nodes."""

from abc import ABC, abstractmethod
from typing import Annotated, ClassVar, Protocol

import torch
from pydantic import Field
from torch import Tensor

from runge.configuration.validation import Share, checked
from runge.sampling.domain import MOST_ON_GRIDS, corners, onto, sobol

__all__ = ["Chebyshev", "Endpoint", "LatinHypercube", "Mixed", "Random", "SampledFunction", "Sampling"]
__all__ += ["Sobol", "Strength", "Uniform", "boundary_nodes", "check_count", "fixed_ends"]

Strength = Annotated[float, Field(ge=0.2, le=5)]  # with stronger ones, nodes coincide
_OUTER_SHARE = 0.1
"""The greatest depth of the nodes near the boundary, relative to the domain's length."""


class SampledFunction(Protocol):
    """The part of a target that a strategy may use."""

    domain: Tensor

    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient at x, both of shape (n, D); with P > 1 outputs the gradient has the shape (n, P, D)."""
        ...

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Return the masks, (n,), of the named regions at x, (n, D)."""
        ...


class Sampling(ABC):
    """A rule that places n nodes on a function's domain, up to D = 2 with its corners if `with_ends`.

    Raises:
        ValueError: a parameter is outside its range. That n is large enough is checked by `check_count`.
    """

    with_ends: ClassVar[bool] = True

    def least(self, dimension: int) -> int:
        """Return the fewest nodes in D dimensions: the 2^D corners up to D = 2, and 1 above or without ends."""
        return 2**dimension if self.with_ends and dimension <= MOST_ON_GRIDS else 1

    @abstractmethod
    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return n nodes, (n, D), in float64.

        Args:
            n: the number of nodes, at least `least(D)`; of a tensor grid the most, as it has k^D nodes.
            target: the function, with its domain, (D, 2).
            generator: the source of random numbers, if the strategy needs any.

        Raises:
            ValueError: the strategy's parameters do not fit the target.
        """


def fixed_ends(n: int, domain: Tensor) -> Tensor:
    """Return the corners of the box, (2^D, D), if they are among n nodes that a density chooses, and none otherwise.

    They are up to D = 2; in more dimensions the 2^D corners would be most of the nodes, or all of them.
    """
    ends = len(domain) <= MOST_ON_GRIDS and n >= 2 ** len(domain)
    return corners(domain) if ends else domain.new_empty(0, len(domain))


def check_count(n: int, domain: Tensor, sampling: Sampling, key: str = "n") -> None:
    """Check that n is large enough for a strategy on a domain, (D, 2).

    Raises:
        ValueError: n is below `sampling.least(D)`; the message begins with `key`.
    """
    dimension = len(domain)
    if n >= (least := sampling.least(dimension)):
        return
    why, how = "the nodes include the domain's ends", ""
    if dimension > MOST_ON_GRIDS:
        why = f"a grid ({type(sampling).__name__}) has two nodes or more along each of {dimension} inputs"
        how = "; sampling=sobol places any number"
    raise ValueError(f"{key}: must be at least {least}, because {why}; got {n}{how}")


class _Tensor(Sampling):
    """A tensor product of the same deterministic nodes t in [-1, 1] on each axis."""

    def least(self, dimension: int) -> int:
        """Return 2^D, the nodes of a grid with two on each axis."""
        return 2**dimension

    @abstractmethod
    def coordinates(self, n: int) -> Tensor:
        """Return the n nodes of one axis, in [-1, 1], -1 and 1 included."""

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Place floor(n^(1/D)) nodes on each axis and return all their combinations."""
        dimension = len(target.domain)
        axis = self.coordinates(int(n ** (1 / dimension) + 1e-9))
        return onto(target.domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))


@checked
class Uniform(_Tensor):
    """An evenly spaced grid, t_i = -1 + 2 i / (n - 1) for i = 0, ..., n - 1."""

    def coordinates(self, n: int) -> Tensor:
        """Return n evenly spaced nodes."""
        return torch.linspace(-1, 1, n, dtype=torch.float64)


@checked
class Chebyshev(_Tensor):
    """Chebyshev-Lobatto nodes, t_i = -cos(pi i / (n - 1)) for i = 0, ..., n - 1.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, chapter 2.
        https://www.chebfun.org/ATAP/
    """

    def coordinates(self, n: int) -> Tensor:
        """Return n Chebyshev-Lobatto nodes."""
        # The sine form is odd to the last bit, and hits -1 and 1.
        return torch.sin(torch.pi / 2 * torch.linspace(-1, 1, n, dtype=torch.float64))


@checked
class Endpoint(_Tensor):
    """Nodes that crowd towards the ends, t = sign(v) (1 - (1 - |v|)^strength) with v evenly spaced on [-1, 1].

    The density is proportional to (1 - |t|)^(1/strength - 1): near the ends, for strength = 2, that of Chebyshev nodes.

    Attributes:
        strength: how strongly the ends are favoured, in [0.2, 5]; below 1 nodes crowd towards the centre, 1 is uniform.

    Raises:
        ValueError: `strength` is outside its range.

    References:
        L. N. Trefethen (2013). Approximation Theory and Approximation Practice, chapter 2.
        https://www.chebfun.org/ATAP/ (the density of Chebyshev nodes).
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

    Raises:
        ValueError: a parameter is outside its range.
    """

    share: Share
    strength: Strength

    def coordinates(self, n: int) -> Tensor:
        """Return the n nodes of both kinds."""
        # An even number of cell midpoints avoids the ends and the centre, which the grid may contain.
        weighted = min(2 * round(self.share * n / 2), 2 * ((n - 2) // 2))
        v = (2 * torch.arange(weighted, dtype=torch.float64) + 1) / max(weighted, 1) - 1
        return torch.cat([Uniform().coordinates(n - weighted), _towards_ends(v, self.strength)]).sort().values


def _towards_ends(v: Tensor, strength: float) -> Tensor:
    return v.sign() * (1 - (1 - v.abs()) ** strength)


@checked
class Random(Sampling):
    """Independent draws from the uniform distribution on the domain, up to D = 2 with the ends first."""

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return the corners if D <= 2, followed by random nodes."""
        ends = fixed_ends(n, target.domain)
        t = 2 * torch.rand(n - len(ends), len(target.domain), generator=generator, dtype=torch.float64) - 1
        return torch.cat([ends, onto(target.domain, t)])


@checked
class Sobol(Sampling):
    """A scrambled Sobol sequence, which fills a domain with many inputs more evenly than random nodes.

    A larger set begins with the nodes of a smaller one with the same seed. Powers of 2 are best.

    References:
        A. B. Owen (2023). Practical quasi-Monte Carlo integration. https://artowen.su.domains/mc/practicalqmc.pdf
    """

    with_ends: ClassVar[bool] = False

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return the first n points of the sequence; the generator draws the seed of its scrambling."""
        return sobol(n, target.domain, int(torch.randint(2**31, (), generator=generator)))


@checked
class LatinHypercube(Sampling):
    """A Latin hypercube: of n equal intervals of each input, each contains one node.

    References:
        M. D. McKay, R. J. Beckman, W. J. Conover (1979). A comparison of three methods for selecting values of input
        variables. https://doi.org/10.2307/1268522
    """

    with_ends: ClassVar[bool] = False

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return n nodes: the intervals of each input in a random order, and a random place in each of them."""
        v = torch.rand(n, len(target.domain), generator=generator, dtype=torch.float64)
        intervals = torch.stack([torch.randperm(n, generator=generator) for _ in target.domain], dim=1)
        return onto(target.domain, 2 * (intervals + v) / n - 1)


def boundary_nodes(n: int, domain: Tensor) -> Tensor:
    r"""Return extra nodes near the faces of the box, which in one dimension are its two ends.

    The faces take turns. Node k = 1, 2, ... of a face is at the depth

    .. math:: 0.1 \left(\frac{k}{\lfloor n / 2 D \rfloor + 2}\right)^2

    below it, in units of the domain's length: all are in the outer tenth, and most are near the face. The other
    coordinates are spread evenly, for D <= 2 by multiples of powers of the golden ratio, above by a Sobol sequence.

    Args:
        n: the number of nodes, >= 0.
        domain: the box, (D, 2).

    Returns:
        The nodes, (n, D), in float64.

    References:
        M. Roberts (2018). The unreasonable effectiveness of quasirandom sequences.
        https://extremelearning.com.au/unreasonable-effectiveness-of-quasirandom-sequences/
    """
    dimension = len(domain)
    j = torch.arange(n)
    face, k = j % (2 * dimension), j // (2 * dimension)
    depth = _OUTER_SHARE * ((k + 1) / (n // (2 * dimension) + 2)).to(torch.float64) ** 2
    if dimension > MOST_ON_GRIDS:
        t = sobol(n, domain.new_tensor([[-1.0, 1.0]] * dimension), seed=0)
    else:
        root = 2.0
        for _ in range(40):  # the plastic constants: root of r^(D+1) = r + 1 (the golden ratio for D = 1)
            root = (1 + root) ** (1 / (dimension + 1))
        steps = root ** -torch.arange(1, dimension + 1, dtype=torch.float64)
        t = 2 * ((j[:, None] + 1) * steps % 1) - 1
    t[j, face // 2] = torch.where(face % 2 == 0, 2 * depth - 1, 1 - 2 * depth)
    return onto(domain, t)
