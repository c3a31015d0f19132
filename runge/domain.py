"""A box in D dimensions: its corners, points spread over it, and what of it is nearest to each of some nodes."""

import torch
from torch import Tensor

_CANDIDATES = 64  # for each node that is chosen among them
_AT_ONCE = 2**22


def onto(domain: Tensor, t: Tensor) -> Tensor:
    """Map t in [-1, 1]^D onto the box, (D, 2); -1 and 1 hit its ends exactly."""
    lower, upper = domain[:, 0], domain[:, 1]
    return torch.where(t < 0, lower + (t + 1) / 2 * (upper - lower), upper - (1 - t) / 2 * (upper - lower))


def corners(domain: Tensor) -> Tensor:
    """The 2^D corners of the box, (2^D, D): the two ends in one dimension."""
    return torch.cartesian_prod(*domain).reshape(-1, len(domain))


def candidates(n: int, domain: Tensor) -> Tensor:
    """Evenly spread points inside the box, in lexicographic order, at least 64 for each of n nodes, (K, D)."""
    dimension = len(domain)
    per_axis = int((_CANDIDATES * n) ** (1 / dimension)) + 1
    axis = (2 * torch.arange(per_axis, dtype=torch.float64) + 1) / per_axis - 1
    return onto(domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))


def cells(x: Tensor, domain: Tensor) -> Tensor:
    """The share of the box that is nearest to each node, which is one over n times the nodes' density.

    In one dimension it is exact; in more it is counted among the candidates.

    Args:
        x: nodes, (n, D).
        domain: the box, (D, 2).

    Returns:
        The shares, (n,), all above 0; but for that they sum to 1.
    """
    n, lower, upper = len(x), domain[:, 0], domain[:, 1]
    if len(domain) == 1:
        order = x[:, 0].argsort(stable=True)
        middles = (x[order[1:], 0] + x[order[:-1], 0]) / 2
        found = torch.empty_like(x[:, 0])
        found[order] = torch.cat([lower, middles, upper]).diff() / (upper - lower)
    else:
        units = [(part - lower) / (upper - lower) for part in (candidates(n, domain), x)]
        nearest = [torch.cdist(some, units[1]).argmin(1) for some in units[0].split(max(1, _AT_ONCE // n))]
        found = torch.bincount(torch.cat(nearest), minlength=n).to(x) / len(units[0])
    return found.clamp_min(1e-6 / n)  # of two equal nodes one has nothing, and a weight of 0 would mean no data
