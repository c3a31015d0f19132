"""Steps of Adam and AdamW that the compiled kernel takes at once, with no Python between them."""

import math

import torch
from torch import Tensor

from runge.optimizers.optimizer import Course
from runge.sobolev.kernel import AdamSteps

__all__ = ["can_take", "take"]


def can_take(optimizer: torch.optim.Optimizer, course: Course) -> bool:
    """Return whether the kernel computes the loss of a course, and takes the steps of this optimiser of torch."""
    kind = type(optimizer)
    if kind not in (torch.optim.Adam, torch.optim.AdamW):
        return False
    (group,) = optimizer.param_groups
    if kind is torch.optim.Adam and group["weight_decay"]:
        return False
    usual = group["fused"] and not (group["amsgrad"] or group["maximize"])
    return usual and getattr(course.function, "adam", None) is not None


def take(optimizer: torch.optim.Optimizer, course: Course, first: int, rates: Tensor, clip_norm: float | None) -> int:
    """Take steps of a course, and leave the optimiser in the state in which torch's own steps would leave it.

    Args:
        optimizer: torch's Adam or AdamW, fused.
        course: the problems.
        first: the index of the first step.
        rates: each member's learning rate at this and the following steps, (K, M), in float64.
        clip_norm: the largest norm of a member's gradient; None: no limit.

    Returns:
        The number of steps taken, at least 1 and at most K.
    """
    theta, steps = course.network.theta, slice(first, first + len(rates))
    (group,) = optimizer.param_groups
    state = optimizer.state[theta]
    if not state:  # as torch's first step leaves it
        state["step"] = torch.zeros((), dtype=torch.float32)
        state |= {name: torch.zeros_like(theta) for name in ("exp_avg", "exp_avg_sq")}
    taken = course.function.adam(  # pyright: ignore[reportFunctionMemberAccess]
        course.network,
        course.points,
        course.scale,
        AdamSteps(
            lambda_d=course.lambda_d[steps],
            batch=None if course.batch is None else course.batch[steps],
            rates=rates,
            taken=int(state["step"]),
            mean=state["exp_avg"],
            square=state["exp_avg_sq"],
            betas=group["betas"],
            epsilon=group["eps"],
            decay=group["weight_decay"],
            longest=math.inf if clip_norm is None else clip_norm,
        ),
    )
    state["step"] += taken
    group["lr"] = float(rates[taken - 1].max())
    return taken
