"""Read run directories back: what is known of each run, and its tables. Nothing in them is trusted."""

import csv
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from runge.configuration import flatten
from runge.errors import ConfigurationError
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


COLUMNS = ("run", "status", "message", "step", "overrides")
"""The first columns of a table of runs; no setting and no figure of a run can take their place."""


@dataclass(frozen=True)
class RunRecord:
    """What the files of a run say.

    Attributes:
        path: its directory.
        status: its status; `unreadable`: a file is missing or damaged.
        message: why it has not finished.
        step: the optimiser steps that it has taken, or None.
        overrides: what of its configuration was asked for, or None.
        settings: its configuration, flat.
        figures: its final figures; empty where it has not finished.
    """

    path: str
    status: str
    message: str = ""
    step: int | None = None
    overrides: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float | int | None] = field(default_factory=dict)


def read(run: RunDirectory) -> RunRecord:
    """Read a run. A file that is missing or damaged gives the status `unreadable`, and a message that says why.

    Whatever could control a terminal is escaped in all texts.
    """
    known: dict[str, Any] = {}
    try:
        # The C loader: ten times as fast, and 300 runs have 300 of them.
        configuration = flatten(yaml.load(read_yaml(run.hydra / "config.yaml"), yaml.CSafeLoader))
        known["settings"] = _printable(configuration)
        known["overrides"] = printable(" ".join(yaml.load(read_yaml(run.hydra / "overrides.yaml"), yaml.CSafeLoader)))
        state = run.read_state()
        if state is None:
            raise FileNotFoundError(f"there is no {run.status.name}")
        status, message = state.status, state.message
        if run.metrics.exists():
            known["figures"] = _printable(run.read_metrics())
        elif status in ("running", "finished"):
            status, message = "running", f"no {run.metrics.name} yet; {_last_heard_of(run)}"
        return RunRecord(str(run.path), status, printable(message), state.step, **known)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        message = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        return RunRecord(str(run.path), "unreadable", printable(message), **known)


def _printable(values: Mapping[str, Any]) -> dict[str, Any]:
    shown = {printable(name): printable(x) if isinstance(x, str) else x for name, x in values.items()}
    return {name: value for name, value in shown.items() if name not in COLUMNS}


def _last_heard_of(run: RunDirectory) -> str:
    """When a run that does not say that it has ended has last said anything: it may have been killed."""
    seconds = max(0, round(time.time() - run.status.stat().st_mtime))
    return f"last heard of {timedelta(seconds=seconds)} ago"


def table(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return a flat row for each run: `COLUMNS`, its settings and its figures.

    A setting that has the name of a figure of any run is left out.
    """
    taken = {name for record in records for name in record.figures}
    return [
        {
            **dict(zip(COLUMNS, (one.path, one.status, one.message, one.step, one.overrides), strict=True)),
            **{name: value for name, value in one.settings.items() if name not in taken},
            **one.figures,
        }
        for one in records
    ]


def runs(*paths: str | os.PathLike[str]) -> "pandas.DataFrame":
    """Return all runs at or below these directories, a row for each.

    Args:
        *paths: runs, sweeps, or directories above them.

    Returns:
        A table with the columns `run`, `status`, `message`, `step` and `overrides`, the configuration's keys, and the
        keys of the figures.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    import pandas

    rows = table([read(run) for run in find_all(paths)])
    return pandas.DataFrame(rows, columns=None if rows else ["run", "status"])


def read_columns(run: RunDirectory, path: Path, names: Sequence[str], most: int) -> dict[str, list[float]]:
    """Read some columns of one of a run's tables.

    Args:
        run: the run's directory.
        path: the table, one of its files.
        names: the columns; one that is missing is left out.
        most: the number of rows to which a longer table is thinned, about; the last row is always kept.

    Returns:
        The columns; none where there is no such file.

    Raises:
        ConfigurationError: the file is damaged, or cannot be read.
    """
    try:
        run.verify(path)
        head, *rows = csv.reader(path.read_text().splitlines())
        rows = rows[:: -max(1, len(rows) // most)][::-1]
        places = {name: head.index(name) for name in names if name in head}
        return {name: [float(row[i]) if row[i] else math.nan for row in rows] for name, i in places.items()}
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
