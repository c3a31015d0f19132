"""Open a file of columns. Its content is not trusted: no pickle is loaded, and no text is evaluated."""

import os
from pathlib import Path

from runge.data.columns import TableFile, shown
from runge.data.csv_file import CsvFile
from runge.data.npz_file import NpzFile
from runge.data.parquet_file import ParquetFile

__all__ = ["FORMATS", "open_table"]

FORMATS: dict[str, type[CsvFile | ParquetFile | NpzFile]] = {
    ".csv": CsvFile,
    ".tsv": CsvFile,
    ".parquet": ParquetFile,
    ".npz": NpzFile,
}
"""The formats, by the ends of their files' names."""


def open_table(path: str | os.PathLike[str]) -> TableFile:
    """Open a file of columns; a relative path is relative to the working directory.

    Raises:
        ValueError: there is no such file, it cannot be read, or it is not a table; the message names the file.
    """
    file = Path(path)
    if (format_ := FORMATS.get(file.suffix.lower())) is None:
        what = ", which is a directory" if os.path.isdir(path) else ""
        raise ValueError(f"must be a file that ends in {', '.join(FORMATS)}, got {os.fspath(path)!r}{what}")
    try:
        if not file.exists():
            where = "" if file.is_absolute() else f" in {os.getcwd()!r}"
            raise ValueError(f"there is no file {os.fspath(path)!r}{where}")
        if not file.is_file():
            what = "a directory" if file.is_dir() else "not a regular file"
            raise ValueError(f"must be a file, got {os.fspath(path)!r}, which is {what}")
        if not file.stat().st_size:
            raise ValueError(f"{shown(file)} is empty")
        return format_(file)
    except OSError as error:
        raise ValueError(f"{shown(file)} cannot be read ({error.strerror or error})") from error
