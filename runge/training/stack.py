"""A stack of runs, from configurations to finished run directories."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from lightning.pytorch.callbacks import Callback

from runge import machine
from runge.balance.balancing import Balancing
from runge.configuration.command_line import command, setting
from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import digest
from runge.interruption import interruption
from runge.loggers import check_loggers
from runge.records.checkpoints import state_path
from runge.records.directories import RunDirectory
from runge.resampling import Periodic
from runge.resampling.resample import Resample
from runge.schedules.derivative_loss import DerivativeLoss
from runge.sobolev.kernel import Kernel
from runge.training.build import build, settled_from
from runge.training.callbacks.history import BlockReport, CallbackMetrics, Forecast, History, LoggedRows, ProgressBar
from runge.training.callbacks.stopping import StopEarly, TimeLimit
from runge.training.datamodule import SobolevDataModule
from runge.training.member import Member
from runge.training.results import Outcome, RunWriter, StackWriter, UnwritableError
from runge.training.saving import Save, StateFile
from runge.training.trainer import IGNORED, make_callbacks, make_trainer


class Stack:
    """A stack of runs with their data and weights, made and checked before anything is trained.

    Args:
        members: the runs, which agree in everything that `Member.shared` lists.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """

    def __init__(self, members: Sequence[Member]) -> None:
        self._began = time.perf_counter()
        self.members = list(members)
        for entries in {repr(member.logger): member.logger for member in self.members}.values():
            check_loggers(entries)
        self.callbacks = make_callbacks(self.members[0].callbacks)
        self.module, self.data = build(self.members)

    @interruption.handled()
    def fit(
        self,
        directories: Sequence[RunDirectory],
        report: Callable[[int], object] | None = None,
        state: Path | None = None,
        alone: bool = False,
    ) -> list[Outcome]:
        """Train the runs and write their directories; resume from the state of the stack, if it was saved.

        Args:
            directories: the directory of each run.
            report: called with the number of steps taken since the last call, in place of a progress bar.
            state: the file of the stack's state; None: that of `runge.records.checkpoints.state_path`.
            alone: it is a single run, not one of a sweep, and is drawn if `pictures` is auto.

        Returns:
            The content of each run's `metrics.json`, or an error if it diverged or could not be written.

        Raises:
            ConfigurationError: the state is not that of this stack.
            SystemExit: it was interrupted.
        """
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
        runs = [RunWriter(*pair, alone) for pair in zip(self.members, directories, strict=True)]
        digests = [digest(member.configuration) for member in self.members]
        file = StateFile(state or state_path(directories), directories, digests)
        started, history = time.perf_counter(), History()
        resample = self._resample()
        writer = StackWriter(runs, self.module, self.data, history, resample)
        save = Save(self.members[0].training.checkpoint_seconds, writer.running)
        try:
            writer.begin(file.step)
            self.take_steps(history, resample, self._observers(history, runs, report), save, file)
            if not self._is_over():
                interruption.check()
            outcomes = writer.end(time.perf_counter() - started, started - self._began)
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
            raise self._interrupted(writer, file) from error
        except Exception as error:
            raise self._failed(error, writer, file) from error
        if not any(isinstance(outcome, UnwritableError) for outcome in outcomes):
            file.remove_checkpoint(file.path)
        if interruption.requested:  # after the last step: the runs are finished, but no other run may start
            where = ", ".join(str(directory.path) for directory in directories)
            raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
        return outcomes

    @interruption.handled()
    def fit_in_memory(self) -> History:
        """Train the runs without files, as `fit` does; return their figures.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        history = History()
        try:
            self.take_steps(history)
        except SystemExit as error:  # from Lightning, on a second Ctrl-C
            raise KeyboardInterrupt from error
        interruption.check()
        return history

    def take_steps(
        self,
        history: History,
        resample: Resample | None = None,
        observers: Sequence[Callback] = (),
        save: Save | None = None,
        file: StateFile | None = None,
    ) -> None:
        """Take steps until the end or a signal, from the state in a file if it has one.

        A block is left early, after the current step, at a signal or if it is time to save.

        The callbacks act at the end of a block, in this order: DerivativeLoss decides on lambda_d for the next one;
        Resample logs shares of the points, which History records; Balancing looks at the points as they are then.
        StopEarly asks after all of these, which may give an optimiser that is at rest new work.
        """
        first = self.members[0]
        callbacks: list[Callback] = [
            DerivativeLoss([member.schedule for member in self.members]),
            *([resample] if resample else []),
            history,
            Balancing(
                first.balance,
                lambda: self.data.dataset.train,
                [partial(member.seed.generator, "balance") for member in self.members],
            ),
            StopEarly(first.training.patience, settled_from(first)),
            *([TimeLimit(seconds * len(self.members))] if (seconds := first.training.max_seconds) else []),
            *observers,
            *([save] if save else []),
        ]
        products = 0.0 if first.optimizer.one_thread else first.products()
        machine.use_threads(self._neurons(), products, file.threads if file else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", IGNORED)
            trainer = make_trainer(first.training, first.on_gpu(), callbacks, file)
            resumed = file.path if file and file.state else None
            try:
                trainer.fit(self.module, self.data, ckpt_path=resumed, weights_only=True)
            except Exception as error:  # parts of a file may be of any type
                if resumed is None or interruption.requested or (save is not None and save.began):
                    raise
                reason = str(error).partition("\n")[0]
                raise ConfigurationError(f"{resumed} is not a checkpoint of this run ({reason})") from error

    def _observers(
        self, history: History, runs: Sequence[RunWriter], report: Callable[[int], object] | None
    ) -> list[Callback]:
        """Return the callbacks that show the training, and the user's own, which act on the figures of a block."""
        progress = [ProgressBar()] if self.members[0].training.progress_bar else []
        return [
            *([BlockReport(report)] if report else [Forecast(), *progress]),
            LoggedRows(history, [run.to_loggers for run in runs]),
            *([CallbackMetrics(), *self.callbacks] if self.callbacks else []),
        ]

    def _neurons(self) -> int:
        """Return the values and tangents, or adjoints, of one hidden layer in a step."""
        train = self.data.dataset.train
        dimension, outputs = train.x.shape[2], train.f.shape[2]
        compiled = isinstance(self.module.compiled, Kernel)
        numbers = machine.carried(dimension, outputs) if compiled else 1 + dimension
        return len(self.members) * self.data.batch * self.members[0].model.width * numbers

    def _resample(self) -> Resample | None:
        rule = self.members[0].resampling
        if not (isinstance(rule, Periodic) and isinstance(self.data, SobolevDataModule)):
            return None
        generators = [partial(member.data_seed.generator, "resampling") for member in self.members]
        return Resample(rule, self.data, generators)

    def _is_over(self) -> bool:
        return bool(self.module.ended) or int(self.module.step) >= self.members[0].training.steps

    def _interrupted(self, writer: StackWriter, file: StateFile) -> SystemExit:
        """Leave the runs as interrupted; return what ends the command."""
        interruption.obey()
        alone = file.path == writer.runs[0].directory.last
        run, sweep = writer.runs[0].directory.path, file.path.parent.parent
        again = f"{command()} {setting('resume', run)}" if alone else setting("hydra.sweep.dir", sweep)
        writer.leave("interrupted", how := f"continue with {again}")
        # SystemExit, because Hydra would catch an Exception and start the next run of a sweep.
        return SystemExit(f"error: interrupted at step {int(self.module.step)}; {how}")

    def _failed(self, error: Exception, writer: StackWriter, file: StateFile) -> SystemExit | Exception:
        """Leave the runs as failed; return what ends the command."""
        if interruption.requested:  # a library has turned it into an error of its own
            return self._interrupted(writer, file)
        writer.leave("failed", describe(error))
        return error
