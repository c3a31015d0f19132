"""MLflow."""

import time
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from runge.configuration import flatten
from runge.runs.directories import RunDirectory
from runge.runs.mlflow import MlflowRun, connect
from runge.runs.stores import group_by_overrides, tags, version
from runge.validation import checked_call


class MLflow(Logger):
    """A logger that makes the run one of an MLflow store: its settings, figures, pictures and tags.

    A run that is resumed continues its run of the store, and each row is stored once. Lightning's `MLFlowLogger` makes
    a transaction for each row, which costs more than the training, does not resume, and takes no pictures.

    Args:
        tracking_uri: the store, a SQLite file or a server: `sqlite:///FILE`, `http://HOST:PORT`; null: that of
            `MLFLOW_TRACKING_URI`, or else `sqlite:///mlflow.db`, which `mlflow ui` shows.
        experiment: the name of the experiment in the store.
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        overrides: the run's overrides.
    """

    @checked_call
    def __init__(
        self, tracking_uri: str | None, experiment: str, save_dir: str, run_name: str, overrides: list[str]
    ) -> None:
        directory, store = RunDirectory(save_dir), connect(tracking_uri, experiment)
        about = tags(directory, group_by_overrides(overrides)) | {"runge_version": version()}
        self._run = MlflowRun(store, directory, run_name, about, time.time())
        self._name = experiment

    @staticmethod
    @checked_call
    def check(tracking_uri: str | None, experiment: str, **_: Any) -> None:
        """Raise a ValueError if the store cannot be used."""
        connect(tracking_uri, experiment)

    @property
    def name(self) -> str:
        """The experiment."""
        return self._name

    @property
    def version(self) -> str:
        """The identifier of the run in the store."""
        return self._run.id

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Store the settings."""
        self._run.describe(flatten(vars(params) if isinstance(params, Namespace) else params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step, with the current time."""
        self._run.add(metrics, step or 0, time.time())

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Store pictures, given by the paths of PNG files."""
        for path in images:
            self._run.add_picture(Path(path))

    def save(self) -> None:
        """Store what was collected."""
        self._run.flush()

    def finalize(self, status: str) -> None:
        """Store what was collected and the run's end."""
        self._run.end("FINISHED" if status == "success" else "FAILED", time.time())
