"""Strategies that scatter nodes over the whole domain, and the extra nodes near its boundary."""

import torch
from torch import Tensor

from runge.domain import MOST_ON_GRIDS, onto, sobol
from runge.sampling.strategy import Function, Sampling, check_count, fixed_ends
from runge.validation import checked

__all__ = ["LatinHypercube", "Random", "Sobol", "boundary_nodes"]

_OUTER = 0.1


@checked
class Random(Sampling):
    """Independent draws from the uniform distribution on the domain, up to D = 2 with the ends first.

    Example:
        >>> from runge.targets import Runge
        >>> Random().nodes(64, Runge(), torch.Generator())[:2].tolist()
        [[-1.0], [1.0]]
    """

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return the corners if D <= 2, followed by random nodes."""
        check_count(n, target.domain, self)
        ends = fixed_ends(n, target.domain)
        t = 2 * torch.rand(n - len(ends), len(target.domain), generator=generator, dtype=torch.float64) - 1
        return torch.cat([ends, onto(target.domain, t)])


@checked
class Sobol(Sampling):
    """A scrambled Sobol sequence, which fills a domain with many inputs more evenly than random nodes.

    The first nodes of a larger set are those of a smaller one with the same seed. Powers of 2 are best.

    References:
        A. B. Owen (2023). Practical quasi-Monte Carlo integration. https://artowen.su.domains/mc/practicalqmc.pdf

    Example:
        >>> from runge.targets import Expression
        >>> Sobol().nodes(100, Expression("x1 + x7", [(0, 1)] * 7), torch.Generator()).shape
        torch.Size([100, 7])
    """

    def least(self, dimension: int) -> int:
        """Return 1."""
        return 1

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return the first n points of the sequence; the generator draws the seed of its scrambling."""
        check_count(n, target.domain, self)
        return sobol(n, target.domain, int(torch.randint(2**31, (), generator=generator)))


@checked
class LatinHypercube(Sampling):
    """A Latin hypercube: of n equal intervals of each input, each contains one node.

    References:
        M. D. McKay, R. J. Beckman, W. J. Conover (1979). A comparison of three methods for selecting values of input
        variables in the analysis of output from a computer code. https://doi.org/10.2307/1268522

    Example:
        >>> from runge.targets import Runge
        >>> (4 * (LatinHypercube().nodes(4, Runge((0, 1)), torch.Generator())).sort(0).values).floor().tolist()
        [[0.0], [1.0], [2.0], [3.0]]
    """

    def least(self, dimension: int) -> int:
        """Return 1."""
        return 1

    def nodes(self, n: int, target: Function, generator: torch.Generator) -> Tensor:
        """Return n nodes: the intervals of each input in a random order, and a random place in each of them."""
        check_count(n, target.domain, self)
        v = torch.rand(n, len(target.domain), generator=generator, dtype=torch.float64)
        intervals = torch.stack([torch.randperm(n, generator=generator) for _ in target.domain], dim=1)
        return onto(target.domain, 2 * (intervals + v) / n - 1)


def boundary_nodes(n: int, domain: Tensor) -> Tensor:
    """Place n >= 0 extra nodes in the outer tenth of the box, (D, 2), and return them, (n, D), in float64.

    They are denser towards its faces (the two ends in one dimension), which take turns. The k-th of a face's K nodes is
    at the depth 0.1 ((k + 1) / (K + 1))^2 below it, in units of the domain's length; its other coordinates follow the
    golden ratio's powers, or a Sobol sequence for D > 2.
    """
    dimension = len(domain)
    j = torch.arange(n)
    face, k = j % (2 * dimension), j // (2 * dimension)
    depth = _OUTER * ((k + 1) / (n // (2 * dimension) + 2)).to(torch.float64) ** 2
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
