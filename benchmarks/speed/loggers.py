"""Time whole sweeps with the MLflow logger, relative to the same sweeps with TensorBoard alone.

    pip install -e '.[bench,mlflow]'
    python benchmarks/speed/loggers.py [--runs 40 | 300] [--rounds 3]

The sweeps are those of `sweep.py grid`, 300 runs, or 40 of their kind. In each round they run one after the
other: without MLflow, into a store that exists, and into a new one.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

import rich
from rich.table import Table
from sweep import ROOT, SWEEPS, seconds

SOME = "model.activation=tanh,relu loss.lambda_d=0,0.01,0.1,1 'seed=range(5)' trainer.max_steps=2000 data.n_train=256"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, choices=(40, 300), default=40)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    sweep = SOME if arguments.runs == 40 else SWEEPS["grid"].ours
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:

        def measure(name: str, store: str | None = None) -> None:
            os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/{store}"
            logger = "" if store is None else "logger=[tensorboard,mlflow]"
            took = seconds(ROOT / "train.py", f"{sweep} {logger}", Path(cache))
            taken.setdefault(name, []).append(took)

        measure("compiling", "old.db")
        for i in range(arguments.rounds):
            measure("without MLflow")
            measure("with MLflow", "old.db")
            measure("with MLflow, in a new store", f"{i}.db")
            print({name: [round(time, 1) for time in times] for name, times in taken.items()}, flush=True)
    del taken["compiling"]
    table = Table("", "seconds", "ratio", "range", title=f"{arguments.runs} runs, medians of {arguments.rounds} rounds")
    for name, times in taken.items():
        ratios = [time / without for time, without in zip(times, taken["without MLflow"], strict=True)]
        extent = f"{min(ratios):.2f} to {max(ratios):.2f}"
        table.add_row(name, f"{statistics.median(times):.1f}", f"{statistics.median(ratios):.2f}", extent)
    rich.print(table)


if __name__ == "__main__":
    main()
