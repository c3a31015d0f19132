"""Say which columns of derivatives contradict the values of a table, and leave them out."""

from typing import TYPE_CHECKING

from runge.configuration.command_line import command, in_shell
from runge.data.column_roles import find_roles, of_columns, without_columns
from runge.data.rows import Rows
from runge.data.table import open_table

if TYPE_CHECKING:
    from runge.labels.contradictions import Finding

__all__ = ["describe_wrong_columns", "without_wrong_columns"]

_FINDINGS = dict[tuple[str, str, str], list["Finding"]]()
"""The contradictions of the last table, by the checksum of its rows, its file and its columns."""


def describe_wrong_columns(rows: Rows) -> str:
    """Return sentences on the labels of a table that contradict each other, with the command for more.

    The text is empty if there are no such labels.
    """
    if not (sentences := " ".join(f"{finding.what} {finding.evidence}" for finding in _wrong_columns(rows))):
        return ""
    typed = " ".join([command("check"), *map(in_shell, [rows.table.file, *of_columns(rows.table)])])
    return f"{sentences} The command {typed} shows more."


def without_wrong_columns(rows: Rows) -> list[str]:
    """Return the overrides that leave out the columns of derivatives that contradict the values of a table.

    There are none if no column of derivatives is wrong, or if the names of the other columns cannot be typed.
    """
    wrong = {name for finding in _wrong_columns(rows) if not finding.rows for name in finding.columns}
    return without_columns(find_roles(open_table(rows.table.file), rows.table), wrong) if wrong else []


def _wrong_columns(rows: Rows) -> "list[Finding]":
    """Return the contradictions of a table; the runs of a sweep, whose rows are the same, search for them once."""
    from runge.labels.contradictions import (  # late: only tables need scipy.spatial
        ColumnNames,
        contradictions,
        wrong_columns,
    )

    key = rows.checksum, rows.table.file, repr(rows.table.derivatives)  # columns of equal numbers may have other names
    if key not in _FINDINGS:
        _FINDINGS.clear()

        def findings(names: ColumnNames) -> "list[Finding]":
            of_table = rows.x, rows.y, rows.dydx, names
            return contradictions(*of_table).findings if rows.duplicates else wrong_columns(*of_table)

        contradicting = findings(ColumnNames(rows.inputs, rows.outputs))
        if contradicting:  # only then the file is read again, for the names of its columns and rows
            file = open_table(rows.table.file)
            partials, numbers = find_roles(file, rows.table).partials, rows.numbers
            contradicting = findings(
                ColumnNames(rows.inputs, rows.outputs, partials, lambda n: file.row_name(int(numbers[n])))
            )
        _FINDINGS[key] = contradicting
    return _FINDINGS[key]
