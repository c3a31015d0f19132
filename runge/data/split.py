"""Draw the rows for training, validation and test."""

from typing import NamedTuple

import numpy as np
import torch

from runge.data.table import SETS

__all__ = ["Split", "draw_sets"]


class Split(NamedTuple):
    """The rows of the three sets: indices, each (n,)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def draw_sets(groups: np.ndarray, is_known: np.ndarray, test: float, val: float, generator: torch.Generator) -> Split:
    """Draw three sets of rows, as `Rows.split`, from their shares, the numbers of their groups, and ~isnan(y)."""
    sizes = np.bincount(groups)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    anchors = set[int]()
    for of_output in is_known.T:  # the training rows are the last: move a known label of each output there
        last = np.flatnonzero(np.isin(order, groups[of_output]))[-1]
        anchors.add(int(order[last]))
        order = np.append(np.delete(order, last), order[last])
    ends = np.rint(np.cumsum([test, val]) * len(groups)).astype(int)
    sets, free = np.full(len(order), SETS.index("train")), order
    if len(order) < len(groups):  # the test and validation sets, which take what fits, must not take these rows
        free = order[: len(order) - len(anchors)]
    for name, room in (("test", ends[0]), ("val", ends[1] - ends[0])):
        taken = _fitting(sizes[free], room)
        sets[free[taken]], free = SETS.index(name), free[~taken]
    rows = np.argsort(np.argsort(order)[groups], kind="stable")
    return Split(*(rows[sets[groups[rows]] == i] for i in range(3)))


def _fitting(sizes: np.ndarray, room: int) -> np.ndarray:
    """Return whether groups of rows are in a set, (n,), bool: each in turn if it fits in."""
    taken = np.cumsum(sizes) <= room
    room -= sizes[taken].sum()
    for i in np.flatnonzero(~taken & (sizes <= room)):
        taken[i] = sizes[i] <= room
        room -= sizes[i] * taken[i]
    return taken
