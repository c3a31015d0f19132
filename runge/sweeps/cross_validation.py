"""The folds of a cross-validation as runs of a sweep."""

from collections.abc import Mapping, Sequence
from typing import Any

from runge.composing.command import SweepCommand
from runge.configuration.objects import build

__all__ = ["expand_folds", "folds"]


def expand_folds(command: SweepCommand, runs: Sequence[list[str]]) -> list[list[str]]:
    """Replace each run that has folds by one run for each of them."""
    expanded = list[list[str]]()
    for run in runs:
        expanded += [[*run, fold] for fold in folds(command.data_of(run))] or [run]
    return expanded


def folds(data: Mapping[str, Any]) -> list[str]:
    """Return the overrides that turn a run into the runs of its folds, one each, from its section `data`.

    There are none if it has no `data.folds`, or says by `data.fold` which fold it leaves out. The rows of a table are
    read, because few rows have fewer folds.

    Raises:
        ConfigurationError: the table cannot be read, or there are too few rows or points.
    """
    if data.get("folds") is None or data.get("fold") is not None:
        return []
    from runge.data.rows import read  # late: it loads torch
    from runge.data.sampled import Data
    from runge.data.table import Table

    of_table = "_target_" in data
    number = read(build("data", data, Table)).folds if of_table else build("data", data, Data).fold_count
    return [f"data.fold={fold}" for fold in range(number)]
