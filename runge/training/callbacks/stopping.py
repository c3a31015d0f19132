"""When a run ends before its last step: nothing changes any more, patience has run out, or its time is over.

`stopped_at` of the members that stop is saved with the stack, so that a resumed run takes no further steps.
"""

import time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn import Parameter

from runge.metrics import TRAIN_LOSS, VAL_LOSS
from runge.training.callbacks.block import BlockCallback
from runge.training.module import SobolevRegression


class StopEarly(BlockCallback):
    """A callback that ends a run when no further step would change anything, or no member has a finite loss.

    With `patience`, a member stops when its validation loss has not improved for that many steps, and the run ends when
    all members have stopped. They count from `first` at the earliest, and once lambda_d is at its full value. What a
    member leaves is that of the step at which it has stopped.

    Args:
        patience: the steps without an improvement; None: no limit.
        first: the step from which they count at the earliest.
    """

    def __init__(self, patience: int | None = None, first: int = 0) -> None:
        self.patience, self.first = patience, first

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Take no step if the run had ended, or all members have stopped."""
        assert isinstance(pl_module, SobolevRegression)
        pl_module.ended.logical_or_(pl_module.stopped.all())
        trainer.should_stop = bool(pl_module.ended)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Look at the losses, and at what a further step would change."""
        at_rest = _at_rest(module)  # before members that stop are put to rest: the others finish with another step
        if self.patience is not None:
            self._wait(module, self.patience)
        finite = torch.stack([module.figures[loss].isfinite() for loss in (TRAIN_LOSS, VAL_LOSS)]).any(0)
        if at_rest or not bool((finite & ~module.stopped).any()):
            module.ended.fill_(True)
            module.trainer.should_stop = True

    def _wait(self, module: SobolevRegression, patience: int) -> None:
        """Stop the members whose patience has run out, except those at rest, which have nothing to wait for."""
        step = int(module.step)
        counts = _with_full_lambda_d(module) & (step > self.first)
        module.waiting_since.masked_fill_(~counts, step)
        stale = step - module.waiting_since >= patience
        if bool(stale.any()):
            optimized = _optimized(module)
            module.stopped_at.masked_fill_(
                stale & ~module.stopped & ~module.optimizer.members_at_rest(*optimized), step
            )
            module.optimizer.put_to_rest(*optimized, module.stopped)


class TimeLimit(Callback):
    """A callback that ends a fit some seconds after its beginning, with the step that is being taken then.

    Lightning's `Timer` would end it with the block of steps. The time of a fit that was interrupted counts.

    Args:
        seconds: the time.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.elapsed = seconds, 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        assert isinstance(pl_module, SobolevRegression)
        self._began = time.monotonic() - self.elapsed
        pl_module.is_over = lambda: time.monotonic() - self._began >= self.seconds

    def state_dict(self) -> dict[str, Any]:
        """Return the seconds so far."""
        return {"elapsed": time.monotonic() - self._began}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue with the seconds of the checkpoint."""
        self.elapsed = float(state_dict["elapsed"])


def _at_rest(module: SobolevRegression) -> bool:
    """Return True if no step would change anything, because the optimiser is at rest.

    Before `rests_from` no run is at rest, because its points or its weight will change. Nor is one whose lambda_d is
    not at its full value yet, because that is reported.
    """
    if int(module.step) < int(module.rests_from) or not bool(_with_full_lambda_d(module).all()):
        return False
    return module.optimizer.at_rest(*_optimized(module))


def _with_full_lambda_d(module: SobolevRegression) -> Tensor:
    """Say whether the last step had the full lambda_d, (M,)."""
    return module.factor * module.lambda_now == module.lambda_now


def _optimized(module: SobolevRegression) -> tuple[torch.optim.Optimizer, Parameter]:
    """Return the optimiser of torch, and the weights."""
    return module.trainer.optimizers[0], module.network.theta
