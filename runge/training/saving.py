"""Checkpoints by time, at a signal, and the file of a stack's state: a run can be stopped at any moment."""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import CheckpointIO
from lightning.pytorch.callbacks import Callback

from runge.configuration.errors import ConfigurationError
from runge.process.interruption import interruption
from runge.records.checkpoints import STACKS, read_state, serialise, steps_taken
from runge.records.directories import RunDirectory
from runge.records.files import WarnOnce, write


class Save(Callback):
    """A callback that saves a checkpoint every few seconds, at the last step, and when the run is stopped.

    Args:
        seconds: the time between two checkpoints; 0: at the end of every block.
        report: called with the number of steps taken after each checkpoint.
    """

    def __init__(self, seconds: float, report: Callable[[int], None]) -> None:
        self.seconds, self.report = seconds, report
        self.saved_at, self.saved_step = 0.0, 0
        self.began = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Start the clock."""
        self.saved_at, self.saved_step = time.monotonic(), int(pl_module.step)
        self.began = True
        interruption.install()  # in place of Lightning's handlers

    def on_validation_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save if it is time, or the run ends."""
        is_new = int(pl_module.step) > self.saved_step
        if trainer.state.fn == "fit" and (pl_module.ask_to_stop() or not self.seconds or self._is_due()) and is_new:
            self._save(trainer, int(pl_module.step))

    def at_pause(self, module: pl.LightningModule) -> None:
        """Save between two steps, of a module that cannot leave its block."""
        self._save(module.trainer, int(module.step))  # pyright: ignore[reportArgumentType]

    def on_train_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Save if the request to stop came after the last validation."""
        if int(pl_module.step) > self.saved_step:
            self._save(trainer, int(pl_module.step))

    def after_step(self) -> Literal["pause"] | None:
        """Leave the block if it is time to save."""
        return "pause" if self._is_due() else None

    def _is_due(self) -> bool:
        return self.seconds > 0 and time.monotonic() - self.saved_at >= self.seconds

    def _save(self, trainer: pl.Trainer, step: int) -> None:
        trainer.save_checkpoint("")  # `StateFile` has the path
        self.report(step)
        self.saved_at, self.saved_step = time.monotonic(), step


class StateFile(CheckpointIO):
    """The file of a stack's state: written atomically while it trains, removed when all of its runs have ended.

    If it cannot be written, that is a warning: what the runs leave in the end does not depend on it.

    Args:
        path: the file.
        directories: the directories of the runs, which begin from the start without a file.
        digests: the digests of their configurations.

    Attributes:
        state: what was read or written last; None: nothing yet.
        threads: the number of threads that took its steps; None: there is none.

    Raises:
        ConfigurationError: the file is damaged, or holds the state of other runs.
    """

    def __init__(self, path: Path, directories: Sequence[RunDirectory], digests: Sequence[str]) -> None:
        self.path, self.directories = path, directories
        self.digests = digests
        self.state: dict[str, Any] | None = None
        self.threads: int | None = None
        self._attempt = WarnOnce()
        if path.exists():
            saved = read_state(path)
            runs = tuple(os.path.normpath(directory.path) for directory in directories)
            if (saved.runs, saved.digests) != (runs, tuple(digests)):
                raise ConfigurationError(f"{path} holds the state of other runs; remove it to begin again")
            self.state, self.threads = saved.state, saved.threads

    @property
    def step(self) -> int:
        """The number of its steps."""
        return 0 if self.state is None else steps_taken(self.state)

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write the state; the path is not used."""
        names = [os.path.relpath(directory.path, self.path.parent.parent) for directory in self.directories]
        self.threads = torch.get_num_threads()
        stack = {"runs": names, "digests": list(self.digests), "threads": self.threads}
        self.state = {**checkpoint, "stack": stack}
        with self._attempt():
            self.path.parent.mkdir(exist_ok=True)
            write(self.path, serialise(self.state))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Return the state; the path is not used."""
        assert self.state is not None
        return self.state

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the file of several runs; that of a run trained alone stays, to finish it again if files are lost."""
        if self.path.parent.name == STACKS:
            self.path.unlink(missing_ok=True)
            with suppress(OSError):  # there are others
                self.path.parent.rmdir()
