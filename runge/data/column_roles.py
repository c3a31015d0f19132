"""The roles of the columns of a table: inputs, outputs, or partial derivatives of an output by an input."""

import itertools
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from runge.configuration.command_line import escaped, override_of
from runge.configuration.errors import ConfigurationError, listed
from runge.data.table import File, Table

__all__ = ["Roles", "column_names", "columns_override", "find_partials", "find_roles", "find_seconds"]
__all__ += ["mistake_in", "of_columns", "partial_name", "read_arrays", "read_seconds", "second_name", "without_columns"]

_INDEX = re.compile(r"Unnamed: \d+|__index_level_\d+__")
"""The names that pandas gives to the column of an index without a name, in CSV and in Parquet."""

_RISKY = ("=", "+", "-", "@")
"""The beginnings of a cell that a spreadsheet would evaluate: the tables of a run contain the names of columns."""


class Roles(NamedTuple):
    """The columns of a table: inputs, outputs, partial derivatives by (output, input), and unused columns."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    partials: Mapping[tuple[str, str], str]
    unused: tuple[str, ...] = ()
    seconds: Mapping[tuple[str, str, str], str] = MappingProxyType({})  # by output and two inputs, in their order


def partial_name(output: str, name: str) -> str:
    """Return the name of a partial derivative of an output by an input, such as `ddrag_dalpha`."""
    return f"d{output}_d{name}"


def second_name(output: str, name: str, second: str) -> str:
    """Return the name of a second derivative of an output, such as `d2drag_dalpha_dspeed`."""
    return f"d2{output}_d{name}_d{second}"


def column_names(inputs: Sequence[str], outputs: Sequence[str], order: int) -> list[list[str]]:
    """Return the names of the columns of each output: its value, its derivatives, or its second derivatives.

    Derivatives lack units, as in the tables that are read, unless two inputs or two outputs differ only in their units.

    Example:
        >>> column_names("ab", "y", 0), column_names("ab", "y", 1), column_names("ab", "y", 2)
        ([['y']], [['dy_da', 'dy_db']], [['d2y_da_da', 'd2y_da_db', 'd2y_db_db']])
        >>> column_names(["T [K]", "p"], ["h [kJ]"], 1), column_names(["T [K]", "T [C]"], ["h [kJ]"], 1)
        ([['dh_dT', 'dh_dp']], [['dh [kJ]_dT [K]', 'dh [kJ]_dT [C]']])
    """
    name = (str, partial_name, second_name)[order]
    bare = _bare(inputs), _bare(outputs)
    if order and all(bare):
        inputs, outputs = bare
    return [[name(y, *names) for names in itertools.combinations_with_replacement(inputs, order)] for y in outputs]


_LITERAL = r"true|false|null|nan|inf|\d[\d_]*(\.[\d_]*)?(e[+-]?[\d_]+)?|\.\d[\d_]*(e[+-]?[\d_]+)?"
_READABLE = re.compile(rf"(?!({_LITERAL})$)[\w\\()\[\]{{}}:=, /+.%*@?|-]+", re.ASCII | re.IGNORECASE)
"""The names that Hydra's grammar can have as the key of a mapping, which are not read as numbers and the like."""


def columns_override(key: str, names: Any) -> str:
    r"""Return the override of a name, of a list of names, or of a mapping; empty if Hydra's grammar lacks one of them.

    In the grammar keys of a mapping have no quotes, but backslashes. Other names have quotes where they need them.

    Example:
        >>> print(columns_override("data.derivatives", {"lift": {"alpha": "my slope"}}))
        data.derivatives={lift:{alpha:my\ slope}}
        >>> print(columns_override("data.inputs", ["h", "T [°C]"]))
        data.inputs=[h,'T [°C]']
    """

    def typed(value: Any, is_key: bool = False) -> str:
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{typed(name, True)}:{typed(content)}' for name, content in value.items())}}}"
        if not isinstance(value, str):
            return f"[{','.join(map(typed, value))}]"
        if not _READABLE.fullmatch(value):
            if is_key:
                raise ValueError(value)
            return override_of("", value)[1:]
        return escaped(value)

    try:
        return f"{key}={typed(names)}"
    except ValueError:
        return ""


def without_columns(roles: Roles, wrong: Collection[str]) -> list[str]:
    """Return the overrides of some roles without columns of derivatives.

    There are none if no derivative is in these columns, or if Hydra's grammar lacks one of the other names.
    """
    if not any(column in wrong for column in roles.partials.values()):
        return []
    sound = dict[str, dict[str, str]]()
    for (output, name), column in roles.partials.items():
        if column not in wrong:
            sound.setdefault(output, {})[name] = column
    columns = {"inputs": roles.inputs, "outputs": roles.outputs, "derivatives": sound}
    overrides = [columns_override(f"data.{key}", names) for key, names in columns.items()]
    return overrides if all(overrides) else []


def of_columns(table: Table) -> list[str]:
    """Return the overrides of the columns of a table, without defaults."""
    keys = "inputs", "outputs", "derivatives", "split_column", "group"
    chosen = {key: value for key in keys if (value := getattr(table, key)) is not None}
    return [override for key, value in chosen.items() if (override := columns_override(f"data.{key}", value))]


def mistake_in(names: Sequence[object]) -> str:
    """Return what is wrong with the names of inputs and outputs, which files of others have; empty: nothing.

    Example:
        >>> mistake_in(["alpha [deg]", "lift"]), mistake_in(["x", "x"])
        ('', "each column must have one role, got several for 'x'")
    """
    for name in names:
        if not isinstance(name, str) or not name or not name.isprintable() or name.startswith(_RISKY):
            rule = f"must not begin with one of {' '.join(_RISKY)} nor have control characters; rename the column"
            return f"{rule}, got {name!r}"
    twice = [name for name, count in Counter(names).items() if count > 1]
    return f"each column must have one role, got several for {twice[0]!r}" if twice else ""


def find_roles(file: File, table: Table) -> Roles:
    """Find the roles of the columns of a file, by the keys of a table.

    Raises:
        ConfigurationError: a column does not exist, or its role cannot be inferred.
    """
    columns, derivatives = file.names, table.derivatives
    inputs, outputs = table.inputs or file.inputs, table.outputs or file.outputs
    every = {*columns}
    partials = find_partials(file, inputs or columns, outputs or columns, derivatives)
    inferred = not (inputs and outputs)
    of, by = {y for y, _ in partials}, {x for _, x in partials}
    inputs = inputs or [name for name in columns if name in by]
    outputs = outputs or [name for name in columns if name in of]
    seconds = find_seconds(file, inputs, outputs, partials.values())
    named = {key: [name] for key in ("split_column", "group") if (name := getattr(table, key)) is not None}
    named |= {"derivatives": [*partials.values(), *seconds.values()]}
    named |= {"inputs": inputs, "outputs": outputs}
    for key, names in named.items():
        if key in ("inputs", "outputs") and not names:
            rule = f"must name the {key}, because no columns are named d<output>_d<input>"
            absent = {y: column for column in columns for y, x in _readings(column) if x in every}
            how = [f"{column!r} needs a column {y!r}, in which one value is enough" for y, column in absent.items()]
            raise _wrong(key, file, "; ".join([f"{rule}; its columns are {listed(columns)}", *how[:1]]))
        for name in names:
            if name not in every or not name:
                raise _wrong(key, file, f"must be among its columns, {listed(columns)}; got {name!r}")
            if mistake := mistake_in([name]):
                raise _wrong(key, file, mistake)
    uses = Counter(name for names in named.values() for name in names)
    unused = [name for name in columns if name and name not in uses]
    if inferred and (left := [name for name in unused if not _INDEX.fullmatch(name)]):
        rule = f"must be named, and outputs too, because {listed(left)} could be either"
        raise _wrong("inputs", file, f"{rule}; inferred are {listed(inputs)} and the outputs {listed(outputs)}")
    of, by = {*outputs}, {*inputs}
    if wrong := [pair for pair in partials if pair[0] not in of or pair[1] not in by]:
        allowed = f"an output of {listed(outputs)} by an input of {listed(inputs)}"
        raise _wrong("derivatives", file, f"must be of {allowed}, got {wrong[0][0]!r} by {wrong[0][1]!r}")
    if mistake := mistake_in([*uses.elements()]):
        raise _wrong("inputs", file, mistake)
    if derivatives is None:
        _check_strays(file, inputs, outputs, unused)
    return Roles(tuple(inputs), tuple(outputs), partials, tuple(unused), seconds)


def find_seconds(
    file: File, inputs: Sequence[str], outputs: Sequence[str], partials: Collection[str]
) -> dict[tuple[str, str, str], str]:
    """Find the columns that are named d2<output>_d<input>_d<input>, with both inputs in any order.

    Their names may lack units, as those of `find_partials`. A column that was chosen as an input, an output or a
    partial derivative keeps that role.

    Raises:
        ConfigurationError: one is given in both orders.
    """
    seconds: dict[tuple[str, str, str], str] = {}
    names = {name for name in file.names if name.startswith("d2")} - {*inputs, *outputs, *partials}
    bare = dict(zip([*inputs, *outputs], [*(_bare(inputs) or inputs), *(_bare(outputs) or outputs)], strict=True))
    for y in outputs if names else ():
        for a, b in itertools.combinations_with_replacement(inputs, 2):
            triples = [(y, a, b), (y, b, a)]
            triples += [(bare[y], bare[one], bare[other]) for _, one, other in triples]
            columns = [name for name in dict.fromkeys(itertools.starmap(second_name, triples)) if name in names]
            if len(columns) > 1:
                rule = "must be given once, because a second derivative does not depend on the order of the inputs"
                raise _wrong("derivatives", file, f"{columns[0]!r} {rule}; got {columns[1]!r} too")
            seconds |= dict.fromkeys([(y, a, b)] * len(columns), *columns)
    return seconds


def find_partials(
    file: File, inputs: Collection[str], outputs: Collection[str], derivatives: Mapping[str, Mapping[str, str]] | None
) -> dict[tuple[str, str], str]:
    """Return the columns of `derivatives`, by outputs and inputs, or without it the ones named d<output>_d<input>.

    Their names may lack the units of the two columns that they are named after.

    Raises:
        ConfigurationError: a column can be read in several ways, or two in the same way.
    """
    if derivatives is not None:
        return {(y, x): column for y, columns in derivatives.items() for x, column in columns.items()}
    partials: dict[tuple[str, str], str] = {}
    of, by = {*outputs}, {*inputs}
    of_bare, by_bare = _by_bare_name(outputs), _by_bare_name(inputs)
    for column in file.names:
        readings = _readings(column)
        pairs = [(y, x) for y, x in readings if y in of and x in by]
        if not pairs:
            names = [(of_bare.get(_without_unit(y), []), by_bare.get(_without_unit(x), [])) for y, x in readings]
            pairs = [pair for choices in names for pair in itertools.product(*choices)]
        if len(pairs) > 1:
            rule = f"must name the columns, because {column!r} can be read in several ways"
            raise _wrong(
                "derivatives", file, f"{rule}; did you mean {' or '.join(partial_name(*pair) for pair in pairs)}?"
            )
        if pairs and pairs[0] in partials:
            rule = f"must name the columns, because {column!r} and {partials[pairs[0]]!r} are read as the same one"
            raise _wrong("derivatives", file, rule)
        partials |= dict.fromkeys(pairs, column)
    return partials


def _bare(names: Sequence[str]) -> list[str]:
    """Return names without units; none if two would be the same."""
    bare = [*map(_without_unit, names)]
    return bare if len({*bare}) == len(bare) else []


def _by_bare_name(names: Collection[str]) -> dict[str, list[str]]:
    """Return names by their bare names, without units."""
    by_bare_name = dict[str, list[str]]()
    for name in names:
        by_bare_name.setdefault(_without_unit(name), []).append(name)
    return by_bare_name


def _without_unit(name: str) -> str:
    """Return a name without a unit in brackets at its end.

    Example:
        >>> _without_unit("F [kN]"), _without_unit("p(0)"), _without_unit("[kN]")
        ('F', 'p(0)', '[kN]')
    """
    return re.sub(r"(?<=\S)\s*\[[^][]*\]$|(?<=\S)\s+\([^()]*\)$", "", name)


def _readings(column: str) -> list[tuple[str, str]]:
    """Return each way to read a name as d<output>_d<input>."""
    cuts = [match.start() for match in re.finditer("(?=_d.)", column)] if column.startswith("d") else []
    return [(column[1:cut], column[cut + 2 :]) for cut in cuts if cut > 1]


def _is_second(column: str, names: Collection[str]) -> bool:
    """Return whether a column is named d2<name>_d<name>_d<name> after three columns, of which two may be the same."""
    first = [(y.removeprefix("2"), x) for y, x in _readings(column) if y.startswith("2") and x in names]
    return any(name in names and x in names for left, _ in first for name, x in _readings(f"d{left}"))


def _check_strays(file: File, inputs: Sequence[str], outputs: Sequence[str], unused: Sequence[str]) -> None:
    """Raise ConfigurationError if the name of an unused column is similar to the name of a derivative.

    That is a derivative of a chosen output by an input that is no column, or vice versa, or one with other capitals.
    """
    every = {name.lower() for name in file.names}
    of, by = ({name.lower() for name in names} for names in (outputs, inputs))
    for column in unused:
        for y, x in () if _is_second(column.lower(), every) else _readings(column.lower()):
            if (y in of and x in by) or ((y in of or x in by) and not {y, x} <= every):
                rule = f"must name the columns of derivatives, because {column!r} looks like one of {y!r} by {x!r}"
                raise _wrong("derivatives", file, f"{rule}, which are no columns; rename it, or add them")


def read_arrays(file: File, roles: Roles) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read x, (m, D), y, (m, P), and dydx, (m, P, D); NaN: not known, also where the file has no such column.

    Raises:
        ConfigurationError: a cell is no number, too large, or an unknown input.
    """
    x = np.stack([file.numbers(name, required=True) for name in roles.inputs], axis=1)
    y = np.stack([file.numbers(name) for name in roles.outputs], axis=1)
    slopes = [file.numbers(roles.partials.get((o, i), "")) for o in roles.outputs for i in roles.inputs]
    return x, y, np.stack(slopes, axis=1).reshape(*y.shape, x.shape[1])


def read_seconds(file: File, roles: Roles) -> np.ndarray | None:
    """Read second derivatives, (m, P, D (D + 1) / 2), of each pair of inputs in their order; None: no such columns.

    Raises:
        ConfigurationError: a cell is no number, or too large.
    """
    if not roles.seconds:
        return None
    pairs = [*itertools.combinations_with_replacement(roles.inputs, 2)]
    columns = {key: file.numbers(name) for key, name in roles.seconds.items()}
    seconds = np.full((len(next(iter(columns.values()))), len(roles.outputs), len(pairs)), np.nan)
    places = {pair: k for k, pair in enumerate(pairs)}
    for (y, a, b), column in columns.items():
        seconds[:, roles.outputs.index(y), places[a, b]] = column
    return seconds


def _wrong(key: str, file: File, what: str) -> ConfigurationError:
    return ConfigurationError(f"data.{key}: {file.path!r}: {what}")
