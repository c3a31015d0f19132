"""Read run directories: a record of each run, and its tables. Their content is not trusted."""

import csv
import io
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import REMARKS, SAME_RESULT, digest, flatten
from runge.records.directories import ENDED, RunDirectory
from runge.records.files import printable

if TYPE_CHECKING:
    import pandas


def find(*paths: str | os.PathLike[str]) -> list[RunDirectory]:
    """Return the run directories at or below some paths, each once, below each path sorted by name, numbers by value.

    Raises:
        FileNotFoundError: one of the paths is not a directory.
    """

    def key(path: Path) -> list[tuple[bool, int, str]]:
        return [
            (component.isdecimal(), int(component) if component.isdecimal() else 0, component)
            for component in path.parts
        ]

    runs: dict[Path, RunDirectory] = {}
    for path in paths:
        if not os.path.isdir(path):
            raise FileNotFoundError(f"there is no directory {os.fspath(path)!r}")
        tops: list[Path] = []
        for root, directories, files in os.walk(path):
            if {"run.json", "metrics.json", "status.json"} & set(files):
                tops.append(Path(root))
                directories.clear()
        runs |= {top.resolve(): RunDirectory(top) for top in sorted(tops, key=key)}
    return list(runs.values())


COLUMNS = ("run", "status", "message", "step", "overrides")
"""The first columns of a table of runs. Settings and figures with these names are left out."""


@dataclass(frozen=True)
class RunRecord:
    """The content of a run's files.

    Attributes:
        path: the directory.
        status: the run's status; `unreadable`: a file is missing or damaged.
        message: the reason why the run has not finished.
        step: the number of optimiser steps taken, or None.
        overrides: the overrides of the configuration, or None.
        settings: the configuration, flat.
        figures: the final figures; empty if the run has not finished.
        options: the option of each group of the configuration, such as `two_stage_ramp` of `schedule`; empty: unknown.
        versions: the versions of runge and torch that trained it; empty: unknown.
        made_with: where and with which commits, as text; empty: unknown.
        lacks: the facts that its files do not have, because a version before 0.3 wrote them.
        rows: the checksum of the rows of its table; empty: it has none, or unknown.
        began: when its training first began, in seconds since 1970; 0: unknown.
        written: when its status was written, likewise.
    """

    path: str
    status: str
    message: str = ""
    step: int | None = None
    overrides: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, float | int | None] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    versions: str = ""
    made_with: str = ""
    lacks: str = ""
    rows: str = ""
    began: float = 0
    written: float = 0

    @property
    def of_table(self) -> bool:
        """True if the run is trained on the rows of a table."""
        return "data.file" in self.settings


def read(run: RunDirectory) -> RunRecord:
    """Read a run. If a file is missing or damaged, the status is `unreadable` and the message says why.

    A file of an ended run is damaged if it does not have its checksum in `status.json`, and the configuration if it
    does not have its hash there, such as after `seed` was edited. Control characters are escaped in all texts.
    """
    content: dict[str, Any] = {}
    try:
        configuration, overrides, options = run.read_configuration()
        given = {key: value for key, value in configuration.items() if value or key not in REMARKS}
        content |= {"settings": _printable(flatten(given)), "overrides": printable(" ".join(overrides))}
        content["options"] = _printable(options)
        state = run.read_state()
        if state is None:
            raise FileNotFoundError(f"there is no {run.status.name}")
        status, message = state.status, state.message
        content |= {"versions": printable(state.versions), "rows": printable(state.rows)}
        content |= {"began": state.began, "written": state.written}
        if status in ENDED:
            run.verify(state)
            if state.made_with and state.configuration != digest(configuration):  # earlier versions had other digests
                raise ConfigurationError(
                    f"{run.configuration} is damaged (its hash is not the one in {run.status.name})"
                )
            content["lacks"] = "" if state.made_with else "commit, Python, processor and SHA-256 checksums"
        content["made_with"] = printable(", ".join(f"{what} {x}" for what, x in state.made_with.items()))
        if run.metrics.exists():
            content["figures"] = _printable(run.read_metrics())
        elif status in ("running", "finished"):
            seconds = max(0, round(time.time() - run.status.stat().st_mtime))  # it may have been killed
            status = "running"
            message = f"no {run.metrics.name} yet; {run.status.name} is {timedelta(seconds=seconds)} old"
        return RunRecord(str(run.path), status, printable(message), state.step, **content)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        message = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
        return RunRecord(str(run.path), "unreadable", printable(message), **content)


def distinct(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs without repetitions: the first of several ended runs with equal settings, rows and versions.

    Such runs have the same bits, up to the round-off of another compiler, and count once in a test or a mean.
    """
    by_identity = dict[object, RunRecord]()
    for record in records:
        ignored = (*SAME_RESULT, *(["data.file"] if record.rows else []))  # a file may move
        settings = frozenset((name, str(x)) for name, x in record.settings.items() if not name.startswith(ignored))
        ended = record.status in ENDED and settings
        by_identity.setdefault((settings, record.rows, record.versions) if ended else record.path, record)
    return list(by_identity.values())


def _printable(values: Mapping[str, Any]) -> dict[str, Any]:
    shown = {printable(name): printable(x) if isinstance(x, str) else x for name, x in values.items()}
    return {name: value for name, value in shown.items() if name not in COLUMNS}


def table(records: Sequence[RunRecord]) -> list[dict[str, Any]]:
    """Return a flat row per run: `COLUMNS`, its settings, except names of figures, and its figures."""
    taken = {name for record in records for name in record.figures}
    rows = []
    for record in records:
        first = (record.path, record.status, record.message, record.step, record.overrides)
        settings = {name: value for name, value in record.settings.items() if name not in taken}
        rows.append(dict(zip(COLUMNS, first, strict=True)) | settings | dict(record.figures))
    return rows


def runs(*paths: str | os.PathLike[str]) -> "pandas.DataFrame":
    """Return a table of all runs at or below these directories.

    Args:
        *paths: runs, sweeps, or directories above them.

    Returns:
        A row per run, with the columns `run`, `status`, `message`, `step` and `overrides`, the configuration's keys,
        and the metric keys.

    Raises:
        FileNotFoundError: there is no such directory.
    """
    import pandas

    rows = table([read(run) for run in find(*paths)])
    return pandas.DataFrame(rows, columns=None if rows else ["run", "status"])


def read_columns(run: RunDirectory, path: Path, names: Sequence[str] | None, most: int) -> dict[str, list[float]]:
    """Read columns of a run's table, thinned to about `most` rows including the last; missing columns are left out.

    Without `names`, all columns are read.

    Raises:
        ConfigurationError: the file is damaged.
        OSError: it cannot be read.
    """
    if not path.exists():
        return {}
    content = run.read(path)
    try:
        head, *rows = csv.reader(content.decode().splitlines())
        if path in (run.history, run.points):
            head.index("step")
        rows = rows[:: -max(1, len(rows) // most)][::-1]
        places = {name: head.index(name) for name in names or head if name in head}
        return {name: [float(row[i]) if row[i] else math.nan for row in rows] for name, i in places.items()}
    except (ValueError, LookupError, csv.Error) as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error


def history(path: str | os.PathLike[str]) -> "pandas.DataFrame":
    """Return a run's curves, with the columns `step` and one per metric key.

    Raises:
        FileNotFoundError: the run has no history (yet).
        ConfigurationError: the file is damaged.
    """
    return _frame(RunDirectory(path).history)


def fit_table(path: str | os.PathLike[str]) -> "pandas.DataFrame":
    """Return the columns of a run's `fit.csv`: x, f, f', u and u' at some test points.

    Raises:
        FileNotFoundError: the run has not finished.
        ConfigurationError: the file is damaged.
    """
    return _frame(RunDirectory(path).fit)


def _frame(path: Path) -> "pandas.DataFrame":
    import pandas

    content = RunDirectory(path.parent).read(path)
    try:
        return pandas.read_csv(io.BytesIO(content))
    except ValueError as error:
        raise ConfigurationError(f"{path} is damaged ({error})") from error
