"""Tables in NPZ files."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runge.data.columns import TableFile, numbered

__all__ = ["NpzFile"]

_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)
"""The errors that `zipfile` and NumPy raise for a damaged file."""


class NpzFile(TableFile):
    """An NPZ file with the arrays `x`, (m, D), `y`, (m, P), and `dydx`, (m, P, D); axes of length 1 may be left out.

    Its columns are `x1` to `xD`, `y1` to `yP` and `dy1_dx1` to `dyP_dxD`, without a number where there is only one; and
    further arrays of text, (m,), under their names, such as the labels of a split.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        if not zipfile.is_zipfile(path):
            raise self.wrong("is not an NPZ file, which numpy.savez writes")
        arrays = self._load()
        if "x" not in arrays:
            raise self.wrong(f"must have an array 'x', got {', '.join(map(repr, arrays)) or 'none'}")
        x = self._matrix(arrays.pop("x"), "x")
        self._rows, columns = len(x), _columns("x", x)
        self.inputs = list(columns)
        if "y" in arrays:
            y = self._matrix(arrays.pop("y"), "y")
            if len(y) != len(x):
                raise self.wrong(f"'y' must have as many rows as 'x', {len(x)}, got {len(y)}")
            values = _columns("y", y)
            self.outputs = list(values)
            columns |= values
        if "dydx" in arrays:
            columns |= self._partials(arrays.pop("dydx"))
        for name, array in arrays.items():
            if array.shape != (self._rows,) or array.dtype.kind not in "US" or name in columns:
                allowed = f"'x', 'y', 'dydx', and text of the shape ({self._rows},), such as the labels of a split"
                raise self.wrong(f"must have the arrays {allowed}; got {name!r}, {array.dtype} of {array.shape}")
        columns |= arrays
        self._arrays, self.names = columns, list(columns)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return columns as `TableFile.numbers` does."""
        self.check_size(self._rows, len(names))
        result = np.empty((self._rows, len(names)))
        for i, name in enumerate(names):
            array = self._arrays[name]
            if array.dtype.kind not in "iuf":
                raise self.wrong(f"{name!r} must be an array of numbers, got the type {array.dtype}")
            result[:, i] = array
            if array.dtype.kind in "iu":
                self.check_digits(name, result[:, i], lambda array=array: array)
        return result

    def words(self, name: str) -> list[str]:
        """Return a column as text."""
        return [text.strip() for text in self._arrays[name].astype(str).tolist()]

    def _load(self) -> dict[str, np.ndarray]:
        self.check_size(self._unpacked() // 8, 1)  # a small file may unpack to a very large one
        arrays, name = {}, ""
        try:
            with np.load(self.path, allow_pickle=False) as file:
                for name in file.files:
                    arrays[name] = file[name]
        except MemoryError as error:
            raise self.wrong("needs more memory than there is") from error
        except _DAMAGED as error:
            if "allow_pickle" in str(error):
                what = f"{name!r} must be an array of numbers, got Python objects, which are not loaded, for safety"
                raise self.wrong(what) from error
            raise self.wrong(f"is damaged ({error})") from error
        return {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}

    def _unpacked(self) -> int:
        try:
            with zipfile.ZipFile(self.path) as archive:
                return sum(entry.file_size for entry in archive.infolist())
        except _DAMAGED as error:
            raise self.wrong(f"is damaged ({error})") from error

    def _partials(self, dydx: np.ndarray) -> dict[str, np.ndarray]:
        inputs, outputs = self.inputs or [], self.outputs or []
        if not outputs:
            raise self.wrong("'dydx' must come with 'y', which may be NaN where it is not known")
        shape = (self._rows, len(outputs), len(inputs))
        if dydx.shape[:1] != shape[:1] or [n for n in dydx.shape[1:] if n != 1] != [n for n in shape[1:] if n != 1]:
            raise self.wrong(f"'dydx' must have the shape {shape}, got {dydx.shape}")
        dydx = dydx.reshape(shape)
        return {f"d{y}_d{x}": dydx[:, p, d] for p, y in enumerate(outputs) for d, x in enumerate(inputs)}

    def _matrix(self, array: np.ndarray, name: str) -> np.ndarray:
        if array.ndim not in (1, 2) or 0 in array.shape:
            raise self.wrong(f"{name!r} must have the shape (m,) or (m, n), and not be empty; got {array.shape}")
        return array.reshape(len(array), -1)


def _columns(letter: str, array: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns of a matrix by their names, which have numbers unless there is only one."""
    return dict(zip(numbered(letter, array.shape[1]), array.T, strict=True))
