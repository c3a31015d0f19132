"""Runs side by side, ranked and grouped, as a table, a report and a picture."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml
from rich.console import Console

from runge.compare.figure import comparison_figure
from runge.compare.groups import SEEDS, describe_lead, differing, group, text
from runge.compare.report import render
from runge.compare.tables import comparison_table, group_table
from runge.configuration import SAME_RESULT
from runge.metrics import TEST_MSE_DF
from runge.records.directories import ComparisonDirectory
from runge.records.files import printable, write
from runge.records.panels import png
from runge.records.reading import COLUMNS, RunRecord, find_all, read, table


class Comparison:
    """Runs side by side, the best first, and those that have not finished last.

    Args:
        records: the runs.
        metric: what they are ranked by; smaller is better.
        group_by: the keys that tell groups apart; None: all in which the runs differ, but for the seeds.

    Raises:
        ValueError: there are no runs, none of them has the metric, or none has one of the keys.
    """

    def __init__(
        self, records: Sequence[RunRecord], metric: str = TEST_MSE_DF, group_by: Sequence[str] | None = None
    ) -> None:
        if not records:
            raise ValueError("DIR, --where: there must be a run, and there is none")
        self.metrics = list(dict.fromkeys(name for record in records for name in record.figures))
        settings = dict.fromkeys(name for record in records for name in record.settings if name not in self.metrics)
        if self.metrics and metric not in self.metrics:
            raise ValueError(f"--metric: must be one of {', '.join(self.metrics)}; got {metric!r}")
        for name in group_by or ():
            if name not in settings:
                raise ValueError(f"--group-by: must be among {', '.join(settings)}; got {name!r}")
        self.metric = metric
        self.records = sorted(
            records,
            key=lambda one: (one.status != "finished", one.figures.get(metric) is None, one.figures.get(metric)),
        )
        names = [name for name in settings if not name.startswith(SAME_RESULT)]
        self.keys = differing([one.settings for one in records], names)
        self.group_keys = [name for name in self.keys if name not in SEEDS] if group_by is None else list(group_by)
        self.groups = group(self.records, self.group_keys, metric)
        self.lead = describe_lead(self.groups)

    def csv(self) -> str:
        """A row for each run: its status, its overrides, the settings in which the runs differ, all final figures."""
        names = [*COLUMNS, *self.keys, *self.metrics]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(_cell, names))
        writer.writerows([[_cell(row.get(name)) for name in names] for row in table(self.records)])
        return buffer.getvalue()

    def show(self, console: Console) -> None:
        """Print the table of runs, that of groups where there are seeds, and how sure the lead is."""
        console.print(comparison_table(self.records, self.keys, self.metric, console.width))
        if any(len(found.values) > 1 for found in self.groups):
            console.print(group_table(self.groups, self.metric))
        if self.lead:
            console.print(self.lead, markup=False, highlight=False, soft_wrap=True)

    def save(self, directory: ComparisonDirectory) -> None:
        """Write `comparison.csv`, `comparison.png` and `comparison.html`."""
        directory.path.mkdir(parents=True, exist_ok=True)
        write(directory.table, self.csv())
        write(directory.picture, png(comparison_figure(self.records, self.groups, self.group_keys, self.metric)))
        write(directory.report, render(self.records, self.keys, self.groups, self.group_keys, self.metric, self.lead))


def _cell(value: Any) -> Any:
    """A value in a table that a spreadsheet may open: a text that it would take for a formula gets an apostrophe.

    References:
        https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return "" if value is None else value
    value = printable(value)
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value


def collect(paths: Sequence[str | os.PathLike[str]], where: Sequence[str] = ()) -> list[RunRecord]:
    """Read the runs at or below some directories, once each.

    Args:
        paths: runs, sweeps, or directories above them.
        where: `key=value`; a run must have all of these values.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: a filter has no `=`, no run has its key, or none its value.
    """
    records = [read(run) for run in find_all(paths)]
    for condition in where if records else ():
        name, equals, typed = condition.partition("=")
        rows = table(records)
        known = {known for row in rows for known in row}
        if not equals or name not in known:
            raise ValueError(
                f"--where: must be key=value with a key among {', '.join(sorted(known))}; got {condition!r}"
            )
        values = [text(row.get(name)) for row in rows]
        kept = [i for i, value in enumerate(values) if value == typed or _typed(value) == _typed(typed)]
        if not kept:
            raise ValueError(f"--where: {name} must be one of {', '.join(sorted(set(values)))}; got {typed!r}")
        records = [records[i] for i in kept]
    return records


def mark(records: Sequence[RunRecord], failures: Mapping[str, str]) -> list[RunRecord]:
    """Mark runs as failed whose directories could not be written to, or are gone.

    Args:
        records: what their directories say.
        failures: the reasons, by the runs' directories.
    """
    records = [*records, *(RunRecord(path, "failed") for path in failures if not os.path.isdir(path))]
    reasons = {os.path.abspath(path): printable(message) for path, message in failures.items()}

    def marked(record: RunRecord) -> RunRecord:
        message = reasons.get(os.path.abspath(record.path))
        return record if message is None else replace(record, status="failed", message=message)

    return [marked(record) for record in records]


def _typed(value: str) -> object:
    """A value as it is meant on the command line, so that [-1,1] is [-1.0, 1.0]."""
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError:
        return value


def publish(comparison: Comparison, directory: ComparisonDirectory) -> None:
    """Print a comparison, then write its report, and say where it is."""
    comparison.show(Console())
    comparison.save(directory)
    print(f"report: {printable(os.path.relpath(directory.report))}")
