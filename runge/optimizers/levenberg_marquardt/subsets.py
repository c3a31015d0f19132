r"""Subsets of the points for the first steps of a method that solves a linear system at each step.

Far from the minimum, few points give nearly the direction of all. A member begins with about three times as many errors
as it has weights, and takes up to four steps on a subset in place of one on all points. The number of points doubles
when these steps reduce the loss on as many fresh points by less than 30 %, or when the member is at rest; steps that
increase it are undone. The subsets are nested, the first points of one random order. Their weights are multiplied by N
over their number, so that losses and damping remain comparable.

References:
    F. Roosta-Khorasani, M. W. Mahoney (2019). Sub-sampled Newton methods. https://doi.org/10.1007/s10107-018-1346-5
    L. Bottou, F. E. Curtis, J. Nocedal (2018). Optimization methods for large-scale machine learning, section 5.
    https://doi.org/10.1137/16M1080173
"""

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.optimizer import Problem

__all__ = ["first_size", "subset"]


def first_size(problem: Problem) -> Tensor:
    """Return how many points each member uses at first, (M,): all of them if a label is missing, or if N is small."""
    points, derivative = problem.points, problem.lambda_d is not None
    n, outputs = points.weight_f.shape[1:]
    errors = outputs * (1 + points.x.shape[2]) if derivative else outputs
    size = -(
        -max(limits.SUBSET_ERRORS_PER_WEIGHT * problem.network.theta.shape[1], limits.SUBSET_LEAST_ERRORS) // errors
    )
    labels = [points.weight_f, points.weight_df] if derivative else [points.weight_f]
    complete = torch.stack([(label > 0).flatten(1).all(1) for label in labels]).all(0)
    fewer = complete & (limits.SUBSET_LEAST_FRACTION * size <= n) & (points.d2f is None)
    return torch.where(fewer, size, n).to(points.x)


def subset(problem: Problem, first: int, end: int) -> Problem:
    """Return the problem on some points of the order, with the same network."""
    order = torch.randperm(problem.points.x.shape[1], generator=torch.Generator().manual_seed(0))
    return problem.on(order[first:end])
