"""Train a stack, with Lightning's Trainer and the callbacks that act at the end of each block of steps."""

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback

from runge.balance.balancing import Balancing
from runge.configuration.errors import ConfigurationError, describe
from runge.process import machine
from runge.process.interruption import interruption
from runge.records.directories import RunDirectory
from runge.schedules.derivative_loss import DerivativeLoss
from runge.sobolev.kernel import Kernel
from runge.training.callbacks.history import (
    AtBlockEnd,
    Forecast,
    LoggedRows,
    ProgressBar,
    StepLogger,
    fill_callback_metrics,
)
from runge.training.callbacks.random_numbers import RandomNumbers
from runge.training.callbacks.stopping import StopEarly, TimeLimit
from runge.training.member import Member, Outcome
from runge.training.prepare import Stack, settled_from
from runge.training.record import Draw, Recorder
from runge.training.saving import Save

__all__ = ["train", "train_and_record"]


_IGNORED = ".isinstance.treespec, LeafSpec.. is deprecated|The .srun. command is available|GPU available but not used"
"""Warnings of no use to the user: Lightning 2.6 uses torch's pytree in a deprecated way, and advertises
srun and GPUs."""


@interruption.handled()
@machine.threads_restored()
def train_and_record(
    stack: Stack,
    directories: Sequence[RunDirectory],
    draw: Draw,
    report: Callable[[int], object] | None = None,
    state: Path | None = None,
    alone: bool = False,
) -> list[Outcome]:
    """Train the runs of a stack and write their directories; resume from the state of the stack, if it was saved.

    Args:
        stack: the stack.
        directories: the directory of each run.
        draw: draws the pictures of a run, as for `Recorder`.
        report: called with the number of steps taken since the last call, in place of a progress bar.
        state: the file of the stack's state; None: that of `runge.records.checkpoints.state_path`.
        alone: it is a single run, not one of a sweep, and is drawn if `pictures` is auto.

    Returns:
        The content of each run's `metrics.json`, or an error if it diverged or could not be written.

    Raises:
        ConfigurationError: the state is not that of this stack.
        SystemExit: it was interrupted.
    """
    recorder = Recorder(stack, directories, draw, state, alone)
    try:
        seconds = train(stack, recorder, report)
        outcomes = recorder.record(seconds)
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Lightning raises SystemExit on a second Ctrl-C; a library may have turned the first one into an error.
        if interruption.requested or not isinstance(error, Exception):
            raise recorder.interrupted() from error
        recorder.leave("failed", describe(error))
        raise
    if interruption.requested:  # after the last step: the runs are finished, but no other run may start
        where = ", ".join(str(directory.path) for directory in directories)
        raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
    return outcomes


@interruption.handled()
def train(stack: Stack, recorder: Recorder | None = None, report: Callable[[int], object] | None = None) -> float:
    """Take steps until the end or a signal, from the saved state if there is one; return the seconds that it took.

    A block is left early, after the current step, at a signal or if it is time to save. The callbacks act in the order
    in which they are made here: `DerivativeLoss` may switch lambda_d on for the next block; `Resample` comes before
    `History`, which records the shares of points that it adds, and before `Balancing`, which looks at the points as
    they are then; `StopEarly` comes after these, because they may give an optimiser that is at rest new work; those
    that show the training come last, and the one that fills `trainer.callback_metrics` is the last of these.

    Args:
        stack: the stack, whose networks are trained and whose history grows.
        recorder: what writes the directories of the runs; None: the training leaves no files.
        report: called with the number of steps taken since the last call, in place of a progress bar.

    Raises:
        ConfigurationError: the saved state is not that of this stack.
        KeyboardInterrupt: it was interrupted before the last step.
        SystemExit: it was interrupted twice.
    """
    began, first, members = time.perf_counter(), stack.members[0].settings, len(stack.members)
    if recorder:
        recorder.begin()
    save = Save(first.trainer.checkpoint_seconds, recorder.running) if recorder else None
    shows = first.trainer.progress_bar and not report
    progress = ProgressBar(first.trainer.steps, recorder.file.step) if recorder and shows else None
    callbacks: list[Callback] = [
        *([RandomNumbers(first.seed)] if stack.members[0].why_steps else []),
        DerivativeLoss([member.settings.schedule for member in stack.members]),
        *([stack.resample] if stack.resample else []),
        stack.history,
        Balancing(
            first.balance,
            lambda: stack.data.dataset.train,
            [partial(member.settings.seed.generator, "balance") for member in stack.members],
        ),
        StopEarly(first.trainer.patience, settled_from(stack.members[0])),
        *([TimeLimit(seconds * members)] if (seconds := first.trainer.max_seconds) else []),
        *([progress] if progress else []),
        *(_observers(stack, recorder, report) if recorder else []),
        *([save] if save else []),
    ]
    file = recorder.file if recorder else None
    products = 0.0 if first.optimizer.one_thread else stack.members[0].products()
    machine.use_threads(_neurons(stack), products, file.threads if file else None)
    random_state = torch.random.fork_rng([0] if stack.members[0].on_gpu() else [])  # that of the host stays
    with random_state, _without_advice(), progress.bar if progress else nullcontext():
        trainer = _make_trainer(stack.members[0], callbacks, recorder)
        resumed = file.path if file and file.state else None
        try:
            trainer.fit(stack.module, stack.data, ckpt_path=resumed, weights_only=True)
        except Exception as error:  # parts of a file may be of any type
            if resumed is None or interruption.requested or (save is not None and save.began):
                raise
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(f"{resumed} is not a checkpoint of this run ({reason})") from error
    if not (stack.module.is_over and recorder):  # the results of a run that is over are recorded first
        interruption.check()
    return time.perf_counter() - began


@contextmanager
def _without_advice() -> Iterator[None]:
    """Suppress Lightning's advertisements."""
    log = logging.getLogger("lightning.pytorch")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", _IGNORED)
            yield
    finally:
        log.setLevel(level)


def _observers(stack: Stack, recorder: Recorder, report: Callable[[int], object] | None) -> list[Callback]:
    """Return the callbacks that show the training, and the user's own, which act on the metrics of a block."""
    return [
        AtBlockEnd(lambda module: report(int(module.step) - module.block_start)) if report else Forecast(),
        LoggedRows(stack.history, [run.to_loggers for run in recorder.runs]),
        *([AtBlockEnd(fill_callback_metrics), *stack.callbacks] if stack.callbacks else []),
    ]


def _neurons(stack: Stack) -> int:
    """Return the values and tangents, or adjoints, of one hidden layer in a step."""
    train = stack.data.dataset.train
    dimension, outputs = train.x.shape[2], train.f.shape[2]
    compiled = isinstance(stack.module.compiled, Kernel)
    numbers = machine.carried(dimension, outputs) if compiled else 1 + dimension
    return len(stack.members) * stack.data.batch * stack.members[0].settings.model.width * numbers


def _make_trainer(member: Member, callbacks: Sequence[Callback], recorder: Recorder | None) -> pl.Trainer:
    """Return the Trainer that takes the steps of a stack in one epoch, and validates after each block.

    Step by step, a batch is a step, and what the user's own parts log goes to the loggers of the only run.
    """
    if interruption.owns_process:
        machine.keep_memory()
    training, file = member.settings.trainer, recorder.file if recorder else None
    return pl.Trainer(
        accelerator="gpu" if member.on_gpu() else "cpu",
        devices=1,
        logger=StepLogger(recorder.runs[0].to_loggers) if recorder and member.why_steps else False,
        callbacks=list(callbacks),
        plugins=[*([file] if file else []), LightningEnvironment()],  # one process, also inside a Slurm job
        default_root_dir=file.directories[0].path if file else None,
        enable_checkpointing=False,
        max_epochs=1,
        max_steps=training.max_steps,
        val_check_interval=training.log_every if member.why_steps else 1,
        log_every_n_steps=training.log_every,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,  # it forbids the derivative by autograd
        use_distributed_sampler=False,
    )
