"""Strategies that choose nodes among evenly spread candidates, by a density."""

import itertools
from dataclasses import dataclass

import torch
from torch import Tensor

from runge.configuration.validation import NonNegative, Positive, checked
from runge.sampling.domain import MOST_ON_GRIDS, candidates
from runge.sampling.strategies import SampledFunction, Sampling, fixed_ends

__all__ = ["Density", "Derivative", "Stratified"]


@checked
class Stratified(Sampling):
    """A quota of nodes for each region of the domain, evenly spread within it.

    Attributes:
        quotas: the share of the nodes for each of the target's regions, summing to 1; None: the same share for
            each region that is not empty.

    Raises:
        ValueError: a share is negative; and in `nodes`, if the shares do not sum to 1, or name no region.
    """

    quotas: dict[str, NonNegative] | None

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Return the ends if D <= 2, and each region's quota chosen among evenly spread candidates."""
        where, ends = candidates(n, target.domain), fixed_ends(n, target.domain)
        regions = {name: mask.to(torch.float64) for name, mask in target.regions(where).items() if mask.any()}
        quotas = dict.fromkeys(regions, 1 / len(regions)) if self.quotas is None else self.quotas
        if not (quotas.keys() <= regions.keys() and abs(sum(quotas.values()) - 1) < 1e-6):
            raise ValueError(
                f"sampling.quotas: must be shares of the regions {', '.join(regions)} that sum to 1, got {quotas}"
            )
        bounds = [round(share * (n - len(ends))) for share in itertools.accumulate(quotas.values(), initial=0.0)]
        counts = [stop - start for start, stop in itertools.pairwise(bounds)]
        chosen = [
            _choose(regions[name], count, generator, len(target.domain))
            for name, count in zip(quotas, counts, strict=True)
        ]
        return torch.cat([ends, where[torch.cat(chosen)]])


@checked
class Derivative(Sampling):
    """Nodes with the density p(x) proportional to |f'(x)| / max|f'| + floor.

    |f'| is the norm of the gradient, and of several outputs the mean of |f'| / max|f'| counts. Without a floor there
    would be no node where f' vanishes, such as at the top of Runge's function, although the curvature is largest there.

    Attributes:
        floor: the constant added to the density, in units of max|f'|, in [1e-12, 1e12]; large: uniform.

    Raises:
        ValueError: `floor` is outside its range.

    References:
        C. Wu et al. (2023). A comprehensive study of non-adaptive and residual-based adaptive sampling for
        physics-informed neural networks. https://arxiv.org/abs/2207.10289 (the same form, with the residual for f').
    """

    floor: Positive

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Choose n nodes, (n, D), among evenly spread candidates."""
        where = candidates(n, target.domain)
        size = target.derivative(where).norm(dim=-1).reshape(len(where), -1)
        density = (size / size.amax(0).clamp_min(torch.finfo(size.dtype).tiny)).mean(1) + self.floor
        return Density(where, density).nodes(n, target, generator)


@dataclass(frozen=True)
class Density(Sampling):
    """Nodes chosen among candidates by a density, up to D = 2 with the ends first.

    `x` are the candidates, (K, D), and `density` is their density, (K,), in any unit.
    """

    x: Tensor
    density: Tensor

    def nodes(self, n: int, target: SampledFunction, generator: torch.Generator) -> Tensor:
        """Choose among the candidates, as evenly as the density allows."""
        ends = fixed_ends(n, target.domain)
        return torch.cat([ends, self.x[_choose(self.density, n - len(ends), generator, len(target.domain))]])


def _choose(weight: Tensor, n: int, generator: torch.Generator, dimension: int) -> Tensor:
    """Choose n indices of candidates with probability proportional to `weight`, as evenly as it allows.

    Pointers (i + v) / n, with v ~ U(0, 1), fall into the cells of the cumulative sum. Up to D = 2 there is one v for
    all of them (systematic sampling); above each has its own (stratified sampling), because in a list that runs to and
    fro in many inputs, pointers at equal distances may always hit the same half of one input.

    References:
        R. Douc, O. Cappe, E. Moulines (2005). Comparison of resampling schemes for particle filtering.
        https://arxiv.org/abs/cs/0507025
    """
    total = weight.cumsum(0)
    offset = torch.rand(1 if dimension <= MOST_ON_GRIDS else n, generator=generator, dtype=torch.float64)
    pointers = (torch.arange(n, dtype=torch.float64) + offset) / max(n, 1)
    return torch.searchsorted(total, pointers * total[-1], right=True).clamp_max(len(weight) - 1)
