"""A stack of runs, from configurations to finished run directories."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from runge import machine
from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import digest, explained
from runge.configuration.words import command, setting
from runge.data.channels import row_points
from runge.data.rows import Rows
from runge.data.sampled import Data, Dataset
from runge.interruption import interruption
from runge.loggers import check_loggers
from runge.optimizers import of_members
from runge.records.checkpoints import state_path
from runge.records.directories import RunDirectory
from runge.resampling import Periodic
from runge.schedules import NEVER
from runge.sobolev import losses
from runge.sobolev.kernel import Kernel, step_function
from runge.sobolev.second import with_second
from runge.training.callbacks.balancing import Balancing
from runge.training.callbacks.derivative_loss import DerivativeLoss
from runge.training.callbacks.history import CallbackMetrics, Curves, Forecast, History, Progress, Report
from runge.training.callbacks.resample import Resample
from runge.training.callbacks.stopping import StopEarly, TimeLimit
from runge.training.datamodule import PointsDataModule, SobolevDataModule
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.results import Outcome, RunWriter, StackWriter, UnwritableError
from runge.training.saving import Save, StateFile, is_to_stop
from runge.training.trainer import IGNORED, check_metrics, make_callbacks, make_trainer


def make_data(members: Sequence[Member], dtype: torch.dtype) -> PointsDataModule:
    """Sample the functions of some runs, or split their tables.

    Raises:
        ValueError: a size is not allowed.
    """
    first, endless = members[0], 10**9  # blocks: the run ends after its last step
    if isinstance(first.data, Data):
        return SobolevDataModule(
            *map(list, zip(*(member.formula for member in members), strict=True)),
            sample_weight=[member.loss.sample_weight for member in members],
            standardize=first.standardize,
            dtype=dtype,
            blocks_per_epoch=endless,
            **vars(first.data)
            | {"seed": [member.data_seed.seed for member in members], "fold": [member.data.fold for member in members]},
        )
    datasets, seeds = [], []
    for member in members:
        rows, generator = cast(Rows, member.rows), member.data_seed.generator("data")
        split = rows.split(generator)
        parts = [(rows.x[index], rows.y[index], rows.dydx[index]) for index in split]
        train, val, test = (row_points(*part, rows.outputs) for part in parts)
        if member.loss.lambda_dd:
            seconds = cast(np.ndarray, rows.d2ydx2)[split.train]
            train = row_points(*parts[0], rows.outputs, seconds, member.loss.lambda_dd)
        datasets.append(Dataset(train, val, test if member.has_test else val))
        seeds.append(int(torch.randint(2**62, (), generator=generator)))
    return PointsDataModule.of_rows(
        datasets,
        cast(Rows, first.rows).inputs,
        seeds,
        standardize=first.standardize,
        dtype=dtype,
        batch_size=first.batch_size,
        blocks_per_epoch=endless,
    )


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
        first = self.members[0]
        self.callbacks = make_callbacks(first.callbacks)
        self.training = first.training
        dtype = self.training.dtype
        with explained("data", vars(first.data)):
            self.data = make_data(self.members, dtype)
            if isinstance(first.resampling, Periodic) and isinstance(self.data, SobolevDataModule):
                self.data.check_resampling()
        check_metrics(first.metrics, self.data.dataset.test)
        train = self.data.dataset.train
        kinds: list[losses.DerivativeScale] = [member.loss.derivative_scale for member in members]
        scales = {kind: losses.derivative_scale(kind, train) for kind in dict.fromkeys(kinds)}
        known = train.weight_df.flatten(1).any(1).tolist()  # without derivatives nothing is computed for them
        weights = [member.loss.lambda_d * some for member, some in zip(self.members, known, strict=True)]
        lambda_d = torch.tensor(weights, dtype=torch.float64)
        scale = torch.stack([scales[kind][i] for i, kind in enumerate(kinds)])
        values, dimension = self.data.batch * first.model.width, train.x.shape[2]
        with explained("trainer", vars(self.training)):
            loss_and_gradient = step_function(
                self.training.compile,
                first.model,
                dtype,
                neurons=len(self.members) * values * (1 + dimension) * first.model.depth,
                steps=self.training.max_steps if first.optimizer.by_gradient else 0,
                on_gpu=first.on_gpu(),
            )
        compiled = loss_and_gradient if isinstance(loss_and_gradient, Kernel) else None
        carried = machine.carried(dimension, train.f.shape[2]) if compiled else 1 + dimension
        self._neurons = len(self.members) * values * carried
        if first.penalty is not None:
            loss_and_gradient = partial(losses.loss_and_gradient, penalty=first.penalty)
        objective = first.balance.objective(loss_and_gradient, first.penalty)
        self.module = SobolevRegression(
            self.data.box,
            seed=[member.seed.seed for member in members],
            scale=scale,
            lambda_d=lambda_d,
            optimizer=of_members([member.optimizer for member in self.members]),
            max_steps=self.training.max_steps,
            stop_at=self.training.stop_at,
            steps_per_block=self.training.log_every,
            diagnostics_every=self.training.diagnostics_every,
            loss_and_gradient=with_second(objective) if first.loss.lambda_dd else objective,
            compiled=compiled,
            penalty=first.penalty,
            own_metrics=first.metrics,
            outputs=len(train.outputs),
            units=self.data.units,
            log_figures=False,
            dtype=dtype,
            **vars(first.model),
        )
        if first.data.folds is not None:  # a fold may be too small to have a standard deviation that means something
            self.module.beside = {"val": [train]}
        for i, member in enumerate(self.members):
            if member.training.start is not None:
                self._begin_with(i, member.training.start)
        self.module.set_lambda_d(first.balance.start(lambda_d, train, scale))
        look = first.balance.next_look(0)
        self._settled_from = max(first.resampling.rests_from(), 0 if look == NEVER else look)
        self.module.rests_from.fill_(self._settled_from)

    def _begin_with(self, member: int, directory: str) -> None:
        """Give a member the function of a finished run."""
        from runge.function.loading import load_runs  # late: few runs need it

        try:
            self.module.network.adopt(member, load_runs([RunDirectory(directory)]).networks[0])
        except (ValueError, OSError) as error:
            rule = "must be the directory of a finished run with the same network"
            why = describe(error) if isinstance(error, OSError) else error
            raise ConfigurationError(f"trainer.start: {rule}; got {directory!r} ({why})") from error

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
        outcomes = self._fit(runs, file, report)
        if not any(isinstance(outcome, UnwritableError) for outcome in outcomes):
            file.remove_checkpoint(file.path)
        if interruption.requested:  # after the last step: the runs are finished, but no other run may start
            where = ", ".join(str(directory.path) for directory in directories)
            raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
        return outcomes

    def _fit(self, runs: Sequence[RunWriter], file: StateFile, report: Callable[[int], object] | None) -> list[Outcome]:
        """Train the runs until they end, write their files, and return their outcomes."""
        started, history, resample = time.perf_counter(), History(), self._resample()
        writer = StackWriter(runs, self.module, self.data, history, resample)
        save = Save(self.training.checkpoint_seconds, writer.running)
        # A callback of the user's acts on the figures of a block, and the checkpoint holds the state that all leave.
        callbacks = [
            *([Report(report)] if report else [Forecast(), *([Progress()] if self.training.progress_bar else [])]),
            Curves(history, [run.to_loggers for run in runs]),
            *([CallbackMetrics(), *self.callbacks] if self.callbacks else []),
            save,
        ]
        try:
            writer.begin(file.step)
            self._train(history, resample, callbacks, file)
            if not self._is_over():
                interruption.check()
            return writer.end(time.perf_counter() - started, started - self._began)
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
            raise self._interrupted(writer, file) from error
        except Exception as error:
            if interruption.requested:  # a library has turned it into an error of its own
                raise self._interrupted(writer, file) from error
            failure: Exception = error
            if file.state is not None and not save.began and not self._is_over():
                failure = ConfigurationError(f"{file.path} is not a checkpoint of this run ({error})")
            writer.leave("failed", describe(failure))
            raise failure from error

    def _train(
        self,
        history: History,
        resample: Resample | None = None,
        others: Sequence[Callback] = (),
        file: StateFile | None = None,
    ) -> None:
        """Take steps until the end or a signal, from the state in a file if it has one.

        The callbacks act at the end of a block, in this order: DerivativeLoss decides on lambda_d for the next one;
        Resample logs shares of the points, which History records; Balancing looks at the points as they are then.
        StopEarly asks after all of these, which may give an optimiser that is at rest new work.
        """
        first = self.members[0]
        callbacks: list[Callback] = [
            DerivativeLoss([member.schedule for member in self.members]),
            *([resample] if resample else []),
            history,
            Balancing(first.balance, self.data, [member.seed for member in self.members]),
            StopEarly(self.training.patience, self._settled_from),
            *([TimeLimit(seconds * len(self.members))] if (seconds := self.training.max_seconds) else []),
            *others,
        ]
        products = 0.0 if first.optimizer.one_thread else first.products()
        machine.use_threads(self._neurons, products, file.threads if file else None)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", IGNORED)
            trainer = make_trainer(self.training, first.on_gpu(), callbacks, file)
            self.module.pause = lambda: is_to_stop(trainer)
            resumed = file.path if file and file.state else None
            trainer.fit(self.module, self.data, ckpt_path=resumed, weights_only=True)

    def _is_over(self) -> bool:
        return bool(self.module.ended) or int(self.module.step) >= self.training.steps

    def _resample(self) -> Resample | None:
        rule = self.members[0].resampling
        if not (isinstance(rule, Periodic) and isinstance(self.data, SobolevDataModule)):
            return None
        return Resample(rule, self.data, [member.data_seed for member in self.members])

    def _interrupted(self, writer: StackWriter, file: StateFile) -> SystemExit:
        """Leave the runs as interrupted; return what ends the command."""
        interruption.obey()
        alone = file.path == writer.runs[0].directory.last
        run, sweep = writer.runs[0].directory.path, file.path.parent.parent
        again = f"{command()} {setting('resume', run)}" if alone else setting("hydra.sweep.dir", sweep)
        writer.leave("interrupted", how := f"continue with {again}")
        # SystemExit, because Hydra would catch an Exception and start the next run of a sweep.
        return SystemExit(f"error: interrupted at step {int(self.module.step)}; {how}")

    @interruption.handled()
    def fit_in_memory(self) -> History:
        """Train the runs without files, as `fit` does; return their figures.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        history = History()
        try:
            self._train(history)
        except SystemExit as error:  # from Lightning, on a second Ctrl-C
            raise KeyboardInterrupt from error
        interruption.check()
        return history
