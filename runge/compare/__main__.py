"""The command `python -m runge.compare DIR [DIR ...]`."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

import runge.compare
from runge.compare.leaderboard import read_leaderboard
from runge.compare.ranking import Ranking, collect
from runge.compare.report import PAGE, publish, render
from runge.compare.search import read_search
from runge.compare.tables import show
from runge.errors import ending_quietly
from runge.metrics import TEST_MSE_DF, TEST_NRMSE_DF
from runge.records.files import printable, write

SECONDS = 5.0
"""The time between two states of a report that is watched."""

_SHARE = 0.1  # of a core at most, so that the training has the rest


@ending_quietly()
def main(arguments: Sequence[str] | None = None, prog: str = "python -m runge.compare") -> None:
    """Run the command `runge compare`, or `python -m runge.compare`."""
    parser = argparse.ArgumentParser(prog=prog, description=runge.compare.__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a run, a sweep, or a directory above them")
    default = f"{TEST_MSE_DF}; on different data one without units, such as {TEST_NRMSE_DF}"
    parser.add_argument("--metric", metavar="KEY", help=f"metric to rank by (default: {default})")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this value")
    parser.add_argument("--group-by", metavar="KEY,...", help="settings of a group (default: all but seeds and fold)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--out", metavar="DIR", help="directory of the report (default: DIR if there is one, else .)")
    output.add_argument("--csv", metavar="FILE", help="write only the table, to FILE; -: to standard output")
    parser.add_argument("--watch", action="store_true", help="keep the report up to date while the runs are trained")
    args = parser.parse_args(arguments)
    if args.watch and args.csv:
        parser.error("--watch: not allowed with --csv; it writes the report alone")
    names = None if args.group_by is None else [name.strip() for name in args.group_by.split(",") if name.strip()]

    def compare() -> Ranking:
        paths = args.directories
        of_sweep = read_search(paths), read_leaderboard(paths)
        return Ranking(collect(paths, args.where), args.metric, names, *of_sweep)

    try:
        ranking = compare()
        if args.csv is None:
            out = Path(args.out or (args.directories[0] if len(args.directories) == 1 else "."))
            if ranking.race is not None and (args.metric or args.where or names is not None):
                show(ranking, Console())  # what was asked for, above the leaderboard
            publish(ranking, out, Path(args.directories[0]))
            if args.watch:
                print("press Ctrl-C to stop following the runs; they continue", flush=True)
                watch(compare, out / PAGE)
        elif args.csv == "-":
            sys.stdout.write(ranking.csv())
        elif os.path.exists(args.csv) and not os.path.isfile(args.csv):  # a pipe or a device
            Path(args.csv).write_text(ranking.csv(), encoding="utf-8")
        else:
            write(Path(args.csv), ranking.csv())
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        prefix = "" if isinstance(error, ValueError | FileNotFoundError) else "--out, --csv: "
        parser.error(printable(f"{prefix}{error}"))


def watch(compare: Callable[[], Ranking], page: Path) -> None:
    """Write the report to `page` every few seconds while runs are trained; the last state no longer reloads itself.

    It ends at Ctrl-C, or after two states in which no run is being trained: between two stacks there may be one.
    """
    ranking, idle = compare(), 0
    try:
        while idle < 2:
            began = time.monotonic()
            write(page, render(ranking, page.parent, live=SECONDS))
            idle = 0 if any(record.status == "running" for record in ranking.records) else idle + 1
            time.sleep(max(SECONDS, (time.monotonic() - began) / _SHARE))
            ranking = compare()
    except KeyboardInterrupt:
        pass
    write(page, render(ranking, page.parent))


if __name__ == "__main__":
    main()
