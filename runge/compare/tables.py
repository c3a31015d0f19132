"""Tables for the terminal."""

import math
import os
from collections.abc import Mapping, Sequence

from rich.table import Table
from rich.text import Text

from runge.compare.groups import Group, label, text
from runge.compare.ranking import errors_like
from runge.metrics import QUANTITIES, RELATIVE, TEST_MSE_DF, TEST_MSE_F, key, on_test
from runge.records.files import printable
from runge.records.reading import RunRecord

MOST_GROUPS = 10
"""Groups that are listed at once; the others are a click away in the report."""


def error_table(metrics: Mapping[str, float | int | None], regions: Sequence[str], outputs: Sequence[str]) -> Table:
    """Return the test errors of one run: a row for the whole and one per region or output, a column per quantity.

    A run without test points has its validation errors.

    Without regions, as for a table, the errors relative to the standard deviations are shown instead of rel_l2.
    """
    quantities = list(QUANTITIES) if regions else [*list(QUANTITIES)[:4], *RELATIVE]
    groups = outputs if len(outputs) > 1 else regions
    split = "test" if on_test(metrics) else "val"
    table = _table("test errors" if split == "test" else "validation errors, because there are no test rows")
    table.add_column("output" if groups is outputs else "region")
    for quantity in quantities:
        table.add_column(quantity, justify="right")
    for group in ("", *groups):
        figures = [metrics[key(split, quantity, group)] for quantity in quantities]
        table.add_row(Text(printable(group or "whole")), *map(_figure, figures))
    return table


_MOST_KEYS, _MOST_ROWS, _WIDE = 4, 40, 110


def comparison_table(records: Sequence[RunRecord], keys: Sequence[str], metric: str, width: int) -> Table:
    """Return a table of runs: the settings in which they differ, the final test errors, and the status with its reason.

    Of more than 40 runs the first 40 are shown, and those that were interrupted or failed. On a terminal of at least
    110 characters the largest errors are shown too. Ranked by a metric without units, all errors are without units.
    """
    figures = [metric, *errors_like(metric)]
    squared = figures[1:] == [TEST_MSE_F, TEST_MSE_DF]
    if width >= _WIDE:
        figures += [key("test", quantity) for quantity in (("max_f", "max_df") if squared else ("r2_f",))]
    figures = list(dict.fromkeys(figures))
    ended = ("finished", "pruned")
    shown = [record for i, record in enumerate(records) if i < _MOST_ROWS or record.status not in ended]
    left_out = f", {len(shown)} of them shown" if len(shown) < len(records) else ""
    table = _table(f"{len(records)} runs by {metric}{left_out}")
    tails = [name.rpartition(".")[2] for name in keys]
    headers = [tail if tails.count(tail) == 1 else name for name, tail in zip(keys, tails, strict=True)]
    in_one = len(keys) > _MOST_KEYS
    for name in ("run", *(["settings"] if in_one else headers)):
        table.add_column(Text(name), overflow="fold")
    for name in figures:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    for path, record in zip(short_names([record.path for record in shown]), shown, strict=True):
        settings = [label(record.settings, keys)] if in_one else [text(record.settings.get(name)) for name in keys]
        status = f"{record.status}: {record.message}" if record.message else record.status
        cells = [path, *settings, *(_figure(record.figures.get(figure)) for figure in figures), status]
        table.add_row(*map(Text, cells))
    return table


def group_table(groups: Sequence[Group], metric: str) -> Table:
    """Return a table of the best ten groups: their size, and median, quartiles and worst value of the metric."""
    cut = (
        f", the best {MOST_GROUPS} of {len(groups)} groups (all are in the report)" if len(groups) > MOST_GROUPS else ""
    )
    table = _table(f"{metric} over seeds{cut}")
    table.add_column("group", overflow="fold")
    for name in ("n", "median", "quartiles", "worst"):
        table.add_column(name, justify="right", no_wrap=True)
    for group in groups[:MOST_GROUPS]:
        quartiles = "{:.1e} to {:.1e}".format(*group.quartiles)
        cells = group.name, str(len(group.values)), _figure(group.median), quartiles, _figure(group.worst)
        table.add_row(*map(Text, cells))
    return table


def short_names(names: Sequence[str]) -> list[str]:
    """Return printable paths relative to their common parent.

    Example:
        >>> short_names(["outputs/multirun/a/0", "outputs/multirun/a/1"])
        ['0', '1']
    """
    paths = [os.path.abspath(name) for name in names]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    return [printable(os.path.relpath(path, shared)) for path in paths]


def _table(title: str) -> Table:
    # Text, here and in all cells from runs: brackets in a plain string would be markup.
    return Table(title=Text(title), title_justify="left", header_style="bold", box=None, pad_edge=False)


def _figure(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.2e}"
