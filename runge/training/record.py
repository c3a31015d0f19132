"""Record what a training leaves in the directory of each run, while it trains and when it ends."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from runge.configuration.command_line import command, setting
from runge.configuration.errors import DivergedError, RunError, describe
from runge.configuration.objects import digest
from runge.interruption import interruption
from runge.loggers import Logger, finalize, make_loggers
from runge.metrics import FIT_SECONDS, SWITCHED_ON_STEP, TOTAL_SECONDS, on_test
from runge.records.checkpoints import serialise, state_path, take
from runge.records.directories import FINDINGS, RunDirectory, RunState, Status
from runge.records.files import WarnOnce, shareable, write
from runge.training.evaluation import (
    Evaluation,
    Metrics,
    evaluate_members,
    final_metrics,
    fit_columns,
    intervals_on_test,
    points_columns,
    training_region,
)
from runge.training.findings import fit_findings
from runge.training.member import Member
from runge.training.prepare import Stack
from runge.training.saving import StateFile

Outcome = Metrics | RunError
"""The content of a run's `metrics.json`, or the error that ended it."""

Draw = Callable[[Path, Metrics], Iterable[Path]]
"""Draws the pictures of a run, given its directory and its metrics, and returns their files."""


class UnwritableError(RunError):
    """The files of a run cannot be written."""


class RunWriter:
    """The writer of a run's directory and its loggers; one that cannot be written to affects its own run only.

    Args:
        member: the run.
        directory: its directory.
        alone: it is a single run, whose pictures are drawn if `pictures` is auto.

    Attributes:
        attempt: a context in which an `OSError` is only a warning, or an exception of another kind.
        began: when its training first began, also if it is resumed now.
    """

    def __init__(self, member: Member, directory: RunDirectory, alone: bool = False) -> None:
        self.member, self.directory = member, directory
        pictures = member.settings.pictures
        self.draws = pictures is True or (pictures == "auto" and alone)
        state = directory.read_state()
        self.began = (state and state.began) or time.time()
        self._loggers: list[Logger] | None = None
        self.attempt = WarnOnce(f"{directory.path}: ")

    def begin(self, step: int) -> None:
        """Make the loggers, unless they exist, before the training starts after `step` steps.

        Raises:
            ConfigurationError: a logger cannot be made.
        """
        if self._loggers is None:
            self._loggers, member = [], self.member
            place = f"({'/'.join(self.directory.path.resolve().parts[-2:])})"
            overrides = " ".join(member.overrides)[: 249 - len(place)]  # MLflow's tables have 250 characters for a name
            name = f"{overrides} {place}".lstrip()
            settings = {key: value for key, value in member.settings.configuration.items() if key != "logger"}
            with self.attempt():
                self._loggers = make_loggers(
                    member.settings.logger,
                    save_dir=str(self.directory.path),
                    run_name=name,
                    start_step=step,
                    varied=member.varied,
                )
            self.to_loggers(lambda logger: logger.log_hyperparams(settings))

    def to_loggers(self, write: Callable[[Logger], object]) -> None:
        """Call a function with each of the loggers; an exception in one is only a warning."""
        for logger in self._loggers or ():
            with self.attempt(Exception):
                write(logger)

    def close(self, step: int, metrics: Metrics | None = None) -> None:
        """Finalize the loggers, with the test errors and the step of the switch if the run has finished."""
        figures, switched_on = on_test(metrics or {}), (metrics or {}).get(SWITCHED_ON_STEP)
        if switched_on is not None:
            figures[SWITCHED_ON_STEP] = switched_on
        if figures:
            self.to_loggers(lambda logger: logger.log_metrics(figures, step))
        self.to_loggers(lambda logger: finalize(logger, "failed" if metrics is None else "success"))


class Recorder:
    """What writes the directories of a stack's runs: their status while they train, and all files of those that end.

    Args:
        stack: the stack.
        directories: the directory of each run.
        draw: draws the pictures of a run, given its directory and its metrics, and returns their files.
        state: the file of the stack's state; None: that of `runge.records.checkpoints.state_path`.
        alone: it is a single run, not one of a sweep, and is drawn if `pictures` is auto.

    Raises:
        ConfigurationError: the state in the file is not that of this stack.
    """

    def __init__(
        self,
        stack: Stack,
        directories: Sequence[RunDirectory],
        draw: Draw,
        state: Path | None = None,
        alone: bool = False,
    ) -> None:
        self.runs = [RunWriter(*pair, alone) for pair in zip(stack.members, directories, strict=True)]
        self.module, self.data = stack.module, stack.data
        self.history, self.resample = stack.history, stack.resample
        self.draw, self.began = draw, stack.began
        digests = [digest(member.settings.configuration) for member in stack.members]
        self.file = StateFile(state or state_path(directories), directories, digests)

    def begin(self) -> None:
        """Write the status, and make the loggers, before the training starts."""
        self.running(self.file.step)
        for run in self.runs:
            run.begin(self.file.step)

    def running(self, step: int) -> None:
        """Write the status and the history so far of all runs that are not finished."""
        for i, run in enumerate(self.runs):
            if not run.directory.metrics.exists():
                with run.attempt():
                    self._write(i, self._state(i, "running", step))

    def leave(self, status: Status, message: str) -> None:
        """Write the status and the history of all runs that are not finished, and close their loggers."""
        for i, run in enumerate(self.runs):
            if not run.directory.metrics.exists():
                with run.attempt():
                    self._leave(i, status, message)

    def interrupted(self) -> SystemExit:
        """Leave the runs as interrupted; return what ends the command."""
        interruption.obey()
        run, sweep = self.runs[0].directory, self.file.path.parent.parent
        alone = self.file.path == run.last
        again = f"{command()} {setting('resume', run.path)}" if alone else setting("hydra.sweep.dir", sweep)
        self.leave("interrupted", how := f"continue with {again}")
        # SystemExit, because Hydra would catch an Exception and start the next run of a sweep.
        return SystemExit(f"error: interrupted at step {int(self.module.step)}; {how}")

    def failed(self, error: Exception) -> SystemExit | Exception:
        """Leave the runs as failed; return what ends the command."""
        if interruption.requested:  # a library has turned it into an error of its own
            return self.interrupted()
        self.leave("failed", describe(error))
        return error

    def record(self, fit_seconds: float) -> list[Outcome]:
        """Write the files of all runs, and return their outcomes. Each has an equal share of the stack's time.

        Args:
            fit_seconds: how long the training has taken.
        """
        module, trained = self.module, time.perf_counter()
        module.network.load_state_dict(module.best.state_dict())
        metrics, evaluations = final_metrics(module, self.data), evaluate_members(module.network, self.data)
        share, total = fit_seconds / len(self.runs), (trained - self.began) / len(self.runs)
        outcomes = [self._end(i, metrics[i], evaluations[i], share, total) for i in range(len(self.runs))]
        if not any(isinstance(outcome, UnwritableError) for outcome in outcomes):
            self.file.remove_checkpoint(self.file.path)
        return outcomes

    def _end(
        self, i: int, metrics: Metrics, evaluation: Evaluation, fit_seconds: float, total_seconds: float
    ) -> Outcome:
        """Write the best weights of a member and its results, unless it has diverged; return its outcome."""
        run = self.runs[i]
        if run.directory.metrics.exists():  # its stack was resumed for others
            return run.directory.read_metrics()
        try:
            best = {f"network.{name}": take(x, [i]).cpu() for name, x in self.module.best.state_dict().items()}
            columns = {"inputs": list(self.data.inputs), "outputs": list(self.data.dataset.test.outputs)}
            content = {"state_dict": best, "configuration": shareable(run.member.settings.configuration)}
            content |= {"columns": columns, "inside": training_region(run.member)}
            run.directory.best.parent.mkdir(exist_ok=True)
            write(run.directory.best, serialise(content))
            step = self.history.diverged(i, self.module.last_step(i))
            if step is not None:
                return self._diverge(i, step)
            return self._finish(i, metrics, evaluation, fit_seconds, total_seconds)
        except OSError as error:
            how = "when they can be, resume the run or repeat the sweep's command"
            outcome = UnwritableError(f"its files cannot be written: {describe(error)}; {how}")
            with run.attempt():
                self._write(i, self._state(i, "failed", message=str(outcome)))
            return outcome

    def _finish(
        self, i: int, metrics: Metrics, evaluation: Evaluation, fit_seconds: float, total_seconds: float
    ) -> Metrics:
        began, run = time.perf_counter(), self.runs[i]
        member = self.runs[i].member
        if not member.has_test:
            metrics = metrics | dict.fromkeys(on_test(metrics))
        inputs, points = self.data.inputs, self.resample and points_columns(self.resample.member(i), self.data.inputs)
        fit = fit_columns(evaluation.points, evaluation.u, evaluation.du, inputs)
        tables = {"history": self._history(i), "points": points, "fit": fit}
        if run.draws:  # from the files
            run.directory.write(self._state(i, "running"), **tables)
            self._draw(i, metrics)
        run.close(self.module.last_step(i), metrics)
        finished = self._state(i, "finished", message=self._findings(i, metrics))
        if member.rows is not None and member.has_test:
            metrics |= intervals_on_test(evaluation)
        metrics |= {FIT_SECONDS: fit_seconds, TOTAL_SECONDS: total_seconds + time.perf_counter() - began}
        run.directory.write(finished, metrics=metrics, **tables)
        return metrics

    def _diverge(self, i: int, step: int) -> DivergedError:
        how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
        message = f"the loss is not finite at step {step}; {how}"
        self._leave(i, "diverged", message, step)
        return DivergedError(f"diverged: {message}")

    def _findings(self, i: int, metrics: Metrics) -> str:
        """Return the warnings about a member's fit, as one text."""
        member = self.runs[i].member
        findings = fit_findings(
            metrics,
            self._history(i),
            self.data.dataset.train.outputs,
            of_table=member.rows is not None,
            rate=getattr(member.settings.optimizer, "lr_schedule", None),
            lambda_d=float(self.module.lambda_d[i]),
        )
        return FINDINGS.join(findings)

    def _draw(self, i: int, metrics: Metrics) -> None:
        """Write a member's pictures, and pass them to its loggers."""
        run = self.runs[i]
        for path in self.draw(run.directory.path, metrics):

            def show(logger: Logger, path: Path = path) -> None:
                if log_image := getattr(logger, "log_image", None):  # not every logger of Lightning takes pictures
                    log_image(path.stem, [str(path)], self.module.last_step(i))

            run.to_loggers(show)

    def _leave(self, i: int, status: Status, message: str, step: int | None = None) -> None:
        self.runs[i].close(self.module.last_step(i))
        self._write(i, self._state(i, status, step, message))

    def _write(self, i: int, state: RunState) -> None:
        self.runs[i].directory.write(state, self._history(i) if self.history.steps else None)

    def _history(self, i: int) -> Mapping[str, Sequence[float]]:
        return self.history.member(i, self.module.last_step(i))

    def _state(self, i: int, status: Status, step: int | None = None, message: str = "") -> RunState:
        step = self.module.last_step(i) if step is None else min(step, int(self.module.stopped_at[i]))
        member = self.runs[i].member
        return RunState(
            status,
            step,
            message,
            configuration=digest(member.settings.configuration),
            rows=member.checksum,
            versions=f"runge {sys.modules['runge'].__version__}, torch {torch.__version__}",
            began=self.runs[i].began,
        )
