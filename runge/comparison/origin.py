"""Describe the origin of runs: their data, their command, their time, their versions, and their common settings."""

import os
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from runge.comparison.naming import BETWEEN, as_text
from runge.comparison.shown import MOST_FITTED
from runge.configuration.command_line import command, in_shell
from runge.configuration.objects import SAME_BITS
from runge.records.files import printable, read_yaml
from runge.records.reading import RunRecord, find

_OF_SEARCH = ("search=", "search.")
"""The beginnings of the overrides of a search, which the command of one of its runs does not have."""

_NOT_SHOWN = tuple(key for key in SAME_BITS if key != "objective")
"""The keys that a shown command does not have, because they change no result, and because a logger's may be secret."""

_TRUSTED = re.compile(
    r"-|.*(_target_|\$\{|activation\W.*\.)"  # an option of Hydra, a class, a resolver, and a function's module
    r"|[+~]*(hydra[^/\w]|logger\b)|[^.=@]*(@[^=]*)?=.*\.\.",  # and an option of a group in another folder
    re.DOTALL,
)
"""The overrides that may run code or write elsewhere, because a command is trusted and a file is not."""


class Origin(NamedTuple):
    """The origin of runs; a text is empty if it is not known, or differs.

    Attributes:
        fitted: the files, formulas or targets that are fitted.
        command: the command of the run or of the sweep.
        trained: when the first run began and the last one ended.
        versions: the versions of runge and torch, the commits, Python and the processor.
        fixed: the settings that all runs have in common, as they are typed.
    """

    fitted: str
    command: str
    trained: str
    versions: str
    fixed: list[str]


def command_of(overrides: Iterable[str], *, sweep: bool) -> str:
    """Return the command that trains with the overrides of a file, without those that are trusted in a command.

    Example:
        >>> command_of(["seed=range(3)", "optimizer._target_=mine.Own", "--config-dir=mine"], sweep=True)
        "runge train -m 'seed=range(3)'"
    """
    shown = [override for override in overrides if not _TRUSTED.match(override)]
    return printable(" ".join([command(), *["-m"] * sweep, *map(in_shell, shown)]))


def origin_of(records: Sequence[RunRecord], common: Sequence[str]) -> Origin:
    """Return the origin of runs, given the keys of their common settings."""
    fitted = list(dict.fromkeys(filter(None, map(_fitted, records))))
    listed = ", ".join(fitted) if len(fitted) <= MOST_FITTED else f"{len(fitted)} functions"
    return Origin(
        listed or "runs",
        _command(records),
        _trained(records),
        "; ".join(sorted({f"{x.versions}{f', {x.made_with}' if x.made_with else ''}" for x in records if x.versions})),
        [f"{key}={as_text(records[0].settings.get(key))}" for key in common],
    )


def _fitted(record: RunRecord) -> str:
    """Return the name of the data of a run: its file, its formula or its target."""
    if file := record.settings.get("data.file"):
        return printable(os.path.basename(file))
    target = record.settings.get("target")
    return as_text(record.settings.get("target.expr") or (target and f"target={as_text(target)}") or "")


def _command(records: Sequence[RunRecord]) -> str:
    """Return the command of a sweep, if these are all of its runs, or else the command of a single run."""
    typed_in = of_sweep = _of_sweep(records)
    if typed_in is None and len(records) == 1 and (overrides := records[0].overrides) is not None:
        typed_in = [override for override in BETWEEN.split(overrides) if not override.startswith(_OF_SEARCH)]
    if typed_in is None:
        return ""
    shown = [override for override in typed_in if override and not override.lstrip("+~").startswith(_NOT_SHOWN)]
    return command_of(shown, sweep=of_sweep is not None)


def _of_sweep(records: Sequence[RunRecord]) -> list[str] | None:
    """Return the overrides of a sweep from the file of Hydra; None: it is damaged, or also of other runs."""
    folder, *other_folders = {Path(record.path).parent for record in records}
    file = folder / "multirun.yaml"
    if other_folders or not file.is_file():
        return None
    if not {run.path.resolve() for run in find(folder)} <= {Path(record.path).resolve() for record in records}:
        return None
    try:
        overrides = read_yaml(file)["hydra"]["overrides"]
        if not all(isinstance(override, str) for override in (*overrides["hydra"], *overrides["task"])):
            raise TypeError("overrides are texts")
        return [*overrides["hydra"], *overrides["task"]]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _trained(records: Sequence[RunRecord]) -> str:
    """Return the time of the first run's start and of the last status; empty: it is not known."""
    runs = [record for record in records if record.began]
    try:
        times = [min(record.began for record in runs), max(record.written for record in runs)]
        first, last = (datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M") for time in times)
    except (ValueError, OverflowError, OSError):  # there is none, or no clock shows it
        return ""
    is_one_day = first.partition(" ")[0] == last.partition(" ")[0]
    return first if first == last else f"{first} to {last.partition(' ')[2] if is_one_day else last}"
