"""Deal points to the folds of a cross-validation, each of which is left out of the training of one run."""

import heapq

import numpy as np
import torch

__all__ = ["FEWEST_POINTS", "deal", "number_points"]

FEWEST_POINTS = 8
"""The least points that can be divided into folds."""

_PRINTED_ROUND_OFF = 1e-8
"""The relative round-off of numbers that were rounded several times, or printed with nine digits."""

_NEAR_ZERO = 1e-6
"""The least size of a number, over the range of its column: a small difference has the round-off of its terms."""


def number_points(x: np.ndarray) -> np.ndarray:
    """Return the number of each row's inputs, (m,): 0 for the inputs of the first row, 1 for the next different ones.

    Inputs that differ by no more than round-off count as equal: two neighbours among the sorted values of a column
    differ by at most 1e-8 of their size, or of the column's range if that is smaller.
    """
    import pandas

    if not len(x):  # without rows, which is refused later
        return np.zeros(0, int)
    levels = np.empty(x.shape, int)
    for column, level in zip(x.T, levels.T, strict=True):
        order = np.argsort(column)
        values = column[order]
        size = values[-1] - values[0]
        differ = np.diff(values) > _PRINTED_ROUND_OFF * np.clip(np.abs(values[1:]), _NEAR_ZERO * size, size)
        level[order] = np.concatenate([[0], np.cumsum(differ)])
    return pandas.DataFrame(levels).groupby(list(range(x.shape[1])), sort=False).ngroup().to_numpy()


def deal(groups: np.ndarray, is_known: np.ndarray, folds: int, generator: torch.Generator) -> np.ndarray:
    """Deal rows to folds at random, so that their sizes differ by at most one row if each is a group of its own.

    The rows of a group, such as those with the same inputs, are dealt to the same fold, because a label that is known
    from training does not test a fit: the largest groups first, each to the smallest fold. Of groups of one size those
    in which the same outputs are known are dealt in a row, so that each fold has its share of the values of each
    output.

    Args:
        groups: the numbers of the rows' groups, (n,).
        is_known: true where a value is known, (n, P).
        folds: the number K of folds.
        generator: the source of randomness.

    Returns:
        The fold of each row, (n,), from 0 to K - 1. It is -1 for rows that must be in the training rows of all folds:
        one group with a known value of an output, if all other such groups are in the same fold.
    """
    _, group, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    patterns = np.zeros((len(sizes), is_known.shape[1]), bool)
    np.logical_or.at(patterns, group, is_known)
    order = torch.randperm(len(sizes), generator=generator).numpy()
    order = order[np.lexsort((*patterns[order].T, -sizes[order]))]
    dealt, smallest = np.empty(len(sizes), int), [(0, fold) for fold in range(folds)]
    for number in order:
        size, fold = smallest[0]
        dealt[number] = fold
        heapq.heapreplace(smallest, (size + int(sizes[number]), fold))
    for of_output in patterns.T:
        with_output = np.flatnonzero(of_output)
        if len(with_output) and (dealt[with_output] == dealt[with_output[0]]).all():
            dealt[with_output[0]] = -1
    return dealt[group]
