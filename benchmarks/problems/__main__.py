"""Fit the problems of the table with all tools, and write `docs/benchmarks.md` and the pages below it.

    pip install -e '.[bench]'
    python benchmarks/problems [--problems NAME ...] [--tools NAME ...] [--seeds 3] [--only default] [--page]

Every fit is a process of its own on one core, as many of a problem at once as there are cores; then `runge fit` has all
cores to itself. Each figure is kept in `benchmarks/problems/figures/table.csv` as soon as it is known, and is not
measured again, unless with `--again`.
Interrupt it when you like: the same command continues. All of it takes a night; with `--minutes` no fit begins later
than that. `--list` names the problems and the tools, `--page` writes the pages from the figures only.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import groupby, product
from pathlib import Path

from catalogue import CATALOGUE
from cells import Cell, Fits, keep, read
from tools import TOOLS

CHOICES = "default", "validation"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python benchmarks/problems", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", nargs="+", choices=list(CATALOGUE), default=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="how many; default 2")
    parser.add_argument("--only", choices=CHOICES, help="how settings are chosen; default: in both ways")
    parser.add_argument("--minutes", type=float, default=float("inf"), metavar="M", help="begin no fit after these")
    parser.add_argument("--again", action="store_true", help="measure again what is known")
    parser.add_argument("--list", action="store_true", help="name the problems and the tools")
    parser.add_argument("--page", action="store_true", help="only write the pages")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error(f"argument --seeds: must be at least 1, got {arguments.seeds}")
    if arguments.list:
        print("problems:", *CATALOGUE, "tools:", *TOOLS, sep="\n  ")
        return
    for name in ("SIGTERM", "SIGHUP"):  # also these end the fits; nohup's SIGHUP stays ignored
        if hasattr(signal, name) and signal.getsignal(number := getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    if not arguments.page:
        measure(list(cells(arguments)), arguments.again, 60 * arguments.minutes)
    sys.path.append(str(Path(__file__).parents[1]))  # of `pages`
    from table_page import write_page  # late: its libraries would delay the first fits

    try:
        print(f"page: {write_page()}")
    except ValueError as error:
        parser.error(str(error))


def cells(arguments: argparse.Namespace) -> Iterator[Cell]:
    """Yield the cells that are asked for, one seed of all of them before the next."""
    chosen = [arguments.only] if arguments.only else CHOICES
    for seed in range(arguments.seeds):
        for problem, tool in product(arguments.problems, arguments.tools):
            for by in CHOICES[:1] if TOOLS[tool].family == "runge" else chosen:  # its search is a tool of its own
                yield Cell(problem, tool, by, str(seed))


def measure(asked: list[Cell], again: bool, seconds: float) -> None:
    """Fit what is missing, a problem after another, and keep each figure as soon as it is known."""
    if again:
        keep({}, drop=asked)
    known, fits = read(), Fits()
    missing = [cell for cell in asked if cell not in known]
    done, absent, started = list[Cell](), dict[str, str](), time.monotonic()

    def work(waiting: Iterator[Cell], core: int | None) -> None:
        for cell in waiting:
            if fits.stopped or time.monotonic() - started > seconds:
                return
            if cell.tool not in absent:
                try:
                    row = fits.run(cell, core)
                except ModuleNotFoundError as error:
                    absent[cell.tool] = str(error)
                    continue
                if fits.stopped:  # it was ended
                    return
                keep({cell: row})
                done.append(cell)
                errors = row.get("failure")
                errors = errors or f"{row['value']:.1e} / {row['derivative']:.1e} in {row['seconds']:.0f} s"
                left = (time.monotonic() - started) * (len(missing) / len(done) - 1) / 60
                print(f"{len(done)}/{len(missing)}, {left:.0f} min left, {' | '.join(cell)}: {errors}", flush=True)

    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    with ThreadPoolExecutor(len(available)) as pool:
        try:
            for (*_, all_cores), some in groupby(missing, lambda x: (x.seed, x.problem, TOOLS[x.tool].all_cores)):
                list(pool.map(partial(work, iter([*some])), [None] if all_cores else available))
        except KeyboardInterrupt:
            raise SystemExit("interrupted; the same command continues") from None
        finally:
            fits.stop()
    for tool, error in absent.items():
        print(f"{tool}: not installed ({error}); pip install -e '.[bench]'")
    if len(done) < len(missing):
        print(f"{len(missing) - len(done)} fits are left; the same command continues")


if __name__ == "__main__":
    main()
