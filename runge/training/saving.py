"""Checkpoints by time, signals, and the files of a stack: a run can be stopped at any moment."""

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback

from runge.runs.checkpoints import CheckpointFile, cut, join, read_checkpoint, serialise
from runge.runs.directories import RunDirectory
from runge.runs.files import write, write_through
from runge.training.module import SobolevRegression

_CLUSTER_SIGNALS = [getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)]
_ALARM: signal.Signals | None = getattr(signal, "SIGALRM", None)


class Save(Callback):
    """A callback that saves a checkpoint every few seconds, at the last step, and when the run is stopped.

    If a block takes longer, or the run is to stop, the block ends early, after the current step.

    Args:
        seconds: the time between two checkpoints; 0: at the end of every block.
        path: the path passed to the trainer.
        report: called with the number of steps taken after each checkpoint.
    """

    def __init__(self, seconds: float, path: Path, report: Callable[[int], None]) -> None:
        self.seconds, self.path, self.report = seconds, path, report
        self.saved_at, self.saved_step = 0.0, 0

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        assert isinstance(pl_module, SobolevRegression)
        self.saved_at, self.saved_step = time.monotonic(), int(pl_module.step)
        pl_module.pause = lambda: trainer.should_stop or (self.seconds > 0 and self._due())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if it is time, or the run ends."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression):
            step = int(pl_module.step)
            if self._due() or trainer.should_stop or step >= pl_module.max_steps:
                self._save(trainer, step)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if the request to stop came after the last validation."""
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
    """A callback that ends the run at the next step on Ctrl-C or a request to terminate, and at once on a second one.

    A run in the middle of something long, such as a compilation, ends after a few seconds. So does one whose files are
    being written after its last step. A cluster's signal that already had a handler is passed on to that handler after
    the run has stopped.

    Attributes:
        received: the first signal, if any.
        began: whether the training has begun.
        interrupted: whether something was interrupted. A library may have turned the `KeyboardInterrupt` into an error
            of its own, as Matplotlib does in the middle of a drawing.
    """

    _MOST_SECONDS = 3.0

    def __init__(self) -> None:
        self.received: int | None = None
        self.began = self.interrupted = False
        self._previous: dict[int, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Install handlers in place of Lightning's, which stop in the middle of a step."""
        self.began = True
        self.install(lambda: setattr(trainer, "should_stop", True))

    def install(self, ask: Callable[[], object] = lambda: None) -> None:
        """Install handlers that call `ask` at the first signal; a second one, or the clock, interrupts."""

        def stop(number: int, frame: object) -> None:
            if self.received is not None:
                self.interrupted = True
                raise KeyboardInterrupt
            self.received = number
            ask()
            if _ALARM is not None:
                signal.setitimer(signal.ITIMER_REAL, self._MOST_SECONDS)

        if threading.current_thread() is threading.main_thread():
            numbers = [signal.SIGINT, signal.SIGTERM, *(n for n in _CLUSTER_SIGNALS if callable(signal.getsignal(n)))]
            self._previous = {number: signal.signal(number, stop) for number in numbers}
            if _ALARM is not None:
                self._previous[_ALARM] = signal.signal(_ALARM, stop)

    def restore(self) -> None:
        """Restore the handlers."""
        if _ALARM in self._previous:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous = {}

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Restore the handlers."""
        self.restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Restore the handlers."""
        self.restore()

    def asks_for_an_end(self) -> bool:
        """Return True if a person asked for the end, and not a cluster."""
        return self.received is not None and self.received not in _CLUSTER_SIGNALS

    def hand_on(self) -> None:
        """Pass a cluster's signal on to the handler that it had before."""
        if self.received is not None and self.received in _CLUSTER_SIGNALS:
            signal.raise_signal(self.received)


_FATAL_ERRNOS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
"""Errors that concern the disk or the process, and not one directory."""


class MemberFiles(CheckpointIO):
    """The files of a stack's state: each member's own `last.ckpt`, from which it is loaded, and `best.ckpt`.

    All members' new checkpoints are on the disk before the first of them replaces an old one. So at any moment there is
    a step of which all members have a checkpoint. A directory that is gone or cannot be written to is left out. If the
    disk is full or fails, all older `last.ckpt` stay. A `last.ckpt` is never newer than its `best.ckpt`.

    Args:
        directories: the members' run directories.
        configurations: the members' configurations, enough to rebuild the runs.
        columns: the names of the inputs and the outputs, by `inputs` and `outputs`.
        start: the members' checkpoints that are loaded; empty for new runs.

    Attributes:
        trouble: why members have no `last.ckpt` of the last save, by their indices.
        stale: why members have no `best.ckpt` of the last save.
    """

    def __init__(
        self,
        directories: Sequence[RunDirectory],
        configurations: Sequence[Mapping[str, Any]],
        columns: Mapping[str, list[str]],
        start: Sequence[CheckpointFile] = (),
    ) -> None:
        self.directories, self.configurations, self.start = directories, configurations, start
        self.columns = columns
        self.trouble: dict[int, OSError] = {}
        self.stale: dict[int, OSError] = {}

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write each member's checkpoints; the path is not used."""
        everyone = set(range(len(self.directories)))
        self.stale = self._each(everyone, lambda i: self._write_best(checkpoint["state_dict"], i))
        self.trouble = self.stale | self._each(everyone - {*self.stale}, lambda i: self._write_next(checkpoint, i))
        if full := [error for error in self.trouble.values() if error.errno in _FATAL_ERRNOS]:
            self.trouble = dict.fromkeys(everyone, full[0]) | self.trouble
        for i in self.trouble:
            with suppress(OSError):
                self.directories[i].next.unlink(missing_ok=True)
        self.trouble |= self._each(everyone - {*self.trouble}, self._rename_next)

    def _rename_next(self, i: int) -> None:
        self.directories[i].next.replace(self.directories[i].last)

    def _each(self, members: Iterable[int], act: Callable[[int], object]) -> dict[int, OSError]:
        """Do something for some members; return the errors of those for which it fails."""
        errors: dict[int, OSError] = {}
        for i in members:
            try:
                act(i)
            except OSError as error:
                errors[i] = error
        return errors

    def _write_best(self, state: Mapping[str, Any], i: int) -> None:
        best = {f"network.{name[5:]}": cut(x, i) for name, x in state.items() if name.startswith("best.")}
        content = {"state_dict": best, "configuration": self.configurations[i], "columns": self.columns}
        self.directories[i].best.parent.mkdir(exist_ok=True)
        write(self.directories[i].best, serialise(content))

    def _write_next(self, checkpoint: Mapping[str, Any], i: int) -> None:
        directory, alone = self.directories[i], len(self.directories) == 1
        last = {**(checkpoint if alone else cut(checkpoint, i)), "configuration": self.configurations[i]}
        members = [os.path.relpath(other.path, directory.path) for other in self.directories]
        last["stack"] = {"members": members, "threads": torch.get_num_threads()}
        write_through(directory.next, serialise(last))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Join the members' checkpoints; the path is not used."""
        for directory, one in zip(self.directories, self.start, strict=True):
            if one.path != directory.last:  # the next save would overwrite the only file of this step
                one.path.replace(directory.last)
        states = [read_checkpoint(directory.last) for directory in self.directories]
        return states[0] if len(states) == 1 else join(states)

    def remove_checkpoint(self, path: Any) -> None:
        """Keep every checkpoint."""
