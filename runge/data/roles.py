"""The roles of the columns of a table: inputs, outputs, or partial derivatives of an output by an input."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from runge.data.columns import TableFile, shown
from runge.errors import ConfigurationError

__all__ = ["FARTHEST", "Roles", "find_roles", "listed", "partial_name", "read_arrays"]

FARTHEST = 1e100
"""The largest absolute value of a cell: its square is a number."""

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
    file: TableFile,
    inputs: Sequence[str] | None,
    outputs: Sequence[str] | None,
    derivatives: Mapping[str, Mapping[str, str]] | None,
    besides: Collection[str] = (),
) -> Roles:
    """Find which columns of a file are what.

    Args:
        file: the file.
        inputs: the names of the inputs; None: those by which there are derivatives.
        outputs: the names of the outputs; None: those of which there are derivatives.
        derivatives: the columns of the derivatives, {output: {input: column}}; None: those named d<output>_d<input>.
        besides: columns that are something else.

    Raises:
        ConfigurationError: a column does not exist, or what it is cannot be inferred.
    """
    if len(file.names) < 2:
        rule = "must have a column for each input and output, with their names in the first line of a CSV file"
        raise _wrong(
            "file", file, f"{rule}, separated by commas, semicolons or tabs; got one column, {file.names[0]!r}"
        )
    inputs, outputs = inputs or file.inputs, outputs or file.outputs
    if derivatives is None:
        partials = _conventional(file, inputs, outputs)
    else:
        partials = {(y, x): column for y, columns in derivatives.items() for x, column in columns.items()}
        for (output, name), column in partials.items():
            if name not in file.names:
                rule = f"must be {{output: {{input: column}}}}, an input being one of its columns, {listed(file.names)}"
                raise _wrong("derivatives", file, f"{rule}; got {column!r} of {output!r} by {name!r}")
        _check_columns(file, "derivatives", list(partials.values()))
    named = [list(dict.fromkeys(names)) for names in zip(*partials, strict=True)] or [[], []]
    if not (inputs and outputs):
        _check_inferred(file, inputs or named[1], outputs or named[0], {*partials.values(), *besides})
    order = {name: i for i, name in enumerate(file.names)}
    last = len(order)
    inputs = inputs or sorted(named[1], key=lambda name: order.get(name, last))
    outputs = outputs or sorted(named[0], key=lambda name: order.get(name, last))
    _check_columns(file, "inputs", inputs)
    _check_columns(file, "outputs", outputs)
    for output, name in partials:
        if output not in outputs or name not in inputs:
            allowed = f"an output of {listed(outputs)} by an input of {listed(inputs)}"
            raise _wrong("derivatives", file, f"must be of {allowed}, got {output!r} by {name!r}")
    columns = Counter([*inputs, *outputs, *partials.values(), *besides])
    if twice := [name for name, number in columns.items() if number > 1]:
        raise _wrong("inputs", file, f"each column must have one role, got several for {twice[0]!r}")
    unused = [name for name in file.names if name and name not in columns]
    if derivatives is None:
        _check_strays(file, inputs, outputs, unused)
    return Roles(tuple(inputs), tuple(outputs), partials, tuple(unused))


def _conventional(
    file: TableFile, inputs: Sequence[str] | None, outputs: Sequence[str] | None
) -> dict[tuple[str, str], str]:
    """Find the columns that are named d<output>_d<input> after two other columns."""
    allowed_inputs, allowed_outputs = set(inputs or file.names), set(outputs or file.names)
    found: dict[tuple[str, str], str] = {}
    for column in file.names:
        pairs = [(y, x) for y, x in _readings(column) if y in allowed_outputs and x in allowed_inputs]
        if len(pairs) > 1:
            raise _wrong("derivatives", file, f"must name the columns, because {column!r} can be read in several ways")
        found |= dict.fromkeys(pairs, column)
    return found


def _readings(column: str, flags: re.RegexFlag = re.NOFLAG) -> list[tuple[str, str]]:
    """Return each way to read a name as d<output>_d<input>."""
    cuts = [match.start() for match in re.finditer("(?=_d.)", column, flags)] if re.match("d", column, flags) else []
    return [(column[1:cut], column[cut + 2 :]) for cut in cuts if cut > 1]


def _check_inferred(file: TableFile, inputs: Sequence[str], outputs: Sequence[str], others: Collection[str]) -> None:
    if not (inputs and outputs):
        key, role = ("outputs", "output") if inputs else ("inputs", "input")
        rule = f"must name the {role}s, because no columns are named d<output>_d<input>"
        raise _wrong(key, file, f"{rule}; its columns are {listed(file.names)}{_unclear(file)}")
    left = [name for name in file.names if name and name not in {*inputs, *outputs, *others}]
    if left := [name for name in left if not _INDEX.fullmatch(name)]:
        rule = f"must be named, and outputs too, because {listed(left)} could be either"
        inferred = f"inferred are the inputs {listed(inputs)} and the outputs {listed(outputs)}"
        raise _wrong("inputs", file, f"{rule}: {inferred}{_unclear(file)}")


def _unclear(file: TableFile) -> str:
    """Say which columns are named as a derivative of or by what is no column, and which columns have no name."""
    missing: dict[str, list[str]] = {}
    for column in file.names:
        readings = _readings(column)
        if readings and not any(pair <= set(file.names) for pair in map(set, readings)):
            for name in (name for name in readings[0] if name not in file.names):
                missing.setdefault(name, []).append(column)
    said = [f"; there is no column {name!r} for {listed(columns)}" for name, columns in missing.items()]
    said += [f"; column {i} has no name" for i, name in enumerate(file.names, 1) if not name]
    return "".join(said[:_MOST_SHOWN])


def _check_columns(file: TableFile, key: str, names: Sequence[str]) -> None:
    for name in names:
        if name not in file.names or not name:
            alone = [column for column in file.names if key == "outputs" and column.startswith(partial_name(name, ""))]
            then = (
                f"; {alone[0]!r} alone determines it up to a constant: add {name!r}, known in one row" if alone else ""
            )
            raise _wrong(key, file, f"must be among its columns, {listed(file.names)}; got {name!r}{then}")
        if not name.isprintable() or name.startswith(_RISKY):
            rule = f"must not begin with one of {' '.join(_RISKY)} nor have control characters; rename the column"
            raise _wrong(key, file, f"{rule}, got {name!r}")


def _check_strays(file: TableFile, inputs: Sequence[str], outputs: Sequence[str], unused: Sequence[str]) -> None:
    """Raise ConfigurationError if the name of an unused column is almost that of a derivative.

    That is a derivative of a chosen output by an input that is no column, or vice versa, or one with other capitals.
    """
    columns, lower = set(file.names), {name.lower() for name in file.names}
    of, by = ({name.lower(): name for name in names} for names in (outputs, inputs))
    for column in unused:
        if any({y, x} <= columns for y, x in _readings(column)):
            continue  # its output or its input was not chosen
        for y, x in _readings(column, re.IGNORECASE):
            output, name = of.get(y.lower()), by.get(x.lower())
            if output and name:
                why = f"looks like one, which would be {partial_name(output, name)!r}; rename it"
            elif (output or name) and not {y.lower(), x.lower()} <= lower:
                why = f"is one by its name, and its {f'input {x!r}' if output else f'output {y!r}'} is no column"
            else:
                continue
            raise _wrong("derivatives", file, f"must name the columns of derivatives, because {column!r} {why}")


def read_arrays(file: TableFile, roles: Roles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read x, (m, D), y, (m, P), and dydx, (m, P, D); NaN: not known, also where the file has no such column.

    Raises:
        ValueError: a cell is no number, too large, or an unknown input; or there are no rows.
    """
    every = [*roles.inputs, *roles.outputs, *roles.partials.values()]
    names = [name for name in every if name in file.names]
    numbers = file.numbers(names)
    if not len(numbers):
        raise file.wrong("must have at least one row, got none")
    n_inputs = len(roles.inputs)
    with np.errstate(invalid="ignore"):
        wrong = np.abs(numbers) > FARTHEST
    wrong[:, :n_inputs] |= np.isnan(numbers[:, :n_inputs])
    if wrong.any():
        row, i = np.argwhere(wrong)[0]
        number = numbers[row, i]
        rule = "an input must be known" if np.isnan(number) else f"must be finite and within {FARTHEST:g} of 0"
        got = "an empty cell or NaN" if np.isnan(number) else f"{number:g}"
        raise file.wrong(f"{file.place(row)}, column {names[i]!r}: {rule}, got {got}")
    x = numbers[:, :n_inputs].copy()
    y = np.full((len(x), len(roles.outputs)), np.nan)
    dydx = np.full((len(x), len(roles.outputs), n_inputs), np.nan)
    for p, output in enumerate(roles.outputs):
        if output in file.names:
            y[:, p] = numbers[:, names.index(output)]
        for d, name in enumerate(roles.inputs):
            if (column := roles.partials.get((output, name))) in names:
                dydx[:, p, d] = numbers[:, names.index(column)]
    return x, y, dydx


def listed(names: Sequence[str]) -> str:
    """Return names as a message shows them, at most 40."""
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return ", ".join(name for name in names[:_MOST_SHOWN] if name) + more


def _wrong(key: str, file: TableFile, what: str) -> ConfigurationError:
    return ConfigurationError(f"data.{key}: {shown(file.path)}: {what}")
