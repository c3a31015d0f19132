"""Runs in a store, from their files."""

import sys
from collections.abc import Sequence
from pathlib import Path

from runge.compare.naming import names_of
from runge.errors import ConfigurationError
from runge.metrics import on_test
from runge.runs.directories import RunDirectory
from runge.runs.files import printable
from runge.runs.mlflow import MlflowRun, Store, connect
from runge.runs.reading import RunRecord, read_columns
from runge.runs.stores import tags

_STATUS = {"finished": "FINISHED", "running": "RUNNING", "interrupted": "KILLED"}


def put(records: Sequence[RunRecord], group_keys: Sequence[str], target: str) -> None:
    """Put runs into a store, or update them if they are there; report the runs whose files are damaged.

    Args:
        records: the runs.
        group_keys: the settings that define a group.
        target: `mlflow` or `mlflow:URI`.

    Raises:
        ValueError: there is no such kind of store, or it cannot be used.
    """
    kind, _, uri = target.partition(":")
    if kind != "mlflow":
        raise ValueError(f"--to: must be mlflow or mlflow:URI, got {target!r}")
    try:
        store = connect(uri or None, "runge")
    except ValueError as error:
        raise ValueError(f"--to: {error}") from error
    number = 0
    for name, record in zip(names_of(records, group_keys), records, strict=True):
        try:
            if record.status == "unreadable":
                raise ConfigurationError(f"{record.path}: {record.message}")
            _put(record, name, store)
            number += 1
        except (ConfigurationError, OSError) as error:
            print(f"warning: not put into the store: {printable(str(error))}", file=sys.stderr)
    print(f"mlflow: {number} runs")


def _put(record: RunRecord, group: str, store: Store) -> None:
    directory = RunDirectory(record.path)
    columns = read_columns(directory, directory.history, None, sys.maxsize)
    began, ended = (path.stat().st_mtime for path in (directory.hydra / "config.yaml", directory.status))
    name = f"{record.overrides} ({'/'.join(directory.path.resolve().parts[-2:])})".lstrip()
    about = tags(directory, group)
    run = MlflowRun(store, directory, name, about, began)
    settings = {key: x for key, x in record.settings.items() if key != "resume" and not key.startswith("logger")}
    run.describe(settings, about)
    steps = columns.pop("step", [])
    for step, row in zip(steps, zip(*columns.values(), strict=True), strict=True):
        run.add(dict(zip(columns, row, strict=True)), int(step), ended)
    run.add(on_test(record.figures), record.step or 0, ended)
    pictures = directory.fit_picture, directory.curves_picture, directory.profiles_picture, directory.points_picture
    for picture in filter(Path.exists, pictures):
        run.add_picture(picture)
    run.end(_STATUS.get(record.status, "FAILED"), ended)
