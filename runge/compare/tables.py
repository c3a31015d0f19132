"""Tables for the terminal."""

import math
import os
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from runge.compare.groups import Group, label, text
from runge.metrics import QUANTITIES, key
from runge.records.files import printable
from runge.records.reading import RunRecord


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


_MOST_KEYS, _MOST_ROWS, _WIDE = 4, 40, 110


def comparison_table(records: Sequence[RunRecord], keys: Sequence[str], metric: str, width: int) -> Table:
    """Runs side by side.

    Args:
        records: the runs, in the order in which they are shown; of very many the first and those that failed.
        keys: the settings in which they differ.
        metric: what they are ranked by.
        width: that of the terminal, in characters; a wide one also shows the largest errors.

    Returns:
        A row for each run: those settings, the final test errors, and the status with its reason.
    """
    quantities = QUANTITIES[: 4 if width >= _WIDE else 2]
    figures = list(dict.fromkeys((metric, *(key("test", quantity) for quantity in quantities))))
    shown = [record for i, record in enumerate(records) if i < _MOST_ROWS or record.status != "finished"]
    left_out = f", {len(shown)} of them shown" if len(shown) < len(records) else ""
    table = _table(f"{len(records)} runs by {metric}{left_out}")
    columns = {name: [name] for name in keys} if len(keys) <= _MOST_KEYS else {"settings": list(keys)}
    table.add_column("run", overflow="fold")
    for name in columns:
        table.add_column(Text(name.rpartition(".")[2] if _unique_tail(name, keys) else name), overflow="fold")
    for name in figures:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for name, record in zip(short_names([record.path for record in shown]), shown, strict=True):
        own = record.settings
        settings = [text(own.get(part[0])) if len(part) == 1 else label(own, part) for part in columns.values()]
        status = f"{record.status}: {record.message}" if record.message else record.status
        cells = [name, *settings, *(_figure(record.figures.get(figure)) for figure in figures), status]
        table.add_row(*map(Text, cells))
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
    """Paths without what all of them begin with, fit to be shown.

    Example:
        >>> short_names(["outputs/multirun/a/0", "outputs/multirun/a/1"])
        ['0', '1']
    """
    paths = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    return [printable(os.path.relpath(path, shared)) for path in paths]


def _unique_tail(name: str, keys: Sequence[str]) -> bool:
    tail = name.rpartition(".")[2]
    return sum(other.rpartition(".")[2] == tail for other in keys) == 1


def _table(title: str) -> Table:
    # Text, here and for all that comes from a run: a bracket in it is no markup.
    return Table(title=Text(title), title_justify="left", header_style="bold", box=None, pad_edge=False)


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2e}"
