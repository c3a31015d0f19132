"""The files that a training leaves in the run directory of each member."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from runge.configuration import digest
from runge.draw import draw_into
from runge.errors import DivergedError, RunError, describe
from runge.loggers import Logger, make_loggers
from runge.metrics import FIT_SECONDS, TOTAL_SECONDS, on_test
from runge.objective import Pruned
from runge.runs.directories import FINDINGS, RunDirectory, State, Status
from runge.training.adaptation import Resample
from runge.training.advice import hardly_matters, verdict
from runge.training.datamodule import PointsDataModule
from runge.training.halving import Halving
from runge.training.history import History
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.report import (
    Evaluation,
    Metrics,
    evaluate,
    final_metrics,
    fit_table,
    points_table,
    test_intervals,
)

log = logging.getLogger(__name__)

Outcome = Metrics | Pruned | RunError
"""The content of a run's `metrics.json`, the rung at which it left its stack, or the error that ended it."""


class StackWriter:
    """The writer of a stack's run directories: the status of each run, and in the end all other files.

    A directory that cannot be written to affects its own run only.

    Args:
        members: the runs.
        module: the module that is trained.
        data: the points.
        directories: the members' run directories.
        history: the figures at the end of every block.
        resample: the callback that moves the points, if they move.
        rest_of: the writer of the larger stack of which these runs are the rest; None: there is none.
        alone: it is a single run, whose pictures are drawn if `pictures` is auto.
    """

    def __init__(
        self,
        members: Sequence[Member],
        module: SobolevRegression,
        data: PointsDataModule,
        directories: Sequence[RunDirectory],
        history: History,
        resample: Resample | None,
        rest_of: "StackWriter | None" = None,
        alone: bool = False,
    ) -> None:
        self.members, self.module, self.data = members, module, data
        self.directories, self.history, self.resample = directories, history, resample
        self._warned: set[tuple[int, str]] = set()
        self.loggers: list[list[Logger]] = [[] for _ in members] if rest_of is None else rest_of.loggers_of_rest()
        self._begun = rest_of is not None
        self._draws = [member.pictures is True or (member.pictures == "auto" and alone) for member in members]
        self.left = set[int]()
        self.spent = (0.0, 0.0) if rest_of is None else rest_of.spent

    def begin(self, step: int) -> None:
        """Write the status, and make the loggers, before the training starts after `step` steps.

        Raises:
            ConfigurationError: a logger cannot be made.
        """
        if len(self.members) > 1:  # some may have left at a rung at which the stack was killed
            self.left = {
                i for i, run in enumerate(self.directories) if (s := run.read_state()) and s.status == "pruned"
            }
        self.status("running", step)
        if self._begun:  # with the loggers of the larger stack
            return
        for i, (member, directory) in enumerate(zip(self.members, self.directories, strict=True)):
            name = " ".join([*member.overrides, f"({'/'.join(directory.path.resolve().parts[-2:])})"])
            settings = {key: value for key, value in member.configuration.items() if key != "logger"}
            with self.attempt(i):
                self.loggers[i] = make_loggers(member.logger, str(directory.path), name, step, member.overrides)
            self.to_loggers(i, lambda logger, settings=settings: logger.log_hyperparams(settings))

    @contextmanager
    def attempt(self, member: int, kind: type[Exception] = OSError) -> Iterator[None]:
        """Log an exception of this block as a warning, once for each message and member."""
        try:
            yield
        except kind as error:
            self._warn(member, error)

    def to_loggers(self, member: int, write: Callable[[Logger], object]) -> None:
        """Call a function with each of a member's loggers; an exception in one is only a warning."""
        for logger in self.loggers[member]:
            with self.attempt(member, Exception):
                write(logger)

    def _warn(self, member: int, error: Exception) -> None:
        message = describe(error)
        if (member, message) not in self._warned:
            self._warned.add((member, message))
            log.warning("%s: %s", self.directories[member].path, message)

    def report_save(self, step: int, trouble: Mapping[int, OSError]) -> None:
        """Record that a checkpoint was saved after `step` steps; `trouble` has the errors of members without one."""
        for member, error in trouble.items():
            self._warn(member, error)
        self.status("running", step)

    def status(self, status: Status, step: int) -> None:
        """Write the status of all runs that are not finished, and their history so far."""
        for i, directory in enumerate(self.directories):
            if i not in self.left and not directory.metrics.exists():
                with self.attempt(i):
                    directory.write(self._state(i, status, step), self._history(i) if self.history.steps else None)

    def leave(self, status: Status, messages: Sequence[str]) -> None:
        """Write the status and the history of runs that did not finish, each with its message."""
        for i, message in enumerate(messages):
            if i not in self.left and not self.directories[i].metrics.exists():
                with self.attempt(i):
                    self._leave(i, status, message)

    def staying(self) -> list[int]:
        """Return the members that have not left."""
        return [i for i in range(len(self.members)) if i not in self.left]

    def loggers_of_rest(self) -> list[list[Logger]]:
        """Return the loggers of the members that have not left."""
        return [self.loggers[i] for i in self.staying()]

    def let_go(
        self, halving: Halving, trouble: Mapping[int, OSError], fit_seconds: float, other_seconds: float
    ) -> list[Outcome]:
        """Let members leave at a rung, and write their status and history.

        Args:
            halving: the members that leave, and their values.
            trouble: the errors of members without a checkpoint, which cannot stay.
            fit_seconds: the time of the stack's fit so far.
            other_seconds: the time of its set-up.

        Returns:
            For each member that leaves a `Pruned`, or a `RunError` if it diverged or cannot be written; the entries of
            the others are placeholders.
        """
        step = int(self.module.step)
        outcomes: list[Outcome] = [Pruned(step, halving.values[i]) for i in range(len(self.members))]
        stay = len(self.members) - len(halving.leaving)
        for i in halving.leaving:
            figures = ", ".join(
                f"{k} {x:.3g}" for k, x in zip(self.members[i].objective.keys, halving.values[i], strict=True)
            )
            diverged = self.history.diverged(i, self.module.last_step(i))
            with self.attempt(i):
                if diverged is None:
                    message = f"{figures}; {stay} of {len(self.members)} stayed"
                    self._leave(i, "pruned", message)
                else:
                    outcomes[i] = self._diverged(i, diverged)
        for i in trouble.keys() - set(halving.leaving):
            outcomes[i] = self._unwritable(i, trouble[i])
        self.left |= {*halving.leaving, *trouble}
        share = len(self.members)
        self.spent = self.spent[0] + fit_seconds / share, self.spent[1] + (fit_seconds + other_seconds) / share
        return outcomes

    def finish(self, stale: Mapping[int, OSError], fit_seconds: float, other_seconds: float) -> list[Outcome]:
        """Evaluate each member's best weights and write its files, `metrics.json` last.

        Args:
            stale: the errors of members without a `best.ckpt` of the last step, which have not finished.
            fit_seconds: the time of the stack's fit.
            other_seconds: the time of its set-up.
        """
        module = self.module
        module.network.load_state_dict(module.best.state_dict())
        metrics = final_metrics(module, self.data)
        if not self.members[0].has_test:
            metrics = [one | dict.fromkeys(on_test(one)) for one in metrics]
        fits = evaluate(module.network, self.data)
        # Each member's share of the stack's time.
        share = len(self.directories)
        seconds = self.spent[0] + fit_seconds / share, self.spent[1] + (fit_seconds + other_seconds) / share
        return [self._outcome(i, stale.get(i), metrics[i], seconds, fits[i]) for i in range(share)]

    def _outcome(
        self, i: int, stale: OSError | None, metrics: Metrics, seconds: tuple[float, float], fit: Evaluation
    ) -> Outcome:
        began, directory = time.perf_counter(), self.directories[i]
        if directory.metrics.exists():  # its stack was resumed for others
            return directory.read_metrics()
        try:
            if stale is not None:
                raise stale
            if (diverged := self.history.diverged(i, self.module.last_step(i))) is not None:
                return self._diverged(i, diverged)
            inputs = self.data.inputs
            points = None if self.resample is None else points_table(self.resample.member(i), inputs)
            tables = {
                "history": self._history(i),
                "points": points,
                "fit": fit_table(fit.points, fit.u, fit.du, inputs),
            }
            if self._draws[i]:  # from the files
                directory.write(self._state(i, "running"), **tables)
                self._draw(i, metrics)
            self._close(i, metrics)
            finished = self._state(i, "finished", message=self._verdict(i, metrics, fit))
            if self.members[i].rows is not None and self.members[i].has_test:
                metrics |= test_intervals(fit)
            metrics |= {FIT_SECONDS: seconds[0], TOTAL_SECONDS: seconds[1] + time.perf_counter() - began}
            directory.write(finished, metrics=metrics, **tables)
            return metrics
        except OSError as error:
            return self._unwritable(i, error)

    def _verdict(self, i: int, metrics: Metrics, fit: Evaluation) -> str:
        """Return what is to be said of a member's fit."""
        member, train = self.members[i], self.data.dataset.train.take(torch.tensor([i]))
        hardly = hardly_matters(fit.du[None], fit.points)[0].tolist()
        unimportant = [name for name, one in zip(self.data.inputs, hardly, strict=True) if one and member.rows]
        rate = getattr(member.optimizer, "lr_schedule", "constant")
        found = verdict(metrics, self._history(i), train, unimportant, of_table=member.rows is not None, rate=rate)
        return FINDINGS.join(found)

    def _unwritable(self, i: int, error: OSError) -> RunError:
        failure = RunError(f"its files cannot be written: {describe(error)}; when they can be, resume the run")
        with self.attempt(i):
            self.directories[i].write(self._state(i, "failed", message=str(failure)))
        return failure

    def _diverged(self, i: int, step: int) -> DivergedError:
        how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
        message = f"the loss is not finite at step {step}; {how}"
        self._leave(i, "diverged", message, step)
        return DivergedError(f"diverged: {message}")

    def _draw(self, i: int, metrics: Metrics) -> None:
        """Write a member's pictures, and pass them to its loggers."""
        for path in draw_into(self.directories[i].path, metrics):

            def show(logger: Logger, path: Path = path) -> None:
                if log_image := getattr(logger, "log_image", None):  # not every logger of Lightning takes pictures
                    log_image(path.stem, [str(path)], self.module.last_step(i))

            self.to_loggers(i, show)

    def _leave(self, member: int, status: Status, message: str, step: int | None = None) -> None:
        state = self._state(member, status, step, message)
        self._close(member, None)
        self.directories[member].write(state, self._history(member) if self.history.steps else None)

    def _history(self, member: int) -> Mapping[str, Sequence[float]]:
        return self.history.member(member, self.module.last_step(member))

    def _state(self, member: int, status: Status, step: int | None = None, message: str = "") -> State:
        step = self.module.last_step(member) if step is None else min(step, int(self.module.stopped_at[member]))
        one = self.members[member]
        return State(status, step, message, digest(one.configuration), one.checksum)

    def _close(self, i: int, metrics: Metrics | None) -> None:
        """Finalize a member's loggers, with its test figures if it has finished."""
        if figures := on_test(metrics or {}):
            self.to_loggers(i, lambda logger: logger.log_metrics(figures, self.module.last_step(i)))
        self.to_loggers(i, lambda logger: logger.finalize("failed" if metrics is None else "success"))
