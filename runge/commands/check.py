"""Check a table for derivatives that contradict the values, equal inputs with different labels, and constants."""

import argparse
import sys
from collections.abc import Sequence

from runge.commands.endings import ending
from runge.data.table import FORMATS
from runge.interface.label_check import check


@ending("FILE")
def main(arguments: Sequence[str] | None = None, prog: str = "runge check") -> None:
    """Run the command `runge check`; exit with 1 if there is a contradiction."""
    status = "The exit status is 0 if there is no contradiction, 1 if there is one, and 2 if the table cannot be read."
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=status)
    parser.add_argument("file", metavar="FILE", help=f"a table: {', '.join(FORMATS)}")
    of_roles = "keys of `data`, such as data.outputs=[lift], as for `runge fit FILE`"
    parser.add_argument("overrides", metavar="data.KEY=VALUE", nargs="*", help=of_roles)
    options = parser.parse_args(arguments)
    checked = check(options.file, *options.overrides)
    print(checked)
    sys.exit(int(not checked.ok))
