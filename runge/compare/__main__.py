"""The command `python -m runge.compare DIR [DIR ...]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import runge.compare
from runge.compare.comparison import Comparison, collect, publish
from runge.metrics import TEST_MSE_DF
from runge.records.directories import ComparisonDirectory
from runge.records.files import printable


def main(arguments: Sequence[str] | None = None) -> None:
    """The command `python -m runge.compare`."""
    parser = argparse.ArgumentParser(prog="python -m runge.compare", description=runge.compare.__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a run, a sweep, or a directory above them")
    parser.add_argument("--metric", default=TEST_MSE_DF, metavar="KEY", help="what is ranked by (default: %(default)s)")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this value")
    parser.add_argument("--group-by", metavar="KEY,...", help="what tells groups apart (default: all but the seeds)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--out", metavar="DIR", help="where the report goes (default: DIR if there is one, else here)")
    output.add_argument("--csv", metavar="FILE", help="write the table there alone; -: to standard output")
    given = parser.parse_args(arguments)
    try:
        names = None if given.group_by is None else [name.strip() for name in given.group_by.split(",") if name.strip()]
        comparison = Comparison(collect(given.directories, given.where), given.metric, names)
        if given.csv is None:
            out = given.out or (given.directories[0] if len(given.directories) == 1 else ".")
            publish(comparison, ComparisonDirectory(out))
        elif given.csv == "-":
            sys.stdout.write(comparison.csv())
        else:
            Path(given.csv).write_text(comparison.csv())
    except (ValueError, OSError) as error:
        known = isinstance(error, ValueError | FileNotFoundError)
        parser.error(printable(str(error) if known else f"--out, --csv: {error}"))


if __name__ == "__main__":
    main()
