"""Time whole searches as commands, and compare what they find with searches of one process per trial.

    pip install -e '.[search]'
    python benchmarks/search.py speed
    python benchmarks/search.py halving --repeats 10
    python benchmarks/search.py quality --repeats 10

`speed` is a search of 256 trials of 2000 steps over activation, width, depth, learning rate and lambda_d, with halving
and without. The peer trains trials of the same search as `python train.py ...`, one process per trial, as many at a
time as there are cores: the time of a few of them, scaled to all; Optuna's own time is left out.

`halving` compares searches with and without it, from the same seeds: the time, and the best value of the objective.

`quality` gives a search, a random search and TPE in the usual way the same time on three targets: the usual way has one
process per trial, and so the number of trials that fit into the time; they are proposed one per core. All choose by
the validation points; the figure is the error of that choice on the test points.
"""

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from runge.metrics import TEST_MSE_DF

ROOT = Path(__file__).resolve().parent.parent
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
SPACE = (
    "model.activation=choice(tanh,gelu,silu,sin)",
    "model.width=choice(16,32,64,128)",
    "model.depth=range(1,4)",
    "optimizer.lr=tag(log,interval(1e-3,0.1))",
    "loss.lambda_d=tag(log,interval(1e-3,10))",
)
BUDGET = ("trainer.max_steps=2000", "trainer.progress_bar=false")


class Found(NamedTuple):
    """A finished search.

    Attributes:
        seconds: the time of the whole command.
        best: the best value of the objective.
        test: the test error of that trial.
        commands: the commands of some of its trials.
    """

    seconds: float
    best: float
    test: float
    commands: list[list[str]]


def search(*options: str, sample: int = 0) -> Found:
    """Run a search in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command(["-m", *BUDGET, *SPACE, "hydra/sweeper=search", "hydra.sweep.dir=search", *options], folder)
        seconds = time.perf_counter() - began
        content: dict[str, Any] = json.loads((Path(folder) / "search" / "search.json").read_text())
        (number,) = content["best"]
        trial = content["trials"][number]
        metrics = json.loads((Path(folder) / "search" / str(trial["runs"][0]) / "metrics.json").read_text())
        chosen = content["trials"][:: max(1, len(content["trials"]) // sample)][:sample] if sample else []
        commands = [[f"{key}={value}" for key, value in one["params"].items()] for one in chosen]
    return Found(seconds, trial["values"][0], metrics[TEST_MSE_DF], commands)


def command(options: Sequence[str], folder: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *options], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{shlex.join(options)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def alone(commands: Sequence[Sequence[str]], options: Sequence[str] = ()) -> float:
    """Return the seconds of one of these trials as a process, with one process per core, over the number of cores."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(CORES) as pool:
        began = time.perf_counter()
        list(pool.map(lambda one: command([*BUDGET, *options, *one], folder), commands))
        return (time.perf_counter() - began) / len(commands)


def speed(trials: int) -> None:
    halved = search(f"hydra.sweeper.trials={trials}", "hydra.sweeper.halving=3", "schedule=constant")
    whole = search(f"hydra.sweeper.trials={trials}", "schedule=constant", sample=4 * CORES)
    one = alone(whole.commands, ["schedule=constant"])
    print(f"one process per trial: {one * trials:.0f} s for {trials} trials on {CORES} cores ({one:.2f} s each)")
    for name, found in (("search", whole), ("with halving by 3", halved)):
        print(f"{name}: {found.seconds:.0f} s, {one * trials / found.seconds:.1f} times faster; best {found.best:.3g}")


def halving(trials: int, repeats: int) -> None:
    for schedule in ("constant", "two_stage"):
        times, values = [], []
        for seed in range(repeats):
            options = f"hydra.sweeper.trials={trials}", f"hydra.sweeper.seed={seed}", f"schedule={schedule}"
            whole, halved = search(*options), search(*options, "hydra.sweeper.halving=3")
            times.append(halved.seconds / whole.seconds)
            values.append(halved.best / whole.best)
        print(f"{schedule}: time {statistics.median(times):.2f}, best {statistics.median(values):.2f}; {values}")


def quality(trials: int, repeats: int, targets: Sequence[str]) -> None:
    for target in targets:
        options = f"target={target}", "schedule=constant"
        ratios: dict[str, list[float]] = {"random": [], "tpe": []}
        for seed in range(repeats):
            ours = search(
                *options,
                f"hydra.sweeper.trials={trials}",
                f"hydra.sweeper.seed={seed}",
                "hydra.sweeper.halving=3",
                sample=CORES,
            )
            count = max(CORES, round(ours.seconds / alone(ours.commands, options)))
            for sampler, found in ratios.items():
                usual = (f"hydra.sweeper.trials={count}", f"hydra.sweeper.batch={CORES}", f"hydra.sweeper.seed={seed}")
                found.append(search(*options, *usual, f"hydra.sweeper.sampler={sampler}").test / ours.test)
        print(
            f"{target}: {TEST_MSE_DF} of the others over ours, medians",
            {k: statistics.median(x) for k, x in ratios.items()},
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("speed", "halving", "quality"), default="speed")
    parser.add_argument("--trials", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--targets", nargs="+", default=("runge", "steep", "oscillating"), help="of `quality`")
    arguments = parser.parse_args()
    match arguments.what:
        case "speed":
            speed(arguments.trials)
        case "halving":
            halving(arguments.trials, arguments.repeats)
        case _:
            quality(arguments.trials, arguments.repeats, arguments.targets)


if __name__ == "__main__":
    main()
