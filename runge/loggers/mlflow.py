"""MLflow."""

import functools
import os
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from lightning.pytorch.loggers import Logger

from runge.configuration import flatten
from runge.loggers.identity import known_run, remember_run, tags
from runge.metrics import TRAIN_LOSS
from runge.records.directories import RunDirectory
from runge.validation import checked_call

_MOST_METRICS, _MOST_PARAMS = 1000, 100  # of one request


class MLflow(Logger):
    """A logger that records the run in an MLflow store: its settings, figures, pictures and tags.

    The rows are stored at each checkpoint. Lightning's `MLFlowLogger` makes a transaction for each row, which costs
    more than the training, does not resume a run, and stores no pictures.

    Args:
        tracking_uri: the store, a SQLite file or a server: `sqlite:///FILE`, `http://HOST:PORT`; null: that of
            `MLFLOW_TRACKING_URI`, or else `sqlite:///mlflow.db`, which `mlflow ui` shows.
        experiment: the name of the experiment in the store.
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        overrides: the run's overrides.
    """

    name, version = "mlflow", ""  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @checked_call
    def __init__(
        self, tracking_uri: str | None, experiment: str, save_dir: str, run_name: str, overrides: list[str]
    ) -> None:
        self._client, number = connect(tracking_uri, experiment)
        self._waiting, file = [], RunDirectory(save_dir).mlflow
        run = known_run(file)
        self._new = run is None or not self._client.search_runs([number], f"attributes.run_id = '{run}'")
        if run is None or self._new:
            run = self._client.create_run(number, tags=tags(save_dir, overrides), run_name=run_name[:250]).info.run_id
            remember_run(file, run)
            self._stored = -1
        else:
            self._client.update_run(run, status="RUNNING")
            self._stored = max((row.step for row in self._client.get_metric_history(run, TRAIN_LOSS)), default=-1)
        self._run = run

    @staticmethod
    @checked_call
    def check(tracking_uri: str | None, experiment: str, **_: Any) -> None:
        """Raise a ValueError if the store cannot be used."""
        connect(tracking_uri, experiment)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Store the settings, which MLflow does not let a resumed run change."""
        from mlflow.entities import Param

        settings = flatten(params).items() if self._new else ()
        entries = [Param(_key(key), "null" if value is None else str(value)) for key, value in settings]
        for i in range(0, len(entries), _MOST_PARAMS):
            self._client.log_batch(self._run, params=entries[i : i + _MOST_PARAMS])

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step, except those that were stored before the run was killed."""
        from mlflow.entities import Metric

        if (step or 0) > self._stored or TRAIN_LOSS not in metrics:
            if len(self._waiting) + len(metrics) > _MOST_METRICS:
                self.save()
            now = round(1000 * time.time())
            self._waiting += [Metric(_key(key), figure, now, step or 0) for key, figure in metrics.items()]

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Store pictures, given by the paths of PNG files."""
        for path in images:
            self._client.log_artifact(self._run, path)

    def save(self) -> None:
        """Store what was collected; it is kept if that fails."""
        self._client.log_batch(self._run, metrics=self._waiting)
        self._waiting = []

    def finalize(self, status: str) -> None:
        """Store what was collected and the run's end."""
        self.save()
        self._client.set_terminated(self._run, "FINISHED" if status == "success" else "FAILED")


def _key(key: str) -> str:
    """Return a key without characters that MLflow does not allow, such as the brackets of a unit."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]


@functools.cache
def connect(uri: str | None, experiment: str) -> tuple[Any, str]:
    """Return MLflow's client for a store, and the identifier of an experiment; both are made if they do not exist.

    Raises:
        ValueError: the store cannot be reached or written to, or the experiment is deleted.
        ImportError: MLflow is not installed.
    """
    # Its own seven attempts take minutes, for each of the calls of each run.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    try:
        client = MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            with suppress(MlflowException):  # another process was faster
                client.create_experiment(experiment)
        found = client.get_experiment_by_name(experiment)
    except Exception as error:  # those of each kind of store differ
        message = f"must be a store that can be reached and written to, got {uri!r} ({str(error)[:500]})"
        raise ValueError(f"tracking_uri: {message}") from error
    if found is None or found.lifecycle_stage != "active":
        raise ValueError(f"experiment: must be one that is not deleted, got {experiment!r}; restore it in {uri}")
    return client, found.experiment_id
