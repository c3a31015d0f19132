"""Tables in memory: DataFrames, and arrays in a mapping or alone."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runge.configuration.errors import ConfigurationError
from runge.data.column_roles import listed, partial_name
from runge.data.table import File, numbered

__all__ = ["FRAME", "check_index", "column_names", "file_of", "frame_of", "partials_of", "unmasked"]

FRAME = "the DataFrame"
"""The name of a DataFrame in messages, in the place of a path."""


def frame_of(frame: Any, key: str = "data") -> File:
    """Return the columns of a DataFrame.

    Raises:
        ConfigurationError: it has no rows, or its columns have no names of their own; the message begins with the key.
    """
    names = list(frame.columns)
    if frame.empty or not frame.columns.is_unique or not all(isinstance(name, str) for name in names):
        rule = "must have rows, and columns whose names are texts that differ"
        raise ConfigurationError(f"{key}: {FRAME} {rule}, got {len(frame)} rows of {names}")
    return File(FRAME, frame.reset_index(drop=True), key=key)


def file_of(data: Any) -> tuple[str, bytes]:
    """Return the suffix and the content of the file that holds a table with all of its digits.

    It is a DataFrame with the columns of a CSV file, or a mapping of the arrays of an NPZ file.

    Raises:
        ConfigurationError: it is neither, or cannot be a table.
    """
    import pandas

    if isinstance(data, pandas.DataFrame):
        frame = frame_of(data).frame
        floats = frame.select_dtypes("floating").columns
        # As float64, numbers in float32 are printed with all their digits.
        return ".csv", frame.astype(dict.fromkeys(floats, float)).to_csv(index=False).encode()
    if not isinstance(data, Mapping):
        rule = "must be a DataFrame, or arrays by their names in a mapping, {'x': x, 'y': y, 'dydx': dydx}"
        raise ConfigurationError(f"data: {rule}; got a {type(data).__name__}")
    arrays = {str(name): np.asarray(unmasked(array)) for name, array in data.items()}
    for name, array in arrays.items():
        if array.dtype.kind == "O":
            raise ConfigurationError(f"data: the array {name!r} must be of numbers, got Python objects")
        if name in ("file", "allow_pickle"):  # which NumPy would take for its own arguments
            raise ConfigurationError(f"data: an array must be named x, y, dydx or as a column of text, got {name!r}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    return ".npz", buffer.getvalue()


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

    Raises:
        ValueError: a column is not named d<output>_d<input>, or for one output as an input; or two are the same.
    """
    import pandas

    if not isinstance(dydx, pandas.DataFrame) or list(dydx.columns) == list(range(dydx.shape[1])):
        return dydx
    names = [partial_name(y, x) for y in outputs for x in inputs]
    frame = dydx.rename(columns=dict(zip(inputs, names, strict=True))) if len(outputs) == 1 else dydx
    if not frame.columns.is_unique or not {*frame.columns} <= {*names}:
        allowed = f"{listed(names)}, or for one output as the inputs, {listed(inputs)}"
        raise ValueError(f"dydx: its columns must be named {allowed}, each once; got {[*dydx.columns]}")
    return frame.reindex(columns=names).to_numpy(float, na_value=np.nan).reshape(len(dydx), len(outputs), len(inputs))
