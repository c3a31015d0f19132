"""Runs side by side, ranked and grouped, as a table, a report and a picture."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import yaml
from rich.console import Console

from runge.compare.figure import comparison_figure
from runge.compare.groups import SEEDS, WITHOUT_EFFECT, Row, describe_lead, differing, group, text
from runge.compare.report import render
from runge.compare.tables import comparison_table, group_table
from runge.metrics import is_metric, key
from runge.records.directories import ComparisonDirectory
from runge.records.files import printable, write
from runge.records.panels import png
from runge.records.reading import find_all, read

RANKED_BY = key("test", "mse_df")
_KNOWN = ("run", "status", "message", "step", "overrides")


class Comparison:
    """Runs side by side, the best first, and those that have not finished last.

    Args:
        rows: what is known of each run.
        metric: what they are ranked by; smaller is better.
        group_by: the keys that tell groups apart; None: all in which the runs differ, but for the seeds.

    Raises:
        ValueError: there are no runs, none of them has the metric, or none has one of the keys.
    """

    def __init__(self, rows: Sequence[Row], metric: str = RANKED_BY, group_by: Sequence[str] | None = None) -> None:
        if not rows:
            raise ValueError("DIR, --where: there must be a run, and there is none")
        columns = list(dict.fromkeys(name for row in rows for name in row))
        settings = [name for name in columns if name not in _KNOWN and not is_metric(name)]
        self.metrics = [name for name in columns if is_metric(name)]
        if self.metrics and metric not in self.metrics:
            raise ValueError(f"--metric: must be one of {', '.join(self.metrics)}; got {metric!r}")
        for name in group_by or ():
            if name not in settings:
                raise ValueError(f"--group-by: must be among {', '.join(settings)}; got {name!r}")
        self.metric = metric
        self.rows = sorted(
            rows, key=lambda row: (row["status"] != "finished", row.get(metric) is None, row.get(metric))
        )
        self.keys = differing(rows, [name for name in settings if not name.startswith(WITHOUT_EFFECT)])
        self.group_keys = [name for name in self.keys if name not in SEEDS] if group_by is None else list(group_by)
        self.groups = group(self.rows, self.group_keys, metric)
        self.lead = describe_lead(self.groups)

    def csv(self) -> str:
        """A row for each run: its status, its overrides, the settings in which the runs differ, all final figures."""
        names = [*_KNOWN, *self.keys, *self.metrics]
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(map(_cell, names))
        writer.writerows([[_cell(row.get(name)) for name in names] for row in self.rows])
        return buffer.getvalue()

    def show(self, console: Console) -> None:
        """Print the table of runs, that of groups where there are seeds, and how sure the lead is."""
        console.print(comparison_table(self.rows, self.keys, self.metric, console.width))
        if any(len(found.values) > 1 for found in self.groups):
            console.print(group_table(self.groups, self.metric))
        if self.lead:
            console.print(self.lead, markup=False, highlight=False, soft_wrap=True)

    def save(self, directory: ComparisonDirectory) -> None:
        """Write `comparison.csv`, `comparison.png` and `comparison.html`."""
        directory.path.mkdir(parents=True, exist_ok=True)
        write(directory.table, self.csv())
        write(directory.picture, png(comparison_figure(self.rows, self.groups, self.group_keys, self.metric)))
        write(directory.report, render(self.rows, self.keys, self.groups, self.group_keys, self.metric, self.lead))


def _cell(value: Any) -> Any:
    """A value in a table that a spreadsheet may open: a text that it would take for a formula gets an apostrophe.

    References:
        https://owasp.org/www-community/attacks/CSV_Injection
    """
    if not isinstance(value, str):
        return "" if value is None else value
    value = printable(value)
    return f"'{value}" if value.startswith(("=", "+", "-", "@")) else value


def collect(paths: Sequence[str | os.PathLike[str]], where: Sequence[str] = ()) -> list[Row]:
    """What is known of each run at or below some directories, once each.

    Args:
        paths: runs, sweeps, or directories above them.
        where: `key=value`; a run must have all of these values.

    Raises:
        FileNotFoundError: there is no such directory.
        ValueError: a filter has no `=`, no run has its key, or none its value.
    """
    rows: list[Row] = [read(run) for run in find_all(paths)]
    for condition in where if rows else ():
        name, equals, typed = condition.partition("=")
        known = {known for row in rows for known in row}
        if not equals or name not in known:
            raise ValueError(
                f"--where: must be key=value with a key among {', '.join(sorted(known))}; got {condition!r}"
            )
        kept = [row for row in rows if text(row.get(name)) == typed or _typed(text(row.get(name))) == _typed(typed)]
        if not kept:
            values = ", ".join(sorted({text(row.get(name)) for row in rows}))
            raise ValueError(f"--where: {name} must be one of {values}; got {typed!r}")
        rows = kept
    return rows


def mark(rows: Sequence[Row], failures: Mapping[str, str]) -> list[Row]:
    """Say of runs that they have failed, whose directories could not be written to, or are gone.

    Args:
        rows: what their directories say.
        failures: what there is to say, by the runs' directories.
    """
    rows = [*rows, *({"run": path} for path in failures if not os.path.isdir(path))]
    told = {os.path.abspath(path): printable(message) for path, message in failures.items()}

    def marked(row: Row) -> Row:
        message = told.get(os.path.abspath(str(row["run"])))
        return row if message is None else {**row, "status": "failed", "message": message}

    return [marked(row) for row in rows]


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
