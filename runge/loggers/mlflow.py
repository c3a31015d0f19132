"""MLflow."""

import os
from typing import Any

from lightning.pytorch.loggers import MLFlowLogger

from runge.configuration.validation import checked_call
from runge.loggers.identity import known_run, remember_run, tags
from runge.records.directories import RunDirectory

_LONGEST_NAME = 250  # of a run, in MLflow's tables


class MLflow(MLFlowLogger):
    """Lightning's logger for MLflow: each member of a stack is a run there, which continues when it resumes.

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
        from mlflow.exceptions import MlflowException

        file, uri = RunDirectory(save_dir).mlflow, _store(tracking_uri)
        run_tags = tags(save_dir, overrides)
        super().__init__(experiment, run_name[:_LONGEST_NAME], uri, run_tags, run_id=known_run(file))
        try:
            remember_run(file, str(self.run_id))  # which Lightning makes, or looks up
        except MlflowException as error:
            rule = f"must be a store that can be written to, and has the run that {file} names, if this file exists"
            raise ValueError(f"tracking_uri: {rule}; got {uri!r} ({str(error)[:500]})") from error

    @staticmethod
    @checked_call
    def check(tracking_uri: str | None, experiment: str, **_: Any) -> None:
        """Make the experiment, before a sweep's processes do, or raise a ValueError if the store cannot be used."""
        import mlflow

        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # its seven attempts take minutes for each call
        uri = _store(tracking_uri)
        try:
            mlflow.set_tracking_uri(uri)
            mlflow.set_experiment(experiment)
        except Exception as error:  # those of each kind of store differ
            rule = "must be a store that can be reached and written to, whose experiment is not deleted"
            raise ValueError(f"tracking_uri: {rule}; got {uri!r} ({str(error)[:500]})") from error


def _store(tracking_uri: str | None) -> str:
    return tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
