"""Write a trained function for other programs, its value and derivatives: as ONNX, PyTorch, NumPy, CasADi or C."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from runge.commands.endings import add_out, ending
from runge.exports import FORMATS, export
from runge.function.function import FLAT
from runge.function.loading import load_finished
from runge.records.files import printable


@ending("--out")
def main(arguments: Sequence[str] | None = None, prog: str = "runge export") -> None:
    """Run the command `runge export`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "run",
        metavar="RUN_OR_SWEEP",
        help="the directory that `runge fit` prints, of a finished run, or of a sweep over seeds or folds",
    )
    parser.add_argument("--to", required=True, choices=FORMATS, help="the format")
    add_out(parser, "`function` in that directory")
    ends = "add the ends of intervals that contain this share of new labels, such as 0.9"
    parser.add_argument("--interval", metavar="LEVEL", type=float, help=ends)
    parser.add_argument("--hessian", action="store_true", help="add the second derivatives")
    args = parser.parse_args(arguments)
    out = args.out or Path(args.run) / "function"
    function = load_finished(args.run, "RUN_OR_SWEEP")
    path = export(function, args.to, out, args.interval, args.hessian, force=args.force)
    print(printable(f"{args.to}: {path}"))
    if args.hessian and function.flat:
        print(FLAT)
