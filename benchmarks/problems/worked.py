"""Measure the errors of the worked examples, `runge fit` and other tools, and write them into the examples' pages.

    python benchmarks/problems/worked.py [NAME ...] [--seconds 60] [--seeds 1] [--tools TOOL ...]

Each table is made by `examples/solvers/NAME.py`, from a Latin hypercube of the seed; the errors are those at fresh
points that are drawn at random. `runge fit` has these seconds. The other tools have the best of their default and the
grid of the table of problems, by a fifth of the rows, in 120 s of the processor. The errors of a tool that is not
measured again stay. `examples/NAME.py` then makes the plot and the printed lines of the page. Without names all
examples are measured, in about an hour on two cores.
"""

import argparse
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from choice import best, derivative
from results import keep, read
from scipy.stats import qmc
from tables import Rows, errors
from tools import adapter
from tools.runge_fit import Fit

sys.path.append(str(Path(__file__).parents[1]))
from pages import DOCS, table

EXAMPLES, PAGES = Path(__file__).parents[2] / "examples", DOCS / "examples"
FRESH = {"co2": 2000, "water": 300, "wing": 300, "option": 2000}
"""The examples with a table, and how many fresh points have labels of the program."""

ACTIVATIONS = "activations"
"""The example without a table, whose script measures all errors."""

RUNGE = "runge fit"
TOOLS = (RUNGE, "JENN", "GPyTorch", "SMT GEKPLS", "SMT KRG", "polynomial", "scikit-learn GP")
WIDTH = 110  # of printed lines, which are indented on a page of 120 columns
SECONDS = 120  # of the processor, for the grid of a tool


def load(name: str) -> Any:
    """Return the script that makes the table of an example as a module."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / "solvers" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows_of(frame: pd.DataFrame, inputs: list[str]) -> Rows:
    """Return a table with columns such as T [K], h and dh_dT as arrays."""
    by = [re.sub(r" \[.*", "", name) for name in inputs]
    slopes = [name for name in frame if re.fullmatch(rf"d.+_d({'|'.join(by)})", str(name))]
    outputs = [name for name in frame if name not in inputs and name not in slopes]
    dydx = np.stack([frame[[f"d{y}_d{x}" for x in by]].to_numpy(float) for y in outputs], 1)
    return Rows(frame[inputs].to_numpy(float), frame[outputs].to_numpy(float), dydx)


def problem(name: str, seed: int) -> tuple[Rows, Rows]:
    """Return the rows of an example, which are those of its script for seed 0, and those of the test."""
    module = load(name)
    low, high, inputs = module.LOW, module.HIGH, list(module.INPUTS)
    design = qmc.scale(qmc.LatinHypercube(len(low), rng=seed).random(module.ROWS), low, high)
    fresh = np.random.default_rng(10_000 + seed).uniform(low, high, (FRESH[name], len(low)))
    rows, test = (rows_of(module.table(x), inputs) for x in (design, fresh))
    return rows, test


def fitted(tool: str, rows: Rows, seed: int, seconds: float) -> tuple[Any, dict[str, Any]]:
    """Return a tool that is fitted to all rows, and its settings."""
    if tool == RUNGE:
        return Fit(seed, f"search.timeout={seconds}").fit(*rows), {"seconds": seconds}
    return best(adapter(tool), rows, seed, SECONDS)


def measure(name: str, tools: list[str], seeds: int, seconds: float) -> None:
    """Fit the tools to an example, and keep their errors; other tools' figures stay."""
    measured = []
    for seed in range(seeds):
        rows, test = problem(name, seed)
        for tool in tools:
            key = {"problem": f"{name}, {tool}, {seed}", "example": name, "tool": tool, "seed": seed}
            try:
                model, settings = fitted(tool, rows, seed, seconds)
                figures = errors(model.predict(test.x), derivative(model, test.x), test) | {"settings": settings}
            except Exception as failure:  # whatever a tool raises is its result
                figures = {"failure": f"{type(failure).__name__}: {failure}"[:200]}
            measured.append(key | {"value": None, "derivative": None, "settings": {}} | figures)
            print(json.dumps(measured[-1]), flush=True)
            keep("worked", measured, "python benchmarks/problems/worked.py")


def run(name: str) -> None:
    """Run an example's script, and keep its plot and what it has printed in the documentation."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(EXAMPLES / f"{name}.py")]
        environment = os.environ | {"MPLBACKEND": "agg"}
        printed = subprocess.run(command, cwd=folder, check=True, text=True, stdout=subprocess.PIPE, env=environment)
        shutil.copy(Path(folder, f"{name}.png"), PAGES)
    lines = [line for line in printed.stdout.splitlines() if "steps/s" not in line]  # of progress
    wrapped = [part for line in lines for part in (wrap(line, WIDTH) if len(line) > WIDTH else [line])]
    put(name, "output", "\n".join(f"    {line}".rstrip() for line in wrapped))


def put(name: str, part: str, text: str) -> None:
    """Replace a generated part of an example's page."""
    page = PAGES / f"{name}.md"
    pattern = re.compile(rf"(<!-- {part} -->\n\n).*?(\n\n<!-- end -->)", re.DOTALL)
    before = page.read_text(encoding="utf-8")
    page.write_text(pattern.sub(lambda found: found[1] + text + found[2], before), encoding="utf-8")


def report(kept: pd.DataFrame) -> str:
    """Return the median errors by tool, in Markdown; NaN is a failure."""
    medians: Any = kept.groupby("tool")[["value", "derivative"]].median()
    order = [tool for tool in TOOLS if tool in medians.index]
    cells = medians.map(lambda error: f"{error:.1e}" if np.isfinite(error) else "failed")
    lines = ([tool, *cells.loc[tool]] for tool in order)
    rows = table(["tool", "error of the value", "error of the derivative"], lines)
    seconds = {settings["seconds"] for settings in kept.loc[kept["tool"] == RUNGE, "settings"] if settings}
    time = f"`{RUNGE}` had {' or '.join(map(str, sorted(seconds)))} s. " if seconds else ""
    seeds = f"The number of seeds is {kept.groupby('tool')['seed'].nunique().min()}."
    return f"{rows}\n\n{time}{seeds}"


def main() -> None:
    names = [*FRESH, ACTIVATIONS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--seconds", type=int, default=60, help="the time of runge fit")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tools", nargs="*", choices=TOOLS, default=list(TOOLS))
    parser.add_argument("--no-plots", action="store_true", help="do not run the scripts of the examples")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in arguments.names:
        if name != ACTIVATIONS:
            measure(name, arguments.tools, arguments.seeds, arguments.seconds)
            kept = [row for row in read("worked")["rows"] if row["example"] == name]
            if kept:
                put(name, "errors", report(pd.DataFrame(kept).astype({"value": float, "derivative": float})))
        if not arguments.no_plots:
            run(name)


if __name__ == "__main__":
    main()
