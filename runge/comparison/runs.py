"""Choose the runs of a comparison: read them, filter them, and leave out repetitions."""

import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from runge.comparison.differing_settings import with_labels
from runge.comparison.naming import as_text
from runge.comparison.shown import MOST_NAMES
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard
from runge.records.metrics import VAL_NRMSE, Objective
from runge.records.reading import RunRecord, distinct, find, read, table
from runge.records.trials import Trials

OF_DATA = ("data", "data.file", "data.inputs", "data.outputs", "data.derivatives", "data.rows")
"""The keys of runs on different data, in addition to the keys of the target."""

_BETWEEN_VALUES = re.compile(r",(?![^\[({]*[\])}])")
"""A comma between two values, and not inside the brackets of one."""


def collect(paths: Sequence[str | os.PathLike[str]], where: str | Sequence[str] = ()) -> list[RunRecord]:
    """Read the runs at or below some directories, each once, with the options of groups as they are typed.

    Runs on different rows under the same name of a file have the setting `data.rows`, and runs that divide different
    numbers of labels in different ways `data.labels`.

    Args:
        paths: runs, sweeps, or directories above them.
        where: filters `key=value` or `key=value,value`; only the runs that match all of them are returned. Several
            filters of one key are one with the values of all.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: a filter has no `=`, or no run has its key or its value.
    """
    records = with_labels(with_rows(with_options([read(run) for run in find(*paths)])))
    return [run for run, is_match in zip(records, matches(records, where, "--where"), strict=True) if is_match]


def matches(records: Sequence[RunRecord], conditions: str | Sequence[str], argument: str) -> list[bool]:
    """Return whether each run matches all conditions `key=value` or `key=value,value`, as for `collect`.

    Raises:
        ValueError: as `collect`, with the name of the argument.
    """
    rows, allowed = table(records), defaultdict[str, list[Any]](list)
    for condition in ([conditions] if isinstance(conditions, str) else conditions) if records else ():
        name, equals, wanted = condition.partition("=")
        if not equals or not any(name in row for row in rows):
            keys = sorted({key for row in rows for key in row})
            raise ValueError(f"{argument}: must be key=value, and the key {nearest(name, keys)}; got {condition!r}")
        values = {as_text(row.get(name)) for row in rows}
        for text in [wanted] if wanted in values else _BETWEEN_VALUES.split(wanted):
            if _parsed(text) not in map(_parsed, values):
                raise ValueError(f"{argument}: {name} {nearest(text, sorted(values))}; got {text!r}")
            allowed[name].append(_parsed(text))
    return [all(_parsed(as_text(row.get(name))) in values for name, values in allowed.items()) for row in rows]


def with_options(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs whose settings have the option of each group, as it is typed, instead of the name of its class.

    Classes stay if a run has no options, because a version before 0.3 began it: otherwise the same configuration would
    have two names. They also stay if runs with the same option have different classes, as an experiment may set them.

    If each run has an experiment, its name is the setting `experiment`.
    """
    configured = [record for record in records if record.settings]
    if not all(record.options for record in configured):
        return list(records)
    experiment = {"experiment"} if all("experiment" in record.options for record in configured) else set[str]()
    classes: dict[tuple[str, str], set[object]] = defaultdict(set)
    for record in configured:
        for group, option in record.options.items():
            classes[group, option].add(record.settings.get(group))

    def named(record: RunRecord) -> RunRecord:
        of_one_class = {group: option for group, option in record.options.items() if len(classes[group, option]) == 1}
        options = {name: option for name, option in of_one_class.items() if name in {*record.settings, *experiment}}
        return replace(record, settings={**record.settings, **options})

    return [named(record) for record in records]


def with_rows(records: Sequence[RunRecord]) -> list[RunRecord]:
    """Return runs with the setting `data.rows`, a checksum, where tables of one name and the same columns differ."""
    tables = [tuple(as_text(record.settings.get(key)) for key in OF_DATA) for record in records]
    rows = defaultdict[tuple[str, ...], set[str]](set)
    for name, record in zip(tables, records, strict=True):
        rows[name].add(record.rows)

    return [
        replace(record, settings={**record.settings, "data.rows": record.rows[:8]}) if len(rows[name]) > 1 else record
        for name, record in zip(tables, records, strict=True)
    ]


def mark(records: Sequence[RunRecord], failures: Mapping[str, str]) -> list[RunRecord]:
    """Mark runs as failed whose directories are gone or could not be written to: the keys of `failures`."""
    records = [*records, *(RunRecord(path, "failed") for path in failures if not os.path.isdir(path))]
    changes = {os.path.abspath(path): {"status": "failed", "message": printable(x)} for path, x in failures.items()}
    return [replace(record, **changes.get(os.path.abspath(record.path), {})) for record in records]


def comparable(records: Sequence[RunRecord], trials: Trials | None, board: Leaderboard | None) -> list[RunRecord]:
    """Return the runs that are compared, with the metrics that may rank them.

    Repetitions are left out, except among the runs of a search, to all of which its files refer. A run on all rows of a
    table, whose validation rows are its training rows, loses its validation errors if others do not. A search for the
    default objective has it as a metric.
    """
    records = distinct(records) if trials is None and board is None else list(records)
    if not all(map(validates_on_training, records)):
        records = [_without_validation(record) if validates_on_training(record) else record for record in records]
    return [_with_objective(record) for record in records] if searched_metric(trials) == VAL_NRMSE else records


def validates_on_training(record: RunRecord) -> bool:
    """Return whether the validation rows of a run on a table are its training rows, because no others are left."""
    settings = record.settings
    return record.of_table and settings.get("data.split.val") == 0 and settings.get("data.folds") is None


def searched_metric(trials: Trials | None) -> str | None:
    """Return the only metric that a search minimises; None: there is no search, or it has several."""
    return trials.objective[0] if trials and len(trials.objective) == 1 else None


def _without_validation(record: RunRecord) -> RunRecord:
    return replace(record, figures={name: x for name, x in record.figures.items() if not name.startswith("val/")})


def _with_objective(record: RunRecord) -> RunRecord:
    """Return a run with the default objective, which is not among its figures but follows from them."""
    (value,) = Objective(VAL_NRMSE).values(record.figures)
    return replace(record, figures={**record.figures, VAL_NRMSE: value}) if math.isfinite(value) else record


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the rule for a name: all allowed names if they are few, or else the three most similar ones."""
    if len(names := list(names)) <= MOST_NAMES:
        return f"must be one of {', '.join(names)}"
    near = get_close_matches(name, names, 3, 0) or names[:3]
    return f"must be one of {len(names)}, such as {', '.join(near)} (all are in the table that --csv - prints)"


def _parsed(value: str) -> Any:
    """Return the content of a text as JSON, so that [-1,1] is [-1.0, 1.0] and true True; other texts as they are."""
    try:
        return json.loads(value.lower() if value in ("True", "False") else value)
    except ValueError:
        return value
