"""Compute in a box of D dimensions: its corners, evenly spread points, and the part nearest to each node.

Up to D = 2 the points are on grids; above, where a grid would need k^D points, they are Sobol points.
"""

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

__all__ = ["MOST_ON_GRIDS", "candidates", "cells", "corners", "onto", "sobol"]

MOST_ON_GRIDS = 2
"""The largest number of inputs for which points are on a grid, and the corners of the box among the nodes."""

_NODE_CANDIDATES = 64
"""The candidates for each node: more follow the density more closely, and take more time."""

_COMPARED_NUMBERS = 2**22
"""The most numbers at a time, a bound on the memory: 34 MB."""


def onto(domain: Tensor, t: Tensor) -> Tensor:
    """Map t in [-1, 1]^D onto the box, (D, 2); -1 and 1 hit its ends exactly."""
    lower, upper = domain[:, 0], domain[:, 1]
    return torch.where(t < 0, lower + (t + 1) / 2 * (upper - lower), upper - (1 - t) / 2 * (upper - lower))


def corners(domain: Tensor) -> Tensor:
    """Return the 2^D corners of the box, (2^D, D): the two ends in one dimension."""
    return torch.cartesian_prod(*domain).reshape(-1, len(domain))


def sobol(n: int, domain: Tensor, seed: int | None) -> Tensor:
    """Return the first n points of a Sobol sequence on the box, (n, D), in float64.

    Any n points fill the box more evenly than random ones; a power of 2 is best.

    The seed is for the scrambling; None: the plain sequence, which begins with the lower corner and the centre.

    References:
        S. Joe, F. Y. Kuo (2008). Constructing Sobol sequences with better two-dimensional projections.
        https://doi.org/10.1137/070709359 (the direction numbers).
        J. Matousek (1998). On the L2-discrepancy for anchored boxes. https://doi.org/10.1006/jcom.1998.0489 (the
        scrambling).
    """
    if n == 0:
        return domain.new_empty(0, len(domain), dtype=torch.float64)
    # That of SciPy has the same points, and takes a second to import.
    engine = SobolEngine(len(domain), scramble=seed is not None, seed=seed)
    return onto(domain, 2 * engine.draw(n, dtype=torch.float64) - 1)


def candidates(n: int, domain: Tensor) -> Tensor:
    """Return evenly spread points inside the box, (K, D), 64 or more for each of n nodes to be chosen among them.

    Up to D = 2 they are the midpoints of a grid's cells. Above they are Sobol points, fewer per node (at least 4) where
    64 would be more than 2^22 numbers. They are in the order of the parts of a partition of the box, which halves it
    along x1, x2, ... in turn, into about one part per node, or for D = 2 into single points: neighbours in the list are
    near each other in all inputs.
    """
    dimension = len(domain)
    if dimension > MOST_ON_GRIDS:
        x = sobol(max(4 * n, min(_NODE_CANDIDATES * n, _COMPARED_NUMBERS // dimension)), domain, seed=0)
        halvings = (n - 1).bit_length()
    else:
        per_axis = int((_NODE_CANDIDATES * n) ** (1 / dimension)) + 1
        axis = (2 * torch.arange(per_axis, dtype=torch.float64) + 1) / per_axis - 1
        x = onto(domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))
        halvings = dimension * (per_axis - 1).bit_length()
    t, half_box = (x - domain[:, 0]) / (domain[:, 1] - domain[:, 0]), torch.zeros(len(x), dtype=torch.long)
    for k in range(halvings):
        half_box = 2 * half_box + (2 ** (k // dimension + 1) * t[:, k % dimension]).long() % 2
    return x[half_box.argsort(stable=True)]


def cells(x: Tensor, domain: Tensor) -> Tensor:
    """Return the share of the box, (D, 2), nearest to each node, (n, D): one over n times the nodes' density.

    The shares, (n,), are clamped above 0 and otherwise sum to 1. They are exact in one dimension; in more they are
    counted among the candidates.
    """
    n = len(x)
    lower, upper = domain[:, 0], domain[:, 1]
    if len(domain) == 1:
        order = x[:, 0].argsort(stable=True)
        middles = (x[order[1:], 0] + x[order[:-1], 0]) / 2
        shares = torch.empty_like(x[:, 0])
        shares[order] = torch.cat([lower, middles, upper]).diff() / (upper - lower)
    else:
        points, nodes = ((inputs - lower) / (upper - lower) for inputs in (candidates(n, domain), x))
        nearest = [torch.cdist(chunk, nodes).argmin(1) for chunk in points.split(max(1, _COMPARED_NUMBERS // n))]
        shares = torch.bincount(torch.cat(nearest), minlength=n).to(x) / len(points)
    return shares.clamp_min(1e-6 / n)  # the cell of a repeated node is empty, but a weight of 0 would mean no data
