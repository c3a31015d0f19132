"""A file of named columns: where it is, how it is used, and its numbers. Its content is not trusted."""

import csv
import io
import math
import os
import zipfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from runge.configuration.errors import ConfigurationError
from runge.configuration.validation import Natural, checked

if TYPE_CHECKING:
    import pandas

__all__ = ["FARTHEST", "FORMATS", "INDEX", "SETS", "File", "Fold", "Folds", "Table", "check_fold", "numbered"]
__all__ += ["of_arrays", "open_table"]

FARTHEST = 1e100
"""The largest absolute value of a cell: its square is a number."""

INDEX = "__index_level_0__"
"""The column of a CSV file with the index of the DataFrame from which it was written: pandas' name in Parquet files."""

SETS = ("train", "val", "test")

Folds = Annotated[int, Field(ge=2, le=1000)] | None
Fold = Natural | None

_MOST_BYTES = 2**33  # the most bytes of the numbers in a compressed file, 8 GB
_INEXACT_INTEGERS = 2.0**53  # the number from which on not every integer is a number in float64
_SEPARATORS = ",;\t"  # of a CSV file; the first wins a tie, because a header of one column has none


class File(NamedTuple):
    """The columns of a table, the line of each row of a CSV file, and the names that arrays get, which have none.

    Rows without a line are named by their index, which begins with 0 if the table has none of its own.
    """

    path: str
    frame: "pandas.DataFrame"
    lines: Sequence[int] = ()
    inputs: list[str] | None = None
    outputs: list[str] | None = None
    key: str = "data.file"  # the beginning of messages
    separator: str = ","  # of the cells of a CSV file

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return list(self.frame.columns)

    def row_name(self, row: int) -> str:
        """Return where a row is in the file, for a message."""
        return f"line {self.lines[row]}" if self.lines else f"row {self.frame.index[row]}"

    def wrong(self, name: str, rows: np.ndarray, rule: str) -> ConfigurationError:
        """Return an error that names the first of some rows, (m,) bool, and its cell in a column."""
        row = int(np.argmax(rows))
        got = str(self.frame[name].iloc[row])[:40]
        return ConfigurationError(
            f"{self.key}: {self.path!r}: {self.row_name(row)}, column {name!r}: {rule}; got {got!r}"
        )

    def numbers(self, name: str, *, required: bool = False) -> np.ndarray:
        """Return a column, (m,), in float64; NaN where a cell is empty, or without such a column.

        Raises:
            ConfigurationError: a cell is not a number or too large, or it is empty and must be known.
        """
        import pandas

        numbers = np.full(len(self.frame), np.nan)
        if not name or name not in self.frame.columns:
            return numbers
        column: Any = self.frame[name]
        if column.dtype.kind in "iufO":  # texts are objects
            converted: Any = pandas.to_numeric(column, errors="coerce")
            numbers = converted.to_numpy(float, na_value=np.nan)
        size, empty = np.abs(numbers), column.isna().to_numpy()
        if (large := size >= _INEXACT_INTEGERS).any():
            large &= column.astype(str).str.fullmatch(r"[-+]?\d+").to_numpy(bool)
        for rows, rule in (
            (np.isnan(numbers) & ~empty, "must be a number, with a decimal point, or empty"),
            (large, "an integer must be within 2^53 of 0, or lose digits: subtract an offset, or change its unit"),
            (size > FARTHEST, f"must be finite and within {FARTHEST:g} of 0"),
            (empty & required, "an input must be known in each row"),
        ):
            if rows.any():
                raise self.wrong(name, rows, rule)
        return numbers


def numbered(letter: str, count: int) -> tuple[str, ...]:
    """Return the names of columns without names: x, or x1, x2, ..."""
    return (letter,) if count == 1 else tuple(f"{letter}{i + 1}" for i in range(count))


def open_table(path: str, key: str = "data.file", piped: IO[bytes] | None = None) -> File:
    """Read a file of columns; a relative path is relative to the working directory.

    Args:
        path: the file.
        key: the beginning of messages.
        piped: an open CSV file that is read instead, such as the standard input; the path is its name in messages.

    Raises:
        ConfigurationError: there is no such file, or it is not a table; the message begins with the key.
    """
    read = FORMATS.get(Path(path).suffix.lower()) if piped is None else partial(_csv, piped=piped)
    if read is None:
        raise ConfigurationError(f"{key}: must be a file that ends in {', '.join(FORMATS)}, got {path!r}")
    if piped is None and not os.path.isfile(path):
        raise ConfigurationError(f"{key}: there is no file {path!r} in {os.getcwd()!r}")
    try:
        file = read(path)
        if twice := [name for name in file.frame.columns[file.frame.columns.duplicated()] if name]:
            raise ValueError(f"each name must stand for one column, got {twice[0]!r} more than once")
        if file.frame.empty:
            raise ValueError("must have at least one row, got none")
    except ImportError as error:
        need = "needs the package pyarrow; install it with pip install -e '.[parquet]'"
        raise ConfigurationError(f"{key}: {path!r} {need}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{key}: {path!r}: must be text in UTF-8; save it as such ({error})") from error
    except Exception as error:  # damage may raise anything, zlib.error and struct.error among others
        reason = getattr(error, "strerror", None) or str(error).partition("\n")[0] or type(error).__name__
        raise ConfigurationError(f"{key}: {path!r}: {reason}") from error
    return file._replace(key=key)


def _csv(path: str, piped: IO[bytes] | None = None) -> File:
    """Read a CSV file: names in the first line; cells separated by commas, semicolons or tabs.

    pandas would fill a line with too few cells and take the first cells of a longer one for an index, so that they are
    counted first: 0.46 s for 42 039 lines of 33 cells.
    """
    import pandas

    # A pipe cannot be read twice.
    with Path(path).open("rb") if piped is None else io.BytesIO(piped.read()) as content:
        file = io.TextIOWrapper(content, encoding="utf-8-sig")
        first, second = file.readline(), file.readline()
        # A name may have commas, as in `x, m;y, N`: the number of separators then differs from the next line.
        separator = max(
            _SEPARATORS,
            key=lambda character: (0 < first.count(character) == second.count(character), first.count(character)),
        )
        file.seek(0)
        reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
        names = [name.strip() for name in next(reader, [])]
        numbers: Any = pandas.to_numeric(pandas.Series([name for name in names if name], dtype=str), errors="coerce")
        if numbers.notna().all():
            raise ValueError(f"the first line must hold the names of the columns, got {names}")
        lines, line = list[int](), reader.line_num + 1
        for cells in reader:
            if len(cells) > 1 or any(map(str.strip, cells)):
                if len(cells) != len(names):
                    raise ValueError(f"line {line} must have {len(names)} cells, as line 1 has, got {len(cells)}")
                lines.append(line)
            line = reader.line_num + 1
        file.seek(0)
        # Before 3.1 the last digit of a number may be wrong, unless pandas is asked; since then it warns if it is.
        exactly: dict[str, Any] = {"float_precision": "round_trip"} if pandas.__version__ < "3.1" else {}
        frame = pandas.read_csv(
            file, sep=separator, skipinitialspace=True, low_memory=False, dtype_backend="numpy_nullable", **exactly
        )
    frame = frame.set_axis(names, axis=1)
    if INDEX in names:
        return File(path, frame.set_index(INDEX), separator=separator)
    matches = len(lines) == len(frame)  # in a file of one column an empty cell in quotes is no blank line for pandas
    return File(path, frame, lines if matches else (), separator=separator)


def _check_bytes(size: int) -> None:
    """Raise ValueError if the numbers of a compressed file take more memory than is allowed."""
    if size > _MOST_BYTES:
        raise ValueError(f"must hold at most {_MOST_BYTES} bytes of numbers, got {size}")


def _parquet(path: str) -> File:
    """Read a Parquet file; an index with a name is a column."""
    import pandas
    from pyarrow import parquet

    facts = parquet.read_metadata(path)
    _check_bytes(8 * facts.num_rows * facts.num_columns)
    frame = pandas.read_parquet(path, engine="pyarrow", dtype_backend="numpy_nullable")
    frame = frame if frame.index.names == [None] else frame.reset_index()
    return File(path, frame.set_axis(map(str, frame.columns), axis=1))


def _npz(path: str) -> File:
    """Read an NPZ file of arrays, as `of_arrays`."""
    if not zipfile.is_zipfile(path):
        raise ValueError("is not an NPZ file, which numpy.savez writes")
    with zipfile.ZipFile(path) as archive:
        _check_bytes(sum(member.file_size for member in archive.infolist()))
    with np.load(path, allow_pickle=False) as file:
        return of_arrays(path, {name: array for name, array in file.items() if isinstance(array, np.ndarray)})


def of_arrays(path: str, arrays: dict[str, np.ndarray]) -> File:
    """Return the columns of arrays `x`, (m, D), `y`, (m, P), `dydx`, (m, P, D), and of arrays of text, (m,).

    Raises:
        ValueError: there is another array, or one has another shape.
    """
    import pandas

    if "x" not in arrays:
        raise ValueError(f"must have an array 'x', got {', '.join(map(repr, arrays)) or 'none'}")
    m = len(np.atleast_1d(arrays["x"]))

    def columns(letter: str) -> dict[str, np.ndarray]:
        array = arrays.pop(letter)
        if array.dtype.kind not in "iuf" or array.ndim not in (1, 2) or not array.size or len(array) != m:
            rule = f"must be an array of numbers of the shape ({m},) or ({m}, n)"
            raise ValueError(f"{letter!r} {rule}, got {array.dtype} of {array.shape}")
        array = array.reshape(m, -1)
        return dict(zip(numbered(letter, array.shape[1]), array.T, strict=True))

    x = columns("x")
    y = columns("y") if "y" in arrays else {}
    slopes = dict[str, np.ndarray]()
    if (dydx := arrays.pop("dydx", None)) is not None:
        if not y:
            raise ValueError("'dydx' must come with 'y', which is NaN where no value is known; one is enough")
        shape = (m, len(y), len(x))
        squeezed, wanted = ([n for n in lengths if n != 1] for lengths in (dydx.shape, shape))
        if dydx.dtype.kind not in "iuf" or squeezed != wanted:
            rule = f"'dydx' must be an array of numbers of the shape {shape}"
            raise ValueError(f"{rule}, got {dydx.dtype} of {dydx.shape}")
        dydx = dydx.reshape(shape)
        slopes = {f"d{v}_d{u}": dydx[:, p, d] for p, v in enumerate(y) for d, u in enumerate(x)}
    for name, array in arrays.items():
        if array.shape != (m,) or array.dtype.kind not in "US" or name in {*x, *y, *slopes}:
            rule = f"must have the arrays 'x', 'y', 'dydx', and text of the shape ({m},), such as the labels of a split"
            raise ValueError(f"{rule}; got {name!r}, {array.dtype} of {array.shape}")
    return File(path, pandas.DataFrame(x | y | slopes | arrays), (), list(x), list(y) or None)


FORMATS: dict[str, Callable[[str], File]] = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet, ".npz": _npz}
"""The readers, by the ends of their files' names."""


_Names = Annotated[list[str], Field(min_length=1)]


def check_fold(folds: int | None, fold: int | None) -> None:
    """Raise ValueError if the keys `data.folds` and `data.fold` exclude each other."""
    if fold is not None and (folds is None or fold >= folds):
        allowed = "without data.folds" if folds is None else f"or from 0 to {folds - 1} with data.folds={folds}"
        raise ValueError(f"fold: must be null {allowed}, got {fold}")


@checked
class Table:
    """The rows of your own file: CSV, Parquet or NPZ.

    Columns are named in the first line of a CSV file, and separated by commas, semicolons or tabs. Empty cells and NaN
    are labels that are not known; an input must be known in each row. Parquet needs `pip install -e '.[parquet]'`. An
    NPZ file has the arrays `x`, (m, D), `y`, (m, P), and `dydx`, (m, P, D): the columns x1 to xD, y1 to yP and dy1_dx1
    to dyP_dxD, without a number where there is only one.

    Attributes:
        file: the file, which ends in .csv, .tsv, .parquet or .npz; relative to the working directory.
        inputs: the columns of the inputs. None: those with respect to which the file has derivatives; all other columns
            must then have a role too.
        outputs: the columns of the outputs. None: those of which the file has derivatives, likewise.
        derivatives: the columns of the partial derivatives, `{output: {input: column}}`; None: those that are named
            `d<output>_d<input>`; `{}`: none.
        log10: inputs whose logarithms the network sees, standardised; all of their values must be > 0. Everything else
            is in the units of the file, and derivatives follow the chain rule. Where such an input is not positive, the
            fit is NaN, and `outside` is infinite.
        split: the shares of the rows that are drawn, by the seed, for `train`, `val` and `test`, at most 1 in total.
            `train` None: all rows that are left. With a lower share some are not used, and those for validation and
            test stay the same, also those of folds. `val` 0: the training rows validate, too, also those that a split
            column keeps for validation. `test` 0: no row is for the test, and the final errors are those on the
            validation rows.
        split_column: a column that says `train`, `val` (or `validation`) or `test` in each row, instead of `split`, of
            which only `train` and a `val` of 0 have an effect then.
        group: a column of texts or numbers. Rows with the same value, such as those of one specimen, are in the same
            set and in the same fold. None: rows with the same inputs are.
        folds: the number K of folds, >= 2, into which the rows that are not for the test are divided, for
            cross-validation; None: none. `split.val` has no effect then, and `val` in a split column is `train`. There
            are not more folds than such rows, or groups of them.
        fold: the fold that is left out of training and validates, from 0 to K - 1. A sweep without this key trains a
            run for each fold.
        batch_size: the size of a mini-batch, from 1 to the number of training rows; None: with optimisers that can use
            mini-batches, the largest power of two B with B (1 + D) <= 22000, and all rows if there are at most 2 B.
        seed: the seed of the split, >= 0; None: that of the run, or with `folds` 0, so that runs with other seeds leave
            out the same rows.
    """

    file: str
    inputs: _Names | None = None
    outputs: _Names | None = None
    derivatives: dict[str, dict[str, str]] | None = None
    log10: list[str] = Field(default_factory=list)
    split: dict[Literal["train", "val", "test"], float | None] = Field(
        default_factory=lambda: {"train": None, "val": 0.15, "test": 0.15}
    )
    split_column: str | None = None
    group: str | None = None
    folds: Folds = None
    fold: Fold = None
    batch_size: int | None = None
    seed: Natural | None = None

    def __post_init__(self) -> None:
        train, val, test = self.shares
        used = train + test + (val if self.folds is None else 0)
        if not (train > 0 and val >= 0 and test >= 0 and used <= 1 + 1e-9):
            rule = "must be shares: val and test at least 0, train above 0 or null for all rows that are left"
            raise ValueError(f"split: {rule}, at most 1 in total; got {self.split}")
        check_fold(self.folds, self.fold)

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares for training, validation and test; NaN: not given."""
        shares = (self.split.get(name) for name in SETS)
        train, val, test = (math.nan if share is None else share for share in shares)
        return 1 - val - test if self.split.get("train") is None else train, val, test

    def __hash__(self) -> int:
        return hash(self.file)  # lists cannot be hashed
