"""The rows of a table on which a run was trained, from its files."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from runge.configuration import build
from runge.data import Table, read
from runge.errors import ConfigurationError
from runge.runs import reading
from runge.runs.directories import RunDirectory
from runge.training.seed import Seed

__all__ = ["used_rows"]


def used_rows(runs: Iterable[RunDirectory], data: Mapping[str, Any], x: np.ndarray) -> np.ndarray:
    """Return the set in which some runs had rows with given inputs, (m, D): `train`, `val` or `test`; empty: in none.

    Of several runs on the same table, the section `data`, the first of these sets in which one of them had a row.

    Raises:
        ConfigurationError: it cannot be known, because the file of the table is missing or has changed.
    """
    rows = read(build("data", data, Table))
    sets: dict[bytes, str] = {}
    for run in runs:
        state, settings = run.read_state(), reading.read(run).settings
        if state is None or state.rows != rows.checksum:
            raise ConfigurationError(f"data.file: {rows.table.file!r} does not hold the rows of the run {run.path}")
        own = settings.get("data.seed")
        split = rows.split(Seed(seed=settings["seed"] if own is None else own).generator("data"))
        for name, index in split._asdict().items():
            for row in map(_key, rows.x[index]):
                sets[row] = min(sets.get(row, name), name, key=split._fields.index)
    return np.array([sets.get(row, "") for row in map(_key, x)], dtype="U5")


def _key(row: np.ndarray) -> bytes:
    return (row + 0.0).tobytes()  # -0.0 is 0.0
