"""How much networks disagree that were trained on the same rows, and differ in their seeds."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["alike", "spread_over"]


def alike(rows: Sequence[Hashable]) -> list[list[int]]:
    """Return the members that were trained on the same rows, in groups of at least two, given something equal of them.

    Example:
        >>> alike(["all", "all", "without 1", "without 2", "without 1"])
        [[0, 1], [2, 4]]
    """
    groups = dict[Hashable, list[int]]()
    for i, one in enumerate(rows):
        groups.setdefault(one, []).append(i)
    return [members for members in groups.values() if len(members) > 1]


def spread_over(members: Tensor, weights: Tensor | None, groups: Sequence[Sequence[int]]) -> Tensor:
    r"""Return the spread s, (...), of members, (M, ...), within groups that were trained on the same rows.

    .. math:: s^2 = \sum_g w_g s_g^2 / \sum_g w_g, \quad
        s_g^2 = \sum_{m \in g} w_m (u_m - \bar u_g)^2 / \Bigl(w_g - \sum_{m \in g} w_m^2 / w_g\Bigr), \quad
        w_g = \sum_{m \in g} w_m.

    Args:
        members: what the members return.
        weights: their weights, (M,); None: they are equal.
        groups: the groups, each of at least two members; without any, s is 0.
    """
    total, sums = torch.zeros_like(members[0]), 0.0
    for group in groups:
        one = members[list(group)]
        w = one.new_ones(len(group)) if weights is None else weights[list(group)].to(one)
        share = w.sum()
        mean = torch.tensordot(w, one, 1) / share
        variance = torch.tensordot(w, (one - mean).square(), 1) / (share - w.square().sum() / share)
        total, sums = total + share * variance, sums + share
    return (total / sums).sqrt() if groups else total
