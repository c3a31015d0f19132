"""Record learning curves: each candidate of `search=best` on shares of the rows of each table, without a search.

    python benchmarks/search/record.py --seconds 20 --shares 1/16,1/4,1 --seeds 0
    python benchmarks/search/record.py --status
    python benchmarks/search/record.py --gather
    python benchmarks/search/record.py --speeds

Each recording is a file of its own, and is left out if it exists, unless more seconds are given and it was not over. So
the script can be stopped and started again at any time. All tables have a recording before any has a second one.
`--gather` writes `figures/curves.jsonl.xz`, which `replay.py` reads. `--speeds` measures each recording again for one
second, for a quiet machine. `replay.py` multiplies the seconds of a curve by the ratio of both seconds per step,
because the seconds of the processor grow if other programs share its caches.

The learning rate of a method by the gradient falls until the last step for which it was planned. Its curve therefore
has a point for each of four trainings of its own, which are planned for 1/64, 1/16, 1/4 and all of the seconds.
"""

import argparse
import logging
import multiprocessing
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from fractions import Fraction
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

import lightning.pytorch as pl
import numpy as np
import yaml

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
from curves import COLUMNS, GATHERED, TOO_SLOW, Recording, best_point, gather, read
from suite import TABLES, rows_of

from runge import machine
from runge.composing.composition import compose
from runge.configuration.command_line import overrides_of
from runge.configuration.errors import ConfigurationError, describe
from runge.metrics import ERRORS, TRAIN_LOSS, VAL_LOSS
from runge.records.files import write
from runge.training.base import SobolevModule
from runge.training.callbacks.history import History
from runge.training.member import Member
from runge.training.prepare import Stack, prepare
from runge.training.settings import Settings
from runge.training.train import train

LISTED = Path(__file__).parents[2] / "conf" / "search" / "best.yaml"
CANDIDATES: Mapping[str, Sequence[str]] = yaml.safe_load(LISTED.read_text())["tables"]
"""The overrides of each candidate, by its name."""

DENSITY = 1.25
"""The factor from one recorded time to the next: about 30 of them from a hundredth to all of the time."""

WAITED_STEPS = 100
"""The steps without a smaller validation loss after which a method without a learning rate has converged. The search
gives up after 20; more are recorded, so that a rule may choose.
"""

STEPS_OF_BLOCK, SLOW_STEP = 5, 0.02
"""The steps of such a method between two validations, as in the search, and the seconds of a step from which on each
step is validated, because the validation is a small part of it.
"""

PLANNED = (1 / 64, 1 / 16, 1 / 4, 1.0)
"""The shares of the time for which the trainings by the gradient are planned."""

FILLED = 0.9
"""The share of its planned time that a training by the gradient should take, so that its rate has fallen at the end."""

LEAST_BLOCK = 10
"""The fewest steps by the gradient between two validations, which would take most of the time otherwise."""

LEAST_LABELS, LEAST_ROWS_OF_INPUT = 100, 1
"""The labels, and the rows for each input, below which a share of the rows is not recorded."""

SLOWEST_STEPS = 15.0
"""The expected seconds of a step, over the limit, from which a candidate is not recorded. On a processor with AVX-512 a
step of Levenberg-Marquardt takes about a seventh of what `Member.work` expects.
"""


class TimedHistory(History):
    """A history that also keeps the seconds and the test errors at times that grow by a factor, and ends the training.

    Args:
        stack: the stack, of one run.
        limit: the seconds of the processor after which the training ends.
    """

    def __init__(self, stack: Stack, limit: float) -> None:
        super().__init__()
        self.stack, self.limit = stack, limit
        # The fits of fixed neurons are independent of each other: any of them may be the best one.
        self.density = 0.0 if stack.members[0].settings.optimizer.last_layer_alone else DENSITY
        self.began = self.next = 0.0
        self.points: dict[str, list[float | None]] = {name: [] for name in COLUMNS}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Start the clock."""
        self.began = time.process_time()

    @property
    def seconds(self) -> float:
        """The seconds so far, without those of the measurements on test rows."""
        return time.process_time() - self.began

    @property
    def pace(self) -> float:
        """The seconds of a step; not of the first ones, which also prepare, if there are several points."""
        seconds, steps = ([0.0, *map(float, filter(None, self.points[name]))] for name in ("seconds", "steps"))
        first = 1 if len(steps) > 2 else 0
        return (seconds[-1] - seconds[first]) / (steps[-1] - steps[first])

    def after_step(self) -> Literal["end"] | None:
        """End the training if its time is over."""
        return "end" if self.seconds >= self.limit else None

    def at_block_end(self, module: SobolevModule) -> None:
        """Add a point to the curve, if it is time."""
        super().at_block_end(module)
        if (seconds := self.seconds) >= self.next:
            self.measure(seconds)
            self.next = self.density * seconds

    def measure(self, seconds: float) -> None:
        """Add a point to the curve, without spending time of the training."""
        before, module = time.process_time(), self.stack.module
        errors = module.measure("test", self.stack.data.dataset.test, module.lambda_d)
        tested = [errors[name.replace("val/", "test/")] for name in ERRORS]
        held_out = [module.figures[name] for name in ERRORS]
        ratio = module.figures[VAL_LOSS] / module.figures[TRAIN_LOSS]
        numbers = [seconds, self.steps[-1], *map(float, [*held_out, *tested, ratio])]
        for name, number in zip(COLUMNS, numbers, strict=True):
            self.points[name].append(number)
        self.began += time.process_time() - before


def trained(settings: Settings, overrides: Sequence[str], limit: float) -> tuple[TimedHistory, float]:
    """Train a run for some seconds of the processor; return its curve, and the seconds of its set-up."""
    began = time.process_time()
    stack = prepare([Member(settings, overrides)])
    curve = TimedHistory(stack, limit)
    stack, set_up = replace(stack, history=curve), time.process_time() - began
    train(stack)
    if curve.points["steps"][-1:] != curve.steps[-1:]:  # the last block
        curve.measure(curve.seconds)
    return curve, set_up


def table_file(name: str, folder: Path) -> Path:
    """Return the file of a table's rows, with those of the test, which is written if it is not there."""
    path = folder / "tables" / f"{name}.npz"
    if not path.is_file():
        seen, test = rows_of(name)
        rows = {key: np.concatenate([getattr(part, key) for part in (seen, test)]) for key in seen._fields}
        rows["set"] = np.repeat(["train", "test"], [len(seen.x), len(test.x)])
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(f"{multiprocessing.current_process().pid}.npz")
        np.savez(partial_path, allow_pickle=False, **rows)
        partial_path.replace(path)
    return path


def count_folds(rows: int) -> int:
    """Return into how many folds the search divides the rows of a table."""
    return 10 if rows < 50 else max(5, min(10, rows // 100), rows // 1000)


@cache
def sizes(path: Path) -> tuple[int, int, int, int]:
    """Return the rows of a table with and without those of the test, its inputs and its outputs."""
    with np.load(path) as file:
        return len(file["x"]), int((file["set"] == "train").sum()), file["x"].shape[1], file["y"].shape[1]


def record(folder: Path, limit: float, wanted: Recording) -> Recording:
    """Record a curve, and write it; a failure is recorded, too."""
    path = table_file(wanted.table, folder)
    every, seen, inputs, outputs = sizes(path)
    folds = count_folds(seen)
    rows = round(wanted.share * (seen - -(-seen // folds)))
    begun = replace(
        wanted,
        rows=rows,
        inputs=inputs,
        outputs=outputs,
        limit=limit,
        processor=machine.processor(),
        commit=machine.provenance().get("runge's commit", ""),
    )
    if wanted.share < 1 and (rows * outputs * (1 + inputs) < LEAST_LABELS or rows < LEAST_ROWS_OF_INPUT * inputs):
        ended = replace(begun, failure="too few rows")
    else:
        data: dict[str, Any] = {"data.file": str(path), "data.split_column": "set", "data.folds": folds}
        data |= {"data.fold": wanted.seed, "seed": wanted.seed, "trainer.progress_bar": False, "pictures": False}
        if wanted.share < 1:
            data["data.split.train"] = rows / every
        try:
            ended = _recorded(begun, ["data=table", *overrides_of(data), *CANDIDATES[wanted.candidate]], limit)
        except (ConfigurationError, ValueError, RuntimeError, MemoryError) as error:
            ended = replace(begun, failure=describe(error))
        except (KeyboardInterrupt, SystemExit):  # a pool would begin the next one
            os._exit(130)
    write(folder / f"{wanted.name}.json", ended.as_text())
    return ended


def _recorded(begun: Recording, overrides: Sequence[str], limit: float) -> Recording:
    settings = Settings.of(compose(*overrides))
    member, optimizer = Member(settings), settings.optimizer
    pace = member.work()
    begun = replace(begun, rows=member.sizes[0], work=pace)
    if pace > SLOWEST_STEPS * limit:
        return replace(begun, failure=f"{TOO_SLOW} {pace:.0f} s")
    if optimizer.by_gradient:
        return _by_gradient(begun, overrides, limit, pace)
    if not optimizer.last_layer_alone:  # its steps do not depend on their number
        every = 1 if pace > SLOW_STEP else STEPS_OF_BLOCK
        ends = {"trainer.max_steps": 100_000, "trainer.patience": WAITED_STEPS, "trainer.log_every": every}
        overrides = [*(x for x in overrides if x.partition("=")[0] not in ends), *overrides_of(ends)]
    settings = Settings.of(compose(*overrides))
    curve, set_up = trained(settings, overrides, limit)
    converged = curve.seconds < limit or curve.steps[-1] >= settings.trainer.max_steps
    return replace(begun, points=curve.points, set_up=set_up, converged=converged, warm=not optimizer.last_layer_alone)


def _by_gradient(begun: Recording, overrides: Sequence[str], limit: float, pace: float) -> Recording:
    """Record the ends of trainings that are planned for shares of the time, each by the pace of the one before."""
    points: dict[str, list[float | None]] = {name: [] for name in COLUMNS}
    first_set_up = 0.0
    for share in PLANNED:
        steps = max(50, round(FILLED * share * limit / pace))
        every = min(100, max(LEAST_BLOCK, steps // 20))
        planned = [*overrides, f"trainer.max_steps={steps}", f"trainer.log_every={every}"]
        curve, set_up = trained(Settings.of(compose(*planned)), planned, share * limit)
        first_set_up = first_set_up or set_up
        for name, column in curve.points.items():
            points[name].append(column[best_point(curve.points)])
        points["seconds"][-1], points["steps"][-1] = curve.points["seconds"][-1], curve.points["steps"][-1]
        pace = curve.pace
    return replace(begun, points=points, set_up=first_set_up)


def begin_process() -> None:
    """Use one thread, and print nothing but the recordings."""
    machine.limit_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)


def wanted(tables: Sequence[str], candidates: Sequence[str], shares: Sequence[float], seeds: Sequence[int]) -> Iterator:
    """Return what is to be recorded: all tables, before another candidate, share or seed."""
    for seed, share, candidate, table in product(seeds, shares, candidates, tables):
        yield Recording(table, candidate, share, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("recordings"), help="the folder of the recordings")
    parser.add_argument("--seconds", type=float, default=60, help="the limit of a recording (60)")
    parser.add_argument("--shares", default="1,1/4,1/16,1/64", help="shares of the training rows")
    parser.add_argument("--seeds", default="0,1")
    parser.add_argument("--tables", nargs="+", default=list(TABLES), choices=TABLES, metavar="NAME")
    parser.add_argument("--candidates", nargs="+", default=list(CANDIDATES), choices=CANDIDATES, metavar="NAME")
    parser.add_argument("--workers", type=int, default=2, help="the number of processes (2)")
    parser.add_argument("--speeds", action="store_true", help="measure one second of each, into the folder speeds")
    parser.add_argument("--status", action="store_true", help="print how many recordings there are")
    parser.add_argument("--gather", action="store_true", help=f"write {GATHERED.name}")
    options = parser.parse_args()
    if options.gather:
        print(f"{gather(options.out)} recordings, {GATHERED.stat().st_size / 1e6:.2f} MB")
        return
    shares, seeds = [float(Fraction(x)) for x in options.shares.split(",")], map(int, options.seeds.split(","))
    every = list(wanted(options.tables, options.candidates, shares, list(seeds)))
    folder, limit = (options.out / "speeds", 1.0) if options.speeds else (options.out, options.seconds)
    there = {one.name: one for one in read(folder)} if folder.is_dir() else {}
    missing = [one for one in every if one.name not in there or not there[one.name].is_over(limit)]
    print(f"{len(every) - len(missing)} of {len(every)} recordings are in {folder}", flush=True)
    if options.status:
        ends = Counter((one.failure or ("converged" if one.converged else "cut"))[:60] for one in there.values())
        print(*(f"{count:5} {end}" for end, count in ends.most_common()), sep="\n")
        return
    folder.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.workers, context, begin_process) as pool:
        for done in pool.map(partial(record, folder, limit), missing):
            print(done.name, done.failure or f"{done.points['seconds'][-1]:.3g} s", flush=True)


if __name__ == "__main__":
    main()
