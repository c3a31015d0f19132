"""Loggers of hyperparameters, figures and pictures, in addition to the files of a run.

A logger is any class that derives from `lightning.pytorch.loggers.Logger`. Each file of `conf/logger/` has an entry
`NAME: {_target_: CLASS, parameters}`; `logger=[tensorboard,NAME]` selects two of them, `logger=[]` none, and
`+logger.NAME._target_=CLASS` adds one without a file. Every member of a stack has its own loggers.

The constructor receives its YAML parameters, plus `save_dir` (the run's directory), `run_name` (its overrides and the
end of its path, at most 250 characters; also as a `name` whose default is None), `varied` (the overrides in which it
differs from other runs of its sweep), `options` (the option of each group, such as `two_stage` of `schedule`) and
`start_step` (from which it resumes; 0 for a new run) if it accepts them and the YAML does not set them. Then the run
calls

- `log_hyperparams(configuration)` when it starts;
- `log_metrics(figures, step)` as soon as a row of the history is measured;
- `save()` before a checkpoint is saved. A killed run resumes from it and repeats the later rows exactly;
- `log_image(name, [path of a PNG file], step)`, if it has this method and pictures are drawn, and
  `log_metrics(test_figures, step)` when the run is finished;
- `finalize("success")`, or `finalize("failed")` if the run diverged, was interrupted or failed.

An exception in one of these calls is a warning; one in the constructor ends the run. Neither the results nor the
identity of a run depend on its loggers, so it can be resumed with others.
"""

import inspect
import os
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import build, class_and_arguments, locate, section
from runge.loggers.tensorboard import TensorBoard

__all__ = ["Logger", "TensorBoard", "check_loggers", "finalize", "make_loggers"]

_EXTRAS = {MLFlowLogger: "mlflow", WandbLogger: "wandb"}
"""The packages of loggers, each of which is an extra of the same name."""


def make_loggers(entries: Mapping[str, Any], **run: Any) -> list[Logger]:
    """Make the loggers of one run, given the section `logger` and the arguments that a constructor may accept.

    Raises:
        ConfigurationError: an entry does not name a logger, or a parameter is unknown, missing or not allowed.
    """
    loggers = []
    for name, entry in entries.items():
        try:
            loggers.append(build(f"logger.{name}", _complete(name, entry, run), Logger))
        except ImportError as error:  # many loggers of Lightning import their package when they are made
            raise ConfigurationError(f"logger.{name}: cannot be made ({error})") from error
    return loggers


def check_loggers(entries: Mapping[str, Any]) -> None:
    """Check the classes and keys of a section `logger`, and for MLflow and W&B also the package and the values.

    MLflow's store and experiment are made, because the processes of a sweep would do so at the same time, and fail.

    Raises:
        ConfigurationError: an entry does not name a logger, a parameter is unknown, missing or not allowed, a package
            is missing, or the store cannot be used.
    """
    run = {"save_dir": "", "run_name": "", "start_step": 0, "varied": [], "options": {}}
    for name, entry in entries.items():
        make, values = class_and_arguments(f"logger.{name}", _complete(name, entry, run), Logger)
        if (extra := _EXTRAS.get(make)) is None:
            continue
        try:
            import_module(extra)
            make(**values)  # which begins nothing yet
            if make is MLFlowLogger:
                _make_experiment(values["tracking_uri"], values.get("experiment_name", "lightning_logs"))
        except ImportError as error:
            needs = f"needs a package that is not installed ({error}); install it with pip install -e '.[{extra}]'"
            raise ConfigurationError(f"logger.{name}: {needs}") from error
        except Exception as error:  # those of each kind of store differ
            raise ConfigurationError(f"logger.{name}: cannot be made ({error})") from error


def finalize(logger: Logger, status: str) -> None:
    """Finalize a logger; also end the run of W&B, because Lightning leaves it open and a process may exit without it.

    Args:
        logger: the logger.
        status: `success` or `failed`.
    """
    logger.finalize(status)
    if isinstance(logger, WandbLogger):
        logger.experiment.finish(exit_code=0 if status == "success" else 1)


def _make_experiment(tracking_uri: str, name: str) -> None:
    """Make an experiment in a store of MLflow, unless it exists."""
    from mlflow import MlflowClient  # late: it takes a second, and may not be installed

    client = MlflowClient(tracking_uri)
    if client.get_experiment_by_name(name) is None:
        client.create_experiment(name)


def _complete(name: str, entry: Any, run: Mapping[str, Any]) -> dict[str, Any]:
    """Return an entry together with those arguments of the run that its class accepts and the entry does not set."""
    values = section(f"logger.{name}", entry)
    parameters = inspect.signature(locate(f"logger.{name}", values.get("_target_"), Logger)).parameters
    accepted = {key: value for key, value in run.items() if key in parameters}
    if "name" in parameters and parameters["name"].default is None:
        accepted["name"] = run["run_name"]
    if "tracking_uri" in parameters and values.get("tracking_uri") is None:  # not in YAML: it may hold a password
        values["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    return accepted | values
