"""Compare runs: a table, a self-contained HTML report and a picture."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from runge.commands.endings import check_new, ending, write_new
from runge.comparison.html_report import REPORT, publish
from runge.comparison.ranking import VERDICTS, rank_directories
from runge.comparison.tables import show
from runge.records.directories import MULTIRUN


@ending("--out, --csv")
def main(arguments: Sequence[str] | None = None, prog: str = "runge compare") -> None:
    """Run the command `runge compare`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument("directories", metavar="DIR", nargs="+", help="a run, a sweep, or a directory above them")
    default = "test/mse_df; on different data one without units, such as test/nrmse_df"
    parser.add_argument("--metric", metavar="KEY", help=f"metric to rank by (default: {default})")
    several: Any = {"action": "append", "default": []}
    parser.add_argument("--where", **several, metavar="KEY=VALUE,...", help="only runs with these values")
    parser.add_argument("--baseline", **several, metavar="KEY=VALUE", help="the group to compare others with")
    parser.add_argument("--group-by", metavar="KEY,...", help="settings of a group (default: all but seeds and fold)")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--out", metavar="DIR", help="directory of the report (default: DIR if there is one, else .)")
    output.add_argument("--csv", metavar="FILE", help="write only the table, to FILE; -: to standard output")
    parser.add_argument("--force", action="store_true", help="overwrite files that are not of an earlier report")
    parser.add_argument("--format", choices=("pdf", "svg"), help="also write the picture as a vector file")
    args = parser.parse_args(arguments)
    if args.format and args.csv is not None:
        parser.error("argument --format: must not be given with --csv, which writes only the table")
    names = None if args.group_by is None else [name.strip() for name in args.group_by.split(",") if name.strip()]
    paths = args.directories
    out = Path(args.out or (paths[0] if len(paths) == 1 else "."))
    if args.csv is not None:
        check_new(args.csv, args.force, "--csv")
    elif not ((out / MULTIRUN).exists() or all((out / name).exists() for name in REPORT)):
        for name in (*REPORT, VERDICTS, f"comparison.{args.format or 'png'}"):
            check_new(out / name, args.force)
    ranking = rank_directories(paths, args.metric, args.where, names, args.baseline)
    if args.csv is not None:
        if os.path.exists(args.csv) and not os.path.isfile(args.csv):  # a pipe or a device, which the user names
            Path(args.csv).write_text(ranking.csv(), encoding="utf-8")
        else:
            write_new(args.csv, ranking.csv().encode())
        return
    if ranking.board is not None and (args.metric or args.where or args.baseline or names is not None):
        show(ranking, Console())  # what was asked for, above the leaderboard
    publish(ranking, out, Path(paths[0]), args.format or "png")
