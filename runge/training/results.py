"""The files that a training leaves in the run directory of each member."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from runge.configuration.errors import DivergedError, RunError, describe
from runge.configuration.objects import digest
from runge.loggers import Logger, finalize, make_loggers
from runge.metrics import FIT_SECONDS, SWITCHED_ON_STEP, TOTAL_SECONDS, on_test
from runge.pictures.drawing import draw_into
from runge.records.checkpoints import serialise, take
from runge.records.directories import FINDINGS, RunDirectory, RunState, Status
from runge.records.files import WarnOnce, shareable, write
from runge.resampling.resample import Resample
from runge.training.advice import fit_findings
from runge.training.callbacks.history import History
from runge.training.datamodule import PointsDataModule
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
from runge.training.member import Member
from runge.training.module import SobolevRegression

Outcome = Metrics | RunError
"""The content of a run's `metrics.json`, or the error that ended it."""


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
        self.draws = member.pictures is True or (member.pictures == "auto" and alone)
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
            settings = {key: value for key, value in member.configuration.items() if key != "logger"}
            with self.attempt():
                self._loggers = make_loggers(
                    member.logger,
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


class StackWriter:
    """The writer of a stack's runs: the status of each while they train, and all other files of those that end.

    Args:
        runs: the runs.
        module: the module that is trained.
        data: the points.
        history: the figures at the end of every block.
        resample: the callback that moves the points, if they move.
    """

    def __init__(
        self,
        runs: Sequence[RunWriter],
        module: SobolevRegression,
        data: PointsDataModule,
        history: History,
        resample: Resample | None,
    ) -> None:
        self.runs, self.module = runs, module
        self.data, self.history = data, history
        self.resample = resample

    def begin(self, step: int) -> None:
        """Write the status, and make the loggers, before the training starts after `step` steps."""
        self.running(step)
        for run in self.runs:
            run.begin(step)

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

    def end(self, fit_seconds: float, other_seconds: float) -> list[Outcome]:
        """Write the files of all members, and return their outcomes. Each has an equal share of the stack's time.

        Args:
            fit_seconds: the time of the stack's fit.
            other_seconds: the time of its set-up.
        """
        module = self.module
        module.network.load_state_dict(module.best.state_dict())
        metrics, evaluations = final_metrics(module, self.data), evaluate_members(module.network, self.data)
        share, total = fit_seconds / len(self.runs), (fit_seconds + other_seconds) / len(self.runs)
        return [self._end(i, metrics[i], evaluations[i], share, total) for i in range(len(self.runs))]

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
            content = {"state_dict": best, "configuration": shareable(run.member.configuration), "columns": columns}
            content["inside"] = training_region(run.member)
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
            rate=getattr(member.optimizer, "lr_schedule", None),
            lambda_d=float(self.module.lambda_d[i]),
        )
        return FINDINGS.join(findings)

    def _draw(self, i: int, metrics: Metrics) -> None:
        """Write a member's pictures, and pass them to its loggers."""
        run = self.runs[i]
        for path in draw_into(run.directory.path, metrics):

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
            configuration=digest(member.configuration),
            rows=member.checksum,
            versions=f"runge {sys.modules['runge'].__version__}, torch {torch.__version__}",
            began=self.runs[i].began,
        )
