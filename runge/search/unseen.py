"""Errors in the rows of a table that networks have not seen, and labels that may be wrong."""

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np

from runge.configuration.validation import Floats
from runge.data.channels import Channels, deviation
from runge.data.column_roles import column_names, find_roles
from runge.data.rows import Rows
from runge.data.table import open_table
from runge.labels.contradictions import ColumnNames
from runge.labels.unseen_rows import LEAST_GROUPS, bounds_of, count_groups, factors_of
from runge.records.fits import LEVEL
from runge.records.leaderboard import ColumnError, OutputError, Suspect
from runge.search.constants import LOSS_ROUND_OFF, NAMED_LABELS
from runge.search.judging import SearchTable

__all__ = ["column_errors", "describe_suspects", "errors_of", "find_suspects"]


def errors_of(residuals: Floats, table: SearchTable) -> list[OutputError]:
    """Return the errors of each output; channels that are known in fewer than nine groups are not judged.

    Args:
        residuals: the residuals in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        table: the table, of n rows.
    """
    groups, (values, *shape) = table.rows.groups, table.rows.dydx.shape[1:]
    few = count_groups(residuals, groups) < LEAST_GROUPS
    residuals, of_slopes = np.where(few, np.nan, residuals), few[values:].reshape(values, *shape)
    channels = (table.without(of_slopes) if of_slopes.any() else table).channels
    errors, bounds = channels.nrmse(residuals), bounds_of(residuals, groups, channels, LEVEL)
    factors = factors_of(residuals, groups, channels)
    numbers = np.concatenate([errors, bounds, errors / factors, errors * factors]).T.tolist()
    outputs = zip(table.rows.outputs, numbers, strict=True)
    return [OutputError(y, *(x if math.isfinite(x) else None for x in row)) for y, row in outputs]


def column_errors(residuals: Floats, table: SearchTable) -> list[ColumnError]:
    """Return the errors of each column of labels; the arguments are those of `errors_of`.

    They are those of outputs without derivatives, of which each has the size of its own labels. A partial derivative
    that is zero up to round-off has none.
    """
    rows = table.rows
    names = [*rows.outputs, *chain.from_iterable(column_names(rows.inputs, rows.outputs, 1))]
    spread = deviation(rows.labels[table.seen])
    matters = spread * table.channels.of_residuals > LOSS_ROUND_OFF
    sizes = np.divide(1, spread, where=matters, out=np.zeros(len(names))) / math.sqrt(len(names))
    channels, count = Channels(sizes, np.zeros((len(names), 1))), (~np.isnan(residuals)).sum(axis=0)
    judged = np.where(count_groups(residuals, rows.groups) < LEAST_GROUPS, np.nan, residuals)
    judged = np.concatenate([judged, np.full(judged.shape, np.nan)], axis=1)
    error, factor = channels.nrmse(judged)[0], factors_of(judged, rows.groups, channels)[0]
    numbers = np.stack([error, error / factor, error * factor], axis=1).tolist()
    return [
        ColumnError(name, *(x if math.isfinite(x) else None for x in row), rows=n)
        for name, row, n in zip(names, numbers, count.tolist(), strict=True)
    ]


def find_suspects(residuals: Floats, rows: Rows) -> list[Suspect]:
    """Return the labels that may be wrong, the largest residual first.

    Args:
        residuals: the residuals in rows that networks have not seen, (n, P + P D), values first; NaN: not known.
        rows: the rows of the table.
    """
    from runge.labels.outliers import outliers  # late: it loads scipy.stats

    outlying = outliers(residuals, rows.x, rows.y, rows.dydx)
    if not outlying:
        return []
    table, labels, outputs = rows.table, rows.labels, len(rows.outputs)
    file = open_table(table.file)
    roles = find_roles(file, table)
    names = ColumnNames(roles.inputs, roles.outputs, roles.partials, file.row_name)
    suspects = list[Suspect]()
    for row, column, deviations in outlying:
        place = (column, None) if column < outputs else divmod(column - outputs, len(rows.inputs))
        label, residual = float(labels[row, column]), float(residuals[row, column])
        number = int(rows.numbers[row])
        where, index = (names.row(number), names.column(place)), file.frame.index[[number]].tolist()
        index = [entry if isinstance(entry, (int, float, str)) else str(entry) for entry in index]  # such as a date
        suspects.append(Suspect(*where, label, label + residual, residual, deviations, *index))
    return suspects


def describe_suspects(suspects: Sequence[Suspect]) -> str:
    """Return a sentence on the labels that may be wrong; empty: there are none.

    Example:
        >>> describe_suspects([Suspect("line 17", "lift", 1.2, 0.8, -0.4, 41.3)]).partition(": ")[2]
        'lift in line 17 is 1.2, predicted 0.8 (41 robust deviations).'
    """
    if not suspects:
        return ""
    which, whose = ("this label", "its row") if len(suspects) == 1 else ("these labels", "their rows")
    labels = [
        f"{label.column} in {label.place} is {label.label:.4g}, predicted {label.predicted:.4g} "
        f"({label.deviations:.0f} robust deviations)"
        for label in suspects[:NAMED_LABELS]
    ]
    if len(suspects) > NAMED_LABELS:
        labels.append(f"{len(suspects) - NAMED_LABELS} more are in leaderboard.json")
    return f"Check {which}, which networks trained without {whose} do not predict: {'; '.join(labels)}."
