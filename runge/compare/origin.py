"""The origin of runs: what they are fitted to, their command, their time, their versions, and their common settings."""

import os
import shlex
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import yaml

from runge.compare.naming import text, typed
from runge.compare.ranking import Ranking
from runge.configuration import SAME_RESULT
from runge.errors import command
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.reading import RunRecord

_MOST = 3
_NOT_SHOWN = (
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.mode",
    "hydra.job",
    "hydra.launcher.processes",
    "trainer.progress_bar",
)


class Origin(NamedTuple):
    """The origin of runs; a text is empty if it is not known, or differs.

    Attributes:
        fitted: the files, formulas or targets that are fitted.
        command: the command of the run or of the sweep.
        trained: when the first run began and the last one ended.
        versions: the versions of runge and its libraries.
        fixed: the settings that all runs have in common, as they are typed.
    """

    fitted: str
    command: str
    trained: str
    versions: str
    fixed: list[str]


def origin_of(ranking: Ranking) -> Origin:
    """Return the origin of the runs of a comparison."""
    records = ranking.records
    fitted = list(dict.fromkeys(filter(None, map(_fitted, records))))
    listed = ", ".join(fitted) if len(fitted) <= _MOST else f"{len(fitted)} functions"
    return Origin(
        listed or "runs",
        _command(records),
        _trained(records),
        "; ".join(sorted({record.versions for record in records if record.versions})),
        [
            f"{key}={typed(key, value)}"
            for key, value in records[0].settings.items()
            if not key.startswith(SAME_RESULT)
            and all(key in one.settings and text(one.settings[key]) == text(value) for one in records)
        ],
    )


def _fitted(record: RunRecord) -> str:
    """Return the name of what a run is fitted to: its file, its formula or its target."""
    if file := record.settings.get("data.file"):
        return printable(os.path.basename(file))
    target = record.settings.get("target")
    return text(record.settings.get("target.expr") or (target and f"target={typed('target', target)}") or "")


def _command(records: Sequence[RunRecord]) -> str:
    """Return the command of a run, or of the sweep of which all runs are, by the record that Hydra leaves of it."""
    folders = {Path(record.path).parent for record in records}
    file = folders.pop() / "multirun.yaml"
    if not folders and file.is_file():
        try:
            given = yaml.safe_load(file.read_text())["hydra"]["overrides"]
            own = [one for one in (*given["hydra"], *given["task"]) if not one.startswith(_NOT_SHOWN)]
            return printable(f"{command()} -m {shlex.join(own)}")
        except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
            return ""  # damaged
    return f"{command()} {records[0].overrides}" if len(records) == 1 and records[0].overrides else ""


def _trained(records: Sequence[RunRecord]) -> str:
    """Return when the first run began, and when the last one wrote its status."""
    runs = [RunDirectory(record.path) for record in records]
    began = [run.configuration.stat().st_mtime for run in runs if run.configuration.exists()]
    ended = [run.status.stat().st_mtime for run in runs if run.status.exists()]
    if not began or not ended:
        return ""
    first, last = (datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M") for time in (min(began), max(ended)))
    same = first.partition(" ")[0] == last.partition(" ")[0]
    return first if first == last else f"{first} to {last.partition(' ')[2] if same else last}"
