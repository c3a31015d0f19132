"""The origin of runs: what they are fitted to, their command, their time, their versions, and their common settings."""

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import yaml

from runge.comparison.naming import BETWEEN, text
from runge.comparison.ranking import Ranking
from runge.configuration.objects import SAME_BITS
from runge.configuration.words import command, in_shell
from runge.records.files import printable
from runge.records.reading import RunRecord, find

_MOST = 3
_NOT_SHOWN = (
    *(key for key in SAME_BITS if key != "objective"),  # a logger's may be secret
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.mode",
    "hydra.job",
    "hydra.launcher.processes",
)


class Origin(NamedTuple):
    """The origin of runs; a text is empty if it is not known, or differs.

    Attributes:
        fitted: the files, formulas or targets that are fitted.
        command: the command of the run or of the sweep.
        trained: when the first run began and the last one ended.
        versions: the versions of runge and torch.
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
        [f"{key}={text(records[0].settings.get(key))}" for key in ranking.common],
    )


def _fitted(record: RunRecord) -> str:
    """Return the name of what a run is fitted to: its file, its formula or its target."""
    if file := record.settings.get("data.file"):
        return printable(os.path.basename(file))
    target = record.settings.get("target")
    return text(record.settings.get("target.expr") or (target and f"target={text(target)}") or "")


def _command(records: Sequence[RunRecord]) -> str:
    """Return the command of a sweep, if these are all of its runs, or else that of a single run."""
    typed_in, flag = _of_sweep(records), ["-m"]
    if typed_in is None and len(records) == 1 and (given := records[0].overrides) is not None:
        typed_in, flag = [one for one in BETWEEN.split(given) if not one.startswith(("search=", "search."))], []
    if typed_in is None:
        return ""
    own = [one for one in typed_in if one and not one.lstrip("+~").startswith(_NOT_SHOWN)]
    return printable(" ".join([command(), *flag, *map(in_shell, own)]))


def _of_sweep(records: Sequence[RunRecord]) -> list[str] | None:
    """Return the overrides of a sweep by the record that Hydra leaves of it; None if damaged, or of other runs too."""
    folder, *others = {Path(record.path).parent for record in records}
    file = folder / "multirun.yaml"
    if others or not file.is_file():
        return None
    if not {run.path.resolve() for run in find(folder)} <= {Path(record.path).resolve() for record in records}:
        return None
    try:
        given = yaml.safe_load(file.read_text(encoding="utf-8"))["hydra"]["overrides"]
        return [*map(str, given["hydra"]), *map(str, given["task"])]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError):
        return None


def _trained(records: Sequence[RunRecord]) -> str:
    """Return when the first run began, and when the last one wrote its status; empty if no status says it."""
    runs = [record for record in records if record.began]
    try:
        times = [min(one.began for one in runs), max(one.written for one in runs)]
        first, last = (datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M") for time in times)
    except (ValueError, OverflowError, OSError):  # there is none, or no clock shows it
        return ""
    same = first.partition(" ")[0] == last.partition(" ")[0]
    return first if first == last else f"{first} to {last.partition(' ')[2] if same else last}"
