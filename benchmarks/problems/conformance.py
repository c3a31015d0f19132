"""Check what each tool does with its derivative, other units, unknown labels, few rows and many.

    python benchmarks/problems/conformance.py [--tools NAME ...] [--checks NAME ...] [--again]

Each check of a tool, with its defaults, is a process on one core with 8 GB. `checks.py` says what is checked, and what
the words mean; a process that takes more than 300 s of the processor, or 200 s with 100 000 rows, is *too slow*. The
findings are in `benchmarks/problems/figures/conformance.csv`; those that are there are not checked again without
`--again`.
"""

import argparse
import os
import signal
from itertools import product
from math import isnan
from typing import Any, NamedTuple

from cells import HERE, Fits, keep, read
from checks import CHECKS, seconds_of
from tools import TOOLS

PLACE = HERE / "figures" / "conformance.csv"


class Check(NamedTuple):
    """A check of a tool."""

    tool: str
    check: str


FIELDS = (*Check._fields, "word", "figure", "text", "processor", "date", "commit")


def find(check: Check, core: int) -> dict[str, Any]:
    """Return what a check finds; a process that ends before its answer fails."""
    found = Fits(4 * seconds_of(check.check)).answer("checks.py", *check, f"--core={core}")
    failure = found.get("failure", "")
    if failure:
        found |= {"word": "too slow" if failure.startswith("not done") else "fails", "text": failure}
    figure = found.get("figure", float("nan"))
    return found | {"figure": "" if isnan(figure) else f"{figure:.3g}"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS), metavar="NAME")
    parser.add_argument("--checks", nargs="+", choices=list(CHECKS), default=list(CHECKS), metavar="NAME")
    parser.add_argument("--again", action="store_true")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # also it ends the process of a check
    core = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    for check in (Check(*pair) for pair in product(arguments.tools, arguments.checks)):
        if not arguments.again and check in (known := read(PLACE, Check)):
            found: dict[str, Any] = known[check]
        else:
            try:
                found = find(check, core)
            except ModuleNotFoundError as error:
                print(f"{check.tool}: not installed ({error}); pip install -e '.[bench]'")
                continue
            keep({check: found}, path=PLACE, kind=Check, fields=FIELDS)
        print(f"{check.tool:22} {check.check:26} {found['word']:9} {found['figure']:9} {found['text']}", flush=True)


if __name__ == "__main__":
    main()
