"""Show the leaderboard of `search=best`: a table for the terminal, and the same rows for the report."""

import os
import shlex
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runge.comparison.origin import command_of
from runge.comparison.shown import MOST_CANDIDATES
from runge.configuration.command_line import command, key_of
from runge.records.files import printable
from runge.records.leaderboard import Leaderboard, LeaderboardEntry

HEADERS = ("value", "df/dx", "folds", "steps", "s")
"""The headers of `CandidateRow.cells`."""


class CandidateRow(NamedTuple):
    """A row of the leaderboard: the name of a candidate, its cells, and the command that cross-validates it."""

    name: str
    cells: list[str]
    command: str


def candidate_row(candidate: LeaderboardEntry) -> CandidateRow:
    """Return the row of a candidate."""
    errors = ["-" if error is None else f"{error:.1e}" for error in (candidate.value, candidate.derivative)]
    seconds = f"{candidate.seconds:.1f}" if candidate.seconds < 100 else f"{candidate.seconds:.0f}"
    cells = [*errors, str(candidate.folds), str(candidate.steps), seconds]
    is_sweep = "data.folds" in map(key_of, candidate.overrides)
    return CandidateRow(candidate.name, cells, command_of(candidate.overrides, sweep=is_sweep))


def show_leaderboard(board: Leaderboard, console: Console, sweep: Path) -> None:
    """Print the first twelve candidates, the sentences, and the commands that use the answer in `sweep`."""
    count = len(board.candidates)
    most = f", the best {MOST_CANDIDATES}" if count > MOST_CANDIDATES else ""
    title = f"{count} candidate{'s'[: count != 1]}{most}: errors over the standard deviation, by folds"
    if board.errors and all(error.value is None and error.derivative is None for error in board.errors):
        title += ", which may differ much from those in new rows"
    console.print(title, highlight=False)
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("candidate", overflow="fold")
    for name in HEADERS:
        table.add_column(name, justify="right", no_wrap=True)
    for place, row in enumerate(map(candidate_row, board.candidates[:MOST_CANDIDATES])):
        table.add_row(Text(printable(row.name)), *row.cells, style="" if place else "bold")
    console.print(table)
    if board.left_out:
        console.print(f"{len(board.left_out)} not compared; the report says why", highlight=False)
    console.print()
    for sentence in board.sentences:
        console.print(printable(sentence), markup=False, highlight=False)
    directory = shlex.quote(os.path.relpath(sweep))
    for verb, what in (("predict", "NEW_FILE"), ("export", "--to c")):
        line = printable(f"    {command(verb)} {directory} {what}")
        console.print(line, markup=False, highlight=False, soft_wrap=True)
