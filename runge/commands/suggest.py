"""Suggest the inputs whose labels improve a fit most, as a table for the solver that computes them."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from runge.commands.endings import STANDARD, add_out, check_new, ending, write_new
from runge.configuration.command_line import command, in_shell
from runge.configuration.errors import ConfigurationError, listed
from runge.data.column_roles import find_roles, of_columns
from runge.data.table import FORMATS, INDEX, open_table
from runge.function.next_rows import Interval, criterion, fitted, suggest_for
from runge.records.files import printable

__all__ = ["main"]


def _parsed_box(text: str) -> dict[str, float | Interval]:
    """Return the box of a text such as `x1=0:1,x2=0.5`.

    Example:
        >>> _parsed_box("x1=0:1,x2=0.5")
        {'x1': (0.0, 1.0), 'x2': 0.5}
    """
    box = dict[str, float | Interval]()
    for entry in text.split(","):
        name, _, value = entry.rpartition("=")
        try:
            low, *high = map(float, value.split(":"))
            box[name.strip()] = (low, *high) if high else low  # pyright: ignore[reportArgumentType]
            if len(high) > 1 or not np.isfinite([low, *high]).all():
                raise ValueError
        except ValueError:
            raise ConfigurationError(f"box: must be such as x1=0:1,x2=-2:2,x3=0.5; got {entry!r}") from None
    return box


@ending("--out")
def main(arguments: Sequence[str] | None = None, prog: str = "runge suggest") -> None:
    """Run the command `runge suggest`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    of_sweep = "the directory of `runge fit`, of a run, or of a sweep over seeds or folds"
    parser.add_argument("sweep", metavar="RUN_OR_SWEEP", help=of_sweep)
    parser.add_argument("--points", type=int, default=16, help="how many points (16)")
    of_box = "intervals of inputs, or fixed values: x1=0:1,x3=0.5 (default: those of the table's rows)"
    parser.add_argument("--box", metavar="BOX", action="append", help=f"{of_box}; can be given several times")
    of_candidates = f"a table of the points to choose from: {', '.join(FORMATS)} (default: a Sobol sequence in the box)"
    parser.add_argument("--candidates", metavar="FILE", help=of_candidates)
    parser.add_argument("--seed", type=int, default=0, help="the seed of the candidates (0)")
    add_out(parser, "suggested.csv in the directory; -: the standard output")
    args = parser.parse_args(arguments)
    out = args.out or str(Path(args.sweep) / "suggested.csv")
    if Path(out).suffix.lower() in FORMATS.keys() - {".csv", ".tsv"}:
        raise ConfigurationError(f"--out: must end in .csv or .tsv, because it is text; got {out!r}")
    check_new(out, args.force)
    box = _parsed_box(",".join(args.box)) if args.box else {}
    function, rows = fitted(args.sweep)
    table = suggest_for(function, rows, args.points, box, args.candidates, args.seed)
    file = open_table(rows.table.file)
    of_frame = file.frame.index.name == INDEX
    write_new(out, table.to_csv(sep=file.separator, index=of_frame, index_label=INDEX).encode())
    labelled = rows.table
    roles = find_roles(file, labelled)
    labels = [*rows.outputs, *roles.partials.values()]
    fill = "" if labelled.group is None else f"fill in {labelled.group}, "
    to = "append these rows to" if Path(labelled.file).suffix in (".csv", ".tsv") else "add these rows to the data of"
    append, again = f"{to} {labelled.file}, and run", [labelled.file, *of_columns(labelled)]
    fit = f"{command('fit')} {' '.join(map(in_shell, again))}"
    if of_frame:
        append, both = "and run in Python, where df is your DataFrame", f"pandas.read_csv({out!r}, index_col=0)"
        fit = f"runge.fit({', '.join([f'pandas.concat([df, {both}])', *map(repr, again[1:])])})"
    how = f"compute their labels ({listed(labels)}), {fill}{append}"
    points = f"{len(table)} points: {out}"
    for line in (points, f"Criterion: {criterion(function)}", f"Next: {how}", f"    {fit}"):
        print(printable(line), file=sys.stderr if out == STANDARD else sys.stdout)
