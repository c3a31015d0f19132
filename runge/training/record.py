"""Record what a training leaves in the directory of each run, while it trains and when it ends."""

import logging
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch

from runge.configuration.command_line import command, setting
from runge.configuration.errors import DivergedError, RunError, describe
from runge.configuration.objects import digest
from runge.loggers import Logger, finalize, make_loggers
from runge.process.interruption import interruption
from runge.process.machine import provenance
from runge.records.checkpoints import serialise, state_path
from runge.records.directories import FINDINGS, RunDirectory, RunState, Status
from runge.records.files import WarnOnce, public, remove_parts, shareable, write
from runge.records.metrics import FIT_SECONDS, SWITCHED_ON_STEP, TOTAL_SECONDS, on_test
from runge.training.evaluation import (
    Evaluation,
    evaluate_members,
    final_metrics,
    fit_columns,
    intervals_on_test,
    points_columns,
    training_region,
)
from runge.training.findings import fit_findings
from runge.training.member import Metrics, Outcome
from runge.training.prepare import Stack
from runge.training.saving import StateFile

log = logging.getLogger(__name__)

Draw = Callable[[Path, Metrics], Iterable[Path]]
"""Draws the pictures of a run, given its directory and its metrics, and returns their files."""


class UnwritableError(RunError):
    """The files of a run cannot be written."""


class RunWriter:
    """The directory and the loggers of one of a stack's runs; if they cannot be written to, only this run is affected.

    Args:
        stack: the stack.
        index: the index of the run in it.
        directory: the directory of the run.
        draw: draws its pictures.
        alone: it is a single run, whose pictures are drawn if `pictures` is auto.

    Attributes:
        attempt: a context in which an `OSError` is only a warning, or an exception of another kind.
        began: when its training first began, also if it is resumed now.
        versions: the versions of runge and torch that train it, after those with which it began, if they differ.
    """

    def __init__(self, stack: Stack, index: int, directory: RunDirectory, draw: Draw, alone: bool) -> None:
        self.stack, self.index, self.directory = stack, index, directory
        self.member = stack.members[index]
        pictures = self.member.settings.pictures
        self.draw = draw if pictures is True or (pictures == "auto" and alone) else None
        state = directory.read_state()
        self.began = (state and state.began) or time.time()
        now = f"runge {sys.modules['runge'].__version__}, torch {torch.__version__}"
        self.versions = (state and state.versions) or now
        if not self.versions.endswith(now):
            log.warning("the run began with %s, and continues with %s", self.versions, now)
            self.versions += f"; {now}"
        self.loggers: list[Logger] = []
        self.attempt = WarnOnce(f"{directory.path}: ")

    @property
    def last_step(self) -> int:
        """Its last step so far."""
        return self.stack.module.last_step(self.index)

    @property
    def history(self) -> Mapping[str, Sequence[float]]:
        """Its history so far, by key."""
        return self.stack.history.member(self.index, self.last_step)

    def begin(self, step: int) -> None:
        """Make the loggers, before the training starts after `step` steps.

        Raises:
            ConfigurationError: a logger cannot be made.
        """
        settings = self.member.settings
        place = f"({'/'.join(self.directory.path.resolve().parts[-2:])})"
        # MLflow's tables have 250 characters for a name.
        overrides = " ".join(public(self.member.overrides))[: 249 - len(place)]
        with self.attempt():
            _, _, options = self.directory.read_configuration()
            self.loggers = make_loggers(
                settings.logger,
                save_dir=str(self.directory.path),
                run_name=f"{overrides} {place}".lstrip(),
                start_step=step,
                varied=self.member.varied,
                options=options,
            )
        hyperparameters = {key: value for key, value in settings.configuration.items() if key != "logger"}
        self.to_loggers(lambda logger: logger.log_hyperparams(hyperparameters))

    def to_loggers(self, write: Callable[[Logger], object]) -> None:
        """Call a function with each of the loggers; an exception in one is only a warning."""
        for logger in self.loggers:
            with self.attempt(Exception):
                write(logger)

    def log_history(self) -> None:
        """Log all rows of the history, of a training that has ended."""
        names, columns = zip(*self.history.items(), strict=True)
        for row in zip(*columns, strict=True):
            measured = {name: figure for name, figure in zip(names, row, strict=True) if figure == figure}
            step = int(measured.pop("step"))
            self.to_loggers(lambda logger, measured=measured, step=step: logger.log_metrics(measured, step))

    def state(self, status: Status, message: str = "", step: int | None = None) -> RunState:
        """Return the content of its `status.json`, by default after its last step."""
        return RunState(
            status,
            self.last_step if step is None else min(step, int(self.stack.module.stopped_at[self.index])),
            message,
            configuration=digest(self.member.settings.configuration),
            rows=self.member.checksum,
            versions=self.versions,
            made_with=provenance(),
            began=self.began,
        )

    def write(self, state: RunState) -> None:
        """Write a state, and the history so far."""
        self.directory.write(state, self.history if self.stack.history.steps else None)

    def leave(self, state: RunState) -> None:
        """Finalize the loggers of a run that ends without results; write its state, and the history so far."""
        self.to_loggers(lambda logger: finalize(logger, "failed"))
        self.write(state)

    def end(self, metrics: Metrics, evaluation: Evaluation, fit_seconds: float, total_seconds: float) -> Outcome:
        """Write the best weights and, unless the run has diverged, the results; return its outcome."""
        if self.directory.metrics.exists():  # its stack was resumed for others
            return self.directory.read_metrics()
        module, data = self.stack.module, self.stack.data
        try:
            best = {f"network.{name}": x.cpu() for name, x in module.best.saved(self.index).items()}
            columns = {"inputs": list(data.inputs), "outputs": list(data.dataset.test.outputs)}
            content = {"state_dict": best, "configuration": shareable(self.member.settings.configuration)}
            content |= {"columns": columns, "inside": training_region(self.member)}
            self.directory.best.parent.mkdir(exist_ok=True)
            write(self.directory.best, serialise(content))
            step = self.stack.history.diverged(self.index, self.last_step)
            if step is None:
                return self._finish(metrics, evaluation, fit_seconds, total_seconds)
            how = "try a smaller optimizer.lr or loss.lambda_d, or optimizer.clip_norm"
            message = f"the loss is not finite at step {step}; {how}"
            self.leave(self.state("diverged", message, step))
            return DivergedError(f"diverged: {message}")
        except OSError as error:
            how = "when they can be, resume the run or repeat the sweep's command"
            outcome = UnwritableError(f"its files cannot be written: {describe(error)}; {how}")
            with self.attempt():
                self.write(self.state("failed", str(outcome)))
            return outcome

    def _finish(self, metrics: Metrics, evaluation: Evaluation, fit_seconds: float, total_seconds: float) -> Metrics:
        began, member, stack = time.perf_counter(), self.member, self.stack
        if not member.has_test:
            metrics = metrics | dict.fromkeys(on_test(metrics))
        inputs, history = stack.data.inputs, self.history
        points = stack.resample and points_columns(stack.resample, self.index, inputs)
        tables = {"history": history, "points": points, "fit": fit_columns(*evaluation, inputs)}
        if self.draw:  # from the files
            self.directory.write(self.state("running"), **tables)
            for path in self.draw(self.directory.path, metrics):
                image = path.stem, [str(path)], self.last_step
                # Not every logger of Lightning takes pictures.
                self.to_loggers(lambda logger, image=image: getattr(logger, "log_image", lambda *_: None)(*image))
        final, switched_on = on_test(metrics), metrics[SWITCHED_ON_STEP]
        if switched_on is not None:
            final[SWITCHED_ON_STEP] = switched_on
        if final:
            self.to_loggers(lambda logger: logger.log_metrics(final, self.last_step))
        self.to_loggers(lambda logger: finalize(logger, "success"))
        findings = fit_findings(metrics, history, member, float(stack.module.lambda_d[self.index]))
        finished = self.state("finished", FINDINGS.join(findings))
        if member.rows is not None and member.has_test:
            test = member.rows.split(member.data_seed.generator("data")).test
            metrics |= intervals_on_test(*evaluation, torch.from_numpy(member.rows.groups[test]))
        metrics |= {FIT_SECONDS: fit_seconds, TOTAL_SECONDS: total_seconds + time.perf_counter() - began}
        self.directory.write(finished, metrics=metrics, **tables)
        return metrics


class Recorder:
    """A writer of the directories of a stack's runs: their status while they train, and all files of those that end.

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
        self, stack: Stack, directories: Sequence[RunDirectory], draw: Draw, state: Path | None, alone: bool
    ) -> None:
        self.stack = stack
        self.runs = [RunWriter(stack, i, directory, draw, alone) for i, directory in enumerate(directories)]
        digests = [digest(member.settings.configuration) for member in stack.members]
        self.file = StateFile(state or state_path(directories), directories, digests)

    def begin(self) -> None:
        """Write the status, and make the loggers, before the training starts; remove half-written checkpoints."""
        with self.runs[0].attempt():
            for path in (self.file.path, *(run.directory.best for run in self.runs)):
                remove_parts(path.parent, path.name)
        self.running(self.file.step)
        for run in self.runs:
            run.begin(self.file.step)

    def running(self, step: int) -> None:
        """Write the status and the history so far of all runs that are not finished."""
        for run in self.runs:
            if not run.directory.metrics.exists():
                with run.attempt():
                    run.write(run.state("running", step=step))

    def leave(self, status: Status, message: str) -> None:
        """Write the status and the history of all runs that are not finished, and close their loggers."""
        for run in self.runs:
            if not run.directory.metrics.exists():
                with run.attempt():
                    run.leave(run.state(status, message))

    def interrupted(self) -> SystemExit:
        """Leave the runs as interrupted; return what ends the command."""
        interruption.obey()
        run, sweep = self.runs[0].directory, self.file.path.parent.parent
        alone = self.file.path == run.last
        of_sweep = f"the command of the sweep and --out {shlex.quote(str(sweep))}"
        again = f"{command()} {setting('resume', run.path)}" if alone else of_sweep
        self.leave("interrupted", how := f"continue with {again}")
        # SystemExit, because Hydra would catch an Exception and start the next run of a sweep.
        return SystemExit(f"error: interrupted at step {int(self.stack.module.step)}; {how}")

    def record(self, fit_seconds: float) -> list[Outcome]:
        """Write the files of all runs, and return their outcomes. Each has an equal share of the stack's time.

        Args:
            fit_seconds: how long the training has taken.
        """
        module, data, trained = self.stack.module, self.stack.data, time.perf_counter()
        module.network.load_state_dict(module.best.state_dict())
        module.eval()  # without dropout, as in the validation
        results = zip(self.runs, final_metrics(module, data), evaluate_members(module.network, data), strict=True)
        share, total = fit_seconds / len(self.runs), (trained - self.stack.began) / len(self.runs)
        outcomes = [run.end(metrics, evaluation, share, total) for run, metrics, evaluation in results]
        if not any(isinstance(outcome, UnwritableError) for outcome in outcomes):
            self.file.remove_checkpoint(self.file.path)
        return outcomes
