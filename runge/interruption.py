"""Callbacks that let a run be ended at any moment: checkpoints by time, and signals."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from runge.module import SobolevRegression

_OF_CLUSTERS = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
_ALARM: signal.Signals | None = getattr(signal, "SIGALRM", None)


class Save(Callback):
    """Save a checkpoint every so many seconds, at the last step, and when the run is stopped.

    Where a block takes longer, or the run is to stop, the block is left at the next step.

    Args:
        seconds: between two checkpoints; 0: at every block's end.
        path: what the trainer is told to save to.
        report: what is called with the number of steps taken, whenever a checkpoint is saved.
    """

    def __init__(self, seconds: float, path: Path, report: Callable[[int], None]) -> None:
        self.seconds, self.path, self.report = seconds, path, report
        self.saved_at, self.saved_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Begin to count."""
        assert isinstance(pl_module, SobolevRegression)
        self.saved_at, self.saved_step = time.monotonic(), int(pl_module.step)
        pl_module.pause = lambda: trainer.should_stop or (self.seconds > 0 and self._due())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where it is due."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression):
            step = int(pl_module.step)
            if self._due() or trainer.should_stop or step >= pl_module.max_steps:
                self._save(trainer, step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save where the request to stop came after the last look."""
        assert isinstance(pl_module, SobolevRegression)
        if int(pl_module.step) > self.saved_step:
            self._save(trainer, int(pl_module.step))

    def _due(self) -> bool:
        return time.monotonic() - self.saved_at >= self.seconds

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        trainer.save_checkpoint(self.path)
        self.report(step)
        self.saved_at, self.saved_step = time.monotonic(), step


class StopOnSignal(Callback):
    """On Ctrl-C, or a request to terminate, end at the next step and save a checkpoint; on a second one, end at once.

    So does a run that is in the midst of something long, a compilation say, after a few seconds. A cluster's own
    signal, to which somebody has listened before, is handed on to him when the run has been left.
    """

    _MOST_SECONDS = 3.0

    def __init__(self) -> None:
        self.received: int | None = None
        self.began = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen, in place of Lightning, which would end in the middle of things."""
        self.began = True

        def stop(number: int, frame: object) -> None:
            if self.received is not None:
                raise KeyboardInterrupt
            self.received = number
            trainer.should_stop = True
            if _ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, self._MOST_SECONDS)

        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM, *(n for n in _OF_CLUSTERS if callable(signal.getsignal(n)))]
            self._previous = {number: signal.signal(number, stop) for number in numbers}
            if _ALARM is not None:
                self._previous[_ALARM] = signal.signal(_ALARM, stop)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Listen no more."""
        if _ALARM in self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Listen no more."""
        self.on_train_end(trainer, pl_module)

    def asks_for_an_end(self) -> bool:
        """Whether what was received is a person's wish, and not a cluster's."""
        return self.received is not None and self.received not in _OF_CLUSTERS

    def hand_on(self) -> None:
        """Hand a cluster's signal on to who has listened to it before."""
        if self.received is not None and self.received in _OF_CLUSTERS:
            signal.raise_signal(self.received)
