"""Tables for the terminal."""

import math
import os
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runge.compare.groups import Group, errors_like
from runge.compare.naming import BETWEEN, MOST_KEYS, names_of, typed
from runge.compare.ranking import Ranking
from runge.metrics import QUANTITIES, RELATIVE, TEST_ENDS, TEST_MSE_DF, TEST_MSE_F, key, on_test
from runge.runs.directories import FINDINGS
from runge.runs.files import printable
from runge.runs.reading import RunRecord

MOST_GROUPS = 10
"""Groups that are listed at once; the others are a click away in the report."""


_OTHER_END: dict[str, str] = dict(zip(TEST_ENDS, reversed(TEST_ENDS), strict=True))


def error_table(
    metrics: Mapping[str, float | int | None],
    regions: Sequence[str],
    outputs: Sequence[str],
    columns: int = 0,
) -> Table:
    """Return the test errors of one run: a row for the whole and one per region or output, a column per quantity.

    A run without test points has its validation errors. Without regions, as for a table, the errors relative to the
    standard deviations are shown instead of rel_l2. The columns of a table have their own units: an error in units is
    not averaged over outputs, nor over inputs. If there are few test rows, the ends of 95 % intervals follow.

    Args:
        metrics: the run's figures.
        regions: the names of the regions.
        outputs: the names of the outputs.
        columns: the number of inputs that are columns of a table; 0: a formula.
    """
    with_units = list(QUANTITIES)[:4]
    quantities = list(QUANTITIES) if regions else [*with_units, *RELATIVE]
    if columns > 1:
        quantities = [quantity for quantity in quantities if quantity not in ("mse_df", "max_df")]
    groups = outputs if len(outputs) > 1 else regions
    split = "test" if on_test(metrics) else "val"
    table = _table("test errors" if split == "test" else "validation errors, because there are no test rows")
    table.add_column("output" if groups is outputs else "region")
    for quantity in quantities:
        table.add_column(_header(quantity), justify="right")
    for group in ("", *groups):
        mixed = with_units if columns and groups is outputs and not group else []
        rows = {group or "whole": split} | ({} if group else {"95 % from": TEST_ENDS[0], "95 % to": TEST_ENDS[1]})
        for name, part in rows.items():
            parts = dict.fromkeys(quantities, part) | {"r2_f": _OTHER_END.get(part, part)}  # 1 - r2_f is shown
            figures = {one: None if one in mixed else metrics.get(key(parts[one], one, group)) for one in quantities}
            if part == split or any(figure is not None for figure in figures.values()):
                table.add_row(Text(printable(name)), *(_cell(one, figure) for one, figure in figures.items()))
    return table


_MOST_ROWS, _WIDE = 40, 110


def show(ranking: Ranking, console: Console) -> None:
    """Print the table of runs, the table of groups if there are several seeds, and sentences on rank and lead."""
    console.print(_run_table(ranking.records, ranking.keys, ranking.metric, console.width))
    if any(len(group.values) > 1 for group in ranking.groups):
        console.print(_group_table(ranking.groups, ranking.metric))
    for sentence in ranking.sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _run_table(records: Sequence[RunRecord], keys: Sequence[str], metric: str, width: int) -> Table:
    """Return a table of runs: the settings in which they differ, the final test errors, and the status with its reason.

    Settings that are more than four or too wide share a column, a line each; more than four are replaced by overrides.
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
    table = _table(f"{len(records)} run{'s'[: len(records) != 1]} by {metric}{left_out}")
    tails = [name.rpartition(".")[2] for name in keys]
    headers = [tail if tails.count(tail) == 1 else name for name, tail in zip(keys, tails, strict=True)]
    columns = {
        name: [typed(key, record.settings.get(key)) for record in shown]
        for name, key in zip(headers, keys, strict=True)
    }
    runs = short_names([record.path for record in shown])
    figure_columns = {_header(name): [_cell(name, record.figures.get(name)) for record in shown] for name in figures}
    needed = sum(max(map(len, (name, *cells))) + 2 for name, cells in (columns | figure_columns).items())
    if len(keys) > MOST_KEYS or needed + max(map(len, runs), default=0) + len("finished") > width:  # they would be torn
        names = dict(zip([record.path for record in records], names_of(records, keys), strict=True))
        columns = {"settings": [BETWEEN.sub("\n", names[record.path]) for record in shown]}
    for name in ("run", *columns):
        table.add_column(Text(name), overflow="fold")
    for name in figure_columns:
        table.add_column(Text(name), justify="right", no_wrap=True)
    table.add_column("status", overflow="fold")
    status = [": ".join(filter(None, (record.status, in_short(record)))) for record in shown]
    for cells in zip(runs, *columns.values(), *figure_columns.values(), status, strict=True):
        table.add_row(*map(Text, cells))
    return table


def in_short(record: RunRecord) -> str:
    """Return a run's message, of a finished run what is the case without what to try.

    Example:
        >>> in_short(RunRecord("0", "finished", "explains nothing (R2 = 0): try more rows | overfits: try others"))
        'explains nothing (R2 = 0); overfits'
    """
    if record.status != "finished":
        return record.message
    return "; ".join(finding.partition(": ")[0] for finding in record.message.split(FINDINGS))


def _group_table(groups: Sequence[Group], metric: str) -> Table:
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
        cells = group.name, group.size, f"{group.median:.2e}", quartiles, f"{group.worst:.2e}"
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


def _header(quantity: str) -> str:
    """Return the header of a figure's column; of r2_f the difference to 1 is shown, because a good fit has 0.999987."""
    return f"1 - {quantity}" if quantity.endswith("r2_f") else quantity


def _cell(quantity: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{1 - value if quantity.endswith('r2_f') else value:.2e}"
