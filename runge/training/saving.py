"""Checkpoints by time, at a signal, and the files of a stack: a run can be stopped at any moment."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback

from runge.machine import interruption
from runge.runs.checkpoints import CheckpointFile, cut, join, read_checkpoint, serialise
from runge.runs.directories import RunDirectory
from runge.runs.files import write, write_through
from runge.training.module import SobolevRegression


def is_to_stop(trainer: pl.Trainer) -> bool:
    """Say if the training is to stop, also because of a signal."""
    trainer.should_stop |= interruption.received is not None
    return trainer.should_stop


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
        self.saved_at, self.saved_step, self.began = 0.0, 0, False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        assert isinstance(pl_module, SobolevRegression)
        self.saved_at, self.saved_step, self.began = time.monotonic(), int(pl_module.step), True
        interruption.install()  # in place of Lightning's handlers
        pl_module.pause = lambda: is_to_stop(trainer) or (self.seconds > 0 and self._due())

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Save if it is time, or the run ends."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression):
            step = int(pl_module.step)
            if is_to_stop(trainer) or self._due() or step >= pl_module.max_steps:
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
