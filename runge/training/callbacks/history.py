"""Callbacks that record and show the training: the history, its rows for the loggers, and progress.

They act at the end of a block, when the module's `figures` hold the training and validation errors of that step.
"""

import logging
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from runge.loggers import Logger
from runge.process.machine import can_show_progress
from runge.records.metrics import LAMBDA_D, TRAIN_LOSS, VAL_LOSS, key
from runge.schedules import NEVER
from runge.training.base import SobolevModule

log = logging.getLogger(__name__)

_SECONDS_MEASURED = 2.0
"""The seconds of steps from which the rest is forecast: an estimate; a shorter time is that of few blocks."""

_LEAST_MINUTES_FORECAST = 2.0
"""The least minutes that are worth a line in the log: an estimate."""


class History(pl.Callback):
    """A callback that keeps the figures at the end of every block, also in the checkpoint."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.steps: list[int] = []
        self.rows: list[Tensor] = []

    def at_block_end(self, module: SobolevModule) -> None:
        """Add a row."""
        self.keys = list(module.figures)
        # One transfer for all figures, because each one waits for the device.
        self.rows.append(torch.stack([figure.to(torch.float64) for figure in module.figures.values()], dim=1).cpu())
        self.steps.append(int(module.step))

    def member(self, index: int, last_step: int = NEVER) -> Mapping[str, Sequence[float]]:
        """Return one member's figures by key up to its last step, `step` first."""
        rows = self.rows[: bisect_right(self.steps, last_step)]
        table = torch.stack([row[index] for row in rows]).mT.tolist() if rows else [[] for _ in self.keys]
        return {"step": self.steps[: len(rows)]} | dict(zip(self.keys, table, strict=True))

    def diverged(self, index: int, last_step: int) -> int | None:
        """Return the step from which a member's training or validation loss is not finite, up to its last, or None."""
        columns = self.member(index, last_step)
        finite = np.flatnonzero(np.isfinite([columns[TRAIN_LOSS], columns[VAL_LOSS]]).all(0))
        first = int(finite[-1]) + 1 if len(finite) else 0
        return self.steps[first] if first < len(columns["step"]) else None

    def state_dict(self) -> dict[str, Any]:
        """Return all rows so far, with the members in front: (M, K, rows)."""
        rows = torch.stack(self.rows, dim=2) if self.rows else None
        return {"keys": self.keys, "steps": self.steps, "rows": rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the rows of the checkpoint."""
        self.keys, self.steps = list(state_dict["keys"]), list(state_dict["steps"])
        "".join(self.keys).encode()  # raises if a key of a stranger's file is no text, which could not be written
        self.rows = [] if state_dict["rows"] is None else list(state_dict["rows"].unbind(2))


class LoggedRows(pl.Callback):
    """A callback that passes the rows of the history to the members' loggers, which save them with each checkpoint.

    Args:
        history: the rows; it comes before this callback.
        to_loggers: `to_loggers[i](write)` calls `write(logger)` for each of the i-th member's loggers.
    """

    def __init__(self, history: History, to_loggers: Sequence[Callable[[Callable[[Logger], object]], None]]) -> None:
        self.history, self.to_loggers = history, to_loggers

    def at_block_end(self, module: SobolevModule) -> None:
        """Log the row of this block."""
        step, rows = self.history.steps[-1], self.history.rows[-1].tolist()
        for to_loggers, row, last_step in zip(self.to_loggers, rows, module.stopped_at.tolist(), strict=True):
            if step <= last_step:
                figures = zip(self.history.keys, row, strict=True)
                measured = {key: figure for key, figure in figures if figure == figure}
                to_loggers(lambda logger, measured=measured: logger.log_metrics(measured, step))

    def on_save_checkpoint(self, trainer: pl.Trainer, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Let the loggers save what they have."""
        for to_loggers in self.to_loggers if self.history.rows else ():
            to_loggers(lambda logger: logger.save())


class StepLogger(Logger):
    """The Trainer's logger of a run that is trained step by step: it passes what callbacks log to those of the run.

    Args:
        to_loggers: calls a function with each logger of the run.
    """

    def __init__(self, to_loggers: Callable[[Callable[[Logger], object]], None]) -> None:
        super().__init__()
        self.to_loggers = to_loggers

    @property
    def name(self) -> str:
        """A name; the loggers of the run have their own."""
        return "run"

    @property
    def version(self) -> int:
        """The only version."""
        return 0

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Log figures."""
        self.to_loggers(lambda logger: logger.log_metrics(metrics, step))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Do nothing: the run has logged its configuration."""


class AtBlockEnd(pl.Callback):
    """A callback that calls a function of the module at the end of each block."""

    def __init__(self, act: Callable[[SobolevModule], object]) -> None:
        self.at_block_end = act


def fill_callback_metrics(module: SobolevModule) -> None:
    """Fill `trainer.callback_metrics`, for a user's own callbacks, with medians over the members."""
    module.trainer.callback_metrics.update({key: figure.nanmedian() for key, figure in module.figures.items()})


class Forecast(pl.Callback):
    """A callback that logs about how long all steps take, once, if that is more than two minutes.

    It measures from the end of the first block, in which the step may be compiled, for two seconds or a block.
    """

    _began: tuple[float, int] | None = None
    _done = False

    def at_block_end(self, module: SobolevModule) -> None:
        """Measure, and log."""
        now, step = time.perf_counter(), int(module.step)
        began, first = self._began = self._began or (now, step)
        if not self._done and now - began > _SECONDS_MEASURED:
            self._done = True
            if (minutes := (now - began) / (step - first) * (module.last - step) / 60) > _LEAST_MINUTES_FORECAST:
                log.info("about %.0f more minutes for the rest of %d steps", minutes, module.last)


class ProgressBar(pl.Callback):
    """A progress bar in a terminal or a notebook: optimiser steps, both errors, lambda_d and the time left.

    Args:
        steps: the number of steps of the run.
        taken: how many of them it has taken.

    Attributes:
        bar: the bar, a context in which it is shown.
    """

    def __init__(self, steps: int, taken: int) -> None:
        console, text = Console(stderr=True), "{task.completed:.0f}/{task.total:.0f} {task.description}"
        self.bar = Progress(
            *(BarColumn(10), TextColumn(text), TimeRemainingColumn()),
            console=console,
            transient=True,
            refresh_per_second=4,
            redirect_stdout=False,
            disable=not can_show_progress(console),
        )
        self.task = self.bar.add_task("", total=steps, completed=taken)

    def at_block_end(self, module: SobolevModule) -> None:
        """Update the bar."""
        shown = {"mse_f": key("val", "mse_f"), "mse_df": key("val", "mse_df"), "lambda_d": LAMBDA_D}
        figures = " ".join(f"{label} {module.figures[name].nanmedian():.1e}" for label, name in shown.items())
        self.bar.update(self.task, completed=int(module.step), description=figures)
