"""Check a table for derivatives that contradict the values, equal inputs with different labels, and constants."""

import textwrap
from dataclasses import dataclass
from typing import Any

from runge.composing.composition import compose
from runge.composing.overrides import explain, quoted
from runge.configuration.command_line import command, in_shell, override_of
from runge.configuration.errors import ConfigurationError, listed
from runge.configuration.objects import build
from runge.data.column_roles import Roles, find_roles, read_arrays, without_columns
from runge.data.memory import ARRAYS, FRAME, table_of
from runge.data.table import File, Table
from runge.labels.columns import MOST_LEFT
from runge.labels.contradictions import ColumnNames, Finding, LabelReport, contradictions
from runge.records.files import printable

__all__ = ["Check", "check", "check_rows"]

_WIDTH = 80
"""The letters of a line."""

_FINDINGS_SHOWN = 20
"""The most findings that are printed; `Check.findings` has all of them."""

_OF_ROLES = "data.inputs", "data.outputs", "data.derivatives"
"""The keys that say which column is what."""


@dataclass(frozen=True, repr=False)
class Check:
    """A table that was checked, true if nothing was found; its `repr` is what the command prints.

    Attributes:
        name: the file, or what the table is.
        report: the findings, and the columns of which nothing can be known.
        roles: the roles of its columns.
        overrides: the overrides of the check that say something other than the roles.
    """

    name: str
    report: LabelReport
    roles: Roles
    overrides: tuple[str, ...] = ()

    @property
    def findings(self) -> list[Finding]:
        """The mistakes that were found; rows are named by the index of the table, from 0 without one of its own."""
        return self.report.findings

    @property
    def ok(self) -> bool:
        """True if no contradiction was found."""
        return not self.findings

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return _text(self)


def check(data: Any, *overrides: str) -> Check:
    """Check the labels of a table for contradictions, as `runge check FILE` does.

    Args:
        data: the path of a table, a DataFrame, or arrays in a mapping, as for `runge.fit`.
        *overrides: keys of `data`, such as `"data.outputs=[lift]"`.

    Raises:
        ConfigurationError: the table cannot be read, or an override is not allowed.

    Example:
        >>> import numpy, pandas
        >>> x = numpy.linspace(0, 1, 40)
        >>> found = check(pandas.DataFrame({"x": x, "y": x**2, "dy_dx": -2 * x})).findings
        >>> found[0].what
        'dy_dx has the wrong sign.'
    """
    file = table_of(data, "data.file")
    try:
        section = compose("data=table", override_of("data.file", file.path), *quoted(overrides))["data"]
    except Exception as error:
        if (message := explain(error)) is None:
            raise
        raise ConfigurationError(message) from error
    del section["_target_"]  # it is always a table
    table = build("data", section, Table)
    of_check = tuple(override for override in overrides if override.lstrip("+").partition("=")[0] not in _OF_ROLES)
    return check_rows(file, table, of_check)


def check_rows(file: File, table: Table, overrides: tuple[str, ...] = ()) -> Check:
    """Check the labels in the columns of a file, as `check`, with the overrides that say more than the roles."""
    roles = find_roles(file, table)
    names = ColumnNames(roles.inputs, roles.outputs, roles.partials, file.row_name)
    report = contradictions(*read_arrays(file, roles), names)
    labels = file.frame.index
    findings = [finding._replace(rows=tuple(labels.take([*finding.rows]))) for finding in report.findings]
    return Check(file.path, report._replace(findings=findings), roles, overrides)


def _text(checked: Check) -> str:
    """Return the report as text of 80 columns."""
    report, roles = checked.report, checked.roles
    head = f"{checked.name}: {report.rows} rows; inputs {listed(roles.inputs)}; outputs {listed(roles.outputs)}"
    count = len(report.findings)
    result = f"{count} contradiction{'s' * (count > 1)} found:" if count else "No contradiction was found."
    wrong = {column for finding in report.findings for column in finding.columns}.intersection(roles.partials.values())
    tested, seconds = wrong.union(report.seen), [*roles.seconds.values()]
    untested = {*report.unseen, *report.unknown, *seconds} - wrong
    if untested:
        result = f"Checked {len(tested)} of {len(tested | untested)} columns of derivatives. {result}"
    paragraphs = [_wrapped(head), _wrapped(result)]
    for i, finding in enumerate(report.findings[:_FINDINGS_SHOWN], 1):
        indent = " " * len(number := f"{i}. ")
        lines = [number + finding.what, indent + finding.evidence, indent + f"To do: {finding.advice}"]
        paragraphs.append("\n".join(_wrapped(line, indent) for line in lines))
    if count > _FINDINGS_SHOWN:
        paragraphs.append(_wrapped(f"{count - _FINDINGS_SHOWN} more findings are not shown."))
    if without := _without(checked):
        paragraphs.append(f"To fit without these columns:\n\n    {without}")
    if any(count < report.rows for count in report.compared.values()):
        counts = [f"{name} {count}" for name, count in report.compared.items()]
        paragraphs.append(_wrapped(f"Rows that were compared, of {report.rows}: {listed(counts)}."))
    if report.seen:
        columns = f"{len(report.seen)} column{'s'[: len(report.seen) != 1]} of derivatives"
        paragraphs.append(_wrapped(f"A wrong sign would have been seen in {columns}."))
    if report.unseen:
        why = (
            "A wrong sign might not be seen in these columns, which explain too little or differ much between near rows"
        )
        paragraphs.append(_wrapped(f"{why}: {listed(report.unseen)}."))
    if outputs := [f"{name} {100 * left:.0f} %" for name, left in report.left.items() if left > MOST_LEFT]:
        why = "The derivatives leave much of the differences, because of noise, a coarse difference or distant rows"
        paragraphs.append(_wrapped(f"{why} ({listed(outputs)})."))
    for reason in dict.fromkeys(report.unknown.values()):
        columns = [name for name, of_column in report.unknown.items() if of_column == reason]
        paragraphs.append(_wrapped(f"Not checked, because {reason}: {listed(columns)}."))
    if seconds:
        paragraphs.append(_wrapped(f"Not checked, because they are second derivatives: {listed(seconds)}."))
    labelled = {name for _, name in roles.partials}
    if labelled and (without := [name for name in roles.inputs if name not in labelled]):
        have = "has" if len(without) == 1 else "have"
        how = "slopes that fit the values take their place"
        paragraphs.append(_wrapped(f"{listed(without)} {have} no derivatives; {how}."))
    return "\n\n".join(paragraphs)


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(printable(text), _WIDTH, subsequent_indent=indent, break_long_words=False)


def _without(checked: Check) -> str:
    """Return what fits the table without the wrong columns of derivatives; empty if Hydra cannot read a name."""
    wrong = {column for finding in checked.findings if not finding.rows for column in finding.columns}
    if not (overrides := without_columns(checked.roles, wrong)):
        return ""
    overrides += checked.overrides
    if checked.name in (data := {FRAME: "df", ARRAYS: "arrays"}):
        return f"runge.fit({data[checked.name]}, {', '.join(map(repr, overrides))})"
    return f"{command('fit')} {' '.join(map(in_shell, [checked.name, *overrides]))}"
