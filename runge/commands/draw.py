"""Draw the pictures of runs and sweeps from their files, into their directories."""

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from pathlib import Path

from runge.commands.endings import ending
from runge.configuration.errors import ConfigurationError, describe
from runge.function.ensemble import read_answer
from runge.pictures.drawing import draw_answer, draw_into, write_pictures
from runge.records.directories import RunDirectory
from runge.records.files import printable
from runge.records.reading import find


@ending("DIR")
def main(arguments: Sequence[str] | None = None, prog: str = "runge draw") -> None:
    """Run the command `runge draw`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a run, a sweep, or a directory above them")
    options = parser.parse_args(arguments)
    if not (runs := find(*options.directories)):
        raise ConfigurationError(f"DIR: must contain a run, got none in {', '.join(options.directories)}")
    drawn = [_draw_run(run) for run in runs]
    for sweep in dict.fromkeys(run.path.parent for run in runs):
        _draw_sweep(sweep)
    if not any(drawn):
        sys.exit(2)


def _draw_run(run: RunDirectory) -> bool:
    """Draw a run, and print the paths of its pictures; return False if it has failed, or has just begun."""
    try:
        for path in draw_into(run.path):
            print(path)
    except FileNotFoundError as error:
        print(f"not drawn: {printable(describe(error) if error.filename else str(error))}", file=sys.stderr)
        return False
    return True


def _draw_sweep(sweep: Path) -> None:
    """Draw the answer of a search, or the mean function of a sweep; without an answer, it may have several."""
    answered = read_answer(sweep) is not None
    if answered or (sweep / "multirun.yaml").is_file():
        with nullcontext() if answered else suppress(ConfigurationError, FileNotFoundError):
            for path in write_pictures(sweep, draw_answer(sweep)):
                print(path)
