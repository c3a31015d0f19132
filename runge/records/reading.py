"""Run directories read back: a row of a table for each, and their curves. Nothing in them is believed unseen."""

import csv
import math
import os
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runge.configuration import flatten
from runge.errors import ConfigurationError
from runge.metrics import is_metric
from runge.records.directories import RunDirectory
from runge.records.files import printable, read_yaml

if TYPE_CHECKING:
    import pandas


def find(path: str | os.PathLike[str]) -> list[RunDirectory]:
    """The run directories at or below a path, in the order of their names, numbers by value.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    top = Path(path)
    if not top.is_dir():
        raise FileNotFoundError(f"there is no directory {os.fspath(path)!r}")
    found: list[RunDirectory] = []
    for root, directories, files in os.walk(top):
        if ".hydra" in directories or {"metrics.json", "status.json"} & set(files):
            found.append(RunDirectory(root))
            directories.clear()
        directories.sort()
    return sorted(
        found,
        key=lambda run: [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in run.path.parts],
    )


def find_all(paths: Sequence[str | os.PathLike[str]]) -> list[RunDirectory]:
    """The run directories at or below several paths, each once.

    Raises:
        FileNotFoundError: one of them is no directory.
    """
    return list({run.path.resolve(): run for path in paths for run in find(path)}.values())


def read(run: RunDirectory) -> dict[str, Any]:
    """What is known of a run, flat: `run`, `status`, `message`, `step`, `overrides`, its configuration and its figures.

    A file that is missing or damaged never stops it: the status is then `unreadable`, and the message says why. What a
    terminal would obey is escaped in all texts.
    """
    row: dict[str, Any] = {"status": "unreadable", "message": "", "step": None, "overrides": None}
    try:
        # The C loader: ten times as fast, and 300 runs have 300 of them.
        configuration = flatten(yaml.load(read_yaml(run.hydra / "config.yaml"), yaml.CSafeLoader))
        row |= {key: value for key, value in configuration.items() if not is_metric(key) and key not in row}
        row["overrides"] = " ".join(yaml.load(read_yaml(run.hydra / "overrides.yaml"), yaml.CSafeLoader))
        state = run.read_state()
        if state is None:
            raise FileNotFoundError(f"there is no {run.status.name}")
        status, message = state.status, state.message
        if run.metrics.exists():
            row |= run.read_metrics()
        elif status in ("running", "finished"):
            status, message = "running", f"no {run.metrics.name} yet; {_last_heard_of(run)}"
        row |= {"status": status, "step": state.step, "message": message}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        row["status"] = "unreadable"
        row["message"] = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    shown = {printable(str(key)): printable(value) if isinstance(value, str) else value for key, value in row.items()}
    return {"run": str(run.path)} | {key: value for key, value in shown.items() if key != "run"}


def _last_heard_of(run: RunDirectory) -> str:
    """When a run that does not say that it has ended has last said anything: it may have been killed."""
    seconds = max(0, round(time.time() - run.status.stat().st_mtime))
    return f"last heard of {timedelta(seconds=seconds)} ago"


def runs(*paths: str | os.PathLike[str]) -> "pandas.DataFrame":
    """All runs at or below these directories, a row for each.

    Args:
        *paths: runs, sweeps, or directories above them.

    Returns:
        A table with the columns `run`, `status`, `message` and `step`, the configuration's keys, and the metric keys.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    import pandas

    found = [read(run) for run in find_all(paths)]
    return pandas.DataFrame(found, columns=None if found else ["run", "status"])


def read_curves(run: RunDirectory, keys: Sequence[str], most: int) -> dict[str, list[float]]:
    """Some columns of a run's history, `step` first, thinned evenly to about so many rows.

    Args:
        run: the run's directory.
        keys: metric keys; one that is missing is left out.
        most: the number of rows to thin to; the last one is always kept.

    Returns:
        The columns; none where there is no history yet.

    Raises:
        ConfigurationError: the file is damaged.
    """
    return _read_columns(run, run.history, ("step", *keys), most)


def read_points(run: RunDirectory, most: int) -> dict[str, list[float]]:
    """Where the training points of a run in one dimension have been, if they have moved: `step` and `x`.

    Args:
        run: the run's directory.
        most: the number of places to thin to.

    Returns:
        The columns; none where the points have stayed, or there are more dimensions.

    Raises:
        ConfigurationError: the file is damaged.
    """
    found = _read_columns(run, run.points, ("step", "x"), most)
    return found if "x" in found else {}


def _read_columns(run: RunDirectory, path: Path, keys: Sequence[str], most: int) -> dict[str, list[float]]:
    try:
        run.verify(path)
        head, *rows = csv.reader(path.read_text().splitlines())
        rows = rows[:: -max(1, len(rows) // most)][::-1]
        columns = {name: head.index(name) for name in keys if name in head}
        return {name: [float(row[i]) if row[i] else math.nan for row in rows] for name, i in columns.items()}
    except FileNotFoundError:
        return {}
    except (ConfigurationError, OSError) as error:
        raise ConfigurationError(str(error)) from error
    except (ValueError, LookupError, csv.Error) as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error


def history(path: str | os.PathLike[str]) -> "pandas.DataFrame":
    """A run's curves: `step`, and a column for each metric key.

    Raises:
        FileNotFoundError: the run has no history (yet).
        ConfigurationError: the file is damaged.
    """
    import pandas

    run = RunDirectory(path)
    run.verify(run.history)
    try:
        return pandas.read_csv(run.history)
    except ValueError as error:
        raise ConfigurationError(f"{run.history} is damaged ({error})") from error
