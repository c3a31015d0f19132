"""Files of named columns: what all formats have in common."""

import os
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["MOST_NUMBERS", "TableFile", "check_duplicates", "numbered", "shown"]

MOST_NUMBERS = 2**28
"""The most numbers that are read from a file: 2 GiB in float64."""

_LOSSY = 2.0**53
"""From here on not every integer is a number in float64."""

_INTEGER = re.compile(r"[-+]?\d+")


class TableFile(ABC):
    """A file of columns of the same length.

    Args:
        path: the file.

    Attributes:
        names: the names of its columns, in its order.
        inputs: the names of the inputs, or None: the file itself does not distinguish them.
        outputs: the names of the outputs, likewise.

    Raises:
        ValueError: the file is damaged, or not a table.
        OSError: it cannot be read.
    """

    names: list[str]
    inputs: list[str] | None = None
    outputs: list[str] | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    @abstractmethod
    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return columns, (m, len(names)), in float64; NaN where a cell is empty.

        Raises:
            ValueError: a cell is not a number, or the columns are too large for the memory.
        """

    @abstractmethod
    def words(self, name: str) -> list[str]:
        """Return a column as text; empty where a cell is."""

    def place(self, row: int) -> str:
        """Return where a row, counted from 0, is in the file."""
        return f"row {row + 1}"

    def wrong(self, what: str) -> ValueError:
        """Return an error whose message names the file."""
        return ValueError(f"{shown(self.path)}: {what}")

    def check_size(self, rows: int, columns: int) -> None:
        """Raise ValueError if columns are too large for the memory."""
        if rows * columns > MOST_NUMBERS:
            size = f"{rows} rows of {columns} columns"
            raise self.wrong(f"must have at most {MOST_NUMBERS} numbers in the columns that are read, got {size}")

    def check_digits(self, name: str, numbers: np.ndarray, cells: Callable[[], Sequence[Any] | np.ndarray]) -> None:
        """Raise ValueError if an integer is too large for float64, which would make neighbours equal.

        Args:
            name: the column.
            numbers: its cells in float64, (m,).
            cells: returns them as they are in the file, (m,); text or numbers.
        """
        with np.errstate(invalid="ignore"):
            large = np.flatnonzero(np.abs(numbers) >= _LOSSY).tolist()
        exact = cells() if large else []
        for row in large:
            if _INTEGER.fullmatch(text := str(exact[row])):
                rule = "an integer must be within 2^53 of 0, because its last digits would be lost"
                then = "subtract an offset from the column, or change its unit"
                raise self.wrong(f"{self.place(row)}, column {name!r}: {rule}, got {text}; {then}")


def shown(path: str | os.PathLike[str]) -> str:
    """Return a path as a message shows it."""
    return repr(os.fspath(path))


def check_duplicates(file: TableFile) -> None:
    """Raise ValueError if two columns have the same name."""
    if twice := [name for name, number in Counter(file.names).items() if name and number > 1]:
        raise file.wrong(f"each name must stand for one column, got {twice[0]!r} more than once")


def numbered(letter: str, count: int) -> tuple[str, ...]:
    """Return the names of columns without names: a letter, with a number unless there is only one.

    Example:
        >>> numbered("x", 1), numbered("x", 2)
        (('x',), ('x1', 'x2'))
    """
    return (letter,) if count == 1 else tuple(f"{letter}{i + 1}" for i in range(count))
