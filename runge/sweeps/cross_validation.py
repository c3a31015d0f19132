"""The folds of a cross-validation as runs of a sweep."""

from collections.abc import Mapping
from typing import Any

from runge.configuration.objects import build

__all__ = ["folds"]


def folds(data: Mapping[str, Any]) -> list[list[str]]:
    """Return the overrides that turn a run into the runs of its folds, from its section `data`.

    It is one run without further overrides if it has no `data.folds`, or says by `data.fold` which fold it leaves out.
    The rows of a table are read, because few rows have fewer folds.

    Raises:
        ConfigurationError: the table cannot be read, or there are too few rows or points.
    """
    if data.get("folds") is None or data.get("fold") is not None:
        return [[]]
    from runge.data.rows import read  # late: it loads torch
    from runge.data.sampled import Data
    from runge.data.table import Table

    of_table = "_target_" in data
    number = read(build("data", data, Table)).folds if of_table else build("data", data, Data).fold_count
    return [[f"data.fold={fold}"] for fold in range(number)]
