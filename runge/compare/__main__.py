"""The command `python -m runge.compare DIR [DIR ...]`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import runge.compare
from runge.compare.comparison import Comparison, collect
from runge.compare.search import read_search
from runge.metrics import TEST_MSE_DF, TEST_NRMSE_DF
from runge.runs.files import printable, write


def main(arguments: Sequence[str] | None = None, prog: str = "python -m runge.compare") -> None:
    """Run the command `runge compare`, or `python -m runge.compare`."""
    parser = argparse.ArgumentParser(prog=prog, description=runge.compare.__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a run, a sweep, or a directory above them")
    default = f"{TEST_MSE_DF}; on different data one without units, such as {TEST_NRMSE_DF}"
    parser.add_argument("--metric", metavar="KEY", help=f"metric to rank by (default: {default})")
    parser.add_argument("--where", action="append", default=[], metavar="KEY=VALUE", help="only runs with this value")
    parser.add_argument("--group-by", metavar="KEY,...", help="settings of a group (default: all except seeds)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--out", metavar="DIR", help="directory of the report (default: DIR if there is one, else .)")
    output.add_argument("--csv", metavar="FILE", help="write only the table, to FILE; -: to standard output")
    output.add_argument(
        "--watch", action="store_true", help="serve the report to this machine while the runs are trained"
    )
    parser.add_argument("--port", type=int, metavar="N", help="port of --watch (default: a free one)")
    args = parser.parse_args(arguments)
    try:
        names = None if args.group_by is None else [name.strip() for name in args.group_by.split(",") if name.strip()]

        def compare() -> Comparison:
            return Comparison(collect(args.directories, args.where), args.metric, names, read_search(args.directories))

        if args.watch:
            if args.port is not None and not 0 < args.port < 2**16:
                parser.error(f"--port: must be between 1 and {2**16 - 1}, got {args.port}")
            from runge.compare.watch import serve

            return serve(compare, args.port or 0)
        if args.port is not None:
            parser.error("--port: needs --watch")
        comparison = compare()
        if args.csv is None:
            out = args.out or (args.directories[0] if len(args.directories) == 1 else ".")
            comparison.publish(Path(out))
        elif args.csv == "-":
            sys.stdout.write(comparison.csv())
        elif (path := Path(args.csv)).exists() and not path.is_file():  # a pipe or a device
            path.write_text(comparison.csv())
        else:
            write(path, comparison.csv())
    except (ValueError, OSError) as error:
        prefix = "" if isinstance(error, ValueError | FileNotFoundError) else "--out, --csv: "
        parser.error(printable(f"{prefix}{error}"))


if __name__ == "__main__":
    main()
