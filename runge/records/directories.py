"""Run directories: the only place that knows what the files of a run are called, and in which order they come.

A file appears under its final name only when it is complete, and `metrics.json` comes last: a run is finished exactly
when that file exists.
"""

import csv
import io
import json
import math
import os
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast, get_args

from runge.errors import ConfigurationError
from runge.records.files import discard, read_json, write

Status = Literal["running", "finished", "diverged", "interrupted", "failed"]


@dataclass(frozen=True)
class State:
    """How a run stands: the content of `status.json`.

    Attributes:
        status: what has become of it.
        step: the optimiser steps that it has taken.
        message: what there is to say of it.
        configuration: what tells its configuration from others (`runge.configuration.digest`); empty: not known.
        checksums: those of its final files, by their names.
    """

    status: Status
    step: int
    message: str = ""
    configuration: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)


class RunDirectory:
    """One run's files.

    Args:
        path: the directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.hydra = self.path / ".hydra"
        self.hydra_part = self.path / ".hydra.part"
        self.log = self.path / "train.log"
        self.metrics = self.path / "metrics.json"
        self.history = self.path / "history.csv"
        self.points = self.path / "points.csv"
        self.fit = self.path / "fit.csv"
        self.status = self.path / "status.json"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.path / "checkpoints" / "best.ckpt"
        self.last = self.path / "checkpoints" / "last.ckpt"
        self.next = self.path / "checkpoints" / ".next.ckpt"
        self.fit_figure = self.path / "fit.png"
        self.curves_figure = self.path / "curves.png"
        self.points_figure = self.path / "points.png"

    def begin(self) -> None:
        """Give Hydra's record of the job its name, now that it is whole."""
        if self.hydra.is_dir():
            shutil.rmtree(self.hydra_part, ignore_errors=True)
        elif self.hydra_part.is_dir():
            self.hydra_part.rename(self.hydra)

    def write(
        self,
        state: State,
        history: Mapping[str, Sequence[float]] | None = None,
        metrics: Mapping[str, float | int | None] | None = None,
        points: Mapping[str, Sequence[float]] | None = None,
        fit: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Say how the run stands, and put down what there is of its results, `metrics.json` last.

        Args:
            state: how it stands.
            history: a row for each logged step, `step` first; what is not known stays empty.
            metrics: final figures; what is not a finite number becomes null.
            points: a row for each training point, of those that have moved: `step`, from which on it lay there, and x.
            fit: a row for each of some test points: x, f, f', u, u'.
        """
        tables = {self.history: history, self.points: points, self.fit: fit}
        texts = {path: _csv(columns) for path, columns in tables.items() if columns is not None}
        if metrics is not None:
            texts[self.metrics] = _json(metrics)
        checksums = {path.name: _checksum(text.encode()) for path, text in texts.items()}
        texts[self.status] = json.dumps(asdict(replace(state, checksums=checksums)), indent=2) + "\n"
        for path in (*tables, self.status, self.metrics):
            if path in texts:
                write(path, texts[path])

    def read_state(self) -> State | None:
        """How the run stands, or None where nothing is said of it.

        Raises:
            ConfigurationError: `status.json` is damaged.
        """
        if not self.status.exists():
            return None
        found = read_json(self.status)
        status, step, *texts = (found.get(key) for key in ("status", "step", "message", "configuration"))
        message, configuration = (text or "" for text in texts)
        checksums = found.get("checksums") or {}
        if (
            status not in get_args(Status)
            or type(step) is not int
            or not all(isinstance(text, str) for text in (message, configuration))
            or not isinstance(checksums, dict)
        ):
            raise ConfigurationError(f"{self.status} is damaged (it says {str(found)[:200]})")
        return State(cast(Status, status), step, message, configuration, checksums)

    def read_metrics(self) -> dict[str, float | int | None]:
        """The final figures.

        Raises:
            ConfigurationError: `metrics.json` is damaged.
            OSError: there is none.
        """
        found = read_json(self.metrics)
        self.verify(self.metrics)
        for key, figure in found.items():
            if figure is not None and not (type(figure) in (int, float) and abs(figure) <= sys.float_info.max):
                raise ConfigurationError(f"{self.metrics} is damaged ({key} is {str(figure)[:40]})")
        return found

    def verify(self, path: Path) -> None:
        """See whether one of the final files holds what was written.

        Raises:
            ConfigurationError: it does not.
            OSError: there is none.
        """
        state = self.read_state()
        if state is not None and state.checksums.get(path.name, found := _checksum(path.read_bytes())) != found:
            raise ConfigurationError(f"{path} is damaged (its checksum is not the one in {self.status.name})")

    def discard(self) -> None:
        """Remove a directory in which nothing was trained yet, and the directories above that it leaves empty."""
        discard(self.path, {self.hydra.name, self.hydra_part.name, self.log.name})


def _csv(columns: Mapping[str, Sequence[float]]) -> str:
    """Return columns as text: all digits of a float, no point in an integer, and nothing for NaN."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if x != x else repr(x) for x in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _json(metrics: Mapping[str, float | int | None]) -> str:
    finite = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in metrics.items()}
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"


def _checksum(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


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
        ConfigurationError: it holds no run, or one that has come to its end.
    """
    run = RunDirectory(str(path))
    if not (run.hydra / "config.yaml").is_file():
        raise ConfigurationError(
            f"resume: must be the directory of a run, got {str(path)!r}; there is no {run.hydra / 'config.yaml'}"
        )
    if run.metrics.exists():
        raise ConfigurationError(f"resume: must be a run that is not finished, got {str(path)!r}, which is")
    state = run.read_state()
    if state is not None and state.status == "diverged":
        raise ConfigurationError(
            f"resume: must be a run that can go on, got {str(path)!r}, which diverged: {state.message}"
        )
    return run
