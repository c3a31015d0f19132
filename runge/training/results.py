"""What a training leaves: figures, pictures and files, member by member."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from runge.configuration import digest
from runge.errors import RunError, describe
from runge.loggers import Logger, make_loggers
from runge.metrics import FIT_SECONDS, TOTAL_SECONDS, share_key
from runge.records.directories import RunDirectory, State, Status
from runge.records.files import write
from runge.records.panels import png
from runge.records.pictures import curves_figure, fit_figure, points_figure
from runge.sobolev.points import Points
from runge.training.adaptation import Resample
from runge.training.datamodule import SobolevDataModule
from runge.training.history import History
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.summary import Metrics, final_metrics, fit_table, points_table, switched_on_step

log = logging.getLogger(__name__)

Outcome = Metrics | RunError
"""What becomes of a run: the content of its `metrics.json`, or why it has none."""


def fit_picture(points: Points, u: torch.Tensor, du: torch.Tensor, member: int, title: str) -> bytes:
    """A member's fit as PNG: its values and gradients at these points, (M, N) and (M, N, D)."""
    tensors = (tensor[member].double().cpu().numpy() for tensor in (points.x, points.f, points.df, u, du))
    x, f, df, fitted, slope = tensors
    masks = points.masks[member, 1:].bool().cpu().numpy()
    return png(fit_figure(x, f, df, fitted, slope, dict(zip(points.regions, masks, strict=True)), title))


def curves_picture(
    module: SobolevRegression, columns: Mapping[str, Sequence[float]], regions: Sequence[str], member: int, title: str
) -> bytes:
    """The course of a member's training, as PNG."""
    return png(curves_figure(columns, switched_on_step(module, member), regions, title))


def points_picture(
    places: Sequence[tuple[int, Tensor]],
    columns: Mapping[str, Sequence[float]],
    regions: Sequence[str],
    end: int,
    title: str,
) -> bytes:
    """Where a member's training points have been, as PNG."""
    steps, points = zip(*places, strict=True)
    at = np.asarray(columns["step"])
    shares = {region: (at, np.asarray(columns[share_key(region)])) for region in regions}
    return png(points_figure(steps, [x.double().numpy() for x in points], shares, end, title))


class StackWriter:
    """What a stack writes into its members' directories: their status, and in the end all else.

    A directory that cannot be written to costs its own run, and no other.

    Args:
        members: the runs.
        module: what is trained.
        data: the points.
        directories: the members' run directories.
        start_step: the step from which the training resumes.
        history: the figures of every block's end.
        resample: where the points have been, if they have moved.
    """

    def __init__(
        self,
        members: Sequence[Member],
        module: SobolevRegression,
        data: SobolevDataModule,
        directories: Sequence[RunDirectory],
        start_step: int,
        history: History,
        resample: Resample | None,
    ) -> None:
        self.members, self.module, self.data = members, module, data
        self.directories, self.history, self.resample = directories, history, resample
        self._told: set[tuple[int, str]] = set()
        self.loggers: list[list[Logger]] = []
        for member, directory in zip(members, directories, strict=True):
            name = " ".join([*member.overrides, f"({'/'.join(directory.path.resolve().parts[-2:])})"])
            self.loggers.append(make_loggers(member.logger, str(directory.path), name, start_step))
            settings = {key: value for key, value in member.configuration.items() if key != "logger"}
            self.to_loggers(len(self.loggers) - 1, lambda logger, settings=settings: logger.log_hyperparams(settings))

    @contextmanager
    def attempt(self, member: int) -> Iterator[None]:
        """Write something of a member's; what keeps it from being written is logged, once."""
        try:
            yield
        except OSError as error:
            self._tell(member, error)

    def to_loggers(self, member: int, write: Callable[[Logger], object]) -> None:
        """Pass each of a member's loggers to a function; what keeps one from writing is logged, once."""
        for logger in self.loggers[member]:
            with self.attempt(member):
                write(logger)

    def _tell(self, member: int, error: OSError) -> None:
        message = describe(error)
        if (member, message) not in self._told:
            self._told.add((member, message))
            log.warning("%s: %s", self.directories[member].path, message)

    def saved(self, step: int, trouble: Mapping[int, OSError]) -> None:
        """Say what has become of a checkpoint.

        Args:
            step: when it was saved.
            trouble: what has kept which member's from being written.
        """
        for member, error in trouble.items():
            self._tell(member, error)
        self.status("running", step)

    def status(self, status: Status, step: int) -> None:
        """Say how all of them stand that are not finished."""
        for i, directory in enumerate(self.directories):
            if not directory.metrics.exists():
                with self.attempt(i):
                    directory.write(self._state(i, status, step))

    def leave(self, status: Status, messages: Sequence[str]) -> None:
        """Put down what there is of runs that did not finish."""
        for i, message in enumerate(messages):
            if not self.directories[i].metrics.exists():
                with self.attempt(i):
                    self._leave(i, status, message)

    def finish(self, fit_seconds: float, other_seconds: float) -> list[Outcome]:
        """Judge each member's best weights and write its files, `metrics.json` last.

        Args:
            fit_seconds: what the fit of the stack took.
            other_seconds: what was done before.
        """
        module = self.module
        module.network.load_state_dict(module.best.state_dict())
        metrics = final_metrics(module, self.data.dataset)
        u, du = module.predict(self.data.dataset.test.x)
        # A member's share of what was done for all of them.
        seconds = fit_seconds / len(self.directories), (fit_seconds + other_seconds) / len(self.directories)
        return [
            self._outcome(i, diverged, metrics[i], seconds, u, du) for i, diverged in enumerate(self.history.diverged())
        ]

    def _outcome(
        self, i: int, diverged: int | None, metrics: Metrics, seconds: tuple[float, float], u: Tensor, du: Tensor
    ) -> Outcome:
        """Write a member's files, and return its outcome."""
        began, directory = time.perf_counter(), self.directories[i]
        if directory.metrics.exists():  # its stack goes on for others
            return directory.read_metrics()
        try:
            if diverged is not None:
                how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
                message = f"the loss is not finite at step {diverged}; {how}"
                self._leave(i, "diverged", message, diverged)
                return RunError(f"diverged: {message}")
            self._draw(i, u, du)
            self._close(i, metrics)
            fit = fit_table(self.data.dataset.test, u, du, i)
            points = None if self.resample is None else points_table(self.resample.member(i))
            finished = self._state(i, "finished", int(self.module.step))
            metrics |= {FIT_SECONDS: seconds[0], TOTAL_SECONDS: seconds[1] + time.perf_counter() - began}
            directory.write(finished, self.history.member(i), metrics, points, fit)
            return metrics
        except OSError as error:
            failure = RunError(f"its files cannot be written: {describe(error)}")
            with self.attempt(i):
                directory.write(self._state(i, "failed", int(self.module.step), str(failure)))
            return failure

    def _draw(self, i: int, u: Tensor, du: Tensor) -> None:
        """Write a member's pictures."""
        module, test, directory = self.module, self.data.dataset.test, self.directories[i]
        title = self.members[i].title()
        columns, end = self.history.member(i), int(module.step)
        pictures = {
            directory.fit_figure: fit_picture(test, u, du, i, title),
            directory.curves_figure: curves_picture(module, columns, test.regions, i, title),
        }
        if self.resample is not None:
            places = self.resample.member(i)
            pictures[directory.points_figure] = points_picture(places, columns, test.regions, end, title)
        for path, picture in pictures.items():
            write(path, picture)
            for logger in self.loggers[i]:
                if log_image := getattr(logger, "log_image", None):  # not every logger of Lightning takes pictures
                    log_image(path.stem, [str(path)], end)

    def _leave(self, member: int, status: Status, message: str, step: int | None = None) -> None:
        state = self._state(member, status, int(self.module.step) if step is None else step, message)
        self.directories[member].write(state, self.history.member(member) if self.history.steps else None)
        self._close(member, None)

    def _state(self, member: int, status: Status, step: int, message: str = "") -> State:
        return State(status, step, message, digest(self.members[member].configuration))

    def _close(self, i: int, metrics: Metrics | None) -> None:
        """Finalize a member's loggers, with its test figures if it has finished."""
        tested = {key: x for key, x in (metrics or {}).items() if key.startswith("test/") and x is not None}
        for logger in self.loggers[i]:
            if tested:
                logger.log_metrics(tested, int(self.module.step))
            logger.finalize("failed" if metrics is None else "success")
