"""The candidates of a search so far: what is trained of each, and how good it is."""

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from runge.configuration.command_line import overrides_of
from runge.configuration.errors import describe
from runge.configuration.validation import Floats
from runge.function.calibration import Calibration
from runge.function.ensemble import write_answer
from runge.metrics import TOTAL_SECONDS
from runge.records.directories import RunDirectory
from runge.sweeps.journal import Batch, EndedRun, Journal
from runge.sweeps.policies.best.candidates import Candidate, CandidateFactory
from runge.sweeps.policies.best.constants import (
    CROSSED_FOLDS,
    FEW_GRADIENT_STEPS,
    FEW_ROWS,
    FEW_STEPS,
    FEWEST_GRADIENT_STEPS,
    LEAST_DAMPING,
    LEAST_RUN_SECONDS,
    LEAST_STEPS_ON_ALL_ROWS,
    LEAST_STEPS_ON_MORE_ROWS,
    MOST_DAMPING,
    PATIENCE_FACTOR,
    PATIENCE_SECONDS,
    REPORT_SECONDS,
    REPORT_SET_UPS,
    REPORT_SHARE,
    SCHEDULE_SHARE,
    SET_UP_SECONDS,
    TIME_MARGIN,
)
from runge.sweeps.policies.best.display import Display
from runge.sweeps.policies.best.search_table import SearchTable
from runge.sweeps.policies.best.trained_runs import TrainedRun, better_run, read_run

__all__ = ["PlannedRun", "Selection", "merge"]

_OVERRIDABLE = ("trainer.max_steps", "trainer.max_seconds", "data.split.train", "optimizer.damping")
"""The keys that the search sets, unless the command does."""


class PlannedRun(NamedTuple):
    """A run that is to be trained.

    Attributes:
        candidate: the candidate to which it belongs.
        fold: the fold that it leaves out; None: none.
        seconds: the time that it has, with its set-up.
        share: the share of the rows; None: all.
        start: the run whose weights it begins with; None: they are drawn.
        steps: its steps at most; None: those of its candidate, or twice those of `start` if these are more.
        stop_at: the step at which it ends, whatever its validation loss is; None: it has that of the best step.
        seed: what is added to the seed.
    """

    candidate: Candidate
    fold: int | None
    seconds: float
    share: float | None = None
    start: TrainedRun | None = None
    steps: int | None = None
    stop_at: int | None = None
    seed: int = 0


def merge(before: Candidate, planned: PlannedRun, number: int, after: TrainedRun | Exception) -> Candidate:
    """Return what a candidate is after a further run.

    Args:
        before: the candidate before the run.
        planned: the run as it was planned.
        number: the number of the run.
        after: the run as it was trained, or the error with which it ended.
    """
    trained = None if isinstance(after, Exception) else after
    failure = describe(after) if isinstance(after, Exception) else ""
    slowness = before.slowness if trained is None or trained.slowness is None else trained.slowness
    candidate = replace(before, failure=failure, slowness=slowness)
    if planned.fold is None:
        return replace(candidate, refits=[*before.refits, number])
    if planned.seed:
        return replace(candidate, calibrating=[*before.calibrating, number])
    earlier, optimizer = before.by_fold.get(planned.fold), before.member.settings.optimizer
    few_steps = FEW_GRADIENT_STEPS if optimizer.by_gradient else FEW_STEPS
    if earlier is not None and optimizer.last_layer_alone:
        few_steps = earlier.steps
    better = better_run(earlier, trained, few_steps)
    by_fold = before.by_fold if better is None else {**before.by_fold, planned.fold: better}
    return replace(candidate, by_fold=by_fold, runs=[*before.runs, number])


@dataclass(eq=False)
class Selection:
    """The candidates and the runs by which they are judged.

    Attributes:
        factory: what makes the overrides of runs.
        candidates: the candidates, by their names.
        table: the table; None: a formula.
        folds: the number of folds of the rows.
        judges: how many of them judge candidates, each a run.
        directory: the directory of the sweep.
        timeout: the seconds after which no run is waited for.
        seeds: how many networks, which differ in their seed, the answer has at most.
        processes: how many runs are trained at a time.
        set_up: the seconds of a run besides its steps, as the runs of the last batch have measured them.
        winner: the name of the candidate of which the answer is made; empty: it is not chosen yet.
        residuals: the mean error of the networks that judge it in the folds that they leave out, (n, P + P D); None: no
            answer yet.
        questioned: the mean error of all of its networks that leave out a fold, in all rows that they have not seen.
        journal: the journal of the sweep, from its first run on.
        display: what the search shows, likewise.
    """

    factory: CandidateFactory
    candidates: dict[str, Candidate]
    table: SearchTable | None
    folds: int
    judges: int
    directory: Path
    timeout: float
    seeds: int
    processes: int
    set_up: float = 2 * SET_UP_SECONDS
    winner: str = ""
    residuals: Floats | None = None
    questioned: Floats | None = None
    journal: Journal = field(init=False)
    display: Display = field(init=False)

    @property
    def end(self) -> float:
        """The time at which training ends, in seconds from the beginning; the rest is for the report.

        On a busy machine the report takes longer by the same factor as the set-up of a run.
        """
        return self.timeout - min(REPORT_SECONDS, REPORT_SHARE * self.timeout, REPORT_SET_UPS * self.set_up)

    @property
    def training_rows(self) -> int:
        """The number of rows on which a run that leaves out a fold is trained."""
        return 0 if self.table is None else len(self.table.seen) - -(-len(self.table.seen) // self.folds)

    @property
    def crossed(self) -> int:
        """The number of folds that networks of the winner leave out, to calibrate intervals and to question labels."""
        return self.folds if self.training_rows < FEW_ROWS else min(self.folds, CROSSED_FOLDS)

    def left(self, until: float) -> float:
        """Return the seconds until a time, in seconds since the beginning of the search."""
        return until - self.journal.seconds

    def ranked(self) -> list[Candidate]:
        """Return the candidates that have been trained: the winner, the best ones, and those that lack a fold."""
        candidates = list(self.candidates.values())  # the display asks while runs are merged
        trained = [candidate for candidate in candidates if candidate.by_fold]
        return sorted(trained, key=lambda x: (x.name != self.winner, -min(len(x.by_fold), self.judges), x.error))

    def train(
        self, runs: Sequence[PlannedRun], until: float | None = None
    ) -> Generator[Batch, Sequence[EndedRun], list[TrainedRun | None]]:
        """Train runs, keep the better ones of their candidates, and write the best answer so far.

        Args:
            runs: the runs.
            until: the time after which they are not waited for; None: that of the search.

        Returns:
            The trained runs; None: a run has failed, or its time was over before it began.
        """
        if not runs or self.left(until or self.timeout) <= 0:
            return [None] * len(runs)
        if until is None:  # a step may take longer than the time of its run, but not all that is left
            times = [max(run.seconds, self.set_up + LEAST_RUN_SECONDS) for run in runs]
            longest = sum(times) / min(self.processes, len(runs))
            until = min(self.timeout, self.journal.seconds + PATIENCE_FACTOR * longest + PATIENCE_SECONDS)
        ended = yield Batch([self._job(run) for run in runs], until)
        threads = self.processes if len(runs) == 1 else 1
        trained = list[TrainedRun | None]()
        for planned, run in zip(runs, ended, strict=True):
            after = run.value if isinstance(run.value, Exception) else self._read(planned, run, threads)
            name = planned.candidate.name
            self.candidates[name] = merge(self.candidates[name], planned, run.number, after)
            trained.append(None if isinstance(after, Exception) else after)
        besides = [(run.metrics[TOTAL_SECONDS] or 0.0) - run.seconds for run in trained if run is not None]
        self.set_up = SET_UP_SECONDS + sum(besides) / len(besides) if besides else self.set_up
        if ranked := self.ranked():
            self.write(run.directory for run in ranked[0].in_order)
        return trained

    def _read(self, planned: PlannedRun, ended: EndedRun, threads: int) -> TrainedRun:
        """Read a run that has finished."""
        optimizer, fixed = planned.candidate.member.settings.optimizer, self.factory.fixed
        # No further steps are asked of fixed neurons, or if the command limits them.
        completes = optimizer.last_layer_alone or "trainer.max_steps" in fixed
        directory = RunDirectory(self.factory.command.directory_of(ended.number, ended.overrides))
        run = read_run(directory, ended.number, planned.share, planned.start, completes=completes)
        may_grow = self.table is not None and not completes and "data.split.train" not in fixed
        slowness = run.pace / self.factory.member(ended.overrides).work() if optimizer.by_gradient else None
        return replace(run, slowness=slowness, threads=threads, grows=may_grow and run.used_share is not None)

    def _job(self, run: PlannedRun) -> list[str]:
        """Return the overrides of a run."""
        member, seconds = run.candidate.member, max(run.seconds - self.set_up, LEAST_RUN_SECONDS)
        job = {override.partition("=")[0]: override for override in run.candidate.overrides}
        changes: dict[str, object] = {}
        steps, share = run.steps or member.settings.trainer.max_steps, run.share
        if run.fold is None and self.table:  # all rows; the test rows are those of the folds
            for of_folds in ("data.folds", "data.seed"):
                job.pop(of_folds, None)
            changes |= {"data.split.val": 0, "data.seed": member.data_seed.seed}
        elif self.table:
            changes["data.fold"] = run.fold
        if run.start is not None:
            changes["trainer.start"] = run.start.directory.path
            steps = run.steps or max(steps, 2 * run.start.steps)
            if not member.settings.optimizer.by_gradient:
                changes["optimizer.damping"] = f"{min(max(run.start.damping, LEAST_DAMPING), MOST_DAMPING):.3g}"
                share = self._share(run, run.start, seconds) if run.fold is not None and self.table else share
        if share is not None:
            changes["data.split.train"] = f"{share:.6g}"
        if member.settings.optimizer.by_gradient:  # its rate falls until the last step, which should fit into the time
            pace = run.candidate.slowness * self.factory.member([*job.values(), *overrides_of(changes)]).work()
            steps = min(steps, max(FEWEST_GRADIENT_STEPS, int(SCHEDULE_SHARE * seconds / pace)))
        changes |= {"trainer.max_steps": steps, "trainer.max_seconds": f"{seconds:.3g}"}
        if run.stop_at is not None:
            changes["trainer.stop_at"] = run.stop_at
        if run.seed:
            changes["seed"] = member.settings.seed.seed + run.seed
        job |= dict(zip(changes, overrides_of(changes), strict=True))
        return [self.factory.fixed.get(key, x) if key in _OVERRIDABLE else x for key, x in job.items()]

    def _share(self, run: PlannedRun, start: TrainedRun, seconds: float) -> float | None:
        """Return the share of the rows of a run that continues, at most that of its rung.

        There are more than before if its error on the rows that were held out is larger than on its training rows:
        otherwise steps are lacking, not rows. Some steps should fit into its time.
        """
        assert self.table
        before = start.used_share
        if before is None or (start.cut and not start.lacks_rows):
            return before
        share = before * max(1.0, seconds / (LEAST_STEPS_ON_MORE_ROWS * start.pace))
        enough = share * len(self.table.rows.x) >= self.training_rows or share >= (run.share or 1.0)
        return run.share if enough else share

    def affords_all(self, candidate: Candidate, run: TrainedRun, seconds: float) -> bool:
        """Return whether a candidate has time for some steps on all rows, given a run on some of them."""
        return seconds >= LEAST_STEPS_ON_ALL_ROWS * self._pace_on_all(candidate, run)

    def _pace_on_all(self, candidate: Candidate, run: TrainedRun) -> float:
        """Return the seconds that a step of a candidate on all rows should take, given a run on some of them."""
        assert self.table
        if candidate.member.settings.optimizer.by_gradient:  # with mini-batches of many rows
            return candidate.slowness * candidate.member.work()
        if self.judges > 1:  # all of its runs had these rows, also the one after which a few steps were enough
            pace = run.spent / (run.before + run.steps + run.unused)
            return pace * len(self.table.seen) / self.training_rows
        rows = self.training_rows if run.used_share is None else run.used_share * len(self.table.rows.x)
        return run.pace * len(self.table.seen) / rows

    def step_of(self, candidate: Candidate) -> int:
        """Return the step at which a network of a candidate with drawn weights should end, by those of its folds.

        A step of fixed neurons is a fit of its own: it is the one that is best on all folds together.
        """
        if candidate.member.settings.optimizer.last_layer_alone:
            runs = candidate.in_order
            shared = min(len(run.logged_errors) for run in runs)
            total = sum(run.logged_errors[:shared] for run in runs)
            step = int(runs[0].logged_steps[int(np.argmin(total))])
        else:
            step = math.ceil(sum(run.best_step for run in candidate.in_order) / len(candidate.by_fold))
        return max(1, step)

    def seconds_of(self, candidate: Candidate) -> float:
        """Return the seconds that a network of all rows with drawn weights, and one thread, should take at most."""
        paces = [run.threads * self._pace_on_all(candidate, run) for run in candidate.in_order]
        pace = sum(paces) / len(paces)
        return TIME_MARGIN * self.step_of(candidate) * pace + self.set_up

    def start_of(self, candidate: Candidate, fold: int) -> TrainedRun | None:
        """Return the run whose weights a further run of a candidate begins with; None: they are drawn."""
        return None if candidate.member.settings.optimizer.last_layer_alone else candidate.by_fold.get(fold)

    def may_gain(self, candidate: Candidate, seconds: float) -> bool:
        """Return whether more steps may help a candidate; newly drawn weights need more time than it has had."""
        is_redrawn = candidate.member.settings.optimizer.last_layer_alone
        needed = sum(run.seconds for run in candidate.in_order) if is_redrawn else -math.inf
        return candidate.cut and seconds * self.processes > needed

    def write(self, networks: Iterable[RunDirectory], intervals: Calibration | None = None) -> None:
        """Write the answer, the mean of some networks."""
        write_answer(self.directory, [str(run.path.relative_to(self.directory)) for run in networks], intervals)
