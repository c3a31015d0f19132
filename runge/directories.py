"""Run directories: the only place that knows what the files of a run are called.

A file appears under its final name only when it is complete, and `metrics.json` comes last: a run is finished exactly
when that file exists.
"""

import csv
import io
import json
import math
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import yaml

from runge.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas

Status = Literal["running", "finished", "diverged", "interrupted", "failed"]


class RunDirectory:
    """One run's files.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.hydra = self.path / ".hydra"
        self.log = self.path / "train.log"
        self.metrics = self.path / "metrics.json"
        self.history = self.path / "history.csv"
        self.status = self.path / "status.json"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.path / "checkpoints" / "best.ckpt"
        self.last = self.path / "checkpoints" / "last.ckpt"
        self.fit_figure = self.path / "fit.png"
        self.curves_figure = self.path / "curves.png"

    def write_status(self, status: Status, step: int, message: str = "") -> None:
        """Say how the run stands."""
        write(self.status, json.dumps({"status": status, "step": step, "message": message}, indent=2) + "\n")

    def write_metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Write the final figures; what is not a finite number becomes null."""
        finite = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in metrics.items()}
        write(self.metrics, json.dumps(finite, indent=2, allow_nan=False) + "\n")

    def write_history(self, columns: Mapping[str, Sequence[float]]) -> None:
        """Write a row for each logged step, `step` first; what is not known stays empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        for step, *figures in zip(*columns.values(), strict=True):
            writer.writerow([int(step), *("" if math.isnan(x) else repr(x) for x in figures)])
        write(self.history, text.getvalue())

    def discard(self) -> None:
        """Remove a directory in which nothing was trained yet, and the directories above that it leaves empty."""
        discard(self.path, {self.hydra.name, self.log.name})


class ComparisonDirectory:
    """The files of a comparison.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.table = self.path / "comparison.csv"
        self.report = self.path / "comparison.html"
        self.picture = self.path / "comparison.png"


def resumable(path: Any) -> RunDirectory:
    """A run's directory that a run can go on in.

    Raises:
        ConfigurationError: it holds no checkpoint, or its run is finished.
    """
    run = RunDirectory(str(path))
    if run.metrics.exists():
        raise ConfigurationError(f"resume: must be a run that is not finished, got {str(path)!r}, which is")
    if not run.last.is_file():
        raise ConfigurationError(f"resume: must be a run with a checkpoint, got {str(path)!r}; there is no {run.last}")
    return run


def claim(path: str | os.PathLike[str]) -> str:
    """Make a directory that no other run has: `path`, or else `path-2`, `path-3`, ...

    Returns:
        The directory's path.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    number, name = 1, os.fspath(path)
    while True:
        try:
            os.mkdir(name)
        except FileExistsError:
            number += 1
            name = f"{os.fspath(path)}-{number}"
        else:
            return name


def discard(path: Path, known: Collection[str]) -> None:
    """Remove a directory with no more in it than entries of these names, and those above that it leaves empty."""
    if path.is_dir() and {entry.name for entry in path.iterdir()} <= set(known):
        shutil.rmtree(path)
        with suppress(OSError):  # not empty: other runs live there
            for parent in path.absolute().parents[:3]:
                if Path.cwd().is_relative_to(parent):
                    break
                parent.rmdir()


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def flatten(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | int | str | None]:
    """A configuration as flat pairs; classes by their name, lists as text.

    Example:
        >>> flatten({"seed": 0, "target": {"_target_": "runge.targets.Runge", "domain": [-1.0, 1.0]}})
        {'seed': 0, 'target': 'Runge', 'target.domain': '[-1.0, 1.0]'}
    """
    flat: dict[str, bool | float | int | str | None] = {}
    for name, value in configuration.items():
        key = f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Mapping):
            flat |= flatten(value, key)
        elif name == "_target_":
            flat[prefix] = str(value).rpartition(".")[2]
        else:
            flat[key] = value if value is None or isinstance(value, bool | int | float | str) else str(value)
    return flat


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a run's JSON files."""
    return json.loads(path.read_text())


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
        found, key=lambda run: [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in run.path.parts]
    )


def find_all(paths: Sequence[str | os.PathLike[str]]) -> list[RunDirectory]:
    """The run directories at or below several paths, each once.

    Raises:
        FileNotFoundError: one of them is no directory.
    """
    return list({run.path.resolve(): run for path in paths for run in find(path)}.values())


def read(run: RunDirectory) -> dict[str, Any]:
    """What is known of a run, flat: `run`, `status`, `message`, `step`, `overrides`, its configuration and its figures.

    A file that is missing or damaged never stops it: the status is then `unreadable`, and the message says why.
    """
    row: dict[str, Any] = {"run": str(run.path), "status": "unreadable", "message": "", "step": None, "overrides": None}
    try:
        # The C loader: ten times as fast, and 300 runs have 300 of them.
        row |= flatten(yaml.load((run.hydra / "config.yaml").read_text(), yaml.CSafeLoader))
        row["overrides"] = " ".join(yaml.load((run.hydra / "overrides.yaml").read_text(), yaml.CSafeLoader))
        status = read_json(run.status)
        state, step, message = status["status"], int(status["step"]), str(status["message"])
        if state not in get_args(Status):
            raise ValueError(f"{run.status.name} has the status {state!r}")
        if run.metrics.exists():
            row |= {key: _number(figure) for key, figure in read_json(run.metrics).items()}
        elif state in ("running", "finished"):
            state, message = "running", f"no {run.metrics.name} yet"
        row |= {"status": state, "step": step, "message": message}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError) as error:
        row["message"] = f"{type(error).__name__}: {error}"
    return row


def _number(figure: Any) -> float | int | None:
    """A figure of `metrics.json`: what is not finite counts as not known."""
    if figure is None or not math.isfinite(figure):
        return None
    return figure


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
        The columns; none where the file is missing or damaged.
    """
    try:
        head, *rows = csv.reader(run.history.read_text().splitlines())
        rows = rows[:: -max(1, len(rows) // most)][::-1]
        columns = {name: head.index(name) for name in ("step", *keys) if name in head}
        return {name: [float(row[i]) if row[i] else math.nan for row in rows] for name, i in columns.items()}
    except (OSError, ValueError, LookupError):
        return {}


def history(path: str | os.PathLike[str]) -> "pandas.DataFrame":
    """A run's curves: `step`, and a column for each metric key.

    Raises:
        FileNotFoundError: the run has no history (yet).
    """
    import pandas

    return pandas.read_csv(RunDirectory(path).history)
