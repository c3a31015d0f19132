"""The state of a fit, and the pure functions that advance it and say when it ends.

In a block they are called in this order: `advance` after the steps, `keep_best` after the validation, and `wait` if
members stop by patience. `should_stop` is asked after the steps and at the end of the block.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from runge.schedules import NEVER, first_positive


class Progress(NamedTuple):
    """The state of the fit of M members, apart from the weights of their networks and from the optimiser.

    Attributes:
        step: the number of optimiser steps taken, ().
        lambda_now: the weight of MSE_df with a factor of 1, (M,): the full lambda_d, unless a balance changes it.
        channels: the weights of the channels without lambda_d, (M, P, 1 + D).
        factor: the factor of `lambda_now` at the last step, (M,), in [0, 1].
        switched_on: the first step with a positive factor, (M,), or `NEVER`.
        settled_from: the step from which neither the points nor the weights change, ().
        best_loss: the lowest validation loss that counts, (M,).
        best_step: the number of steps after which it was measured, (M,).
        waiting_since: the step from which a member has waited for a lower one, (M,).
        stopped_at: the last step of a member that has stopped, (M,), or `NEVER`.
        ended: True if the fit has ended before its last step, ().
    """

    step: Tensor
    lambda_now: Tensor
    channels: Tensor
    factor: Tensor
    switched_on: Tensor
    settled_from: Tensor
    best_loss: Tensor
    best_step: Tensor
    waiting_since: Tensor
    stopped_at: Tensor
    ended: Tensor

    @classmethod
    def start(cls, lambda_d: Tensor, outputs: int, dimension: int) -> "Progress":
        """Return the state before the first fit, given the full lambda_d, (M,), in float64."""
        zero = torch.zeros_like(lambda_d, dtype=torch.int64)
        return cls(
            step=torch.tensor(0),
            lambda_now=lambda_d.clone(),
            channels=lambda_d.new_ones(len(lambda_d), outputs, 1 + dimension),
            factor=torch.ones_like(lambda_d),
            switched_on=torch.full_like(zero, NEVER),
            settled_from=torch.tensor(0),
            best_loss=torch.full_like(lambda_d, torch.inf),
            best_step=zero,
            waiting_since=zero.clone(),
            stopped_at=torch.full_like(zero, NEVER),
            ended=torch.tensor(False),
        )

    def restarted(self) -> "Progress":
        """Return the state before step 0 of another fit, which keeps the best weights and the weights of the loss."""
        never = torch.full_like(self.stopped_at, NEVER)
        return self._replace(
            step=torch.zeros_like(self.step),
            switched_on=never,
            waiting_since=torch.zeros_like(self.waiting_since),
            stopped_at=never,
            ended=torch.zeros_like(self.ended),
        )

    @property
    def stopped(self) -> Tensor:
        """The mask of the members that have stopped, (M,), whose best weights and last step no longer change."""
        return self.stopped_at < NEVER

    @property
    def has_full_lambda_d(self) -> Tensor:
        """The mask of the members whose last step had a factor of 1, (M,), or whose lambda_d is 0."""
        return self.factor * self.lambda_now == self.lambda_now

    @property
    def is_settled(self) -> bool:
        """True if the loss no longer changes: the points and weights stay, and all members have their full lambda_d."""
        return int(self.step) >= int(self.settled_from) and bool(self.has_full_lambda_d.all())


def advance(progress: Progress, factors: Tensor, over: bool = False) -> Progress:
    """Return the state after K >= 1 more steps.

    Args:
        progress: the state before.
        factors: the factors of `lambda_now` at these steps, (K, M).
        over: True if the last of them ends the fit.
    """
    return progress._replace(
        step=progress.step + len(factors),
        factor=factors[-1],
        switched_on=first_positive(factors, int(progress.step), progress.switched_on),
        ended=progress.ended | over,
    )


def keep_best(progress: Progress, loss: Tensor, lambda_d: Tensor, always: bool = False) -> tuple[Progress, Tensor]:
    """Return the state after a validation, and the mask of the members whose present weights are their best, (M,).

    The best weights are those with the lowest loss. Once lambda_d is on, only those after steps with lambda_d count,
    because noise in f' would prefer those from before. A member that has stopped keeps its best weights.

    Args:
        progress: the state before.
        loss: the validation losses, (M,).
        lambda_d: the full lambda_d, (M,).
        always: True if the present weights are the best ones whatever their loss.
    """
    step, loss = progress.step, loss.to(progress.best_loss)
    outdated = (progress.best_step <= progress.switched_on) & (step > progress.switched_on) & (lambda_d > 0)
    # The loss is 0 where no label is in it: the last weights are kept.
    better = (loss < progress.best_loss.masked_fill(outdated, torch.inf)) | (loss == 0) | always
    better &= ~progress.stopped
    kept = progress._replace(
        best_loss=torch.where(better, loss, progress.best_loss),
        best_step=torch.where(better, step, progress.best_step),
        waiting_since=torch.where(better, step, progress.waiting_since),
    )
    return kept, better


def wait(progress: Progress, patience: int, first: int, at_rest: Tensor) -> Progress:
    """Return the state after the members have stopped whose best loss is `patience` steps old or older.

    The steps count after step `first`, and once lambda_d is at its full value.

    Args:
        progress: the state before.
        patience: the most steps without a lower loss.
        first: the step after which they count.
        at_rest: the mask of the members at rest, (M,), which have nothing to wait for and do not stop.
    """
    counts = progress.has_full_lambda_d & (progress.step > first)
    waiting_since = torch.where(counts, progress.waiting_since, progress.step)
    stops = (progress.step - waiting_since >= patience) & ~progress.stopped & ~at_rest
    stopped_at = torch.where(stops, progress.step, progress.stopped_at)
    return progress._replace(waiting_since=waiting_since, stopped_at=stopped_at)


def should_stop(progress: Progress, last: int, interrupted: bool = False) -> bool:
    """Return whether a fit takes no further step.

    ==================================  =====================  ========================================================
    Who ends it                         When                   What is kept
    ==================================  =====================  ========================================================
    the plan: its last step             after this step        the best weights; with `stop_at`, the last ones
    `TimeLimit`                         after the present one  the same; a resumed fit takes no step, because of `ended`
    `StopEarly`: no member can improve  at a block's end       the same as with `TimeLimit`
    `StopEarly`: a member's patience    at a block's end       its best weights up to `stopped_at`; the others continue
    a signal                            after the present one  a checkpoint; a resumed fit takes the rest of the block
    the user: `trainer.should_stop`     at a block's end       the best weights so far; a resumed fit would continue
    ==================================  =====================  ========================================================

    `Save` does not end a fit: when it is time, the block is left after the present step, and continues after the
    checkpoint. `SobolevRegression.ask_to_stop` asks this function, and nothing else of this package asks Lightning to
    stop.

    Args:
        progress: the state.
        last: the last step of the plan.
        interrupted: True if a signal was received.
    """
    return interrupted or bool(progress.ended) or int(progress.step) >= last
