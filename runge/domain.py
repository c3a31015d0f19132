"""A box in D dimensions: its corners, points spread evenly over it, and the part of it nearest to each node."""

import torch
from torch import Tensor

__all__ = ["candidates", "cells", "corners", "onto"]

_CANDIDATES = 64  # for each node that is chosen among them
_AT_ONCE = 2**22


def onto(domain: Tensor, t: Tensor) -> Tensor:
    """Map t in [-1, 1]^D onto the box, (D, 2); -1 and 1 hit its ends exactly."""
    lower, upper = domain[:, 0], domain[:, 1]
    return torch.where(t < 0, lower + (t + 1) / 2 * (upper - lower), upper - (1 - t) / 2 * (upper - lower))


def corners(domain: Tensor) -> Tensor:
    """Return the 2^D corners of the box, (2^D, D): the two ends in one dimension."""
    return torch.cartesian_prod(*domain).reshape(-1, len(domain))


def candidates(n: int, domain: Tensor) -> Tensor:
    """Return evenly spread points inside the box, in lexicographic order, at least 64 for each of n nodes, (K, D)."""
    dimension = len(domain)
    per_axis = int((_CANDIDATES * n) ** (1 / dimension)) + 1
    axis = (2 * torch.arange(per_axis, dtype=torch.float64) + 1) / per_axis - 1
    return onto(domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))


def cells(x: Tensor, domain: Tensor) -> Tensor:
    """Return the share of the box, (D, 2), nearest to each node, (n, D): one over n times the nodes' density.

    The shares, (n,), are clamped above 0 and otherwise sum to 1. They are exact in one dimension; in more they are
    counted among the candidates.
    """
    n, lower, upper = len(x), domain[:, 0], domain[:, 1]
    if len(domain) == 1:
        order = x[:, 0].argsort(stable=True)
        middles = (x[order[1:], 0] + x[order[:-1], 0]) / 2
        shares = torch.empty_like(x[:, 0])
        shares[order] = torch.cat([lower, middles, upper]).diff() / (upper - lower)
    else:
        points, nodes = ((part - lower) / (upper - lower) for part in (candidates(n, domain), x))
        nearest = [torch.cdist(chunk, nodes).argmin(1) for chunk in points.split(max(1, _AT_ONCE // n))]
        shares = torch.bincount(torch.cat(nearest), minlength=n).to(x) / len(points)
    return shares.clamp_min(1e-6 / n)  # one of two equal nodes has an empty cell, and a weight of 0 would mean no data
