"""How much networks disagree that were trained on the same rows, and differ in their seeds."""

from collections.abc import Hashable, Sequence

import torch
from torch import Tensor

__all__ = ["groups_by_rows", "spread_over"]


def groups_by_rows(rows: Sequence[Hashable]) -> list[list[int]]:
    """Return the members that were trained on the same rows, in groups of at least two, given something equal of them.

    Example:
        >>> groups_by_rows(["all", "all", "without 1", "without 2", "without 1"])
        [[0, 1], [2, 4]]
    """
    groups = dict[Hashable, list[int]]()
    for i, key in enumerate(rows):
        groups.setdefault(key, []).append(i)
    return [members for members in groups.values() if len(members) > 1]


def spread_over(members: Tensor, groups: Sequence[Sequence[int]]) -> Tensor:
    r"""Return the spread s, (...), of members, (M, ...), within groups that were trained on the same rows.

    .. math:: s^2 = \sum_g M_g s_g^2 / \sum_g M_g, \quad
        s_g^2 = \sum_{m \in g} (u_m - \bar u_g)^2 / (M_g - 1),

    where M_g is the number of members of group g.

    Args:
        members: what the members return.
        groups: the groups, each of at least two members; without any, s is 0.
    """
    total = torch.zeros_like(members[0])
    for group in groups:
        networks, size = members[list(group)], len(group)
        total = total + size * (networks - networks.mean(0)).square().sum(0) / (size - 1)
    return (total / sum(map(len, groups))).sqrt() if groups else total
