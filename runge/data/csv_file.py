"""Tables in CSV files."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from runge.data.columns import TableFile, check_duplicates

__all__ = ["CsvFile"]

_LONGEST_HEADER = 2**22
_SEPARATORS = ",;\t"  # the first wins a tie: a header of one column has none


class CsvFile(TableFile):
    """A CSV file: names in the first line, cells separated by commas, semicolons or tabs, numbers with a point.

    Cells that are empty, or that pandas reads as missing, such as NaN and NA, are not known. Blank lines are skipped.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with self._text() as file:
            try:
                head = file.readline(_LONGEST_HEADER)
            except UnicodeDecodeError as error:
                raise self.wrong("must be text in UTF-8") from error
        if len(head) >= _LONGEST_HEADER:
            raise self.wrong("the first line must hold the names of the columns, and has no end")
        self._separator = max(_SEPARATORS, key=head.count)
        try:
            (names,) = self._cells([head], strict=True)
        except (ValueError, csv.Error) as error:
            raise self.wrong("the first line must hold the names of the columns; it is empty or damaged") from error
        self.names = [name.strip() for name in names]
        if not any(self.names) or all(_is_number(name) for name in self.names if name):
            raise self.wrong(f"the first line must hold the names of the columns, got {head.strip()[:60]!r}")
        check_duplicates(self)

    def numbers(self, names: Sequence[str]) -> np.ndarray:
        """Return columns as `TableFile.numbers` does."""
        import pandas

        frame = self._read(names)
        result = np.empty((len(frame), len(names)))
        for i, name in enumerate(names):
            column = frame[name]
            numbers = np.asarray(pandas.to_numeric(column, errors="coerce"))
            is_text = numbers.dtype.kind not in "iuf"  # True and False alone
            wrong = np.asarray(column.notna()) & (is_text or np.isnan(numbers))
            if wrong.any():
                row = int(np.flatnonzero(wrong)[0])
                raise self.wrong(
                    f"{self.place(row)}, column {name!r}: must be a number, with a decimal point, or empty; "
                    f"got {str(column[row])[:40]!r}"
                )
            result[:, i] = numbers
            self.check_digits(name, result[:, i], partial(self.words, name))  # with an empty cell pandas has floats
        return result

    def words(self, name: str) -> list[str]:
        """Return a column as text."""
        return self._read([name], dtype=str, keep_default_na=False)[name].str.strip().tolist()

    def place(self, row: int) -> str:
        """Return the line of a row, counted from 0; the names are in line 1."""
        line, _ = next(islice(self._records(), row, None))
        return f"line {line}"

    def _read(self, names: Sequence[str], **options: Any) -> Any:
        import pandas

        self.check_size(self._count_rows(), len(names))
        # pandas needs a name for each column, also for those that have none.
        every = [name or f"\0{i}" for i, name in enumerate(self.names)]
        try:
            return pandas.read_csv(
                self.path,
                sep=self._separator,
                header=0,
                names=every,
                usecols=list(names),
                index_col=False,
                skipinitialspace=True,
                low_memory=False,  # it would guess the type of a column in parts
                encoding="utf-8-sig",
                **options,
            )
        except (ValueError, OverflowError) as error:  # pandas' errors of the parser are ValueErrors
            raise self.wrong(f"is not a CSV file ({error})") from error

    def _count_rows(self) -> int:
        """Raise ValueError if a line has more or fewer cells than the first: pandas would shift or fill it silently."""
        cells, number = len(self.names), 0
        for line, got in self._records():
            if len(got) != cells:
                raise self.wrong(f"line {line} must have {cells} cells, as line 1 has, got {len(got)}")
            number += 1
        return number

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """Return the cells of each line that is not blank, and its number; a cell in quotes may have several lines."""
        with self._text() as file:
            reader, line = self._cells(file), 1
            try:
                for cells in reader:
                    if line > 1 and (len(cells) > 1 or any(map(str.strip, cells))):
                        yield line, cells
                    line = reader.line_num + 1
            except UnicodeDecodeError as error:
                raise self.wrong("must be text in UTF-8") from error
            except csv.Error as error:
                raise self.wrong(f"line {line} is damaged ({error})") from error

    def _cells(self, lines: Iterable[str], strict: bool = False) -> Any:
        return csv.reader(lines, delimiter=self._separator, skipinitialspace=True, strict=strict)

    def _text(self) -> io.TextIOWrapper:
        return self.path.open(newline="", encoding="utf-8-sig")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|nan|inf", text, re.IGNORECASE) is not None
