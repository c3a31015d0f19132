"""Loggers of hyperparameters, figures and pictures, in addition to the files of a run.

A logger is any class that derives from `lightning.pytorch.loggers.Logger`. Each file of `conf/logger/` has an entry
`NAME: {_target_: CLASS, parameters}`; `logger=[tensorboard,NAME]` selects two of them, `logger=[]` none, and
`+logger.NAME._target_=CLASS` adds one without a file. Every member of a stack has its own loggers.
"""

import inspect
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from runge.configuration import build, flatten, locate, prepare, section
from runge.errors import ConfigurationError
from runge.metrics import on_test
from runge.records.tensorboard import EventFile, hyperparameters, image, scalars
from runge.validation import checked_call

__all__ = ["Logger", "TensorBoard", "check_loggers", "make_loggers"]


class TensorBoard(Logger):
    """A logger that writes TensorBoard's event files: curves, pictures, and a row of the HPARAMS table.

    The calls are the same for every logger. The constructor receives its YAML parameters, plus `save_dir`,
    `run_name` and `start_step` if it accepts them and the YAML does not set them. Then the run calls

    - `log_hyperparams(configuration)` when it starts;
    - `log_metrics(figures, step)` as soon as a row of the history is measured;
    - `save()` before a checkpoint is saved. A killed run resumes from it and repeats the later rows exactly;
    - `log_image(name, [path of a PNG file], step)`, if it has this method, and `log_metrics(test_figures, step)` when
      the run is finished;
    - `finalize("success")`, or `finalize("failed")` if the run diverged, was interrupted or failed.

    An exception in one of these calls is logged as a warning and costs no run; one in the constructor ends the run.
    Neither the results nor the identity of a run depend on its loggers, so it can be resumed with others.

    Args:
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        start_step: the step from which the run resumes; 0 for a new one.

    Example:
        >>> TensorBoard(save_dir="outputs/1", run_name="seed=1 (outputs/1)", start_step=0)
        TensorBoard('outputs/1')
    """

    @checked_call
    def __init__(self, save_dir: str, run_name: str, start_step: int) -> None:
        self._directory, self._name = save_dir, run_name
        self._file = EventFile(Path(save_dir) / "tensorboard", purge_step=start_step + 1)
        self._settings: dict[str, Any] = {}
        self._tested: dict[str, float] = {}
        self._step = start_step

    def __repr__(self) -> str:
        return f"TensorBoard({self._directory!r})"

    @property
    def name(self) -> str:
        """The run's name in the HPARAMS table."""
        return self._name

    @property
    def version(self) -> str:
        """An empty string, because a run has one directory."""
        return ""

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep the settings for the run's row of the HPARAMS table."""
        self._settings = flatten(vars(params) if isinstance(params, Namespace) else params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step, with the current time."""
        self._step = self._step if step is None else step
        self._file.add(scalars(metrics), self._step)
        self._tested |= on_test(metrics)

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Collect pictures, given by the paths of PNG files."""
        for path in images:
            self._file.add(image(key, Path(path).read_bytes()), self._step if step is None else step)

    def save(self) -> None:
        """Append what was collected to the event file."""
        self._file.flush()

    def finalize(self, status: str) -> None:
        """Append the run's row of the HPARAMS table and everything that was collected."""
        for summary in hyperparameters(self._name, self._settings, self._tested if status == "success" else None):
            self._file.add(summary, self._step)
        self._file.flush()


def make_loggers(entries: Mapping[str, Any], save_dir: str, run_name: str, start_step: int) -> list[Logger]:
    """Make the loggers of one run, given the section `logger` and the arguments of `TensorBoard`.

    Raises:
        ConfigurationError: an entry does not name a logger, or a parameter is unknown, missing or not allowed.
    """
    run = {"save_dir": save_dir, "run_name": run_name, "start_step": start_step}
    loggers = []
    for name, entry in entries.items():
        try:
            loggers.append(build(f"logger.{name}", _complete(name, entry, run), Logger))
        except ImportError as error:  # many loggers of Lightning import their package when they are made
            raise ConfigurationError(f"logger.{name}: cannot be made ({error})") from error
    return loggers


def check_loggers(entries: Mapping[str, Any]) -> None:
    """Check the classes and keys of a section `logger`; no logger is made, because some connect to a server at once.

    Raises:
        ConfigurationError: an entry does not name a logger, or a parameter is unknown or missing.
    """
    run = {"save_dir": "", "run_name": "", "start_step": 0}
    for name, entry in entries.items():
        prepare(f"logger.{name}", _complete(name, entry, run), Logger)


def _complete(name: str, entry: Any, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry together with those arguments of the run that its class accepts and the entry does not set."""
    values = section(f"logger.{name}", entry)
    parameters = inspect.signature(locate(f"logger.{name}", values.get("_target_"), Logger)).parameters
    return {key: value for key, value in run.items() if key in parameters} | values
