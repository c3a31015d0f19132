"""How exactly f and f' can be fitted: Adam, L-BFGS, Levenberg-Marquardt, fixed neurons; on one core.

    python benchmarks/precision.py [--seeds 10] [--page]

Four functions are fitted with each optimiser, as `train.py` would, from ten seeds. The errors on the test grid, median
and worst, and the time of the fit are kept in `benchmarks/precision.csv`, and a part of `docs/evidence.md` is written.
Classical methods are compared with them. `--page` writes it from the figures that are kept.
"""

import argparse
import csv
import os
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from evidence.classical import classical
from pages import render, write_pages

from runge.composing.composition import compose
from runge.configuration.errors import RunError
from runge.process import machine
from runge.records.directories import RunDirectory
from runge.training.member import Member
from runge.training.prepare import Stack, prepare
from runge.training.settings import Settings
from runge.training.train import train_and_record

FORMULAS = "1/(1+25*x**2)", "1/(1+100*x**2)", "exp(-x)*sin(8*x)", "tanh(10*x)"
METHODS = {
    "Adam": ("trainer.precision=64", "schedule=constant"),
    "L-BFGS": ("optimizer=lbfgs", "trainer.precision=64", "trainer.max_steps=3000", "schedule=constant"),
    "Levenberg-Marquardt": ("optimizer=levenberg_marquardt", "schedule=constant"),
    "fixed neurons, 256": ("experiment=readout",),
    "fixed neurons, 512": ("experiment=precision",),
}
FIGURES = Path(__file__).with_name("precision.csv")
FIELDS = "f", "by", "mse_f", "worst_mse_f", "mse_df", "worst_mse_df", "max_f", "max_df", "seconds"


def experiment(*overrides: str) -> Stack:
    return prepare([Member(Settings.of(compose(*overrides, "trainer.progress_bar=false")))])


def fit(*overrides: str) -> dict[str, Any]:
    """Return the final figures of a run."""
    with tempfile.TemporaryDirectory() as folder:
        stack, run = experiment(*overrides), RunDirectory(folder)
        run.begin(stack.members[0].settings.configuration, overrides, {})
        (outcome,) = train_and_record(stack, [run], lambda *_: [])
    if isinstance(outcome, RunError):
        raise outcome
    return outcome


def measure(seeds: int) -> None:
    """Fit all functions, and keep the figures."""
    rows = list[list[str]]()
    for expression in FORMULAS:
        target = ("target=expression", f"target.expr='{expression}'")
        for name, overrides in METHODS.items():
            runs = [fit(*overrides, *target, f"seed={seed}") for seed in range(seeds)]
            columns = {key: [run[f"test/{key}"] for run in runs] for key in ("mse_f", "mse_df", "max_f", "max_df")}
            both = [part(columns[key]) for key in ("mse_f", "mse_df") for part in (median, max)]
            numbers = [f"{cell:.1e}" for cell in [*both, median(columns["max_f"]), median(columns["max_df"])]]
            rows.append([expression, name, *numbers, f"{median(run['seconds/fit'] for run in runs):.1f}"])
            print(*rows[-1])
        for name, (f, df) in classical(experiment(*target).members[0].formula[0], 320).items():
            rows.append([expression, f"{name}, 320 points", f"{f:.1e}", "", f"{df:.1e}", "", "", "", ""])
            print(*rows[-1])
    with FIGURES.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([FIELDS, *rows])


def write_page() -> None:
    """Write the part of the page from the figures that are kept."""
    with FIGURES.open(newline="") as file:
        rows = [{**row, "f": f"`{row['f']}`"} for row in csv.DictReader(file)]
    text = render(Path(__file__).with_name("precision.md.jinja"), rows=rows)
    write_pages({"evidence.md#precision": text})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--page", action="store_true", help="only write the page")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {0})
    machine.limit_threads(1)
    if not arguments.page:
        measure(arguments.seeds)
    write_page()


if __name__ == "__main__":
    main()
