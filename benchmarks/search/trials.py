"""Time a search of Optuna's trials as a command, and compare it with one process per trial.

    pip install -e '.[search]'
    python benchmarks/search/trials.py

It is a search of 256 trials of 2000 steps over activation, width, depth, learning rate and lambda_d. The peer trains
trials of the same search as `python train.py ...`, one process per trial, as many at a time as there are cores: the
time of a few of them, scaled to all; Optuna's own time is left out.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SPACE = (
    "model.activation=choice(tanh,gelu,silu,sin)",
    "model.width=choice(16,32,64,128)",
    "model.depth=range(1,4)",
    "optimizer.lr=tag(log,interval(1e-3,0.1))",
    "loss.lambda_d=tag(log,interval(1e-3,10))",
)
STEPS = ("trainer.max_steps=2000", "schedule=constant", "trainer.progress_bar=false")


def search(trials: int) -> tuple[float, list[list[str]]]:
    """Run a search in an empty folder; return the seconds of the command, and the overrides of some of its trials."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        settings = ("search=optuna", f"search.trials={trials}", "hydra.sweep.dir=search")
        command(["-m", *STEPS, *SPACE, *settings], folder)
        seconds = time.perf_counter() - began
        found: list[dict[str, Any]] = json.loads((Path(folder) / "search" / "search.json").read_text())["trials"]
    sample = found[:: max(1, trials // (4 * CORES))][: 4 * CORES]
    return seconds, [[f"{key}={value}" for key, value in trial["params"].items()] for trial in sample]


def command(options: Sequence[str], folder: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *options], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{shlex.join(options)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def alone(trials: Sequence[Sequence[str]]) -> float:
    """Return the seconds of one of these trials as a process, with one process per core, over the number of cores."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CORES) as pool:
        began = time.perf_counter()
        list(pool.map(lambda trial: command([*STEPS, *trial], folder), trials))
        return (time.perf_counter() - began) / len(trials)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=256)
    trials = parser.parse_args().trials
    seconds, sample = search(trials)
    of_trial = alone(sample)
    print(f"one process per trial: {of_trial * trials:.0f} s on {CORES} cores ({of_trial:.2f} s each)")
    print(f"search of {trials} trials: {seconds:.0f} s, {of_trial * trials / seconds:.1f} times faster")


if __name__ == "__main__":
    main()
