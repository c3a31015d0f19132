"""Loggers of hyperparameters, figures and pictures, in addition to the files of a run.

A logger is any class that derives from `lightning.pytorch.loggers.Logger`. Each file of `conf/logger/` has an entry
`NAME: {_target_: CLASS, parameters}`; `logger=[tensorboard,NAME]` selects two of them, `logger=[]` none, and
`+logger.NAME._target_=CLASS` adds one without a file. Every member of a stack has its own loggers.

The constructor receives its YAML parameters, plus `save_dir` (the run's directory), `run_name` (its overrides and the
end of its path), `overrides` (a list), `varied` (those of them in which it differs from other runs of its sweep) and
`start_step` (from which it resumes; 0 for a new run) if it accepts them and the YAML does not set them. Then the run
calls

- `log_hyperparams(configuration)` when it starts;
- `log_metrics(figures, step)` as soon as a row of the history is measured;
- `save()` before a checkpoint is saved. A killed run resumes from it and repeats the later rows exactly;
- `log_image(name, [path of a PNG file], step)`, if it has this method and pictures are drawn, and
  `log_metrics(test_figures, step)` when the run is finished;
- `finalize("success")`, or `finalize("failed")` if the run diverged, was interrupted or failed.

An exception in one of these calls is a warning; one in the constructor ends the run. A static method `check` is called
with the constructor's arguments before anything is trained; a `ValueError` is reported. Neither the results nor the
identity of a run depend on its loggers, so it can be resumed with others.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from lightning.pytorch.loggers import Logger

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, explained, locate, prepare, section
from runge.loggers.mlflow import MLflow
from runge.loggers.tensorboard import TensorBoard
from runge.loggers.wandb import Wandb

__all__ = ["Logger", "MLflow", "TensorBoard", "Wandb", "check_loggers", "make_loggers"]


def make_loggers(
    entries: Mapping[str, Any],
    save_dir: str,
    run_name: str,
    start_step: int,
    overrides: Sequence[str] = (),
    varied: Sequence[str] = (),
) -> list[Logger]:
    """Make the loggers of one run, given the section `logger` and the arguments that a constructor may accept.

    Raises:
        ConfigurationError: an entry does not name a logger, or a parameter is unknown, missing or not allowed.
    """
    run = {"save_dir": save_dir, "run_name": run_name, "start_step": start_step}
    run |= {"overrides": list(overrides), "varied": list(varied)}
    loggers = []
    for name, entry in entries.items():
        try:
            loggers.append(build(f"logger.{name}", _complete(name, entry, run), Logger))
        except ImportError as error:  # many loggers of Lightning import their package when they are made
            raise ConfigurationError(f"logger.{name}: cannot be made ({error})") from error
    return loggers


def check_loggers(entries: Mapping[str, Any]) -> None:
    """Check the classes and keys of a section `logger`, and their stores; no logger is made.

    Raises:
        ConfigurationError: an entry does not name a logger, a parameter is unknown, missing or not allowed, or a store
            cannot be used.
    """
    run = {"save_dir": "", "run_name": "", "start_step": 0, "overrides": [], "varied": []}
    for name, entry in entries.items():
        make, values = prepare(f"logger.{name}", _complete(name, entry, run), Logger)
        if check := getattr(make, "check", None):
            try:
                with explained(f"logger.{name}", values):
                    check(**values)
            except ImportError as error:
                needs = f"needs a package that is not installed ({error}); install it with pip install -e '.[{name}]'"
                raise ConfigurationError(f"logger.{name}: {needs}") from error


def _complete(name: str, entry: Any, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry together with those arguments of the run that its class accepts and the entry does not set."""
    values = section(f"logger.{name}", entry)
    parameters = inspect.signature(locate(f"logger.{name}", values.get("_target_"), Logger)).parameters
    return {key: value for key, value in run.items() if key in parameters} | values
