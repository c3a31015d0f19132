"""Strategies whose nodes are on a tensor grid."""

from abc import abstractmethod
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from runge.domain import onto
from runge.sampling.strategy import Function, Sampling, check_count
from runge.validation import Share, checked

__all__ = ["Chebyshev", "Endpoint", "Mixed", "Strength", "Uniform"]

Strength = Annotated[float, Field(ge=0.2, le=5)]  # beyond, nodes coincide


class _Tensor(Sampling):
    """A tensor product of the same deterministic nodes t in [-1, 1] on each axis."""

    def least(self, dimension: int) -> int:
        """Return 2^D, the nodes of a grid with two on each axis."""
        return 2**dimension

    @abstractmethod
    def coordinates(self, n: int) -> Tensor:
        """Return the n nodes of one axis, in [-1, 1], -1 and 1 included."""

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Place floor(n^(1/D)) nodes on each axis and return all their combinations."""
        check_count(n, target.domain, self)
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


def _towards_ends(v: Tensor, strength: float) -> Tensor:
    return v.sign() * (1 - (1 - v.abs()) ** strength)
