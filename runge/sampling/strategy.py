"""The interface of a sampling strategy, and which nodes are fixed."""

from abc import ABC, abstractmethod
from typing import Protocol

import torch
from torch import Tensor

from runge.domain import MOST_ON_GRIDS, corners

__all__ = ["Function", "Sampling", "check_count", "fixed_ends"]


class Function(Protocol):
    """The part of a target that a strategy may use."""

    domain: Tensor

    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient at x, both of shape (n, D); that of P > 1 outputs has the shape (n, P, D)."""
        ...

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Return the masks, (n,), of the named regions at x, (n, D)."""
        ...


class Sampling(ABC):
    """A rule that places n nodes on a function's domain."""

    def least(self, dimension: int) -> int:
        """Return the fewest nodes in D dimensions: the 2^D corners up to D = 2, and 1 above."""
        return 2**dimension if dimension <= MOST_ON_GRIDS else 1

    @abstractmethod
    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return n nodes, (n, D), in float64; n is `least(D)` or more.

        Raises:
            ValueError: n is too small, or the strategy's parameters do not fit the target.
        """


def fixed_ends(n: int, domain: Tensor) -> Tensor:
    """Return the corners of the box, (2^D, D), if they are among n nodes that a density chooses, and none otherwise.

    They are up to D = 2; in more dimensions the 2^D corners would be most of the nodes, or all of them.
    """
    ends = len(domain) <= MOST_ON_GRIDS and n >= 2 ** len(domain)
    return corners(domain) if ends else domain.new_empty(0, len(domain))


def check_count(n: int, domain: Tensor, sampling: Sampling, key: str = "n") -> None:
    """Raise a ValueError if n is below the least number of a strategy's nodes; its message begins with `key`."""
    dimension = len(domain)
    if n >= (least := sampling.least(dimension)):
        return
    why, how = "the nodes include the domain's ends", ""
    if dimension > MOST_ON_GRIDS:
        why = f"a grid ({type(sampling).__name__}) has two nodes or more along each of {dimension} inputs"
        how = "; sampling=sobol places any number"
    raise ValueError(f"{key}: must be at least {least}, because {why}; got {n}{how}")
