"""Runs in an MLflow store: a SQLite file is written to directly, every other store through MLflow's client."""

import functools
import itertools
import os
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from runge.metrics import TRAIN_LOSS
from runge.runs.directories import RunDirectory
from runge.runs.sqlite import Row, SqliteStore
from runge.runs.stores import read_names, write_names

DEFAULT_STORE = "sqlite:///mlflow.db"
"""The store that `mlflow ui` shows when it is started in the same directory."""

_MOST_METRICS, _MOST_PARAMS = 1000, 100  # of one request
_LONGEST_NAME, _LONGEST_TEXT = 250, 5000


class MlflowRun:
    """A run in a store: the one that the run directory's `mlflow.json` names, or a new one.

    Figures are collected until `flush`. Those that the store has already, from before the run was killed, are dropped.

    Args:
        store: the store.
        directory: the run's directory.
        name: the run's name.
        tags: the tags of a new run.
        began: when it began, in seconds since 1970.
    """

    def __init__(
        self, store: "Store", directory: RunDirectory, name: str, tags: Mapping[str, str], began: float
    ) -> None:
        self._store, self._last = store, dict[str, int]()
        known = read_names(directory.mlflow)
        for run in known:
            if (last := store.find(run)) is not None:
                self.id, self._last = run, last
                break
        else:
            self.id = store.create(name[:_LONGEST_NAME], round(1000 * began), _short(tags))
            write_names(directory.mlflow, [*known, self.id])

    def describe(self, settings: Mapping[str, Any], tags: Mapping[str, str] | None = None) -> None:
        """Store the run's settings, which are flat and cannot be changed, and new values of its tags."""
        texts = {_name(key): "null" if x is None else str(x) for key, x in settings.items()}
        self._store.describe(self.id, _short(tags or {}), _short(texts))

    def add(self, figures: Mapping[str, float], step: int, seconds: float) -> None:
        """Collect the figures of one step, measured at a time in seconds since 1970."""
        named = {_name(key): value for key, value in figures.items()}
        new = {key: x for key, x in named.items() if step > self._last.get(key, -1) and x == x}
        largest, time = sys.float_info.max, round(1000 * seconds)
        self._store.add(self.id, [Row(key, min(max(x, -largest), largest), time, step) for key, x in new.items()])
        self._last |= dict.fromkeys(new, step)

    def flush(self) -> None:
        """Store the figures that were collected, with those of other runs in the same store; kept if that fails."""
        self._store.flush()

    def add_picture(self, path: Path) -> None:
        """Store a picture."""
        self._store.add_picture(self.id, path)

    def end(self, status: str, seconds: float) -> None:
        """Store what was collected and the run's end: its status, in MLflow's words, and the time."""
        self.flush()
        self._store.end(self.id, status, round(1000 * seconds))


def _short(texts: Mapping[str, str]) -> dict[str, str]:
    return {key: text[:_LONGEST_TEXT] for key, text in texts.items()}


@functools.cache
def _name(key: str) -> str:
    """Return a key without characters that MLflow does not allow."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:_LONGEST_NAME]


def connect(uri: str | None, experiment: str) -> "Store":
    """Return an experiment of a store; both are made if they do not exist.

    Args:
        uri: the store; None: that of `MLFLOW_TRACKING_URI`, or else `DEFAULT_STORE`.
        experiment: the experiment's name.

    Raises:
        ValueError: the store cannot be reached or written to, or MLflow is not installed.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE
    path = Path(uri.removeprefix("sqlite:///")).absolute()
    try:
        if not uri.startswith("sqlite:///") or "?" in uri:
            return ClientStore(uri, experiment)
        store = SqliteStore(path, experiment)
        return store if store.keeps_files() else ClientStore(uri, experiment)
    except ImportError as error:
        raise ValueError(f"tracking_uri: {uri} needs MLflow ({error}); pip install 'runge[mlflow]'") from error
    except (sqlite3.Error, OSError) as error:
        raise ValueError(f"tracking_uri: must be a store that can be written to, got {uri!r} ({error})") from error


@functools.cache
def _client(uri: str, experiment: str) -> tuple[Any, str]:
    """Return MLflow's client for a store, and the identifier of an experiment of it."""
    # Its own seven attempts take minutes, for each of the calls of each run.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        client = MlflowClient(uri)
        if client.get_experiment_by_name(experiment) is None:
            with suppress(MlflowException):  # another process was faster
                client.create_experiment(experiment)
        found = client.get_experiment_by_name(experiment)
    except MlflowException as error:
        message = f"must be a store that can be reached and written to, got {uri!r} ({str(error)[:500]})"
        raise ValueError(f"tracking_uri: {message}") from error
    if found is None or found.lifecycle_stage != "active":
        raise ValueError(f"experiment: must be one that is not deleted, got {experiment!r}; restore it in {uri}")
    return client, found.experiment_id


class ClientStore:
    """An experiment of any store, through MLflow's client."""

    def __init__(self, uri: str, experiment: str) -> None:
        self._client, self._experiment = _client(uri, experiment)
        self._waiting: dict[str, list[Row]] = {}

    def find(self, run: str) -> dict[str, int] | None:
        """Mark a run as running and return the last step of each figure, or None if the store does not have the run."""
        from mlflow.exceptions import MlflowException

        try:
            content = self._client.get_run(run)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if content.info.lifecycle_stage != "active":
            return None
        self._client.update_run(run, status="RUNNING")
        # One request, not one for each figure: rows are stored completely, in their order.
        steps = [metric.step for metric in self._client.get_metric_history(run, TRAIN_LOSS)]
        return dict.fromkeys(content.data.metrics, max(steps, default=-1))

    def create(self, name: str, began: int, tags: Mapping[str, str]) -> str:
        """Make a run, and return its identifier."""
        return self._client.create_run(self._experiment, began, dict(tags), name).info.run_id

    def describe(self, run: str, tags: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """Set tags, and settings that the run does not have yet."""
        from mlflow.entities import Param, RunTag

        known = self._client.get_run(run).data.params if settings else {}
        params = [Param(key, text) for key, text in settings.items() if key not in known]
        self._client.log_batch(run, tags=[RunTag(key, text) for key, text in tags.items()])
        for i in range(0, len(params), _MOST_PARAMS):
            self._client.log_batch(run, params=params[i : i + _MOST_PARAMS])

    def add(self, run: str, rows: Sequence[Row]) -> None:
        """Collect figures, in the order of their steps, until `flush`."""
        self._waiting.setdefault(run, []).extend(rows)

    def flush(self) -> None:
        """Store what was collected; a run's figures are kept if that fails."""
        from mlflow.entities import Metric

        for run, rows in list(self._waiting.items()):
            for request in _requests(rows):
                self._client.log_batch(run, metrics=[Metric(*row) for row in request])
            del self._waiting[run]

    def add_picture(self, run: str, path: Path) -> None:
        """Add a picture."""
        self._client.log_artifact(run, str(path))

    def end(self, run: str, status: str, ended: int) -> None:
        """Set the status and the time of the end."""
        self._client.set_terminated(run, status, ended)


def _requests(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Cut rows into requests, between two steps if possible."""
    request: list[Row] = []
    for _, step in itertools.groupby(rows, lambda row: row.step):
        figures = list(step)
        if len(request) + len(figures) > _MOST_METRICS:
            yield from (request[i : i + _MOST_METRICS] for i in range(0, len(request), _MOST_METRICS))
            request = []
        request += figures
    yield from (request[i : i + _MOST_METRICS] for i in range(0, len(request), _MOST_METRICS))


Store = ClientStore | SqliteStore
