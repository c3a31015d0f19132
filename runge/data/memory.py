"""Tables in memory: DataFrames, and arrays in a mapping or alone."""

import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runge.configuration.errors import ConfigurationError, listed
from runge.data.column_roles import find_partials, partial_name
from runge.data.table import INDEX, File, numbered, of_arrays, open_table

__all__ = ["ARRAYS", "FRAME", "check_index", "column_names", "file_of", "partials_of", "table_of", "unmasked"]

ARRAYS, FRAME = "the arrays", "the DataFrame"
"""The names of data in memory in messages, in the place of a path."""


def table_of(data: Any, key: str = "data") -> File:
    """Return the columns of what `runge.fit` takes: the path of a file, a DataFrame, or a mapping of arrays.

    Raises:
        ConfigurationError: it is none of them, or cannot be a table; the message begins with the key.
    """
    if isinstance(data, str | os.PathLike):
        return open_table(os.fspath(data), key)
    if isinstance(data, Mapping):
        arrays = _arrays_of(data, key)
        try:
            return of_arrays(ARRAYS, arrays)._replace(key=key)
        except ValueError as error:
            raise ConfigurationError(f"{key}: {ARRAYS}: {error}") from error
    if not hasattr(data, "columns"):
        rule = "must be a DataFrame, or arrays by their names in a mapping, {'x': x, 'y': y, 'dydx': dydx}"
        raise ConfigurationError(f"{key}: {rule}; got a {type(data).__name__}")
    names = list(data.columns)
    if data.empty or not data.columns.is_unique or not all(isinstance(name, str) for name in names):
        rule = "must have rows, and columns whose names are texts that differ"
        raise ConfigurationError(f"{key}: {FRAME} {rule}, got {len(data)} rows of {names}")
    return File(FRAME, data, key=key)


def file_of(data: Any) -> tuple[str, bytes]:
    """Return the suffix and the content of the file that holds a table with all of its digits.

    It is a DataFrame with the columns of a CSV file, whose index is a further column; or a mapping of the arrays of an
    NPZ file.

    Raises:
        ConfigurationError: it is neither, or cannot be a table.
    """
    if not isinstance(data, Mapping):
        frame = table_of(data).frame
        floats = frame.select_dtypes("floating").columns
        # As float64, numbers in float32 are printed with all their digits.
        frame = frame.astype(dict.fromkeys(floats, float)).set_axis(frame.index.to_flat_index())
        return ".csv", frame.to_csv(index_label=INDEX).encode()
    buffer = io.BytesIO()
    np.savez(buffer, **_arrays_of(data, "data"))  # pyright: ignore[reportArgumentType]
    return ".npz", buffer.getvalue()


def _arrays_of(data: Mapping[str, Any], key: str) -> dict[str, np.ndarray]:
    """Return the arrays of a mapping, NaN where they are masked.

    Raises:
        ConfigurationError: one does not hold numbers or texts, or has a name that NumPy takes for its own arguments.
    """
    arrays = {str(name): np.asarray(unmasked(array)) for name, array in data.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            raise ConfigurationError(f"{key}: the array {name!r} must be of numbers, got Python objects")
        if name in ("file", "allow_pickle"):
            raise ConfigurationError(f"{key}: an array must be named x, y, dydx or as a column of text, got {name!r}")
    return arrays


def unmasked(array: Any) -> Any:
    """Return a masked array with NaN, not known, instead of masked numbers; other arrays unchanged."""
    return np.ma.filled(array.astype(float), np.nan) if isinstance(array, np.ma.MaskedArray) else array


def check_index(name: str, frame: Any, x: Any) -> None:
    """Raise ValueError if two DataFrames have as many rows, but not the same ones in the same order."""
    import pandas

    frames = pandas.DataFrame, pandas.Series
    if isinstance(frame, frames) and isinstance(x, frames) and len(frame) == len(x) and not frame.index.equals(x.index):
        rule = f"its index must be that of X; use {name}.loc[X.index], or reset_index(drop=True)"
        raise ValueError(f"{name}: {rule}; got {listed([*map(str, frame.index)])}")


def column_names(letter: str, labels: Any, count: int) -> tuple[str, ...]:
    """Return the names of columns: from a DataFrame or a Series, if they are texts, or else y, or y1, y2, ..."""
    names = list(getattr(labels, "columns", [getattr(labels, "name", None)]))
    named = len(names) == count == len(set(names)) and all(isinstance(name, str) for name in names)
    return tuple(names) if named else numbered(letter, count)


def partials_of(dydx: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the partial derivatives of a DataFrame, (n, P, D), NaN without a column; other arrays as they are.

    Columns are named as in a table, where units may be left out, or for one output as the inputs.

    Raises:
        ConfigurationError: a name can be read in several ways, or two in the same way.
        ValueError: a column has another name.
    """
    import pandas

    if not isinstance(dydx, pandas.DataFrame) or list(dydx.columns) == list(range(dydx.shape[1])):
        return dydx
    names = [partial_name(y, x) for y in outputs for x in inputs]
    frame = dydx.rename(columns=dict(zip(inputs, names, strict=True))) if len(outputs) == 1 else dydx
    texts = frame.columns.is_unique and all(isinstance(name, str) for name in frame)
    partials = find_partials(File("dydx", frame), inputs, outputs, None) if texts else {}
    if not texts or len(partials) < len(frame.columns):
        allowed = f"{listed(names)}, or for one output as the inputs, {listed(inputs)}"
        raise ValueError(f"dydx: its columns must be named {allowed}, each once; got {[*dydx.columns]}")
    by_name = frame.rename(columns={column: partial_name(*pair) for pair, column in partials.items()})
    return by_name.reindex(columns=names).to_numpy(float, na_value=np.nan).reshape(-1, len(outputs), len(inputs))
