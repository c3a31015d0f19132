"""The roles of the columns of a table: inputs, outputs, or partial derivatives of an output by an input."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runge.data.table import File
from runge.errors import ConfigurationError

__all__ = ["Roles", "find_roles", "listed", "partial_name", "read_arrays"]

_MOST_SHOWN = 40  # columns in a message
_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""The names that pandas gives to the column of an index without a name, in CSV and in Parquet."""

_RISKY = ("=", "+", "-", "@")  # a spreadsheet would evaluate a cell that begins so, and the run's tables have the names


class Roles(NamedTuple):
    """The columns of a table.

    Attributes:
        inputs: the names of the inputs, D.
        outputs: the names of the outputs, P.
        partials: the columns of partial derivatives, by (output, input).
        unused: the names of the other columns.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    partials: Mapping[tuple[str, str], str]
    unused: tuple[str, ...] = ()


def partial_name(output: str, name: str) -> str:
    """Return the name of a partial derivative of an output by an input.

    Example:
        >>> partial_name("drag", "alpha")
        'ddrag_dalpha'
    """
    return f"d{output}_d{name}"


def find_roles(
    file: File,
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
    derivatives: Mapping[str, Mapping[str, str]] | None,
    split: str | None = None,
) -> Roles:
    """Find which columns of a file are what; the arguments are those of `Table`, and `split` its `split_column`.

    Raises:
        ConfigurationError: a column does not exist, or what it is cannot be inferred.
    """
    inputs, outputs = inputs or file.inputs, outputs or file.outputs
    if split is not None:
        _check_columns(file, "split_column", [split])
    if derivatives is None:
        partials = _conventional(file, inputs, outputs)
    else:
        partials = {(y, x): column for y, columns in derivatives.items() for x, column in columns.items()}
        _check_columns(file, "derivatives", list(partials.values()))
    of, by = ([name for name in file.names if name in names] for names in list(zip(*partials, strict=True)) or [[], []])
    besides = [*partials.values(), *([] if split is None else [split])]
    if not (inputs and outputs):
        _check_inferred(file, inputs or by, outputs or of, besides)
    inputs, outputs = inputs or by, outputs or of
    _check_columns(file, "inputs", inputs)
    _check_columns(file, "outputs", outputs)
    if wrong := [pair for pair in partials if pair[0] not in outputs or pair[1] not in inputs]:
        allowed = f"an output of {listed(outputs)} by an input of {listed(inputs)}"
        raise _wrong("derivatives", file, f"must be of {allowed}, got {wrong[0][0]!r} by {wrong[0][1]!r}")
    columns = Counter([*inputs, *outputs, *besides])
    if twice := [name for name, number in columns.items() if number > 1]:
        raise _wrong("inputs", file, f"each column must have one role, got several for {twice[0]!r}")
    unused = [name for name in file.names if name and name not in columns]
    if derivatives is None:
        _check_strays(file, inputs, outputs, unused)
    return Roles(tuple(inputs), tuple(outputs), partials, tuple(unused))


def _conventional(
    file: File, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> dict[tuple[str, str], str]:
    """Find the columns that are named d<output>_d<input> after two other columns."""
    allowed_inputs, allowed_outputs = set(inputs or file.names), set(outputs or file.names)
    partials: dict[tuple[str, str], str] = {}
    for column in file.names:
        pairs = [(y, x) for y, x in _readings(column) if y in allowed_outputs and x in allowed_inputs]
        if len(pairs) > 1:
            raise _wrong("derivatives", file, f"must name the columns, because {column!r} can be read in several ways")
        partials |= dict.fromkeys(pairs, column)
    return partials


def _readings(column: str, flags: re.RegexFlag = re.NOFLAG) -> list[tuple[str, str]]:
    """Return each way to read a name as d<output>_d<input>."""
    cuts = [match.start() for match in re.finditer("(?=_d.)", column, flags)] if re.match("d", column, flags) else []
    return [(column[1:cut], column[cut + 2 :]) for cut in cuts if cut > 1]


def _check_inferred(file: File, inputs: Sequence[str], outputs: Sequence[str], others: Collection[str]) -> None:
    """Raise ConfigurationError unless each column has a role, except the index of a DataFrame."""
    if not (inputs and outputs):
        key, role = ("outputs", "output") if inputs else ("inputs", "input")
        rule = f"must name the {role}s, because no columns are named d<output>_d<input>"
        raise _wrong(key, file, f"{rule}; its columns are {listed(file.names)}")
    left = [name for name in file.names if name and name not in {*inputs, *outputs, *others}]
    if left := [name for name in left if not _INDEX.fullmatch(name)]:
        rule = f"must be named, and outputs too, because {listed(left)} could be either"
        raise _wrong("inputs", file, f"{rule}; inferred are {listed(inputs)} and the outputs {listed(outputs)}")


def _check_columns(file: File, key: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in file.names or not name:
            raise _wrong(key, file, f"must be among its columns, {listed(file.names)}; got {name!r}")
        if not name.isprintable() or name.startswith(_RISKY):
            rule = f"must not begin with one of {' '.join(_RISKY)} nor have control characters; rename the column"
            raise _wrong(key, file, f"{rule}, got {name!r}")


def _check_strays(file: File, inputs: Sequence[str], outputs: Sequence[str], unused: Sequence[str]) -> None:
    """Raise ConfigurationError if the name of an unused column is almost that of a derivative.

    That is a derivative of a chosen output by an input that is no column, or vice versa, or one with other capitals.
    """
    columns, lower = set(file.names), {name.lower() for name in file.names}
    of, by = ({name.lower() for name in names} for names in (outputs, inputs))
    for column in unused:
        if any({y, x} <= columns for y, x in _readings(column)):
            continue  # its output or its input was not chosen
        for y, x in ((y.lower(), x.lower()) for y, x in _readings(column, re.IGNORECASE)):
            if (y in of and x in by) or ((y in of or x in by) and not {y, x} <= lower):
                rule = f"must name the columns of derivatives, because {column!r} looks like one of {y!r} by {x!r}"
                raise _wrong("derivatives", file, f"{rule}, which are no columns; rename it, or add them")


def read_arrays(file: File, roles: Roles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read x, (m, D), y, (m, P), and dydx, (m, P, D); NaN: not known, also where the file has no such column.

    Raises:
        ValueError: a cell is no number, too large, or an unknown input; or there are no rows.
    """
    every = [*roles.inputs, *roles.outputs, *roles.partials.values()]
    names = [name for name in every if name in file.names]
    numbers = file.numbers(names, known=len(roles.inputs))
    columns = dict(zip(names, numbers.T, strict=True))
    unknown = np.full(len(numbers), np.nan)
    x = numbers[:, : len(roles.inputs)].copy()
    y = np.stack([columns.get(output, unknown) for output in roles.outputs], axis=1)
    partials = [[roles.partials.get((output, name), "") for name in roles.inputs] for output in roles.outputs]
    dydx = np.stack([np.stack([columns.get(name, unknown) for name in row], axis=1) for row in partials], axis=1)
    return x, y, dydx


def listed(names: Sequence[str]) -> str:
    """Return names as a message shows them, at most 40."""
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(name for name in names[:_MOST_SHOWN] if name) + more


def _wrong(key: str, file: File, what: str) -> ConfigurationError:
    return ConfigurationError(f"data.{key}: {file.path!r}: {what}")
