"""How lambda_d and the learning rate move over the steps: pure functions of the step and of the step of the switch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from runge.validation import BelowOne, Count, Natural, checked

NEVER = 2**62
"""The step of a switch that is not foreseen."""

LearningRateSchedule = Literal["constant", "cosine"]


def learning_rate_factor(schedule: LearningRateSchedule, progress: float) -> float:
    """What the learning rate is multiplied by.

    Args:
        schedule: `constant`: 1; `cosine`: (1 + cos(pi progress)) / 2.
        progress: the share of the steps that have been taken, in [0, 1).

    Returns:
        The factor, in [0, 1].

    References:
        I. Loshchilov, F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
        https://arxiv.org/abs/1608.03983
    """
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * progress))


def due(every: int, before: int, step: int) -> bool:
    """Whether a multiple of `every` lies after the step `before`, up to `step`."""
    return step // every > before // every


class Plateau(NamedTuple):
    """What is known of each member's validation MSE_f, each of shape (M,).

    Attributes:
        smoothed: exponential moving average; NaN before the first value.
        best: the value that the average must get below by the threshold.
        stale: validations since it last did.
    """

    smoothed: Tensor
    best: Tensor
    stale: Tensor

    @staticmethod
    def start(members: int) -> "Plateau":
        """The state before the first validation."""
        nothing = torch.full((members,), torch.nan, dtype=torch.float64)
        return Plateau(nothing, torch.full_like(nothing, torch.inf), torch.zeros(members, dtype=torch.int64))


class Schedule(ABC):
    """When lambda_d is on."""

    @abstractmethod
    def first_switch(self) -> int:
        """The step of the switch at the latest, as far as it is known from the start; else `NEVER`."""

    @abstractmethod
    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """What lambda_d is multiplied by.

        Args:
            steps: the steps, (K,).
            switched_on: the step of each member's switch, (M,).

        Returns:
            The factors, in [0, 1], (K, M).
        """


def alike(schedules: Sequence[Schedule]) -> dict[Schedule, Tensor]:
    """The different schedules of a stack, each with the indices of the members that follow it."""
    followers: dict[Schedule, list[int]] = {}
    for member, schedule in enumerate(schedules):
        followers.setdefault(schedule, []).append(member)
    return {schedule: torch.tensor(members) for schedule, members in followers.items()}


@checked
class Constant(Schedule):
    """lambda_d from the first step on."""

    def first_switch(self) -> int:
        """Step 0."""
        return 0

    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """One, at every step."""
        return torch.ones(len(steps), len(switched_on), dtype=torch.float64, device=steps.device)


@checked
class TwoStage(Schedule):
    """MSE_f alone first; lambda_d is switched on at a step, or when the validation MSE_f has stopped improving.

    Attributes:
        at_step: the step of the switch, >= 0; None: when the validation MSE_f has stopped improving.
        smoothing: the weight of the past in the moving average of MSE_f, in [0, 1).
        threshold: how much the average must fall to count as an improvement, relative to the best so far, in [0, 1).
        patience: how many validations in a row may go without an improvement, >= 1.
        latest_step: the step at which lambda_d is switched on at the latest, >= 0; None: no such step.
        ramp_steps: the steps over which lambda_d grows linearly to its full value; 0: at once.
    """

    at_step: Natural | None
    smoothing: BelowOne
    threshold: BelowOne
    patience: Count
    latest_step: Natural | None
    ramp_steps: Natural

    def first_switch(self) -> int:
        """`at_step`, or else `latest_step`, or else `NEVER`."""
        return next((step for step in (self.at_step, self.latest_step) if step is not None), NEVER)

    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """0 before the switch; then 1 or, with a ramp, min(1, (k + 1) / ramp_steps) at the k-th step after it."""
        since = (steps[:, None] - switched_on + 1).to(torch.float64)
        return (since / max(self.ramp_steps, 1)).clamp(0, 1)

    def observe(self, plateau: Plateau, value: Tensor) -> Plateau:
        """Take a validation MSE_f, (M,), into account.

        Returns:
            The new state; a member with `stale` >= patience has stopped improving.
        """
        value = value.to(torch.float64)
        smoothed = torch.where(
            plateau.smoothed.isnan(), value, self.smoothing * plateau.smoothed + (1 - self.smoothing) * value
        )
        improved = smoothed < (1 - self.threshold) * plateau.best
        return Plateau(
            smoothed, torch.where(improved, smoothed, plateau.best), torch.where(improved, 0, plateau.stale + 1)
        )

    def switch(self, plateau: Plateau, step: int, switched_on: Tensor) -> Tensor:
        """Switch on the members whose MSE_f has stopped improving.

        Args:
            plateau: the state after the validation at this step.
            step: the number of steps taken.
            switched_on: the step of each member's switch as foreseen so far, (M,).

        Returns:
            The new steps of the switch, (M,), none later than before.
        """
        return torch.where(plateau.stale >= self.patience, switched_on.clamp_max(step), switched_on)
