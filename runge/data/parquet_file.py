"""Tables in Parquet files."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from runge.data.columns import TableFile, check_duplicates

__all__ = ["ParquetFile"]


class ParquetFile(TableFile):
    """A Parquet file; its columns of numbers and of text can be used. It needs the package `pyarrow`."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            from pyarrow import ArrowException, parquet
        except ImportError as error:
            raise self.wrong("needs the package pyarrow; install it with pip install -e '.[parquet]'") from error
        self._errors = (ArrowException, ValueError, OSError)
        try:
            with parquet.ParquetFile(path) as file:
                schema, self._rows = file.schema_arrow, file.metadata.num_rows
        except self._errors as error:
            raise self.wrong(f"is not a Parquet file ({str(error).splitlines()[0]})") from error
        self.names = list(schema.names)
        self._types = dict(zip(schema.names, schema.types, strict=True))
        check_duplicates(self)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return columns as `TableFile.numbers` does."""
        from pyarrow import float64, types

        self.check_size(self._rows, len(names))
        for name in names:
            kind = self._types[name]
            if not any(of(kind) for of in (types.is_integer, types.is_floating, types.is_decimal, types.is_null)):
                raise self.wrong(f"column {name!r} must be of numbers, got the type {kind}")
        read, result = self._read(names), np.empty((self._rows, len(names)))
        for i, name in enumerate(names):
            result[:, i] = read.column(name).cast(float64(), safe=False).to_numpy()
            if not types.is_floating(self._types[name]):
                self.check_digits(name, result[:, i], partial(read.column, name))
        return result

    def words(self, name: str) -> list[str]:
        """Return a column as text."""
        return ["" if x is None else str(x).strip() for x in self._read([name]).column(name).to_pylist()]

    def _read(self, names: Sequence[str]) -> Any:
        from pyarrow import parquet

        try:
            with parquet.ParquetFile(self.path) as file:
                return file.read(columns=list(names))
        except self._errors as error:
            raise self.wrong(f"is damaged ({str(error).splitlines()[0]})") from error
