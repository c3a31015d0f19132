"""The runs of a sweep that are one function: those of its answer, or those that differ only in seeds and fold."""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import SAME_RESULT, SEEDS
from runge.function.calibration import Calibration
from runge.records.directories import RunDirectory
from runge.records.files import read_bytes, write
from runge.records.reading import distinct, find, read

__all__ = ["members", "read_answer", "write_answer"]

_ANSWER = "answer.json"


@dataclass(frozen=True, config=ConfigDict(strict=True))
class _Answer:
    """The content of `answer.json`."""

    runs: list[str]  # relative to the sweep's directory
    intervals: Calibration | None = None

    def __post_init__(self) -> None:
        if not self.runs or len(set(map(os.path.normpath, self.runs))) < len(self.runs):
            raise ValueError("runs must name at least one run, and each once")


def write_answer(sweep: str | os.PathLike[str], runs: Iterable[str], intervals: Calibration | None = None) -> None:
    """Write the answer of a sweep, the mean of some of its runs, as `answer.json` in its directory.

    Args:
        sweep: the sweep's directory.
        runs: the directories of the runs, relative to the sweep's.
        intervals: what its intervals follow from; None: the rows that its own runs have not seen.

    Raises:
        ValueError: there is no run, or one is named twice.
        OSError: the file cannot be written.
    """
    write(Path(sweep) / _ANSWER, json.dumps(asdict(_Answer([*runs], intervals)), indent=2) + "\n")


def read_answer(sweep: str | os.PathLike[str]) -> tuple[list[RunDirectory], Calibration | None] | None:
    """Return the runs whose mean is a sweep's answer, and what its intervals follow from; None: there is no answer.

    The second is None if they follow from the rows that the runs have not seen.

    Raises:
        ConfigurationError: the file is damaged, or names a run that has not finished or is outside of the sweep.
        OSError: it cannot be read.
    """
    path, top = Path(sweep) / _ANSWER, Path(sweep).resolve()
    if not path.exists():
        return None
    content = read_bytes(path)
    try:
        answer = TypeAdapter(_Answer).validate_json(content)
        runs = [RunDirectory(Path(sweep) / run) for run in answer.runs]
        outside = [run for run in runs if top not in run.path.resolve().parents]
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))}: {first['msg']}".removeprefix(": ")
        raise ConfigurationError(f"{path} is damaged ({reason})") from error
    except ValueError as error:  # a path with a null byte
        raise ConfigurationError(f"{path} is damaged ({error})") from error
    if outside:
        raise ConfigurationError(f"{path} must name runs in its directory, got {str(outside[0].path)!r}")
    if unfinished := [run for run in runs if not run.metrics.exists()]:
        raise ConfigurationError(f"{path} must name finished runs, got {str(unfinished[0].path)!r}")
    return runs, answer.intervals


def _difference(first: RunDirectory, second: RunDirectory) -> str:
    """Return the keys in which two runs differ, with their values; empty: only in their seeds and folds."""
    ignored = {*SEEDS, *SAME_RESULT}
    first_rows, second_rows = ("" if (state := run.read_state()) is None else state.rows for run in (first, second))
    if first_rows and first_rows == second_rows:
        ignored.add("data.file")  # the same rows, in a file that has moved
    of_first, of_second = read(first).settings, read(second).settings
    differing = [
        f"{key} ({of_first.get(key)} and {of_second.get(key)})"
        for key in dict.fromkeys([*of_first, *of_second])
        if of_first.get(key) != of_second.get(key) and not {key, key.partition(".")[0]} & ignored
    ]
    return ", ".join(differing + ([] if first_rows == second_rows else ["the rows of data.file"]))


def members(directory: str | os.PathLike[str]) -> list[RunDirectory]:
    """Return the finished runs below a sweep's directory, which must differ only in their seeds and folds.

    Of runs with equal settings, such as copies, only the first is returned.

    Raises:
        ConfigurationError: none has finished, or they differ in other settings or in the rows of their tables.
        FileNotFoundError: there is no such directory.
    """
    finished = [run for run in find(directory) if run.metrics.exists()]
    if not finished:
        raise ConfigurationError(f"must contain a finished run, got none in {os.fspath(directory)!r}")
    for run in finished[1:]:
        if difference := _difference(finished[0], run):
            rule = f"the runs below {os.fspath(directory)!r} must differ only in seed and fold to be one function"
            pair = f"{finished[0].path} and {run.path} differ in {difference}"
            raise ConfigurationError(f"{rule}; {pair}; name one of them instead")
    return [RunDirectory(record.path) for record in distinct([read(run) for run in finished])]
