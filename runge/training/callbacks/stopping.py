"""Callbacks that end a run before its last step: patience, an optimiser at rest, or a limit of time.

What they decide is saved with the stack, so that a resumed run takes no further steps.
"""

import time
from typing import Any, Literal

import lightning.pytorch as pl
import torch

from runge.records.metrics import TRAIN_LOSS, VAL_LOSS
from runge.training.base import SobolevModule
from runge.training.progress import wait


class StopEarly(pl.Callback):
    """A callback that ends a run when no further step would change anything, or no member has a finite loss.

    With `patience`, a member stops when its validation loss has not improved for that many steps, and the run ends when
    all members have stopped. They count from `first` at the earliest, and once lambda_d is at its full value. What a
    member leaves is that of the step at which it has stopped.

    No run ends because its optimiser is at rest before `Progress.is_settled`: its points or its weight will change, or
    its lambda_d is not at its full value yet, which is reported.

    Args:
        patience: the steps without an improvement; None: no limit.
        first: the step from which they count at the earliest.
    """

    def __init__(self, patience: int | None = None, first: int = 0) -> None:
        self.patience, self.first = patience, first

    def at_block_end(self, module: SobolevModule) -> None:
        """Look at the losses, and at what a further step would change."""
        method, progress = module.optimizer, module.progress
        optimizer, theta = module.trainer.optimizers[0], module.network.theta
        # Before members that stop are put to rest: the others finish with another step.
        at_rest = progress.is_settled and method.at_rest(optimizer, theta)
        if self.patience is not None:
            progress = wait(progress, self.patience, self.first, method.members_at_rest(optimizer, theta))
            method.put_to_rest(optimizer, theta, progress.stopped)
        finite = torch.stack([module.figures[loss].isfinite() for loss in (TRAIN_LOSS, VAL_LOSS)]).any(0)
        over = at_rest or not bool((finite & ~progress.stopped).any())
        module.set_progress(progress._replace(ended=progress.ended | over))


class TimeLimit(pl.Callback):
    """A callback that ends a fit some seconds after its beginning, with the step that is being taken then.

    Lightning's `Timer` would end it with the block of steps. The time of a fit that was interrupted counts.

    Args:
        seconds: the time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.elapsed = seconds, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self._began = time.monotonic() - self.elapsed

    def after_step(self) -> Literal["end"] | None:
        """End the fit if its time is over."""
        return "end" if time.monotonic() - self._began >= self.seconds else None

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"elapsed": time.monotonic() - self._began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the seconds of the checkpoint."""
        self.elapsed = float(state_dict["elapsed"])
