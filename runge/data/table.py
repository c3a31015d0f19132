"""The user's own table as data: which columns are what, and which rows are for training, validation and test."""

import hashlib
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any, Self

import numpy as np
import torch
from pydantic import BeforeValidator, Field

from runge.data.columns import TableFile, shown
from runge.data.files import FORMATS, open_table
from runge.data.roles import FARTHEST, find_roles, read_arrays
from runge.data.splitting import SETS, Split, draw, number_points
from runge.errors import ConfigurationError
from runge.validation import Natural, checked

__all__ = ["Rows", "Split", "Table", "read"]

_FILES_KEPT = 8

_CLOSEST = 1 / FARTHEST
"""The least size of a column: its square is a number."""


def _check_named(file: Any) -> Any:
    if not isinstance(file, str):
        raise ValueError(f"must name a table, a file that ends in {', '.join(FORMATS)}")
    return file


@checked
class Table:
    """The rows of your own file: CSV, Parquet or NPZ.

    Columns are named in the first line of a CSV file, and separated by commas, semicolons or tabs. Empty cells and NaN
    are labels that are not known; an input must be known in each row. Parquet needs `pip install -e '.[parquet]'`. An
    NPZ file has the arrays `x`, (m, D), `y`, (m, P), and `dydx`, (m, P, D): the columns x1 to xD, y1 to yP and dy1_dx1
    to dyP_dxD, without a number where there is only one.

    Attributes:
        file: the file, which ends in .csv, .tsv, .parquet or .npz; relative to the directory of the command.
        inputs: the columns of the inputs. None: those by which the file has derivatives; all other columns must then
            have a role too.
        outputs: the columns of the outputs; None: those of which the file has derivatives, likewise.
        derivatives: the columns of the partial derivatives, `{output: {input: column}}`; None: those that are named
            `d<output>_d<input>`; `{}`: none.
        split: the shares of the rows that are drawn, by the seed, for `train`, `val` and `test`, at most 1 in total.
            `train` None: all rows that are left. With a lower share some are not used, and those for validation and
            test stay the same. `test` 0: no row is for the test, and the final errors are those on the validation rows.
        split_column: a column that says `train`, `val` (or `validation`) or `test` in each row, instead of `split`.
        batch_size: the size of a mini-batch, from 1 to the number of training rows; None: with optimisers that can use
            mini-batches, the largest power of two B with B (1 + D) <= 22000, and all rows if there are at most 2 B.
        seed: the seed of the split, >= 0; None: that of the run.

    Example:
        >>> Table(file="drag.csv", split={"train": 0.8, "val": 0.1, "test": 0.1}).batch_size
    """

    file: Annotated[str, BeforeValidator(_check_named)]
    inputs: list[str] | None = None
    outputs: list[str] | None = None
    derivatives: dict[str, dict[str, str]] | None = None
    split: dict[str, float | None] = Field(default_factory=lambda: {"train": None, "val": 0.15, "test": 0.15})
    split_column: str | None = None
    batch_size: int | None = None
    seed: Natural | None = None

    def __post_init__(self) -> None:
        for key, names in (("inputs", self.inputs), ("outputs", self.outputs)):
            if names is not None and (not names or len(set(names)) < len(names)):
                raise ValueError(f"{key}: must be at least one column, each once, got {names}")
        if self.inputs and self.outputs and (both := set(self.inputs) & set(self.outputs)):
            raise ValueError(f"outputs: must be other columns than the inputs, got {sorted(both)[0]!r} in both")
        if unknown := [name for name in self.split if name not in SETS]:
            raise ValueError(f"split: must have the keys {', '.join(SETS)} only, got {unknown[0]!r}")
        train, val, test = self.shares
        if not (train > 0 and val > 0 and test >= 0 and train + val + test <= 1 + 1e-9):
            rule = "must be shares: val above 0, test at least 0, train above 0 or null for all rows that are left"
            raise ValueError(f"split: {rule}, at most 1 in total; got {self.split}")

    @property
    def shares(self) -> tuple[float, float, float]:
        """The shares for training, validation and test; NaN: not given."""
        val, test = (math.nan if (share := self.split.get(name)) is None else share for name in SETS[1:])
        train = self.split.get("train")
        return 1 - val - test if train is None else train, val, test

    def __hash__(self) -> int:
        return hash(self.file)  # lists cannot be hashed


@dataclass(frozen=True)
class Rows:
    """The rows of a table in which some label is known.

    Attributes:
        x: the inputs, (m, D), float64, as all arrays. They are read-only.
        y: the outputs, (m, P); NaN: not known.
        dydx: their partial derivatives, (m, P, D); NaN: not known.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        sets: 0, 1 or 2, (m,), for training, validation and test; None without `data.split_column`.
        table: what was read.
        checksum: a hash of all of the above except `table`.
        unused: the names of the columns that were not read.
        points: the result of `number_points`, (m,).
    """

    x: np.ndarray
    y: np.ndarray
    dydx: np.ndarray
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sets: np.ndarray | None
    table: Table
    checksum: str
    unused: tuple[str, ...]
    points: np.ndarray

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        dydx: np.ndarray,
        inputs: Sequence[str],
        outputs: Sequence[str],
        table: Table,
        sets: np.ndarray | None = None,
        unused: Sequence[str] = (),
    ) -> Self:
        """Return the rows of these arrays in which some label is known; the arrays become read-only.

        Raises:
            ConfigurationError: `check` refuses them.
        """
        known = ~(np.isnan(y).all(axis=1) & np.isnan(dydx).all(axis=(1, 2)))
        if not known.all():
            x, y, dydx, sets = x[known], y[known], dydx[known], None if sets is None else sets[known]
        for array in (x, y, dydx):
            array.setflags(write=False)  # all that read the same file share it
        checksum = _checksum([x, y, dydx, *([] if sets is None else [sets])], [*inputs, "", *outputs])
        names = tuple(inputs), tuple(outputs)
        rows = cls(x, y, dydx, *names, sets, table, checksum, tuple(unused), number_points(x))
        rows.check()
        return rows

    @property
    def duplicates(self) -> int:
        """The number of rows with the inputs of an earlier row."""
        return len(self.x) - int(self.points.max()) - 1

    @property
    def leaking(self) -> int:
        """The number of rows for validation and test, by `data.split_column`, whose inputs a training row has."""
        sets = np.zeros(len(self.x)) if self.sets is None else self.sets
        return int(np.isin(self.points[sets > 0], self.points[sets == 0]).sum())

    def split(self, seed: int | torch.Generator) -> Split:
        """Return the rows for training, validation and test, drawn unless the table has a column that says so.

        One row with a known value of each output is always drawn for training: the derivatives alone determine an
        output up to a constant. Rows with the same inputs are drawn for the same set, because a label that is known
        from training does not test a fit; a set may then be smaller than its share.

        Raises:
            ConfigurationError: a set would be empty, or `check` refuses the training rows.
        """
        if self.sets is None:
            _, val, test = self.table.shares
            chosen = draw(self.points, ~np.isnan(self.y), self.table.split.get("train"), val, test, seed)
        else:
            chosen = Split(*(np.flatnonzero(self.sets == i) for i in range(3)))
        needed = SETS if self.table.shares[2] else SETS[:2]
        if empty := [name for name in needed if not len(getattr(chosen, name))]:
            key = "split" if self.sets is None else "split_column"
            sizes = ", ".join(f"{len(rows)} {name}" for name, rows in chosen._asdict().items())
            # A share of more than one row is at least one row when its ends are rounded.
            enough = math.floor(1 / min(filter(None, self.table.shares))) + 1
            then = f"; with these shares {enough} rows are enough" if self.sets is None else ""
            if self.sets is None and self.duplicates:
                then = f"; rows with the same inputs are in one set, and only {len(self.x) - self.duplicates} differ"
                then += ": enlarge the shares, or use data.split_column"
            rule = f"must leave rows for each of {', '.join(needed)}"
            raise self._wrong(key, f"{rule}, got {sizes} ({empty[0]} is empty){then}")
        self.check(chosen.train, " in the training rows")
        return chosen

    def check(self, rows: np.ndarray | slice = slice(None), where: str = "") -> None:
        """Raise ConfigurationError if some rows do not determine an output, or an input is constant there.

        An output needs a known value; with only one it needs a known partial derivative by each input, too.
        """
        for p, name in enumerate(self.outputs):
            known = np.count_nonzero(~np.isnan(self.y[rows, p]))
            unknown = [by for d, by in enumerate(self.inputs) if np.isnan(self.dydx[rows, p, d]).all()]
            if not known:
                then = "; its derivatives determine it up to a constant only" * (len(unknown) < len(self.inputs))
                raise self._wrong("outputs", f"{name!r} must be known in at least one row{where}, got none{then}")
            if known == 1 and unknown:
                rule = f"{name!r} must be known in at least two rows{where}, or have a known derivative by each input"
                raise self._wrong("outputs", f"{rule}; got one row and no derivative by {', '.join(unknown)}")
        self._check_inputs(rows, where)
        for key, names, columns in (("inputs", self.inputs, self.x), ("outputs", self.outputs, self.y)):
            for name, column in zip(names, columns[rows].T, strict=True):
                if 0 < (size := np.nanmax(column) - np.nanmin(column)) < _CLOSEST:
                    rule = f"{name!r} must have values that differ by at least {_CLOSEST:g}; change its unit"
                    raise self._wrong(key, f"{rule}, got values within {size:g}{where}")

    def _check_inputs(self, rows: np.ndarray | slice, where: str) -> None:
        if len(self.inputs) > 1 and (self.x[rows].min(0) == self.x[rows].max(0)).all():
            names = ", ".join(self.inputs)
            raise self._wrong("inputs", f"must differ from row to row, got the same {names} in all rows{where}")
        for d, name in enumerate(self.inputs):
            column = self.x[rows, d]
            if column.min() == column.max():
                rule = "must differ from row to row; leave it out, or add rows"
                raise self._wrong("inputs", f"{name!r} {rule}, got {column[0]:g} in all {len(column)}{where}")

    def _wrong(self, key: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"data.{key}: {shown(self.table.file)}: {what}")


def read(table: Table) -> Rows:
    """Read the rows of a table; a file that has not changed is read once.

    Raises:
        ConfigurationError: the file cannot be read, or does not hold what the table says; the message names the key,
            the file, and the line and column if there is one.
    """
    try:
        found = os.stat(table.file)
        stamp = (os.path.abspath(table.file), found.st_mtime_ns, found.st_size)
    except (OSError, ValueError):  # `open_table` says why
        stamp = None
    columns = replace(table, split=Table(file="").split, batch_size=None, seed=None)
    return replace(_read(columns, stamp), table=table)


@lru_cache(maxsize=_FILES_KEPT)
def _read(table: Table, _stamp: object) -> Rows:
    try:
        file = open_table(table.file)
        besides = [] if table.split_column is None else [table.split_column]
        if not set(besides) <= set(file.names):
            columns = ", ".join(file.names)
            message = f"{shown(table.file)}: must be among its columns, {columns}; got {table.split_column!r}"
            raise ConfigurationError(f"data.split_column: {message}")
        roles = find_roles(file, table.inputs, table.outputs, table.derivatives, besides)
        x, y, dydx = read_arrays(file, roles)
        sets = None if table.split_column is None else _sets(file, table.split_column)
    except ConfigurationError:
        raise
    except (ValueError, OSError) as error:
        raise ConfigurationError(f"data.file: {error}") from error
    if len(x) < 2:
        raise ConfigurationError(f"data.file: {shown(table.file)}: must have at least two rows, got one")
    return Rows.of(x, y, dydx, roles.inputs, roles.outputs, table, sets, roles.unused)


def _checksum(arrays: Sequence[np.ndarray], names: Sequence[str]) -> str:
    found = hashlib.sha256(repr(([array.shape for array in arrays], list(names))).encode())
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _sets(file: TableFile, column: str) -> np.ndarray:
    labels = {name: i for i, name in enumerate(SETS)} | {"validation": 1}
    words = file.words(column)
    for row, word in enumerate(words):
        if word.lower() not in labels:
            where = f"{shown(file.path)}: {file.place(row)}, column {column!r}"
            raise ConfigurationError(f"data.split_column: {where}: must be {', '.join(labels)}, got {word[:40]!r}")
    return np.array([labels[word.lower()] for word in words])
