"""Make tables for the terminal."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runge.comparison.groups import Group
from runge.comparison.metric_columns import fold_columns, terminal_columns
from runge.comparison.naming import BETWEEN, as_text, names_of, short_names
from runge.comparison.ranking import Ranking
from runge.comparison.shown import MOST_GROUPS, MOST_KEYS, MOST_RUNS
from runge.records.directories import FINDINGS
from runge.records.files import printable
from runge.records.metrics import QUANTITIES, RELATIVE, TEST_ENDS, key, on_test
from runge.records.reading import RunRecord


def error_table(
    metrics: Mapping[str, float | int | None], regions: Sequence[str], outputs: Sequence[str], columns: int = 0
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
    title = "test errors" if split == "test" else "validation errors, because there are no test rows"
    table = _table(title, ["output" if groups is outputs else "region"], map(_header, quantities))
    low, high = TEST_ENDS
    rows = {"whole": (split, ""), "95 % from": (low, ""), "95 % to": (high, "")}
    for name, (source, group) in (rows | {name: (split, name) for name in groups}).items():
        cells = []
        for quantity in quantities:
            # Of r2_f, 1 - r2_f is shown, whose low end is the high end of r2_f.
            end = {low: high, high: low}.get(source, source) if quantity == "r2_f" else source
            mixed = columns and groups is outputs and not group and quantity in with_units
            cells.append(_cell(quantity, None if mixed else metrics.get(key(end, quantity, group))))
        if source == split or {*cells} != {"-"}:
            table.add_row(Text(printable(name)), *cells)
    return table


def show(ranking: Ranking, console: Console) -> None:
    """Print the table of runs, the table of groups if there are several seeds, and sentences on rank and lead.

    Of a cross-validation the table of groups comes first, and only those runs are listed that have not finished.
    """
    if ranking.folded:
        console.print(_fold_table(ranking))
    if not ranking.folded or any(record.status != "finished" for record in ranking.records):
        console.print(_run_table(ranking, console.width))
    if not ranking.folded and any(len(group.values) > 1 for group in ranking.groups):
        console.print(_group_table(ranking, ranking.groups, compared=not ranking.effects))
        if ranking.effects:
            console.print(_group_table(ranking, ranking.effects, compared=True))
    for sentence in ranking.sentences:
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _run_table(ranking: Ranking, width: int) -> Table:
    """Return a table of runs: the settings in which they differ, the final test errors, and the status with its reason.

    Settings that are more than four or too wide share a column, a line each; more than four are replaced by overrides.
    Of more than 40 runs the first 40 are shown, and all interrupted and failed ones. On a terminal of at least
    110 characters the largest errors are shown too. Ranked by a metric without units, all errors are without units.
    """
    records, keys = ranking.records, ranking.keys
    metric, names = ranking.metric, terminal_columns(ranking.metric, width)
    most = 0 if ranking.folded else MOST_RUNS
    rows = [i for i, record in enumerate(records) if i < most or record.status != "finished"]
    shown = [records[i] for i in rows]
    runs = short_names([record.path for record in shown])
    tails = {name: name.rpartition(".")[2] for name in keys}
    counts = Counter(tails.values())
    columns = {
        tail if counts[tail] == 1 else name: [as_text(record.settings.get(name)) for record in shown]
        for name, tail in tails.items()
    }
    figures = {_header(name): [_cell(name, record.figures.get(name)) for record in shown] for name in names}
    needed = sum(max(map(len, (name, *cells))) + 2 for name, cells in (columns | figures).items())
    if len(keys) > MOST_KEYS or needed + max(map(len, runs)) + len("finished") > width:  # they would be torn
        settings = names_of(records, keys)
        columns = {"settings": [BETWEEN.sub("\n", settings[i]) for i in rows]}
    left_out = f", {len(shown)} of them shown" if len(shown) < len(records) else ""
    table = _table(f"{len(records)} run{'s'[: len(records) != 1]} by {metric}{left_out}", ["run", *columns], figures)
    table.add_column("status", overflow="fold")
    status = [": ".join(filter(None, (record.status, in_short(record)))) for record in shown]
    for cells in zip(runs, *columns.values(), *figures.values(), status, strict=True):
        table.add_row(*map(Text, cells))
    return table


def in_short(record: RunRecord) -> str:
    """Return a run's message; of a finished run the findings without the advice.

    Example:
        >>> in_short(RunRecord("0", "finished", "explains nothing (R2 = 0): try more rows | overfits: try others"))
        'explains nothing (R2 = 0); overfits'
    """
    if record.status != "finished":
        return record.message
    return "; ".join(finding.partition(": ")[0] for finding in record.message.split(FINDINGS))


def _fold_table(ranking: Ranking) -> Table:
    """Return a table of the best ten groups: their runs, and both errors, mean and standard deviation over folds."""
    best = f", the best {MOST_GROUPS} of {len(ranking.groups)} groups (all are in the report)"
    count = max(len(candidate.folds) for candidate in ranking.groups)
    title = f"{count} folds: mean and standard deviation{best if len(ranking.groups) > MOST_GROUPS else ''}"
    names = fold_columns(ranking.metric)
    columns = [ranking.groups_by(name) for name in names]
    table = _table(title, ["group"], ["runs", *names])
    for candidate in ranking.groups[:MOST_GROUPS]:
        by_metric = [column.get(candidate.name) for column in columns]
        cells = ["-" if entry is None else f"{entry.middle:.2e} ± {entry.deviation:.1e}" for entry in by_metric]
        table.add_row(Text(candidate.name), candidate.size, *cells)
    return table


def _group_table(ranking: Ranking, groups: Sequence[Group], compared: bool) -> Table:
    """Return a table of the first ten groups: their size, median and quartiles, and their difference to another one."""
    which = "first" if ranking.conditions or groups is ranking.effects else "best"
    more = f", the {which} {MOST_GROUPS} of {len(groups)} groups (all are in the report)"
    title = f"{ranking.metric} over seeds{more if len(groups) > MOST_GROUPS else ''}"
    headers = ranking.compared[::2] if compared else ()  # 80 characters
    runs = ["runs"] if any(group.size != str(len(group.seeds)) for group in groups) else []
    table = _table(title, ["group"], ["n", *runs, "median", "quartiles", *headers])
    for group in groups[:MOST_GROUPS]:
        low, _, high = group.quartiles
        difference = ranking.differences.get(group.name) if headers else None
        size = [str(len(group.seeds)), *([group.size] if runs else [])]
        cells = [*size, f"{group.median:.2e}", f"{low:.1e} to {high:.1e}"]
        table.add_row(Text(group.name), *cells, *(difference.cells[::2] if difference else ()))
    return table


def _table(title: str, texts: Iterable[str], figures: Iterable[str]) -> Table:
    # Text, here and in all cells from runs: brackets in a plain string would be markup.
    table = Table(title=Text(title), title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in texts:
        table.add_column(Text(name), overflow="fold")
    for name in figures:
        table.add_column(Text(name), justify="right", no_wrap=name != "runs")  # how many have diverged may be below
    return table


def _header(quantity: str) -> str:
    """Return the header of a figure's column; of r2_f the difference to 1 is shown, because a good fit has 0.999987."""
    return f"1 - {quantity}" if quantity.endswith("r2_f") else quantity


def _cell(quantity: str, value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "-"
    return f"{1 - value if quantity.endswith('r2_f') else value:.2e}"
