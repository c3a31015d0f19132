"""Write and read run directories. Only this module knows the names of a run's files, and the order of writing.

A file gets its final name when it is complete, and `metrics.json` is written last: a run is finished if and only if
that file exists.
"""

import csv
import hashlib
import io
import json
import math
import os
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from runge.configuration.command_line import setting
from runge.configuration.errors import ConfigurationError
from runge.records.files import (
    LOCK,
    discard,
    public,
    read_bytes,
    read_json,
    read_yaml,
    shareable,
    without_secrets,
    write,
)

Status = Literal["running", "finished", "diverged", "interrupted", "failed"]
ENDED: tuple[Status, ...] = ("finished", "diverged")
"""The statuses of runs that take no further step."""


FINDINGS = " | "
"""The separator of the findings about a fit in the message of a finished run; each is `what: how`."""


_MOST_OF_TEXT, _MOST_OF_WEIGHTS = 2**28, 2**36
"""The most bytes of a text file and of a checkpoint that are read, a bound on the memory."""

_Time = Annotated[float, Field(ge=0, lt=1e11)]  # until the year 5138


@dataclass(frozen=True, config=ConfigDict(strict=True))
class RunState:
    """The state of a run: the content of `status.json`.

    Attributes:
        status: the run's status.
        step: the number of optimiser steps taken.
        message: the reason for the status; of a finished run the findings about the fit.
        configuration: the digest of the run's configuration (`runge.configuration.objects.digest`); empty: unknown.
        rows: the checksum of the rows of the run's table; empty: it has none, or unknown.
        checksums: the SHA-256 checksums of the final files, by their names; CRC-32 if a version before 0.3 wrote them.
        versions: the versions of runge and torch that trained it; empty: unknown.
        made_with: the content of `runge.process.machine.provenance` where it was trained; empty: a version before 0.3.
        began: when its training first began, in seconds since 1970; 0: unknown.
        written: when this was written, likewise.
    """

    status: Status
    step: Annotated[int, Field(ge=0, lt=2**53)]
    message: str = ""
    configuration: str = ""
    rows: str = ""
    checksums: Mapping[str, str] = field(default_factory=dict)
    versions: str = ""
    made_with: Mapping[str, str] = field(default_factory=dict)
    began: _Time = 0
    written: _Time = 0


class RunDirectory:
    """The files of a run in the directory `path`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.hydra = self.path / ".hydra"
        self.hydra_part = self.path / ".hydra.part"
        self.configuration = self.path / "run.json"
        self.log = self.path / "train.log"
        self.metrics = self.path / "metrics.json"
        self.history = self.path / "history.csv"
        self.points = self.path / "points.csv"
        self.fit = self.path / "fit.csv"
        self.status = self.path / "status.json"
        self.tensorboard = self.path / "tensorboard"
        self.best = self.path / "checkpoints" / "best.ckpt"
        self.last = self.path / "checkpoints" / "last.ckpt"
        self.fit_picture = self.path / "fit.png"
        self.curves_picture = self.path / "curves.png"
        self.profiles_picture = self.path / "profiles.png"
        self.points_picture = self.path / "points.png"

    def begin(self, configuration: Mapping[str, Any], overrides: Sequence[str], options: Mapping[str, str]) -> None:
        """Write the resolved configuration, and then rename Hydra's record of the job, which is complete, too.

        A logger's passwords and tokens are in neither, because run directories are passed on.

        Args:
            configuration: the resolved configuration.
            overrides: the overrides of the run.
            options: the option of each group of the configuration, such as `two_stage_ramp` of `schedule`.
        """
        shown, settings = public(overrides), shareable(configuration)
        content = {"overrides": shown, "options": dict(options), **settings}
        write(self.configuration, json.dumps(content, indent=2) + "\n")
        if shown != list(overrides) or settings != configuration:
            for file in self.hydra_part.glob("*.yaml"):
                write(file, yaml.safe_dump(without_secrets(read_yaml(file)), sort_keys=False))
        if self.hydra_part.is_dir() and not self.hydra.is_dir():
            self.hydra_part.rename(self.hydra)

    def read_configuration(self) -> tuple[dict[str, Any], list[str], dict[str, str]]:
        """Return the resolved configuration, the overrides, and the options; a run before version 0.3 has no options.

        Raises:
            ConfigurationError: `run.json` is damaged.
            OSError: it does not exist or cannot be read.
        """
        configuration = read_json(self.configuration)
        overrides, options = configuration.pop("overrides", []), configuration.pop("options", {})
        if not isinstance(overrides, list) or not isinstance(options, dict):
            raise ConfigurationError(f"{self.configuration} is damaged (overrides must be a list, options an object)")
        return configuration, list(map(str, overrides)), {group: str(option) for group, option in options.items()}

    def write(
        self,
        state: RunState,
        history: Mapping[str, Sequence[float]] | None = None,
        metrics: Mapping[str, float | int | None] | None = None,
        points: Mapping[str, Sequence[float]] | None = None,
        fit: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        """Write the run's state and its available results, `metrics.json` last.

        Args:
            state: the run's state.
            history: a row per logged step, `step` first; NaN becomes an empty cell.
            metrics: final figures; any that is not finite becomes null.
            points: a row per training point of an adaptive run: the `step` at which it was placed, and x.
            fit: a row for each of some test points: x, f, f', u, u'.
        """
        tables = {self.history: history, self.points: points, self.fit: fit}
        texts = {path: _csv(columns) for path, columns in tables.items() if columns is not None}
        if metrics is not None:
            texts[self.metrics] = _json(metrics)
        final = texts if state.status != "running" else {}  # a run may be killed between its history and its status
        checksums = {path.name: _checksum(text.encode()) for path, text in final.items()}
        for path in (self.configuration, self.best) if final else ():
            if path.is_file():
                checksums[path.name] = _checksum(path.read_bytes())
        state = replace(state, checksums=checksums, written=time.time())
        texts[self.status] = json.dumps(asdict(state), indent=2) + "\n"
        for path in (*tables, self.status, self.metrics):
            if path in texts:  # after a power cut, too, `metrics.json` is there only with all others
                write(path, texts[path], sync=metrics is not None and path in (self.status, self.metrics))

    def read_state(self) -> RunState | None:
        """Return the run's state, or None if there is no `status.json`.

        Raises:
            ConfigurationError: `status.json` is damaged.
        """
        if not self.status.exists():
            return None
        content = read_json(self.status)
        try:
            return RunState(**content)
        except (TypeError, ValidationError) as error:
            raise ConfigurationError(f"{self.status} is damaged (it contains {str(content)[:200]})") from error

    def read_metrics(self) -> dict[str, float | int | None]:
        """Return the final figures.

        Raises:
            ConfigurationError: `metrics.json` is damaged.
            OSError: it does not exist or cannot be read.
        """
        metrics = read_json(self.metrics)
        self.read(self.metrics)
        for key, figure in metrics.items():
            if figure is not None and not (type(figure) in (int, float) and abs(figure) <= sys.float_info.max):
                raise ConfigurationError(f"{self.metrics} is damaged ({key!r:.80} is {str(figure)[:40]})")
        return metrics

    def read(self, path: Path) -> bytes:
        """Return the content of one of the final files.

        Raises:
            ConfigurationError: its checksum is not the recorded one, or it is no regular file.
            OSError: it does not exist or cannot be read.
        """
        return self._verified(path, self.read_state())

    def verify(self, state: RunState) -> None:
        """Raise a ConfigurationError if one of the files that are compared does not have its checksum in the state."""
        for path in (self.configuration, self.history, self.points, self.fit, self.metrics):
            if path.is_file():
                self._verified(path, state)

    def _verified(self, path: Path, state: RunState | None) -> bytes:
        most = _MOST_OF_WEIGHTS if path == self.best else _MOST_OF_TEXT
        content, recorded = read_bytes(path, most, self.path), state and state.checksums.get(path.name)
        if recorded and recorded not in (_checksum(content), f"{zlib.crc32(content):08x}"):
            raise ConfigurationError(f"{path} is damaged (its checksum is not the one in {self.status.name})")
        return content

    def discard(self) -> None:
        """Remove the directory if nothing was trained in it yet, and parents that this leaves empty."""
        discard(self.path, {self.hydra.name, self.hydra_part.name, self.configuration.name, self.log.name})


JOURNAL = "journal.json"
MULTIRUN = "multirun.yaml"
"""The files of a sweep that are written before its first run."""


def discard_sweep(directory: Path) -> None:
    """Remove the directory of a sweep if nothing was trained in it yet, and parents that this leaves empty."""
    discard(directory, {JOURNAL, MULTIRUN})


def _csv(columns: Mapping[str, Sequence[float]]) -> str:
    """Return columns as CSV with all digits of a float, and empty cells for NaN."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(["" if x != x else repr(x) for x in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _json(metrics: Mapping[str, float | int | None]) -> str:
    finite = {key: None if isinstance(x, float) and not math.isfinite(x) else x for key, x in metrics.items()}
    return json.dumps(finite, indent=2, allow_nan=False) + "\n"


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_IN_PLACE = (LOCK, "train.log", "checkpoints", "tensorboard", ".hydra", ".hydra.part")
"""The entries of a run's directory that are not written by `write`, which follows no link."""


def refuse_links(directory: Path, key: str, is_sweep: bool = False) -> None:
    """Refuse to write into a directory in which something would be written through a link, a pipe or a device.

    Args:
        directory: the directory of a run, of which these names count; or of a sweep, in which each entry counts.
        key: the key of the configuration that names it.
        is_sweep: whether it is that of a sweep.

    Raises:
        ConfigurationError: there is such an entry.
    """
    # Slurm's folder is checked where it is used; submitit leaves links in it.
    tops = [entry for entry in directory.glob("*") if entry.name != ".submitit"] if is_sweep else []
    for top in tops or map(directory.joinpath, _IN_PLACE):
        for path in (top, *(top.rglob("*") if top.is_dir() and not top.is_symlink() else ())):
            if path.is_symlink() or not (path.is_file() or path.is_dir() or not path.exists()):
                raise ConfigurationError(
                    f"{key}: {str(path)!r} is a link, a pipe or a device, through which a run would write; remove it"
                )


def resumable(path: Any, may_have_finished: bool = False) -> RunDirectory:
    """Return the directory of a run that can be resumed; a finished one only if it may get more steps.

    Raises:
        ConfigurationError: the directory contains no run, or one that has finished or diverged.
    """
    run, rule = RunDirectory(str(path)), f"resume: must be the directory of an unfinished run, got {str(path)!r}"
    if not run.configuration.is_file():
        names = sorted(entry.name for entry in run.path.iterdir()) if run.path.is_dir() else []
        holds = (
            f"which holds {', '.join(names) or 'nothing'}, but no run.json" if run.path.is_dir() else "which is none"
        )
        how = setting("hydra.sweep.dir" if "multirun.yaml" in names else "hydra.run.dir", run.path)
        raise ConfigurationError(f"{rule}, {holds}; repeat the command of a run or sweep there with {how}")
    if run.metrics.exists() and not may_have_finished:
        how = f"{setting('trainer.start', run.path)} begins a new run with its function"
        raise ConfigurationError(f"{rule}, which is finished; it needs a larger trainer.max_steps, or {how}")
    if (state := run.read_state()) is not None and state.status == "diverged":
        raise ConfigurationError(f"{rule}, which diverged: {state.message}")
    refuse_links(run.path, "resume")
    return run
