"""Fit the third-party problems with runge, and write `docs/benchmarks.md` beside the figures of others.

    python benchmarks/problems/run.py [pfr] [functions] [airfoil] [--work DIR]

Without a name all problems are run, and with `page` the page alone is written. The tables and the runs are in DIR, by
default `outputs/problems`; a sweep that was interrupted is resumed. The figures are in `benchmarks/problems/figures`,
those of the peers too, which `peers_pfr.py` and `peers_tables.py` write.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import airfoil
import functions
import pfr

from runge import sweep

FIGURES = Path(__file__).parent / "figures"
ERRORS = {"value": "nrmse_f", "derivative": "nrmse_df", "value_l2": "rel_l2_f", "derivative_l2": "rel_l2_df"}


class Study(NamedTuple):
    """The candidates of a problem: overrides, of which the validation chooses one for each table."""

    settings: Sequence[str]
    grid: Sequence[str] = ()


PFR = Study(
    (
        "model.activation=silu",
        "balance=log",
        "schedule=constant",
        "optimizer=adamw",
        "optimizer.lr=0.003",
        "trainer.max_steps=5000",
        "trainer.precision=64",
    ),
    ("optimizer.weight_decay=0,0.03,0.1,0.3,1",),
)
FUNCTIONS = Study(("model.activation=silu", "optimizer=levenberg_marquardt"))
AIRFOIL = Study(("model.activation=silu", "data.batch_size=1000", "optimizer.lr=0.003", "trainer.max_steps=8000"))


def fit(paths: Sequence[Path], study: Study, directory: Path) -> list[dict[str, Any]]:
    """Sweep the candidates over the tables; return, for each table, the figures of the best one by validation."""
    files = ",".join(map(str, paths))
    compared = sweep(
        "data=table", f"data.file={files}", "data.split_column=split", *study.settings, *study.grid, directory=directory
    )
    best: dict[str, dict[str, Any]] = {}
    for run in compared.runs:
        if run.status == "finished":
            settings, metrics = run.settings, run.metrics
            chosen = best.get(settings["data.file"])
            if chosen is None or metrics["val/nrmse_f"] < chosen["val/nrmse_f"]:
                best[settings["data.file"]] = {**settings, **metrics}
    return [best[str(path)] for path in paths]


def summary(chosen: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the medians and the worst of the errors on the test, and the median time of a fit."""
    columns = {name: [row[f"test/{key}"] for row in chosen] for name, key in ERRORS.items()}
    worst = {f"worst_{name}": max(column) for name, column in columns.items()}
    seconds = median(row["seconds/fit"] for row in chosen)
    return {name: median(column) for name, column in columns.items()} | worst | {"seconds": seconds}
