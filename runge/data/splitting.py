"""Draw the rows of a table for training, validation and test; rows with the same inputs are in one set."""

from typing import NamedTuple

import numpy as np
import torch

__all__ = ["SETS", "Split", "draw", "number_points"]

SETS = ("train", "val", "test")


class Split(NamedTuple):
    """The rows of the three sets: indices, each (n,)."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def number_points(x: np.ndarray) -> np.ndarray:
    """Return the number of each row's inputs, (m,): 0 for those of the first row, 1 for the next ones that differ.

    Example:
        >>> number_points(np.array([[5.0], [3.0], [5.0], [4.0]])).tolist()
        [0, 1, 0, 2]
    """
    _, first, number = np.unique(x, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.reshape(-1)]


def draw(
    points: np.ndarray, known: np.ndarray, train: float | None, val: float, test: float, seed: int | torch.Generator
) -> Split:
    """Draw three sets of rows. One row with a known value of each output is always for training.

    Args:
        points: the number of each row's inputs, (m,), from `number_points`.
        known: true where an output is known, (m, P).
        train: the share of the rows for training; None: all that are left.
        val: their share for validation; the set is smaller if rows with the same inputs do not fit in.
        test: their share for the test, likewise.
        seed: a seed, or a source of randomness.
    """
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
    sizes = np.bincount(points)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    anchors = set[int]()
    for of_output in known.T:  # the training rows are the last ones
        last = np.flatnonzero(np.isin(order, points[of_output]))[-1]
        anchors.add(int(order[last]))
        order = np.append(np.delete(order, last), order[last])
    ends = np.rint(np.cumsum([test, val, 1 if train is None else train]) * len(points)).astype(int)
    sets, free = np.full(len(order), SETS.index("train")), order
    if len(order) < len(points):  # a set that is not full could take any of the last ones
        free = order[: len(order) - len(anchors)]
    for name, room in (("test", ends[0]), ("val", ends[1] - ends[0])):
        taken = _fitting(sizes[free], room)
        sets[free[taken]], free = SETS.index(name), free[~taken]
    rows = np.argsort(np.argsort(order)[points], kind="stable")
    training, validation, testing = (rows[sets[points[rows]] == i] for i in range(3))
    # Training rows are taken from the end, so that a smaller share has a part of those of a larger one.
    n = len(training) if train is None else min(ends[2], len(rows)) - ends[1]
    unused = max(0, len(training) - n)
    if 0 < unused < len(training):
        unused = np.flatnonzero(points[training] == points[training[unused]])[0]
    return Split(training[unused:], validation, testing)


def _fitting(sizes: np.ndarray, room: int) -> np.ndarray:
    """Return which groups of rows fill a set, (n,), bool: those that fit in, the first ones first."""
    taken = np.cumsum(sizes) <= room
    room -= sizes[taken].sum()
    for i in np.flatnonzero(~taken & (sizes <= room)):
        taken[i] = sizes[i] <= room
        room -= sizes[i] * taken[i]
    return taken
