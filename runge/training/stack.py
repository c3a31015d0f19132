"""A stack of runs, from configurations to finished run directories."""

import logging
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import cast

import torch

from runge import machine
from runge.configuration import explained
from runge.data import Data, Dataset, Rows, row_points
from runge.errors import ConfigurationError, describe
from runge.loggers import check_loggers
from runge.optimizers import of_members
from runge.resampling import Periodic
from runge.runs.checkpoints import resume_from
from runge.runs.directories import RunDirectory
from runge.schedules import NEVER
from runge.sobolev import losses
from runge.sobolev.compilation import own_kernel, step_function
from runge.training.adaptation import Balancing, Resample
from runge.training.datamodule import PointsDataModule, SobolevDataModule
from runge.training.halving import Halving
from runge.training.history import CountSteps, Curves, FillCallbackMetrics, Forecast, History, Progress
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.own_parts import check_metrics, make_callbacks
from runge.training.results import Outcome, StackWriter
from runge.training.saving import MemberFiles, Save, StopOnSignal
from runge.training.stopping import StopEarly
from runge.training.trainer import IGNORED, make_trainer

_FULL = 32
"""The members of a stack with halving, for the decision on compiling: stacks of all sizes must take the same steps."""


def make_data(members: Sequence[Member], dtype: torch.dtype) -> PointsDataModule:
    """Sample the functions of some runs, or split their tables.

    Raises:
        ValueError: a size is not allowed.
    """
    first, endless = members[0], 10**9  # blocks: the run ends after its last step
    standardize = first.standardize
    if isinstance(first.data, Data):
        return SobolevDataModule(
            *map(list, zip(*(member.formula for member in members), strict=True)),
            sample_weight=[member.loss.sample_weight for member in members],
            standardize=standardize,
            dtype=dtype,
            blocks_per_epoch=endless,
            **vars(first.data) | {"seed": [member.data_seed.seed for member in members]},
        )
    datasets, seeds = [], []
    for member in members:
        rows, generator = cast(Rows, member.rows), member.data_seed.generator("data")
        parts = [(rows.x[index], rows.y[index], rows.dydx[index]) for index in rows.split(generator)]
        train, val, test = (row_points(*part, rows.outputs) for part in parts)
        datasets.append(Dataset(train, val, test if member.has_test else val))
        seeds.append(int(torch.randint(2**62, (), generator=generator)))
    return PointsDataModule.of_rows(
        datasets,
        cast(Rows, first.rows).inputs,
        seeds,
        standardize=standardize,
        dtype=dtype,
        batch_size=first.batch_size,
        blocks_per_epoch=endless,
    )


class Stack:
    """A stack of runs with their data and weights, made and checked before anything is trained.

    Args:
        members: the runs, which agree in everything that `Member.shared` lists.
        halving: the factor by which the worst runs leave at rungs, as `runge.training.halving`; None: none leaves.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """

    def __init__(self, members: Sequence[Member], halving: int | None = None) -> None:
        self._began, self._halving = time.perf_counter(), halving
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
        self._neurons = len(self.members) * self.data.batch * (1 + train.x.shape[2]) * first.model.width
        # With halving, stacks of all sizes take the same step, compiled or not.
        neurons = self._neurons // len(self.members) * _FULL if halving else self._neurons
        with explained("trainer", vars(self.training)):
            loss_and_gradient = step_function(
                self.training.compile,
                first.model,
                dtype,
                neurons=neurons * first.model.depth,
                steps=self.training.max_steps if first.optimizer.by_gradient else 0,
                with_derivative=bool(lambda_d.any()),
                on_gpu=first.on_gpu(),
            )
        compiled = own_kernel(loss_and_gradient)
        if first.penalty is not None:
            loss_and_gradient = partial(losses.loss_and_gradient, penalty=first.penalty)
        self.module = SobolevRegression(
            self.data.box,
            seed=[member.seed.seed for member in members],
            scale=scale,
            lambda_d=lambda_d,
            schedule=[member.schedule for member in members],
            optimizer=of_members([member.optimizer for member in self.members]),
            max_steps=self.training.max_steps,
            steps_per_block=self.training.log_every,
            diagnostics_every=self.training.diagnostics_every,
            loss_and_gradient=first.balance.objective(loss_and_gradient, first.penalty),
            compiled=compiled,
            penalty=first.penalty,
            own_metrics=first.metrics,
            outputs=len(train.outputs),
            units=self.data.units,
            log_figures=False,
            dtype=dtype,
            **vars(first.model),
        )
        self.module.set_lambda_d(first.balance.start(lambda_d, train, scale))
        look = first.balance.next_look(0)
        self._settled_from = max(first.resampling.rests_from(), 0 if look == NEVER else look)
        self.module.rests_from.fill_(self._settled_from)

    def fit(
        self,
        directories: Sequence[RunDirectory],
        report: Callable[[int], object] | None = None,
        rest_of: "StackWriter | None" = None,
    ) -> list[Outcome]:
        """Train the runs and write their directories; resume from the last checkpoints that all of them have.

        Args:
            directories: the directory of each run.
            report: called with the number of steps taken since the last call, in place of a progress bar.
            rest_of: the writer of the stack whose other runs have left at a rung; None: there is none.

        Returns:
            The content of each run's `metrics.json`, where it has left, or an error if it diverged or could not be
            written.

        Raises:
            ConfigurationError: the checkpoints are not those of this stack.
            SystemExit: it was interrupted.
        """
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)  # it advertises
        started = time.perf_counter()
        start = resume_from(directories)
        step = start[0].step if start else 0
        columns = {"inputs": list(self.data.inputs), "outputs": list(self.data.dataset.test.outputs)}
        files = MemberFiles(directories, [member.configuration for member in self.members], columns, start)
        first, history, stop, fitted = self.members[0], History(), StopOnSignal(), False
        resample = None
        if isinstance(first.resampling, Periodic) and isinstance(self.data, SobolevDataModule):
            seeds = [member.data_seed for member in self.members]
            resample = Resample(first.resampling, self.data, seeds)
        writer = StackWriter(self.members, self.module, self.data, directories, history, resample, rest_of)
        halving = None
        if self._halving is not None and len(self.members) > 1:
            halving = Halving(self._halving, self.members, history, None if rest_of is None else step)
        rest: Stack | None = None
        bar = self.training.progress_bar and report is None
        try:
            writer.begin(step)
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", IGNORED)
                machine.use_threads(self._neurons, files.start[0].threads if files.start else None)
                trainer = make_trainer(
                    self.training,
                    first.on_gpu(),
                    # All act at the end of a block, in this order. Resample logs shares of the points, which History
                    # records; Balancing looks at the points as they are then. StopEarly asks after all of these, which
                    # may give an optimiser that is at rest new work, and Halving after it. Save comes last: its
                    # checkpoint holds the state that all others leave.
                    [
                        *([writer.resample] if writer.resample else []),
                        history,
                        self._balancing(),
                        *([Progress()] if bar else []),
                        *([CountSteps(report)] if report else [Forecast()]),
                        self._stop_early(),
                        *([halving] if halving else []),
                        stop,
                        Curves(history, writer.to_loggers),
                        *([FillCallbackMetrics(), *self.callbacks] if self.callbacks else []),
                        Save(
                            self.training.checkpoint_seconds,
                            writer.directories[0].last,
                            lambda step: writer.report_save(step, files.trouble),
                        ),
                    ],
                    plugins=[files],
                    bar=bar,
                    default_root_dir=writer.directories[0].path,
                )
                trainer.fit(self.module, self.data, ckpt_path=start[0].path if start else None, weights_only=True)
            fitted = True
            whole = bool(self.module.ended) or int(self.module.step) >= self.training.max_steps
            if stop.received is not None and not whole:
                raise KeyboardInterrupt
            stop.install()
            seconds = time.perf_counter() - started, started - self._began
            if halving is not None and halving.leaving and not whole:
                outcomes = writer.let_go(halving, files.trouble, *seconds)
                staying = writer.staying()
                rest = Stack([self.members[i] for i in staying], self._halving) if staying else None
                if stop.received is not None:
                    raise KeyboardInterrupt
            else:
                outcomes = writer.finish(files.stale, *seconds)
        except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
            stop.restore()
            raise self._interrupted(writer, stop) from error
        except Exception as error:
            stop.restore()
            if stop.interrupted:
                raise self._interrupted(writer, stop) from error
            failure: Exception = error
            if start and not stop.began and not fitted:
                failure = ConfigurationError(f"{directories[0].last} is not a checkpoint of this run ({error})")
            writer.leave("failed", [describe(failure)] * len(directories))
            raise failure from error
        stop.restore()
        if stop.asks_for_an_end():  # after the last step: the runs are finished, but no other run may start
            where = ", ".join(str(directory.path) for directory in directories)
            raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
        if rest is not None:
            staying = writer.staying()
            others = rest.fit([directories[i] for i in staying], report, writer)
            outcomes = [others[staying.index(i)] if i in staying else one for i, one in enumerate(outcomes)]
        return outcomes

    def _interrupted(self, writer: StackWriter, stop: StopOnSignal) -> SystemExit:
        """Leave the runs as interrupted; return what ends the command."""
        how = [f"continue with resume={directory.path}" for directory in writer.directories]
        writer.leave("interrupted", how)
        stop.hand_on()
        # SystemExit, because Hydra would catch an Exception and start the next run of a sweep.
        return SystemExit(f"error: interrupted at step {int(self.module.step)}; {how[0]}")

    def fit_in_memory(self) -> History:
        """Train the runs without files, as `fit` does; return their figures.

        Raises:
            KeyboardInterrupt: it was interrupted.
        """
        first, history, stop = self.members[0], History(), StopOnSignal()
        machine.use_threads(self._neurons)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", IGNORED)
                callbacks = [history, self._balancing(), self._stop_early(), stop]
                trainer = make_trainer(self.training, first.on_gpu(), callbacks)
                self.module.pause = lambda: trainer.should_stop
                trainer.fit(self.module, self.data)
        except SystemExit as error:  # from Lightning, on a second Ctrl-C
            raise KeyboardInterrupt from error
        finally:
            stop.restore()
        if stop.received is not None:
            raise KeyboardInterrupt
        return history

    def _balancing(self) -> Balancing:
        return Balancing(self.members[0].balance, self.data, [member.seed for member in self.members])

    def _stop_early(self) -> StopEarly:
        return StopEarly(self.training.patience, self._settled_from)
