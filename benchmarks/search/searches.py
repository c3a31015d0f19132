"""Searches as processes of their own, whose figures are kept and are not measured again."""

import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from tables import Rows, errors

from runge.process.machine import processor
from runge.records.files import write

LEAST_ERROR = 1e-12
"""The error below which searches are equally good: round-off decides."""

Figures = dict[str, Any]
"""The figures of a search: its table, its time, its seed, the processor, and its errors in test rows."""


def fitted(model: Any, rows: Rows, test: Rows) -> Figures:
    """Fit some rows by a tool; return its errors in test rows, and the seconds that it took."""
    began = time.perf_counter()
    model.fit(rows.x, rows.y, rows.dydx)
    took = time.perf_counter() - began
    return {**errors(model.predict(test.x), model.predict_derivative(test.x), test), "took": took}


def options_of(description: str | None, tables: Iterable[str]) -> Namespace:
    """Return the options of a benchmark: which tables, the seconds of a search, and how many seeds."""
    parser = ArgumentParser(description=description, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", choices=list(tables), default=list(tables), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seeds", type=int, default=1)
    return parser.parse_args()


def keep(file: Path, key: Figures, function: str) -> None:
    """Keep what a function of a module, `module.name`, returns in a process of its own, unless it is known.

    Args:
        file: the file of figures.
        key: the arguments of the function, by which its figures are found again on this processor.
        function: the function.
    """
    known, here = kept(file), key | {"processor": processor()}
    if any(here.items() <= row.items() for row in known):
        return
    code = f"import json, {function.partition('.')[0]}; print(json.dumps({function}(**{key!r})))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    row = here | json.loads(done.stdout.splitlines()[-1])
    file.parent.mkdir(exist_ok=True)
    write(file, json.dumps([*known, row], indent=1) + "\n")
    print(row, flush=True)


def kept(file: Path) -> list[Figures]:
    """Return the figures of a file."""
    return json.loads(file.read_text()) if file.is_file() else []


def processors_of(rows: Iterable[Figures]) -> str:
    """Return the processors on which some searches were measured, in words."""
    return " or ".join(dict.fromkeys(row["processor"] for row in rows))


def error_of(row: Figures) -> float:
    """Return the geometric mean of the errors of values and derivatives, and at least `LEAST_ERROR`."""
    known = [row[what] for what in ("value", "derivative") if row.get(what) is not None]
    return max(geometric_mean([max(x, 1e-300) for x in known]), LEAST_ERROR)
