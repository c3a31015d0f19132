"""Tables in memory: DataFrames, and arrays in a mapping."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from runge.errors import ConfigurationError

__all__ = ["file_of"]


def file_of(data: Any) -> tuple[str, bytes]:
    """Return the suffix and the content of the file that holds a table with all of its digits.

    It is a DataFrame, whose columns are those of a CSV file, or a mapping of the arrays of an NPZ file.

    Raises:
        ConfigurationError: it is neither, or cannot be a table.
    """
    import pandas

    if isinstance(data, pandas.DataFrame):
        if data.empty or not all(isinstance(name, str) for name in data.columns):
            rule = "must have rows, and columns whose names are texts"
            raise ConfigurationError(f"data: the DataFrame {rule}, got {len(data)} rows of {list(data.columns)}")
        floats = data.select_dtypes("floating").columns
        return ".csv", data.astype(dict.fromkeys(floats, float)).to_csv(index=False).encode()  # all digits of float32
    if not isinstance(data, Mapping):
        rule = "must be a DataFrame, or arrays by their names in a mapping, {'x': x, 'y': y, 'dydx': dydx}"
        raise ConfigurationError(f"data: {rule}; got a {type(data).__name__}")
    arrays = {str(name): np.asarray(array) for name, array in data.items()}
    if wrong := [name for name, array in arrays.items() if array.dtype.kind == "O"]:
        raise ConfigurationError(f"data: the array {wrong[0]!r} must be of numbers, got Python objects")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]: no array is called allow_pickle
    return ".npz", buffer.getvalue()
