"""Check a table for derivatives that contradict the values, equal inputs with different labels, and constants."""

import argparse
import sys
from collections.abc import Sequence

from runge.commands.endings import ending
from runge.data.table import FORMATS
from runge.interface.label_check import check

_EXAMPLE = """\
The exit status is 0 if there is no contradiction, 1 if there is one, and 2 if the table cannot be read.

example:

  $ {0} examples/wing.csv
  examples/wing.csv: 100 rows; inputs v [m/s], alpha [deg], Mach, Re [1/m],
  twist_tip [deg], twist_mid [deg], twist_root [deg]; outputs CL, CD

  Checked 11 of 14 columns of derivatives. No contradiction was found.
  ..."""


@ending("FILE")
def main(arguments: Sequence[str] | None = None, prog: str = "runge check") -> None:
    """Run the command `runge check`; exit with 1 if there is a contradiction."""
    parser = argparse.ArgumentParser(
        prog, description=__doc__, epilog=_EXAMPLE.format(prog), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", metavar="FILE", help=f"a table: {', '.join(FORMATS)}")
    of_roles = "keys of `data`, such as data.outputs=[lift], as for `runge fit FILE`"
    parser.add_argument("overrides", metavar="data.KEY=VALUE", nargs="*", help=of_roles)
    options = parser.parse_args(arguments)
    checked = check(options.file, *options.overrides)
    print(checked)
    sys.exit(int(not checked.ok))
