"""Read the rows of a table with a known label, and split them for training, validation and test."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
import torch

from runge.configuration.errors import ConfigurationError, listed
from runge.data.column_roles import find_roles, read_arrays, read_seconds
from runge.data.folds import FEWEST_POINTS, deal, number_points
from runge.data.split import Split, draw_sets
from runge.data.table import FARTHEST, SETS, File, Table, open_table

__all__ = ["Rows", "read"]

_LEAST_RANGE = 1 / FARTHEST
"""The least range of a column: the square of its inverse is a number."""


@dataclass(frozen=True)
class Rows:
    """The rows of a table in which some label is known.

    Attributes:
        x: the inputs, (m, D), float64, as all arrays. They are read-only.
        y: the outputs, (m, P); NaN: not known.
        dydx: their partial derivatives, (m, P, D); NaN: not known.
        inputs: the names of the inputs.
        outputs: the names of the outputs.
        table: the section of the configuration.
        sets: 0, 1 or 2, (m,), for training, validation and test; None without `data.split_column`.
        unused: the names of the unused columns.
        checksum: a hash of the arrays and the names.
        groups: the number of each row's group, (m,): from `data.group`, or the result of `number_points`.
        numbers: the number of each row in the file, (m,), from 0.
        weights: the weight of each row in the loss and in the validation error, (m,).
        d2ydx2: the second derivatives of each pair of inputs d <= e, (m, P, D (D + 1) / 2); NaN: not known; None: none.
    """

    INPUTS_VARY: ClassVar[bool] = True

    x: np.ndarray
    y: np.ndarray
    dydx: np.ndarray
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    table: Table
    sets: np.ndarray | None
    unused: tuple[str, ...]
    checksum: str
    groups: np.ndarray
    numbers: np.ndarray
    weights: np.ndarray
    d2ydx2: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        arrays: tuple[np.ndarray, np.ndarray, np.ndarray],
        inputs: Sequence[str],
        outputs: Sequence[str],
        table: Table,
        sets: np.ndarray | None = None,
        unused: Sequence[str] = (),
        seconds: np.ndarray | None = None,
        groups: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> Self:
        """Return the rows of x, y and dydx in which some label is known; the arrays become read-only.

        Raises:
            ConfigurationError: `check` refuses them.
        """
        x, y, dydx = arrays
        labels = [array.reshape(len(x), -1) for array in (y, dydx, seconds) if array is not None]
        is_known = ~np.isnan(np.concatenate(labels, axis=1)).all(axis=1)
        if not is_known.all():
            x, y, dydx = (array[is_known] for array in (x, y, dydx))
            optional = sets, seconds, groups, weights
            sets, seconds, groups, weights = (None if array is None else array[is_known] for array in optional)
        contents = [x, y, dydx, *(array for array in (sets, seconds, groups, weights) if array is not None)]
        checksum = hashlib.sha256(repr(([array.shape for array in contents], [*inputs, "", *outputs])).encode())
        for array in contents:
            array.setflags(write=False)  # all members that read the file share the array
            checksum.update(np.ascontiguousarray(array).data)
        rows = cls(
            x,
            y,
            dydx,
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            table=table,
            sets=sets,
            unused=tuple(unused),
            checksum=checksum.hexdigest(),
            groups=number_points(x) if groups is None else np.unique(groups, return_inverse=True)[1],
            numbers=np.flatnonzero(is_known),
            weights=np.ones(len(x)) if weights is None else weights,
            d2ydx2=seconds,
        )
        rows.check()
        return rows

    @classmethod
    def of_file(cls, file: File, table: Table) -> Self:
        """Return the rows of the content of a file, by the columns that a section names.

        Raises:
            ConfigurationError: the file does not fit the section.
        """
        roles = find_roles(file, table)
        sets = None if table.split_column is None else _sets(file, table.split_column)
        arrays, seconds = read_arrays(file, roles), read_seconds(file, roles)
        groups = None if table.group is None else _groups(file, table.group)
        return cls.of(arrays, roles.inputs, roles.outputs, table, sets, roles.unused, seconds, groups)

    def __post_init__(self) -> None:
        for name in self.table.log10:
            if name not in self.inputs:
                raise self._wrong("log10", f"must name inputs, {listed(self.inputs)}; got {name!r}")
            if (least := self.x[:, self.inputs.index(name)].min()) <= 0:
                raise self._wrong("log10", f"{name!r} must be above 0 in each row; got {least:g}")

    @property
    def is_log(self) -> np.ndarray:
        """Whether the network sees the logarithm of each input, (D,)."""
        return np.isin(self.inputs, self.table.log10)

    @property
    def duplicates(self) -> int:
        """The number of rows of the group of an earlier row: with its inputs, if no column names the groups."""
        return len(self.x) - int(self.groups.max()) - 1

    @property
    def leaking(self) -> int:
        """The number of rows for validation and test, by `data.split_column`, of the group of a training row."""
        if self.sets is None:
            return 0
        training = self.sets < (1 if self.table.folds is None else SETS.index("test"))
        return int(np.isin(self.groups[~training], self.groups[training]).sum())

    @property
    def folds(self) -> int:
        """The number of folds, at most `data.folds` and `most_folds`; 0 without `data.folds`.

        Raises:
            ConfigurationError: there are too few rows, or groups of them.
        """
        if self.table.folds is None:
            return 0
        if (n := len(self.x)) < FEWEST_POINTS:
            raise self._wrong("file", f"must have at least {FEWEST_POINTS} rows in which a label is known, got {n}")
        if (most := self.most_folds) < 2:
            key = "folds" if self.table.group is None else "group"
            raise self._wrong(key, f"must leave 2 groups for the folds, because {self.together} are in one; got {most}")
        return min(self.table.folds, most)

    @property
    def labels(self) -> np.ndarray:
        """The values and derivatives in columns, (N, P + P D), values first; NaN: not known."""
        return np.concatenate([self.y, self.dydx.reshape(len(self.x), -1)], axis=1)

    @property
    def most_folds(self) -> int:
        """The least number of groups that are not for the test: each fold has one."""
        if self.sets is not None:
            return len(np.unique(self.groups[self.sets < SETS.index("test")]))
        sizes = np.sort(np.bincount(self.groups))  # in the worst case the test takes the smallest groups
        room = np.rint(self.table.shares[2] * len(self.x))
        return len(sizes) - int(np.searchsorted(np.cumsum(sizes), room, side="right"))

    @property
    def together(self) -> str:
        """Words for the rows of a group."""
        return f"rows with the same {'inputs' if self.table.group is None else self.table.group}"

    def by_output(self) -> list[Self]:
        """Return the rows of each output alone; all of these have one name, so that they can be a stack."""
        d2ydx2 = self.d2ydx2
        return [
            replace(
                self,
                y=self.y[:, [p]],
                dydx=self.dydx[:, [p]],
                outputs=self.outputs[:1],
                d2ydx2=None if d2ydx2 is None else d2ydx2[:, [p]],
            )
            for p in range(len(self.outputs))
        ]

    def split(self, seed: int | torch.Generator) -> Split:
        """Return the rows for training, validation and test, drawn unless the table has a column for the split.

        One row with a known value of each output is always drawn for training: the derivatives alone determine an
        output up to a constant. The rows of a group are drawn for the same set, because a label that is known from
        training does not test a fit; a set may then be smaller than its share.

        With `data.folds` the rows for training and validation are dealt to folds, and `data.fold` is for validation. If
        the share for validation is 0, all of them are in both sets. With a share for training, some rows are in no set.

        Raises:
            ConfigurationError: a set would be empty, or `check` refuses the training rows.
        """
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)
        is_known, folds = ~np.isnan(self.y), self.folds
        _, val, test = self.table.shares
        drawn = test, 0.0 if folds else val
        if self.sets is None:
            chosen = draw_sets(self.groups, is_known, *drawn, generator)
        else:
            chosen, drawn = Split(*(np.flatnonzero(self.sets == i) for i in range(3))), (0.0, 0.0)
        if folds:
            rows, fold = np.concatenate(chosen[:2]), self.table.fold
            if fold is None or fold >= folds:
                raise self._wrong("fold", f"must be from 0 to {folds - 1}, because there are {folds} folds; got {fold}")
            left_out = deal(self.groups[rows], is_known[rows], folds, generator) == fold
            chosen = Split(self._last_rows(rows[~left_out], *drawn, generator), rows[left_out], chosen.test)
        elif val == 0:
            rows = self._last_rows(np.concatenate(chosen[:2]), *drawn, generator)
            chosen = Split(rows, rows, chosen.test)
        else:
            chosen = chosen._replace(train=self._last_rows(chosen.train, *drawn, generator))
        needed = 3 if self.table.shares[2] else 2
        if not all(map(len, chosen[:needed])):
            sizes = ", ".join(f"{len(rows)} {name}" for name, rows in chosen._asdict().items())
            got = f"got {sizes}, of {self.groups.max() + 1} groups; {self.together} are in one set"
            key = "split" if self.sets is None else "split_column"
            raise self._wrong(key, f"must leave rows for each of {', '.join(SETS[:needed])}; {got}")
        self.check(chosen.train, " in the training rows")
        return chosen

    def _last_rows(self, training: np.ndarray, test: float, val: float, generator: torch.Generator) -> np.ndarray:
        """Return the last ones of the training rows: `split.train` of all rows, which follows some shares.

        Rows that a column of the table has divided are in its order, and are shuffled first.

        A smaller share has a part of the rows of a larger one. If few rows have a label of a channel, all of them are
        in the part; in any case one with a known value of each output is, and rows in which each input differs.
        """
        share = self.table.split.get("train")
        if share is None:
            return training
        ends = np.rint(np.cumsum([test, val, share]) * len(self.x)).astype(int)
        unused = len(training) - (n := ends[2] - ends[1])
        if not 0 < unused < len(training):
            return training
        if self.sets is not None:
            order = torch.randperm(int(self.groups.max()) + 1, generator=generator).numpy()
            training = training[np.argsort(order[self.groups[training]], kind="stable")]
        is_known = ~np.isnan(self.labels[training])
        few = is_known.sum(axis=0) <= n // (2 * is_known.shape[1])
        needed = np.asarray(is_known[:, few].any(axis=1))
        for of_output in is_known[:, : self.y.shape[1]].T:
            needed[np.flatnonzero(of_output)[-1:]] = True
        for of_input in self.x[training].T:
            needed[np.flatnonzero(of_input != of_input[-1])[-1:]] = True
        if needed[:unused].any():
            return training[np.argsort(needed, kind="stable")][unused:]
        # A group is kept or left out as a whole.
        first = np.flatnonzero(self.groups[training] == self.groups[training[unused]])[0]
        return training[first:]

    def check(self, rows: np.ndarray | slice = slice(None), where: str = "") -> None:
        """Raise ConfigurationError if some rows do not determine an output, or an input is constant there.

        An output needs two known values, or one and a known partial derivative with respect to each input.
        """
        for p, name in enumerate(self.outputs):
            count = np.count_nonzero(~np.isnan(self.y[rows, p]))
            if count > 1:
                continue
            unknown = [by for d, by in enumerate(self.inputs) if np.isnan(self.dydx[rows, p, d]).all()]
            if not count or unknown:
                rule = f"{name!r} must be known in two rows{where}, or in one with a known derivative for each input"
                got = f"got {count}" + f", and no derivative with respect to {', '.join(unknown)}" * bool(unknown)
                free = "; any value in one row will do if the constant has no meaning" * (not count and not unknown)
                raise self._wrong(
                    "outputs", f"{rule}, because derivatives determine it only up to a constant; {got}{free}"
                )
        for key, names, columns in (("inputs", self.inputs, self.x), ("outputs", self.outputs, self.y)):
            for name, column in zip(names, columns[rows].T, strict=True):
                size = np.nanmax(column) - np.nanmin(column)
                if 0 < size < _LEAST_RANGE or (size == 0 and key == "inputs" and self.INPUTS_VARY):
                    rule = f"{name!r} must have values that differ by at least {_LEAST_RANGE:g}{where}"
                    got = f"got {column[0]:g} in {len(column)} rows, within {size:g}"
                    raise self._wrong(key, f"{rule}; {got}: leave it out, add rows, or change its unit")

    def _wrong(self, key: str, what: str) -> ConfigurationError:
        return ConfigurationError(f"data.{key}: {self.table.file!r}: {what}")


def read(table: Table) -> Rows:
    """Read the rows of a table; a file that has not changed is read once.

    Raises:
        ConfigurationError: the file cannot be read, or does not fit the section; the message names the key,
            the file, and the line and column if there is one.
    """
    stamp = None
    with suppress(OSError, ValueError):  # `open_table` raises the error of a file that cannot be read
        status = os.stat(table.file)
        stamp = os.path.abspath(table.file), status.st_mtime_ns, status.st_size
    columns = replace(table, split=Table(file="").split, folds=None, fold=None, batch_size=None, seed=None, log10=[])
    return replace(_read(columns, stamp), table=table)


@lru_cache(maxsize=8)
def _read(table: Table, _stamp: object) -> Rows:
    return Rows.of_file(open_table(table.file), table)


def _sets(file: File, column: str) -> np.ndarray:
    """Return the set of each row, (m,), as `Rows.sets`."""
    labels = {name: i for i, name in enumerate(SETS)} | {"validation": 1}
    sets = file.frame[column].astype(str).str.strip().str.lower().map(labels)
    if (wrong := sets.isna().to_numpy()).any():
        raise file.wrong(column, wrong, f"must be {', '.join(labels)}")
    return sets.to_numpy(int)


def _groups(file: File, column: str) -> np.ndarray:
    """Return the number of each row's group, (m,), by the text of a cell."""
    import pandas

    cells = file.frame[column].astype(str).str.strip()
    if (empty := (file.frame[column].isna() | (cells == "")).to_numpy(bool)).any():
        raise file.wrong(column, empty, "the group of each row must be known; words such as NA and null count as empty")
    return pandas.factorize(cells)[0]
