"""What a function predicts at the rows of a table: values, Jacobian and what says how sure they are, as arrays."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from runge.configuration.errors import ConfigurationError
from runge.data.column_roles import (
    Roles,
    find_partials,
    find_seconds,
    listed,
    partial_name,
    read_arrays,
    read_seconds,
    second_name,
)
from runge.data.table import File
from runge.records.directories import RunDirectory

if TYPE_CHECKING:
    import pandas

    from runge.function.function import Function

__all__ = ["Arrays", "as_frame", "columns_of", "outside_of", "parts_of", "predict", "read_rows", "sets_of"]

Arrays = dict[str, np.ndarray]


def predict(function: "Function", x: np.ndarray, interval: float | None = None, hessian: bool = False) -> Arrays:
    """Return u, (m, P), and du, (m, P, D), at points x, (m, D), in float64: the means over the members.

    With `hessian` there is also d2u, (m, P, D, D). Of several members, `u_std` and `du_std` are their standard
    deviations, as `Function.value_and_derivative_std`. With a level of intervals, `u_low`, `du_low`, `u_high` and
    `du_high` are their ends.

    Raises:
        ConfigurationError, ValueError: there are no intervals, as `Function.value_and_derivative_interval`.
    """
    u, du, *second = function.value_derivative_hessian(x) if hessian else function.value_and_derivative(x)
    named = {"": (u, du)}
    if function.members > 1:
        named["_std"] = function.value_and_derivative_std(x)
    if interval is not None:
        (low, high), (slope_low, slope_high) = function.value_and_derivative_interval(x, interval)
        named |= {"_low": (low, slope_low), "_high": (high, slope_high)}
    shapes = {"u": (len(x), len(function.outputs)), "du": (len(x), len(function.outputs), x.shape[1])}
    prediction = {
        f"{name}{end}": tensor.astype(float).reshape(shape)
        for end, pair in named.items()
        for (name, shape), tensor in zip(shapes.items(), pair, strict=True)
    }
    if hessian:
        prediction["d2u"] = second[0].astype(float).reshape(*shapes["du"], x.shape[1])
    return prediction


def columns_of(function: "Function", tensors: Sequence[np.ndarray], prefix: str = "", end: str = "") -> Arrays:
    """Return values, (m, P), slopes, (m, P, D), and any second derivatives by pairs of inputs as columns, (m,)."""
    columns, (values, slopes, *second) = {}, tensors
    pairs = [*itertools.combinations_with_replacement(function.inputs, 2)]
    for p, output in enumerate(function.outputs):
        columns[f"{prefix}{output}{end}"] = values[:, p]
        for d, name in enumerate(function.inputs):
            columns[f"{partial_name(f'{prefix}{output}', name)}{end}"] = slopes[:, p, d]
        for k, pair in enumerate(pairs if second else ()):
            columns[f"{second_name(f'{prefix}{output}', *pair)}{end}"] = second[0][:, p, k]
    return columns


def parts_of(prediction: Arrays, end: str = "") -> list[np.ndarray]:
    """Return the values and slopes of a prediction, and of pairs of inputs its second derivatives, if it has any."""
    tensors = [prediction[f"u{end}"], prediction[f"du{end}"]]
    if not end and "d2u" in prediction:
        first, second = np.triu_indices(tensors[1].shape[2])
        tensors.append(prediction["d2u"][:, :, first, second])
    return tensors


def as_frame(x: np.ndarray, prediction: Arrays, function: "Function", marks: Arrays) -> "pandas.DataFrame":
    """Return points, (m, D), their prediction, and marks, (m,), as the columns of a table.

    Raises:
        ValueError: two of its columns would have one name.
    """
    import pandas

    columns = dict(zip(function.inputs, x.T, strict=True))
    for end in (name.removeprefix("du") for name in prediction if name.startswith("du")):
        of_end = columns_of(function, parts_of(prediction, end), "u_", end)
        if twice := columns.keys() & of_end.keys():
            raise ValueError(f"two columns would have the name {min(twice)!r}")
        columns |= of_end
    return pandas.DataFrame(columns | {name: mark for name, mark in marks.items() if name not in columns})


def outside_of(function: "Function", x: np.ndarray) -> np.ndarray:
    """Return how far points, (m, D), are outside the training data, (m,), as `Function.outside`."""
    return function.outside(x).reshape(len(x))


def sets_of(function: "Function", x: np.ndarray) -> np.ndarray:
    """Return the set in which each row, (m, D), was in the training, (m,): `train`, `val` or `test`; empty: in none.

    Of several runs it is the first of these sets in which one had a row.

    Raises:
        ConfigurationError, OSError: the table that the function was fitted to has changed, or cannot be read.
    """
    from runge.function.residuals import rows_of

    sets, data = dict[bytes, str](), function.configuration.get("data") or {}
    for run in function.runs if "file" in data else ():
        rows, split = rows_of(RunDirectory(run), data["file"])
        for name, index in split._asdict().items():
            for row in map(_bytes, rows.x[index]):
                sets[row] = min(sets.get(row, name), name, key=split._fields.index)
    return np.array([sets.get(row, "") for row in map(_bytes, x)], dtype="U5")


def _bytes(row: np.ndarray) -> bytes:
    return (row + 0.0).tobytes()  # -0.0 is 0.0


def read_rows(file: File, function: "Function", hessian: bool) -> tuple[list[np.ndarray], list[str]]:
    """Read the inputs and the labels that a table has, with `hessian` those of second derivatives if there are any.

    The names of the columns that are not used follow.

    The columns of an array x are named by their position, and x1 of two is not x1 of three: it must have one for each
    input of the run, unless the run chose its inputs by name from such a file.
    """
    inputs, outputs = function.inputs, function.outputs
    data = function.configuration.get("data") or {}
    partials = find_partials(file, inputs, outputs, data.get("derivatives"))
    chosen = data.get("inputs") and str(data.get("file")).lower().endswith(".npz")
    unnamed = file.inputs is not None and len(file.inputs) != len(inputs) and not chosen
    if unnamed or not {*inputs} <= {*file.names}:
        got = f"'x' with {len(file.inputs or [])} columns without names" if unnamed else listed(file.names)
        rule = f"must have the {len(inputs)} inputs of the run, {', '.join(inputs)}"
        raise ConfigurationError(f"{file.key}: {file.path!r}: {rule}; got {got}")
    seconds = find_seconds(file, inputs, outputs, partials.values()) if hessian else {}
    used = {*inputs, *outputs, *partials.values(), *seconds.values()}
    roles = Roles(inputs, outputs, partials, seconds=seconds)
    second = read_seconds(file, roles)
    unused = [name for name in file.names if name and name not in used]
    return [*read_arrays(file, roles), *([] if second is None else [second])], unused
