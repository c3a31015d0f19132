"""The candidates of a search so far: what is trained of each, and how good it is."""

from collections.abc import Generator, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runge.errors import override_of
from runge.launch.journal import Batch, Journal, Trial
from runge.launch.policies.best.candidates import Candidates, Entrant
from runge.launch.policies.best.display import Display
from runge.launch.policies.best.judge import Fit, is_cut
from runge.launch.policies.best.known import Known
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer

__all__ = ["FAR", "FIRST_FOLDS", "Run", "Selection", "equal_weights"]

FAR = 4.0  # a candidate with so many times the error of another one on the first folds cannot win
FIRST_FOLDS = 2  # on which all candidates meet; two networks can disagree
_BATCH = 0.4  # seconds of a run besides those that it measures
_FEW_STEPS = {False: 20, True: 2000}  # after which more do not help; by the gradient
_STEPS_AT_LEAST, _MOST_GROWTH = 8, 4.0  # the steps on more rows for which there should be time, and how many more
_OF_COMMAND = ("trainer.max_steps", "trainer.patience", "trainer.max_seconds", "data.split.train", "optimizer.damping")
"""The keys that the search sets, unless the command does."""

_DAMPING = 1e-12, 1.0  # with which a run may continue; without reduction of the loss it has grown far beyond
_LEAST = 0.3  # seconds of a run at least
_PATIENCE, _START_UP = 3.0, 10.0  # times the time of a batch, and more seconds, after which it is not waited for
_SAFETY = 0.8  # of the steps that are expected to fit into a time, for a schedule that should end with them
_FEWEST_STEPS = 50  # by the gradient
_UNTIL_TIME = ["trainer.max_steps=1000", "trainer.patience=100"]  # steps whose number no schedule depends on


class Run(NamedTuple):
    """A run that is to be trained.

    Attributes:
        entrant: whose it is.
        fold: the fold that it leaves out; None: none.
        seconds: the time that it has, with its set-up.
        share: the share of the rows; None: all.
        start: the fit whose weights it begins with; None: they are drawn.
        changes: further overrides.
    """

    entrant: Entrant
    fold: int | None
    seconds: float
    share: float | None = None
    start: Fit | None = None
    changes: Sequence[str] = ()


class Selection:
    """The candidates and the runs by which they are judged.

    Args:
        candidates: what makes the overrides of runs.
        entrants: the candidates.
        known: the table; None: a formula.
        folds: the number of folds of the rows.
        by_folds: whether candidates are judged by cross-validation, and by how much the networks of the folds disagree.
        directory: the directory of the sweep.
        timeout: the seconds after which no run is waited for.
        processes: how many runs are trained at a time.

    Attributes:
        set_up: the seconds of a run besides its steps, as those of the last batch had them.
        weights: the weights of the candidates in the answer, by their names.
    """

    def __init__(
        self,
        candidates: Candidates,
        entrants: Iterable[Entrant],
        known: Known | None,
        folds: int,
        by_folds: bool,
        directory: Path,
        timeout: float,
        processes: int,
    ) -> None:
        self.candidates, self.known, self.folds, self.by_folds = candidates, known, folds, by_folds
        self.entrants = {entrant.name: entrant for entrant in entrants}
        self.directory, self.timeout, self.processes = directory, timeout, processes
        self.weights = dict[str, float]()
        self.set_up = 2 * _BATCH
        self.journal: Journal
        self.display: Display

    @property
    def training_rows(self) -> int:
        """The number of rows on which a run that leaves out a fold is trained."""
        return 0 if self.known is None else len(self.known.seen) - -(-len(self.known.seen) // self.folds)

    def left(self, until: float) -> float:
        """Return the seconds until a time, in seconds since the beginning of the search."""
        return until - self.journal.seconds

    def ranked(self) -> list[Entrant]:
        """Return the candidates that have been trained, those on more folds first, of these the best first.

        One whose error on the first folds is far smaller comes before those on more.
        """
        trained = [entrant for entrant in list(self.entrants.values()) if entrant.fits]  # the display asks meanwhile
        trained.sort(key=lambda entrant: (-len(entrant.fits), entrant.error))
        least = trained[0].error / FAR if trained else 0.0
        better = [x for x in trained if x.error < least and len(x.fits) >= min(FIRST_FOLDS, len(trained[0].fits))]
        return [*sorted(better, key=lambda entrant: entrant.error), *(x for x in trained if x not in better)]

    def compare(
        self, runs: Sequence[Run], until: float | None = None
    ) -> Generator[Batch, Sequence[Trial], list[Fit | None]]:
        """Train runs as `train` does, keep the better fits of their candidates, and the best answer so far."""
        fits = yield from self.train(runs, until=until)
        for run, fit in zip(runs, fits, strict=True):
            self.keep(run, fit)
        self.report()
        return fits

    def train(
        self,
        runs: Sequence[Run],
        role: Literal["runs", "refits", "calibrating"] = "runs",
        until: float | None = None,
    ) -> Generator[Batch, Sequence[Trial], list[Fit | None]]:
        """Train runs, and judge them; None: it has failed, or its time was over before it began.

        Args:
            runs: the runs.
            role: the attribute of an entrant that has their numbers.
            until: the time after which they are not waited for; None: that of the search.
        """
        if not runs or self.left(until or self.timeout) <= 0:
            return [None] * len(runs)
        if until is None:  # a step may take longer than the time of its run, but not all that is left
            each = [max(run.seconds, self.set_up + _LEAST) for run in runs]
            longest = sum(each) / min(self.processes, len(runs))
            until = min(self.timeout, self.journal.seconds + _PATIENCE * longest + _START_UP)
        trials = yield Batch([self._job(run) for run in runs], until)
        fits = list[Fit | None]()
        for run, trial in zip(runs, trials, strict=True):
            entrant = self.entrants[run.entrant.name]
            fit = None if isinstance(trial.value, Exception) else self._judge(trial, role == "runs")
            if fit is not None:
                # No further steps are asked of fixed neurons, or if the command limits them.
                completes = entrant.member.optimizer.last_layer_alone or "trainer.max_steps" in self.candidates.given
                fit = fit._replace(share=run.share, cut=is_cut(fit.run, completes))
            changes: dict[str, Any] = {role: [*getattr(entrant, role), trial.number]}
            if fit is not None and self._is_scheduled(entrant):
                changes["slowness"] = fit.pace / self.candidates.member(trial.overrides).work()
            self.entrants[entrant.name] = replace(entrant, **changes)
            fits.append(fit)
        besides = [fit.set_up for fit in fits if fit is not None]
        self.set_up = _BATCH + sum(besides) / len(besides) if besides else self.set_up
        return fits

    def _judge(self, trial: Trial, compared: bool) -> Fit:
        directory = self.candidates.place(trial.number, trial.overrides)
        if self.known and self.by_folds and compared:
            return Fit.of(directory, self.known.channels, self.known.around)
        return Fit.of_figures(directory)

    def _job(self, run: Run) -> list[str]:
        """Return the overrides of a run."""
        member, seconds = run.entrant.member, max(run.seconds - self.set_up, _LEAST)
        job = list(run.entrant.overrides)
        if run.fold is None and self.known:  # all rows; the test rows are those of the folds
            job = [override for override in job if override.partition("=")[0] not in ("data.folds", "data.seed")]
            job += ["data.split.val=0", f"data.seed={member.data_seed.seed}"]
        elif self.known:
            job.append(f"data.fold={run.fold}")
        share = run.share
        if self.known and run.start is not None and run.fold is not None and self._is_untimed(run.entrant):
            share = self._share(run, run.start, seconds)
        job += [] if share is None else [f"data.split.train={share:.6g}"]
        if run.start is not None:
            job.append(override_of("trainer.start", str(run.start.run.path)))
            if not member.optimizer.by_gradient:
                least, most = _DAMPING
                job.append(f"optimizer.damping={min(max(run.start.last('damping'), least), most):.3g}")
        if self._is_scheduled(run.entrant):
            pace = run.entrant.slowness * self.candidates.member(job).work()
            steps = max(_FEWEST_STEPS, int(_SAFETY * seconds / pace))
            job.append(f"trainer.max_steps={steps if run.start else min(steps, member.training.max_steps)}")
        elif self._is_untimed(run.entrant):
            job += _UNTIL_TIME
        job += [f"trainer.max_seconds={seconds:.3g}", *run.changes]
        last = {override.partition("=")[0]: override for override in job}
        return [self.candidates.given.get(key, x) if key in _OF_COMMAND else x for key, x in last.items()]

    def _is_scheduled(self, entrant: Entrant) -> bool:
        """Return whether the steps of a run must fit into its time, because its rate falls until the last one."""
        return entrant.member.optimizer.by_gradient and not self.by_folds

    def _is_untimed(self, entrant: Entrant) -> bool:
        """Return whether the steps of a run do not depend on their number."""
        return not (self.by_folds or entrant.member.optimizer.by_gradient or entrant.member.optimizer.last_layer_alone)

    def _share(self, run: Run, start: Fit, seconds: float) -> float | None:
        """Return the share of the rows of a run that continues, at most that of its rung.

        There are more than before if its error on the rows that were held out is larger than that on its own: otherwise
        steps are lacking, not rows. Some steps should fit into its time.
        """
        assert self.known
        before = start.run.read_configuration()[0]["data"]["split"].get("train")
        if before is None or (start.cut and not start.lacks_rows):
            return before
        share = before * min(_MOST_GROWTH, max(1.0, seconds / (_STEPS_AT_LEAST * start.pace)))
        return (
            run.share if share * len(self.known.rows.x) >= self.training_rows or share >= (run.share or 1.0) else share
        )

    def affords_all(self, fit: Fit, seconds: float) -> bool:
        """Return whether there is time for some steps on all rows, given a fit on some of them."""
        assert self.known
        share = fit.run.read_configuration()[0]["data"]["split"].get("train")
        rows = self.training_rows if share is None else share * len(self.known.rows.x)
        return seconds >= _STEPS_AT_LEAST * fit.pace * len(self.known.seen) / rows

    def start_of(self, entrant: Entrant, fold: int) -> Fit | None:
        """Return the fit whose weights a further run of a candidate begins with; None: they are drawn."""
        return None if entrant.member.optimizer.last_layer_alone else entrant.fits.get(fold)

    def keep(self, run: Run, fit: Fit | None) -> None:
        """Keep a fit of a candidate, unless it has a better one on the same fold."""
        entrant = self.entrants[run.entrant.name]
        before = entrant.fits.get(run.fold or 0)
        if before is None or (fit is not None and fit.error <= before.error):
            fits = entrant.fits if fit is None else {**entrant.fits, run.fold or 0: fit}
        else:  # more steps do not help, unless these were few
            few = fit is not None and fit.cut and fit.steps < _FEW_STEPS[entrant.member.optimizer.by_gradient]
            fits = {**entrant.fits, run.fold or 0: before._replace(cut=few)}
        self.entrants[entrant.name] = replace(entrant, fits=fits)

    def report(self) -> None:
        """Keep the best answer so far."""
        if ranked := self.ranked():
            best = ranked[0]
            write_answer(self.directory, equal_weights([fit.run for fit in best.all], self.directory))
            self.weights = {best.name: 1.0}


def equal_weights(runs: Sequence[RunDirectory], sweep: Path) -> dict[str, float]:
    """Return equal weights of some runs of a sweep, by their directories relative to the sweep's."""
    return {str(run.path.relative_to(sweep)): 1 / len(runs) for run in runs}
