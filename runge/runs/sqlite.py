"""An MLflow experiment in a SQLite file, written to without MLflow.

MLflow's client takes 0.14 s of a core for a run with 20 rows of 68 figures, more than the run itself takes in a stack,
and 1.8 s in each process to be imported and connected. Plain SQL takes 0.01 s. It names the columns of five tables that
MLflow has had since its version 1; the file itself is made by MLflow, and read through its client by the tests.
"""

import functools
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from importlib import metadata
from multiprocessing.util import Finalize
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

from filelock import FileLock

from runge.cache import cache_folder


class Row(NamedTuple):
    """One figure of a run at one step."""

    key: str
    value: float
    milliseconds: int
    step: int


_COPIED, _LONGEST_EXPERIMENT = "runge", 250  # the name in a template, and of the names that MLflow allows
_OTHER_PLACES = ("_MLFLOW_SERVER_ARTIFACT_ROOT", "MLFLOW_ENABLE_WORKSPACES")  # change what MLflow makes
_WANTED = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ? AND lifecycle_stage = 'active'"


class SqliteStore:
    """An experiment of a SQLite file, written to directly, with the methods of `runge.runs.mlflow.ClientStore`."""

    def __init__(self, path: Path, experiment: str) -> None:
        if not path.exists():
            _make_experiment(path, experiment)
        self._db, self._waiting = _database(path, path.stat().st_ino)
        if (found := self._db.execute(_WANTED, (experiment,)).fetchone()) is None:
            _make_experiment(path, experiment)
            found = self._db.execute(_WANTED, (experiment,)).fetchone()
        self._experiment, place = found
        self._pictures = place.removeprefix("file://")

    def keeps_files(self) -> bool:
        """Say if the experiment's pictures are files of this machine."""
        return os.path.isabs(self._pictures)

    def find(self, run: str) -> dict[str, int] | None:
        """Mark a run as running and return the last step of each figure, or None if the file does not have the run."""
        with self._db as db:
            values = "status = 'RUNNING', end_time = NULL"
            change = f"UPDATE runs SET {values} WHERE run_uuid = ? AND lifecycle_stage = 'active'"
            if db.execute(change, (run,)).rowcount == 0:
                return None
            return dict(db.execute("SELECT key, step FROM latest_metrics WHERE run_uuid = ?", (run,)).fetchall())

    def create(self, name: str, began: int, tags: Mapping[str, str]) -> str:
        """Make a run, and return its identifier."""
        run = uuid.uuid4().hex
        fixed = "'UNKNOWN', '', '', '', '', 'RUNNING', 'active'"
        names = "source_type, source_name, entry_point_name, source_version, user_id, status, lifecycle_stage"
        values = (run, name, self._experiment, began, f"{self._pictures}/{run}/artifacts")
        with self._db as db:
            own = "run_uuid, name, experiment_id, start_time, artifact_uri"
            db.execute(f"INSERT INTO runs ({names}, {own}) VALUES ({fixed}, ?, ?, ?, ?, ?)", values)
        self.describe(run, {"mlflow.runName": name, **tags}, {})
        return run

    def describe(self, run: str, tags: Mapping[str, str], settings: Mapping[str, str]) -> None:
        """Set tags, and settings that the run does not have yet."""
        with self._db as db:
            own = [(run, *pair) for pair in tags.items()]
            db.executemany("INSERT OR REPLACE INTO tags (run_uuid, key, value) VALUES (?, ?, ?)", own)
            own = [(run, *pair) for pair in settings.items()]
            db.executemany("INSERT OR IGNORE INTO params (run_uuid, key, value) VALUES (?, ?, ?)", own)

    def add(self, run: str, rows: Sequence[Row]) -> None:
        """Collect figures, in the order of their steps, until `flush`."""
        self._waiting += [(run, *row) for row in rows]

    def flush(self) -> None:
        """Store what all runs of this process have collected, in one transaction; it is kept if that fails.

        The primary key of the figures begins with their name and time, not with their run, so that those of one run
        are in as many pages of the file as it has figures, and those of a stack of runs are in the same pages.
        """
        if not self._waiting:
            return
        names = "run_uuid, key, value, timestamp, step, is_nan"
        rows = sorted(self._waiting, key=itemgetter(1))  # the order of the primary key
        latest = {row[:2]: row for row in rows}
        with self._db as db:
            for table, some in (("metrics", rows), ("latest_metrics", latest.values())):
                db.executemany(f"INSERT OR REPLACE INTO {table} ({names}) VALUES (?, ?, ?, ?, ?, 0)", some)
        self._waiting.clear()

    def add_picture(self, run: str, path: Path) -> None:
        """Add a picture."""
        folder = Path(self._pictures, run, "artifacts")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder)

    def end(self, run: str, status: str, ended: int) -> None:
        """Set the status and the time of the end."""
        with self._db as db:
            db.execute("UPDATE runs SET status = ?, end_time = ? WHERE run_uuid = ?", (status, ended, run))


@functools.cache
def _database(path: Path, inode: int) -> tuple[sqlite3.Connection, list[tuple[str, str, float, int, int]]]:
    """Open a SQLite file for all runs of this process, which may be a thousand; a new file of this name is opened too.

    With a write-ahead log, processes wait for each other only while one writes, and MLflow may read meanwhile. Without
    waiting for the disk nothing can be damaged, and only a machine that fails loses its last figures.
    """
    db = sqlite3.connect(path, timeout=60, isolation_level="IMMEDIATE", check_same_thread=False)
    with suppress(sqlite3.OperationalError):  # another process has it open, and has asked for the same
        db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    with db:
        db.execute("BEGIN IMMEDIATE")  # fails now if the file cannot be written to
    # Unlike a function of `atexit`, it is also called in a worker; the last process to close the file empties its log.
    Finalize(None, db.close, exitpriority=0)
    return db, []


def _make_experiment(path: Path, experiment: str) -> None:
    """Make an experiment, and the SQLite file if there is none.

    MLflow makes the tables of a file in many steps; it does not if another process does so too, or after being killed.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise ImportError("it is not installed")
    lock, part = path.with_name(f".{path.name}.lock"), path.with_name(f".{path.name}.part")
    with FileLock(lock):
        if path.exists():
            _let_mlflow_make(path, experiment, Path.cwd())
        else:
            part.unlink(missing_ok=True)
            if (template := _template(experiment)) is None:
                _let_mlflow_make(part, experiment, Path.cwd())
            else:
                _copy(template, part, experiment)
            part.replace(path)
    lock.unlink(missing_ok=True)


def _template(experiment: str) -> Path | None:
    """Return a file with one experiment, `_COPIED`, that MLflow has made in the cache directory.

    To make one takes 3 s: MLflow's import, and the steps by which its tables became what they are.

    Returns:
        The file; or None if it cannot be kept, or MLflow would make another one for this experiment here.
    """
    folder = cache_folder()
    usual = experiment != "Default" and 0 < len(experiment) <= _LONGEST_EXPERIMENT
    if folder is None or not usual or any(name in os.environ for name in _OTHER_PLACES):
        return None
    try:
        template = folder / f"mlflow-{metadata.version('mlflow-skinny')}.db"
    except metadata.PackageNotFoundError:
        return None
    part = template.with_name(f".{template.name}.part")
    with FileLock(template.with_name(f".{template.name}.lock")):
        if not template.exists():
            part.unlink(missing_ok=True)
            _let_mlflow_make(part, _COPIED, folder)
            part.replace(template)
    return template


def _copy(template: Path, path: Path, experiment: str) -> None:
    """Copy a template, as if MLflow had made it now and in the current directory."""
    shutil.copyfile(template, path)
    now, places = round(1000 * time.time()), (str(template.parent.resolve()), str(Path.cwd()))
    with closing(sqlite3.connect(path)) as db, db:
        place = "artifact_location = replace(artifact_location, ?, ?)"
        db.execute(f"UPDATE experiments SET {place}, creation_time = ?, last_update_time = ?", (*places, now, now))
        db.execute("UPDATE experiments SET name = ? WHERE name = ?", (experiment, _COPIED))


def _let_mlflow_make(path: Path, experiment: str, folder: Path) -> None:
    """Let MLflow make an experiment, whose pictures are in a folder, and the file; in a process of its own."""
    command = [sys.executable, "-c", _MAKE, f"sqlite:///{path}", experiment]
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        raise OSError(process.stderr.strip().rpartition("\n")[2])


_MAKE = """
import sys
from mlflow import MlflowClient
client = MlflowClient(sys.argv[1])
client.get_experiment_by_name(sys.argv[2]) or client.create_experiment(sys.argv[2])
"""
