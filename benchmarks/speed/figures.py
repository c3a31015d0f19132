"""The figures of the benchmarks in this folder: printed as a table, and kept for a part of `docs/benchmarks.md`."""

import argparse
import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import rich
from rich.table import Table

from runge.process.machine import processor

FOLDER = Path(__file__).parent / "figures"

Times = Mapping[str, Sequence[float]]
"""The times of each contender, one for each round."""


def parser(doc: str | None, rounds: int = 3) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks in this folder."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=rounds)
    options.add_argument("--keep", action="store_true", help="keep the figures for the page")
    return options


def report(name: str, unit: str, times: Times, keep: bool, others: Mapping[str, Any] | None = None) -> None:
    """Print the medians, their ranges and their ratios to the first contender's; keep the figures if asked to.

    Args:
        name: the name of the benchmark.
        unit: of the times.
        times: of the contenders.
        keep: true to keep the figures.
        others: what else was measured.
    """
    table = Table(name, unit, "range", "ratio")
    for column in table.columns[1:]:
        column.justify = "right"
    first = median(next(iter(times.values())))
    for contender, values in times.items():
        extent = f"{short(min(values))} to {short(max(values))}"
        table.add_row(contender, short(median(values)), extent, short(median(values) / first))
    rich.print(table)
    for key, value in (others or {}).items():
        print(f"{key}: {value}")
    if keep:
        write(name, unit, times, others or {})


def write(name: str, unit: str, times: Times, others: Mapping[str, Any]) -> None:
    """Keep the figures of a benchmark, with the machine and the date."""
    found = {"machine": machine(), "date": f"{datetime.date.today()}", "unit": unit, "times": times, "others": others}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")


def machine() -> str:
    """Return the processor, its vector instructions, the cores, and the versions of Python and torch."""
    versions = f"Python {platform.python_version()}", f"torch {version('torch').partition('+')[0]}"
    return ", ".join([processor(), f"{os.cpu_count()} cores", *versions])


def short(x: float) -> str:
    """Return a number with at least three digits."""
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"
