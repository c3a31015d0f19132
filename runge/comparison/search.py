"""Read the best trials of `search=optuna` from the file in its directory."""

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from runge.comparison.naming import command_of
from runge.configuration.errors import ConfigurationError
from runge.records.files import printable, read_json


@dataclass(frozen=True)
class Trial:
    """A trial: its number, and the numbers of its runs."""

    number: int
    runs: list[int]


@dataclass(frozen=True)
class Search:
    """The results of `search=optuna` so far.

    Attributes:
        objective: the figures that it minimises.
        trials: the ended trials.
        best: the number of the best trial, or with several figures the trials that no other beats in all.
        overrides: the overrides of each best trial.
        folds: the number of folds of a trial; 0: it is not cross-validated.
    """

    objective: list[str]
    trials: list[Trial]
    best: list[int]
    overrides: list[list[str]]
    folds: int

    @property
    def commands(self) -> list[str]:
        """The command of each best trial, which trains its settings once for each fold."""
        return [command_of(overrides, sweep=self.folds > 0) for overrides in self.overrides]

    @property
    def sentence(self) -> str:
        """A sentence on the objective and the best trials."""
        figures = " and ".join(map(printable, self.objective))
        searched = f"{len(self.trials)} trials of a search that minimises {figures}"
        if not self.best:
            return f"{searched}; none has finished."
        which = f"no other trial beats {', '.join(map(str, self.best))} in all of these"
        if len(self.best) == 1:
            runs = [run for trial in self.trials if trial.number == self.best[0] for run in trial.runs]
            which = f"the best trial is {self.best[0]}, run {', '.join(map(str, runs))}"
        return f"{searched}: {which}. The search did not use the test points."


def read_search(paths: Sequence[str | os.PathLike[str]]) -> Search | None:
    """Read the search of Optuna in a directory; None if there is none, or there are several directories.

    Raises:
        ConfigurationError: its file is damaged.
        OSError: it cannot be read.
    """
    file = Path(paths[0]) / "search.json"
    if len(paths) > 1 or not file.is_file():
        return None
    try:
        return TypeAdapter(Search).validate_python(read_json(file, most=2**28))
    except ValidationError as error:
        where, message = ".".join(map(str, error.errors()[0]["loc"])), error.errors()[0]["msg"]
        raise ConfigurationError(f"{file} is damaged ({where}: {message})") from error
