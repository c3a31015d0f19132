"""Schedules of lambda_d and of the learning rate: pure functions of the step and of the step of the switch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from runge.configuration.validation import BelowOne, Count, Natural, checked

__all__ = ["NEVER", "Constant", "LearningRateSchedule", "Plateau", "Schedule", "TwoStage", "due", "members_by_schedule"]
__all__ += ["factors", "first_positive", "learning_rate_factor", "observe"]

NEVER = 2**62
"""The step of a switch that is not scheduled."""

LearningRateSchedule = Literal["constant", "cosine"]


def learning_rate_factor(schedule: LearningRateSchedule, progress: float) -> float:
    """Return the factor of the learning rate, 1 or, for `cosine`, (1 + cos(pi progress)) / 2, progress in [0, 1).

    References:
        I. Loshchilov, F. Hutter (2017). SGDR: stochastic gradient descent with warm restarts.
        https://arxiv.org/abs/1608.03983
    """
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * progress))


def due(every: int, before: int, step: int) -> bool:
    """Return whether there is a multiple of `every` after the step `before`, up to `step`."""
    return step // every > before // every


class Plateau(NamedTuple):
    """The state of each member's validation MSE_f, all of shape (M,).

    `smoothed` is the moving average, NaN before the first value; `best` is its lowest value that counted as an
    improvement, and `stale` the number of validations since.
    """

    smoothed: Tensor
    best: Tensor
    stale: Tensor

    @staticmethod
    def start(members: int) -> "Plateau":
        """Return the state before the first validation."""
        empty = torch.full((members,), torch.nan, dtype=torch.float64)
        return Plateau(empty, torch.full_like(empty, torch.inf), torch.zeros(members, dtype=torch.int64))


class Schedule(ABC):
    """A rule that says when lambda_d is on, and by which factor."""

    @abstractmethod
    def first_switch(self) -> int:
        """Return the step by which the switch is certain to happen, or `NEVER`."""

    @abstractmethod
    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """Return the factors of lambda_d, in [0, 1], (K, M), at steps, (K,), given each member's switch, (M,)."""

    def observe(self, plateau: Plateau, value: Tensor) -> Plateau:
        """Return the state after a validation MSE_f, (M,), by default that before: it does not wait for a plateau."""
        return plateau

    def switch(self, plateau: Plateau, step: int, switched_on: Tensor) -> Tensor:
        """Return the steps of the switch after a validation at a step, (M,), by default those before."""
        return switched_on


def members_by_schedule(schedules: Sequence[Schedule]) -> dict[Schedule, Tensor]:
    """Return the different schedules of a stack, each with the indices of the members that follow it."""
    members: dict[Schedule, list[int]] = {}
    for i, schedule in enumerate(schedules):
        members.setdefault(schedule, []).append(i)
    return {schedule: torch.tensor(indices) for schedule, indices in members.items()}


def factors(schedules: Mapping[Schedule, Tensor], steps: Tensor, switched_on: Tensor) -> Tensor:
    """Return the factors of lambda_d of a stack, (K, M), at steps, (K,), given each member's switch, (M,).

    `schedules` are those of `members_by_schedule`.
    """
    every = torch.empty(len(steps), len(switched_on), dtype=torch.float64, device=steps.device)
    for schedule, members in schedules.items():
        every[:, members] = schedule.factor(steps, switched_on[members])
    return every


def observe(
    schedules: Mapping[Schedule, Tensor], plateau: Plateau, switched_on: Tensor, mse_f: Tensor, step: int
) -> tuple[Plateau, Tensor]:
    """Return each member's plateau and the step of its switch, (M,), after a validation MSE_f, (M,), at a step.

    `schedules` are those of `members_by_schedule`.
    """
    plateau, switched_on = Plateau(*(state.clone() for state in plateau)), switched_on.clone()
    for schedule, members in schedules.items():
        after = schedule.observe(Plateau(*(state[members] for state in plateau)), mse_f[members])
        for state, now in zip(plateau, after, strict=True):
            state[members] = now
        switched_on[members] = schedule.switch(after, step, switched_on[members])
    return plateau, switched_on


def first_positive(factors: Tensor, first: int, before: Tensor) -> Tensor:
    """Return the first step with a positive factor so far, (M,), given factors, (K, M), at `first` and the next steps.

    `before` is that of the earlier steps, (M,), `NEVER` without one.
    """
    zeros = (factors.cumsum(0) == 0).sum(0)
    return torch.where(zeros < len(factors), before.clamp_max(first + zeros), before)


@checked
class Constant(Schedule):
    """The full lambda_d from the first step on."""

    def first_switch(self) -> int:
        """Return 0."""
        return 0

    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """Return ones."""
        return torch.ones(len(steps), len(switched_on), dtype=torch.float64, device=steps.device)


@checked
class TwoStage(Schedule):
    r"""A schedule that starts with MSE_f alone and switches lambda_d on at a step, or once MSE_f stops improving.

    With a the smoothed validation MSE_f and b its best value so far,

    .. math:: a \leftarrow s\, a + (1 - s)\, MSE_f, \qquad \text{improved if } a < (1 - threshold)\, b .

    Attributes:
        at_step: the step of the switch, >= 0; None: when the validation MSE_f has stopped improving.
        smoothing: the weight of the past in the moving average of MSE_f, in [0, 1).
        threshold: the least decrease of the average that is an improvement, relative to the best so far, in [0, 1).
        patience: the most validations in a row without an improvement, >= 1; there is one every
            `trainer.log_every` steps.
        latest_step: the step at which lambda_d is switched on at the latest, >= 0; None: no such step.
        ramp_steps: the steps over which lambda_d grows linearly to its full value; 0: at once.

    Raises:
        ValueError: a parameter is outside its range.

    References:
        L. Prechelt (1998). Early stopping - but when? https://doi.org/10.1007/3-540-49430-8_3 (such criteria).
    """

    at_step: Natural | None = None
    smoothing: BelowOne = 0.7
    threshold: BelowOne = 0.05
    patience: Count = 3
    latest_step: Natural | None = None
    ramp_steps: Natural = 0

    def first_switch(self) -> int:
        """Return `at_step`, or else `latest_step`, or else `NEVER`."""
        return next((step for step in (self.at_step, self.latest_step) if step is not None), NEVER)

    def factor(self, steps: Tensor, switched_on: Tensor) -> Tensor:
        """Return 0 before the switch; then 1 or, with a ramp, min(1, (k + 1) / ramp_steps) at the k-th step after."""
        since = (steps[:, None] - switched_on + 1).to(torch.float64)
        return (since / max(self.ramp_steps, 1)).clamp(0, 1)

    def observe(self, plateau: Plateau, value: Tensor) -> Plateau:
        """Return the state after a validation MSE_f, (M,); members with `stale` >= patience have stopped improving."""
        if self.at_step is not None:
            return plateau
        value, past = value.to(torch.float64), plateau.smoothed
        smoothed = torch.where(past.isnan(), value, self.smoothing * past + (1 - self.smoothing) * value)
        improved = smoothed < (1 - self.threshold) * plateau.best
        best, stale = torch.where(improved, smoothed, plateau.best), torch.where(improved, 0, plateau.stale + 1)
        return Plateau(smoothed, best, stale)

    def switch(self, plateau: Plateau, step: int, switched_on: Tensor) -> Tensor:
        """Return the steps of the switch, (M,), none later than before: `step` where MSE_f has stopped improving."""
        return torch.where(plateau.stale >= self.patience, switched_on.clamp_max(step), switched_on)
