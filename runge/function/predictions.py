"""The predictions of a `runge.Function` at rows of a table, as arrays: values, Jacobian, intervals and distances."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from runge.configuration.errors import ConfigurationError
from runge.data.column_roles import (
    Roles,
    column_names,
    find_partials,
    find_seconds,
    listed,
    read_arrays,
    read_seconds,
)
from runge.data.table import File
from runge.records.directories import RunDirectory

if TYPE_CHECKING:
    import pandas

__all__ = ["Arrays", "as_frame", "columns_of", "marks_of", "parts_of", "predict", "read_rows"]

Arrays = dict[str, np.ndarray]


def predict(function: Any, x: np.ndarray, level: float | None = None, hessian: bool = False) -> Arrays:
    """Return u, (m, P), and du, (m, P, D), at points x, (m, D), in float64: the means over the members.

    With `hessian` there is also d2u, (m, P, D, D). Of several members, `u_std` and `du_std` are their standard
    deviations, as `Function.value_and_derivative_std`. With a level of intervals, `u_low`, `du_low`, `u_high` and
    `du_high` are their ends.

    Raises:
        ConfigurationError, ValueError: there are no intervals, as `Function.value_and_derivative_interval`.
    """
    both = function.value_derivative_hessian(x) if hessian else function.value_and_derivative(x)
    by_end, outputs, inputs = {"": both}, len(function.outputs), x.shape[1]
    if function.members > 1:
        by_end["_std"] = function.value_and_derivative_std(x)
    if level is not None:
        by_end["_low"], by_end["_high"] = zip(*function.value_and_derivative_interval(x, level), strict=True)
    return {
        f"{name}{end}": tensor.astype(float).reshape(len(x), outputs, *[inputs] * order)
        for end, tensors in by_end.items()
        for order, (name, tensor) in enumerate(zip(("u", "du", "d2u"), tensors, strict=False))
    }


def columns_of(function: Any, tensors: Sequence[np.ndarray], prefix: str = "", end: str = "") -> Arrays:
    """Return values, (m, P), slopes, (m, P, D), and any second derivatives by pairs of inputs as columns, (m,)."""
    columns, outputs = dict[str, np.ndarray](), [f"{prefix}{output}" for output in function.outputs]
    names = [column_names(function.inputs, outputs, order) for order in range(len(tensors))]
    for p in range(len(outputs)):
        for tensor, of_order in zip(tensors, names, strict=True):
            ended = [f"{name}{end}" for name in of_order[p]]
            columns |= zip(ended, tensor[:, p].reshape(len(tensor), -1).T, strict=True)
    return columns


def parts_of(prediction: Arrays, end: str = "") -> list[np.ndarray]:
    """Return the values and slopes of a prediction, and of pairs of inputs its second derivatives, if it has any."""
    tensors = [prediction[f"u{end}"], prediction[f"du{end}"]]
    if not end and "d2u" in prediction:
        first, second = np.triu_indices(tensors[1].shape[2])
        tensors.append(prediction["d2u"][:, :, first, second])
    return tensors


def as_frame(x: np.ndarray, prediction: Arrays, function: Any, marks: Arrays, index: Any = None) -> "pandas.DataFrame":
    """Return points, (m, D), their prediction, and marks, (m,), as the columns of a table with an index.

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
    return pandas.DataFrame(columns | {name: mark for name, mark in marks.items() if name not in columns}, index)


def marks_of(function: Any, x: np.ndarray) -> tuple[Arrays, dict[str, str]]:
    """Return how far points, (m, D), are `outside`, and the `set` of each in the training, (m,).

    Sentences follow on what is not known, which is NaN or empty.
    """
    marks, remarks = {"outside": np.full(len(x), np.nan), "set": np.full(len(x), "", "U5")}, dict[str, str]()
    measures = {"outside": function.outside, "set": partial(_sets_of, function)}
    for name, what in {"outside": "are outside the training data", "set": "were trained on"}.items():
        try:
            marks[name] = measures[name](x)
        except (ValueError, OSError) as error:
            remarks[name] = f"it cannot be known which of these rows {what}: {error}"
    return marks, remarks


def _sets_of(function: Any, x: np.ndarray) -> np.ndarray:
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


def read_rows(file: File, function: Any, hessian: bool) -> tuple[list[np.ndarray], list[str]]:
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
        missing = listed([name for name in inputs if name not in file.names])
        got = f"'x' with {len(file.inputs or [])} columns without names" if unnamed else listed(file.names)
        got += f"; missing: {missing}" * (not unnamed)
        rule = f"must have the {len(inputs)} inputs of the run, {', '.join(inputs)}"
        raise ConfigurationError(f"{file.key}: {file.path!r}: {rule}; got {got}")
    seconds = find_seconds(file, inputs, outputs, partials.values()) if hessian else {}
    used = {*inputs, *outputs, *partials.values(), *seconds.values()}
    roles = Roles(inputs, outputs, partials, seconds=seconds)
    second = read_seconds(file, roles)
    unused = [name for name in file.names if name and name not in used]
    return [*read_arrays(file, roles), *([] if second is None else [second])], unused
