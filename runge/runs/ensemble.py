"""The runs of a sweep that are one function: they differ only in their seeds, and were fitted to the same."""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from runge.configuration import SAME_RESULT
from runge.errors import ConfigurationError
from runge.runs.directories import RunDirectory
from runge.runs.reading import find, read

__all__ = ["SEEDS", "members"]

SEEDS = ("seed", "data.seed")
"""The keys in which the runs of one function may differ."""


class _Facts(NamedTuple):
    """The settings of a run without its seeds and what changes no result, and the checksum of its rows."""

    settings: Mapping[str, Any]
    rows: str

    @classmethod
    def of(cls, run: RunDirectory) -> "_Facts":
        settings, state = read(run).settings, run.read_state()
        ignored = (*SEEDS, *SAME_RESULT)
        kept = {key: x for key, x in settings.items() if key not in ignored and key.partition(".")[0] not in ignored}
        return cls(kept, "" if state is None else state.rows)

    def difference(self, other: "_Facts") -> str:
        """Return the keys in which two runs differ, with their values; empty: only in their seeds."""
        same_rows = self.rows == other.rows
        ignored = {"data.file"} if self.rows and same_rows else set()  # the same rows, in a file that has moved
        keys = [
            key
            for key in dict.fromkeys([*self.settings, *other.settings])
            if self.settings.get(key) != other.settings.get(key) and key not in ignored
        ]
        said = [f"{key} ({self.settings.get(key)} and {other.settings.get(key)})" for key in keys]
        return ", ".join(said + ([] if same_rows else ["the rows of data.file"]))


def members(directory: str | os.PathLike[str], like: RunDirectory | None = None) -> list[RunDirectory]:
    """Return the finished runs below a directory, which must differ only in their seeds.

    Args:
        directory: a sweep's directory.
        like: a run; the runs that differ from it in more than the seeds are then left out.

    Raises:
        ConfigurationError: none has finished, they differ in other settings or in the rows of their tables, or fewer
            than two are like the run.
        FileNotFoundError: there is no such directory.
    """
    finished = [run for run in find(directory) if run.metrics.exists()]
    if not finished:
        raise ConfigurationError(f"must contain a finished run, got none in {os.fspath(directory)!r}")
    first = _Facts.of(like or finished[0])
    differences = [(run, first.difference(_Facts.of(run))) for run in finished]
    if like is not None:
        alike = [run for run, difference in differences if not difference]
        if len(alike) < 2:
            rule = f"must be a sweep with at least two finished runs that differ from {like.path} in their seeds alone"
            raise ConfigurationError(f"{rule}, got {len(alike)} in {os.fspath(directory)!r}")
        return alike
    for run, difference in differences:
        if difference:
            rule = f"the runs below {os.fspath(directory)!r} must differ only in their seeds to be one function"
            both = f"{finished[0].path} and {run.path} differ in {difference}"
            raise ConfigurationError(f"{rule}; {both}; name one of them instead")
    return finished
