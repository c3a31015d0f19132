"""The leaderboard of `search=best`: the candidates, how good each is by cross-validation, and its weight in the answer.

It is the file `leaderboard.json` in the directory of the sweep.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from rich.console import Console
from rich.table import Table

from runge.errors import ConfigurationError
from runge.records.files import printable, write

__all__ = ["Candidate", "Leaderboard", "read_leaderboard"]

_FILE = "leaderboard.json"
_MOST = 12


@dataclass(frozen=True)
class Candidate:
    """A candidate of a race.

    Attributes:
        name: its settings in words.
        command: the command that repeats its cross-validation.
        runs: the numbers of its runs.
        folds: how many folds it has been trained on.
        value: the nrmse of the values in the rows that its networks had not seen; None: not known.
        derivative: that of the derivatives.
        spread: the root of the mean variance among the networks of the folds, around the rows.
        error: the error by which it is ranked.
        seconds: the time of one run.
        steps: the steps with the smallest error.
        weight: its weight in the answer.
    """

    name: str
    command: str
    runs: list[int]
    folds: int
    value: float | None
    derivative: float | None
    spread: float | None
    error: float
    seconds: float
    steps: int
    weight: float


@dataclass(frozen=True)
class Leaderboard:
    """The candidates, the best first, and sentences on the answer."""

    candidates: list[Candidate]
    sentences: list[str]
    left_out: list[str]

    def write(self, sweep: Path) -> None:
        """Write it into the directory of a sweep."""
        write(sweep / _FILE, json.dumps(asdict(self), indent=1) + "\n")

    def show(self, console: Console) -> None:
        """Print the first twelve candidates, and the sentences."""
        table = Table(box=None, header_style="bold", pad_edge=False)
        table.add_column("candidate", overflow="fold")
        for name in ("value", "derivative", "spread", "folds", "steps", "seconds", "weight"):
            table.add_column(name, justify="right", no_wrap=True)
        for one in self.candidates[:_MOST]:
            errors = ["-" if figure is None else f"{figure:.2e}" for figure in (one.value, one.derivative, one.spread)]
            weight = f"{one.weight:.2f}" if one.weight else ""
            row = [printable(one.name), *errors, str(one.folds), str(one.steps), f"{one.seconds:.1f}", weight]
            table.add_row(*row, style="bold" if one.weight else "")
        console.print(table)
        for sentence in self.sentences:
            console.print(printable(sentence), highlight=False)


def read_leaderboard(paths: Sequence[str | os.PathLike[str]]) -> Leaderboard | None:
    """Read the leaderboard of a sweep; None if there is none, or there are several directories.

    Raises:
        ConfigurationError: its file is damaged.
    """
    file = Path(paths[0]) / _FILE
    if len(paths) > 1 or not file.is_file():
        return None
    try:
        return TypeAdapter(Leaderboard).validate_json(file.read_bytes())
    except ValidationError as error:
        raise ConfigurationError(f"{file} is damaged ({error.errors()[0]['msg']})") from error
