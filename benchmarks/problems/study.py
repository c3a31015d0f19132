"""The reactor's study of 375 trainings by runge, with the settings of `peers_pfr.py`, which does it in JAX.

    python benchmarks/problems/study.py DIR [--sizes 64 256] [--losses nll] [--steps 5000]

DIR holds the tables of `pfr.py`. Only the whole study is kept for the page. Each loss is one sweep over all sizes; its
time includes all processes and files.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import page
import pfr

from runge import sweep
from runge.machine import cores

LOSSES = {"values": "loss.lambda_d=0", "lambda": "loss.lambda_d=1", "nll": "balance=log"}
SETTINGS = (
    *("data=table", "data.split_column=split", "model.activation=tanh", "model.depth=2", "model.width=64"),
    *("trainer.precision=64", "trainer.log_every=500", "trainer.diagnostics_every=5000", "trainer.progress_bar=false"),
    *("optimizer=adamw", "optimizer.lr=0.003", "optimizer.weight_decay=0,0.03,0.1,0.3,1"),
    "hydra.sweeper.compare=false",
)


def study(directory: Path, sizes: list[int], loss: str, steps: int) -> Iterator[dict[str, Any]]:
    """Yield the medians and the worst over the pools for each size, and a row of all sizes with the command's time.

    The validation chooses the weight decay for each pool.
    """
    sizes_of = {str((directory / f"pfr_{pool}_{n}.npz").resolve()): n for n in sizes for pool in range(pfr.POOLS)}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        settings = *SETTINGS, LOSSES[loss], f"trainer.max_steps={steps}"
        runs = sweep(f"data.file={','.join(sizes_of)}", *settings, directory=folder).table
        seconds = time.perf_counter() - started
    processes = min(cores(), len(runs))
    for n, some in runs.groupby([sizes_of[path] for path in runs["data.file"]]):
        chosen = some.loc[some.groupby("data.file")["val/nrmse_f"].idxmin()]
        errors = {"value": chosen["test/nrmse_f"].tolist(), "derivative": chosen["test/nrmse_df"].tolist()}
        figures = {"n": n, "loss": loss} | {name: median(column) for name, column in errors.items()}
        worst = {f"worst_{name}": max(column) for name, column in errors.items()}
        fit = sum(some["seconds/fit"].tolist()) / processes
        yield figures | worst | {"trainings": len(some), "steps": steps, "fit": fit}
    yield {"n": "all", "loss": loss, "trainings": len(runs), "steps": steps, "seconds": seconds}


if __name__ == "__main__":
    page.keep_study("study", __doc__, LOSSES, study)
