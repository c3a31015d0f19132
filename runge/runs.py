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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

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
        if {entry.name for entry in self.path.iterdir()} <= {self.hydra.name, self.log.name}:
            shutil.rmtree(self.path)
            with suppress(OSError):  # not empty: another run lives there
                for parent in (self.path.parent, self.path.parent.parent):
                    parent.rmdir()


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


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a run's JSON files."""
    return json.loads(path.read_text())
