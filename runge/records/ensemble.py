"""The runs of a sweep that are one function: they differ only in their seeds and the fold that they leave out."""

import os

from runge.configuration import SAME_RESULT
from runge.errors import ConfigurationError
from runge.records.directories import RunDirectory
from runge.records.reading import find, read

__all__ = ["SEEDS", "members"]

SEEDS = ("seed", "data.seed", "data.fold")
"""The keys in which the runs of one function may differ."""


def _difference(one: RunDirectory, other: RunDirectory) -> str:
    """Return the keys in which two runs differ, with their values; empty: only in their seeds and folds."""
    ignored = {*SEEDS, *SAME_RESULT}
    rows, others_rows = ("" if (state := run.read_state()) is None else state.rows for run in (one, other))
    if rows and rows == others_rows:
        ignored.add("data.file")  # the same rows, in a file that has moved
    settings, others = read(one).settings, read(other).settings
    differing = [
        f"{key} ({settings.get(key)} and {others.get(key)})"
        for key in dict.fromkeys([*settings, *others])
        if settings.get(key) != others.get(key) and not {key, key.partition(".")[0]} & ignored
    ]
    return ", ".join(differing + ([] if rows == others_rows else ["the rows of data.file"]))


def members(directory: str | os.PathLike[str], like: RunDirectory | None = None) -> list[RunDirectory]:
    """Return the finished runs below a directory, which must differ only in their seeds and folds.

    Args:
        directory: a sweep's directory.
        like: a run; the runs that differ from it in more than these are then left out.

    Raises:
        ConfigurationError: none has finished, they differ in other settings or in the rows of their tables, or fewer
            than two are like the run.
        FileNotFoundError: there is no such directory.
    """
    finished = [run for run in find(directory) if run.metrics.exists()]
    if not finished:
        raise ConfigurationError(f"must contain a finished run, got none in {os.fspath(directory)!r}")
    differences = [(run, _difference(like or finished[0], run)) for run in finished]
    if like is not None:
        alike = [run for run, difference in differences if not difference]
        if len(alike) < 2:
            rule = f"must be a sweep with at least two finished runs that differ from {like.path} in seed and fold alone"
            raise ConfigurationError(f"{rule}, got {len(alike)} in {os.fspath(directory)!r}")
        return alike
    for run, difference in differences:
        if difference:
            rule = f"the runs below {os.fspath(directory)!r} must differ only in seed and fold to be one function"
            both = f"{finished[0].path} and {run.path} differ in {difference}"
            raise ConfigurationError(f"{rule}; {both}; name one of them instead")
    return finished
