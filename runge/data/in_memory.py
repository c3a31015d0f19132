"""Tables in memory: the file that says the same, and the names of the columns of DataFrames."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runge.data.roles import listed, partial_name
from runge.data.table import numbered
from runge.errors import ConfigurationError

__all__ = ["check_index", "file_of", "names_of", "partials_of"]


def file_of(data: Any) -> tuple[str, bytes]:
    """Return the suffix and the content of the file that holds a table with all of its digits.

    Args:
        data: a pandas DataFrame, whose columns are those of a CSV file and whose index is ignored; or a mapping of the
            arrays of an NPZ file.

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


def check_index(name: str, part: Any, x: Any) -> None:
    """Raise ValueError if two DataFrames have as many rows, but not the same ones in the same order."""
    import pandas

    frames = pandas.DataFrame, pandas.Series
    if isinstance(part, frames) and isinstance(x, frames) and len(part) == len(x) and not part.index.equals(x.index):
        row = int(np.flatnonzero([a != b for a, b in zip(part.index, x.index, strict=True)] or [True])[0])
        rule = f"{name}: its index must be that of X, because rows are matched by it; use {name}.loc[X.index], or "
        raise ValueError(f"{rule}reset_index(drop=True); got {part.index[row]!r} and {x.index[row]!r} in row {row}")


def names_of(letter: str, part: Any, count: int) -> tuple[str, ...]:
    """Return the names of columns: those of a DataFrame or a Series, if they are texts, or else the letter, numbered.

    Example:
        >>> import pandas
        >>> names_of("y", pandas.Series([1.0], name="drag"), 1), names_of("y", [1.0], 1), names_of("x", None, 2)
        (('drag',), ('y',), ('x1', 'x2'))
    """
    names = list(getattr(part, "columns", [getattr(part, "name", None)]))
    given = len(names) == count == len(set(names)) and all(isinstance(name, str) for name in names)
    return tuple(names) if given else numbered(letter, count)


def partials_of(dydx: Any, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
    """Return the partial derivatives of a DataFrame, (n, P, D), NaN without a column; other arrays as they are.

    Raises:
        ValueError: a column is not named d<output>_d<input>, or for one output as an input; or two are the same.
    """
    import pandas

    if not isinstance(dydx, pandas.DataFrame) or list(dydx.columns) == list(range(dydx.shape[1])):
        return dydx
    places = {partial_name(y, x): (p, d) for p, y in enumerate(outputs) for d, x in enumerate(inputs)}
    allowed = listed(list(places))
    if len(outputs) == 1:
        places = {x: (0, d) for d, x in enumerate(inputs)} | places
        allowed += f", or as the inputs, {listed(inputs)}"
    result, filled = np.full((len(dydx), len(outputs), len(inputs)), np.nan), dict[tuple[int, int], Any]()
    for i, name in enumerate(dydx.columns):
        if name not in places:
            raise ValueError(f"dydx: its columns must be named {allowed}; got {name!r}")
        if (place := places[name]) in filled:
            raise ValueError(f"dydx: each derivative must have one column; got {filled[place]!r} and {name!r}")
        filled[place] = name
        result[:, *place] = dydx.iloc[:, i].to_numpy(float, na_value=np.nan)
    return result
