"""The trials of `search=optuna`, which are the file `search.json` in its directory."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from runge.configuration.errors import ConfigurationError
from runge.records.files import read_json, write

_FILE = "search.json"
"""The name of the file in the directory of the search."""

_MOST_BYTES = 2**28
"""The largest file that is read, in bytes, so that a file that is not the search's does not fill the memory; an
estimate."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A trial that has ended.

    Attributes:
        number: its number.
        status: `finished`, `diverged` or `failed`.
        runs: the numbers of its runs.
        values: the values of the objective; None: not known.
        params: the settings that were chosen for it.
    """

    number: int
    status: str = ""
    runs: list[int]
    values: list[float] | None = None
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Trials:
    """The results of `search=optuna` so far.

    Attributes:
        objective: the metrics that it minimises.
        space: the ranges of its settings, as Optuna writes them.
        trials: the ended trials.
        best: the number of the best trial, or with several metrics the trials that no other beats in all.
        overrides: the overrides of each best trial.
        folds: the number of folds of a trial; 0: it is not cross-validated.
    """

    objective: list[str]
    space: dict[str, Any] = field(default_factory=dict)
    trials: list[Trial]
    best: list[int]
    overrides: list[list[str]]
    folds: int

    def write(self, sweep: Path) -> None:
        """Write them into the directory of a search."""
        write(sweep / _FILE, json.dumps(asdict(self), indent=1) + "\n")


def read_trials(paths: Sequence[str | os.PathLike[str]]) -> Trials | None:
    """Read the trials of Optuna in a directory; None if there are none, or there are several directories.

    Raises:
        ConfigurationError: the file is damaged.
        OSError: it cannot be read.
    """
    file = Path(paths[0]) / _FILE
    if len(paths) > 1 or not file.is_file():
        return None
    try:
        return TypeAdapter(Trials).validate_python(read_json(file, most=_MOST_BYTES))
    except ValidationError as error:
        where, message = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise ConfigurationError(f"{file} is damaged ({where}: {message})") from error
