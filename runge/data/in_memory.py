"""Tables in memory: as the files that say the same, or as rows."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from runge.data.splitting import Split
from runge.data.table import Rows
from runge.errors import ConfigurationError

if TYPE_CHECKING:
    import pandas

__all__ = ["Arrays", "ArraysOfOneSet", "file_of"]

_RULE = "must be a DataFrame, or arrays by their names in a mapping, {'x': x, 'y': y, 'dydx': dydx}"


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
        return ".csv", _csv(data)
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"data: {_RULE}; got a {type(data).__name__}")
    arrays = {str(name): np.asarray(array) for name, array in data.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "iufU" or (array.dtype.kind == "U" and name in ("x", "y", "dydx")):
            raise ConfigurationError(f"data: the array {name!r} must be of numbers, got the type {array.dtype}")
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]: no array is called allow_pickle
    return ".npz", buffer.getvalue()


def _csv(frame: "pandas.DataFrame") -> bytes:
    if frame.empty:
        raise ConfigurationError(f"data: the DataFrame must have rows and columns, got the shape {frame.shape}")
    if wrong := [name for name in frame.columns if not isinstance(name, str) or not name.strip()]:
        raise ConfigurationError(f"data: the columns of the DataFrame must have names that are texts, got {wrong[0]!r}")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ConfigurationError(f"data: each name must be that of one column of the DataFrame, got {twice!r} twice")
    floats = frame.select_dtypes("floating").columns
    return frame.astype(dict.fromkeys(floats, float)).to_csv(index=False).encode()  # all digits, also of float32


class Arrays(Rows):
    """Rows in memory, in which an input may be constant, as in a part of a cross-validation."""

    def _check_inputs(self, rows: np.ndarray | slice, where: str) -> None:
        pass

    def _wrong(self, key: str, what: str) -> ConfigurationError:
        names = {"split": "validation_fraction", "inputs": "X", "outputs": "y"}
        return ConfigurationError(f"{names[key]}: {what.replace(', or use data.split_column', '')}")


class ArraysOfOneSet(Arrays):
    """Rows that are all for training and for validation."""

    def split(self, seed: int | torch.Generator) -> Split:
        """Return all rows twice; the seed has no effect."""
        rows = np.arange(len(self.x))
        return Split(rows, rows, rows[:0])
