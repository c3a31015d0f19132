"""Tables for the terminal."""

import math
import os
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from runge.groups import Group, Row, text
from runge.metrics import QUANTITIES, key


def error_table(metrics: Mapping[str, float | int | None], regions: Sequence[str], split: str = "test") -> Table:
    """The errors of one run, whole and by region.

    Args:
        metrics: final figures by key.
        regions: the regions' names.
        split: `train`, `val` or `test`.

    Returns:
        A row for the whole and one for each region, a column for each quantity.
    """
    table = _table(f"{split} errors")
    table.add_column("region")
    for quantity in QUANTITIES:
        table.add_column(quantity, justify="right")
    for region in ("", *regions):
        figures = [metrics[key(split, quantity, region)] for quantity in QUANTITIES]
        table.add_row(region or "whole", *map(_figure, figures))
    return table


SHOWN = tuple(key("test", quantity) for quantity in QUANTITIES[:4])
"""The figures that every comparison shows."""


def comparison_table(rows: Sequence[Row], keys: Sequence[str], metric: str) -> Table:
    """Runs side by side.

    Args:
        rows: the runs, in the order in which they are shown.
        keys: the settings in which they differ.
        metric: what they are ranked by.

    Returns:
        A row for each run: those settings, the final test errors, and the status with its reason.
    """
    table = _table(f"{len(rows)} runs by {metric}")
    figures = list(dict.fromkeys((metric, *SHOWN)))
    table.add_column("run", overflow="fold")
    for name in keys:
        table.add_column(name.rpartition(".")[2] if _unique_tail(name, keys) else name, overflow="fold")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    names = short_names([str(row["run"]) for row in rows])
    for name, row in zip(names, rows, strict=True):
        status = row["status"] + (f": {row['message']}" if row.get("message") else "")
        cells = [name, *(text(row.get(key)) for key in keys), *(_figure(row.get(key)) for key in figures), status]
        table.add_row(*map(Text, cells))  # Text: a bracket in a name is no markup
    return table


def group_table(groups: Sequence[Group], metric: str) -> Table:
    """A metric over seeds, group by group."""
    table = _table(f"{metric} over seeds")
    table.add_column("group", overflow="fold")
    for name in ("n", "median", "quartiles", "worst"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in groups:
        lower, upper = found.quartiles
        cells = [found.name, str(len(found.values)), _figure(found.median), f"{lower:.1e} to {upper:.1e}"]
        table.add_row(*map(Text, [*cells, _figure(found.worst)]))
    return table


def short_names(names: Sequence[str]) -> list[str]:
    """Paths without what all of them begin with.

    Example:
        >>> short_names(["outputs/multirun/a/0", "outputs/multirun/a/1"])
        ['0', '1']
    """
    shared = os.path.commonpath([os.path.dirname(name) for name in names]) if names else ""
    return [os.path.relpath(name, shared or ".") if shared else name for name in names]


def _unique_tail(name: str, keys: Sequence[str]) -> bool:
    tail = name.rpartition(".")[2]
    return sum(other.rpartition(".")[2] == tail for other in keys) == 1


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2e}"
