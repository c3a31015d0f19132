"""The work of a process of a search: train trials one after another, and write the runs of the answer."""

import gc
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runge import machine
from runge.configuration.errors import DivergedError
from runge.data.rows import Rows
from runge.function.function import Function
from runge.function.residuals import errors_of
from runge.metrics import LAMBDA_D
from runge.pictures.drawing import draw_into
from runge.records.directories import RunDirectory
from runge.search.constants import (
    FEWEST_GRADIENT_STEPS,
    LEAST_RUN_SECONDS,
    SCHEDULE_SHARE,
    THREADS_POWER,
    USED_TIME_SHARE,
)
from runge.search.results import Publication, Result, Trial
from runge.training.base import SobolevModule
from runge.training.callbacks.history import History
from runge.training.member import Member, Outcome
from runge.training.prepare import Stack, prepare
from runge.training.record import Recorder
from runge.training.settings import Settings
from runge.training.train import train

__all__ = ["publish", "train_trial"]


class _Timed(History):
    """A history that also has the seconds since its beginning."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds, self.began = list[float](), time.perf_counter()

    def at_block_end(self, module: SobolevModule) -> None:
        """Add a row, and the time."""
        super().at_block_end(module)
        self.seconds.append(time.perf_counter() - self.began)


@machine.threads_restored()
def train_trial(trial: Trial, rows: Rows | None) -> Result:
    """Train a trial, and return what is left of it.

    Args:
        trial: the trial.
        rows: the rows of its table, divided as its settings say; None: it is of a formula.

    Raises:
        ConfigurationError: its settings do not fit together.
        DivergedError: its loss is not finite.
    """
    began, start = time.perf_counter(), trial.start
    machine.limit_threads(trial.threads)
    gc.collect()  # the trial before this one
    member = _member(trial.settings, rows)
    work, trainer = member.work() * trial.threads**-THREADS_POWER, member.settings.trainer
    if member.settings.optimizer.by_gradient and trial.plans_steps:
        most = max(FEWEST_GRADIENT_STEPS, int(SCHEDULE_SHARE * trial.seconds / (trial.slowness * work)))
        trainer = replace(trainer, max_steps=min(trainer.max_steps, most))
        member.settings = replace(member.settings, trainer=trainer)
    stack = prepare([member])
    if start is not None:
        stack.module.begin_with(start.weights)
    limit = trainer.max_seconds or max(LEAST_RUN_SECONDS, trial.seconds - (time.perf_counter() - began))
    member.settings = replace(member.settings, trainer=replace(trainer, max_seconds=limit))
    stack = replace(stack, history=(history := _Timed()))
    seconds = train(stack)
    module, steps = stack.module, int(stack.module.step)
    if (diverged := history.diverged(0, steps)) is not None:
        raise DivergedError(f"diverged: the loss is not finite at step {diverged}")
    own = {name: np.asarray(column, float) for name, column in history.member(0).items()}
    own["seconds"] = np.asarray(history.seconds)
    best = history.steps.index(int(module.best_step[0]))
    joined, before = _continued(own, start)
    left_out, validated, residuals = _residuals(member, module, trial.everywhere)
    return Result(
        history=joined,
        best=before + best,
        weights={name: x.detach().cpu().clone() for name, x in module.best.state_dict().items()},
        rows=member.sizes[0],
        left_out=left_out,
        validated=validated,
        residuals=residuals,
        seconds=seconds,
        total=time.perf_counter() - began,
        steps=steps,
        end="steps" if steps >= trainer.steps else "time" if seconds >= USED_TIME_SHARE * limit else "rest",
        slowness=seconds / max(steps, 1) / work,
        switched_on=start.switched_on if start else step if (step := int(module.switched_on[0])) <= steps else None,
    )


def _member(settings: Settings, rows: Rows | None) -> Member:
    return Member(settings, rows=None if rows is None else replace(rows, table=settings.data))


def _continued(own: Mapping[str, Any], start: Result | None) -> tuple[dict[str, Any], int]:
    """Return a history after that of the best weights of `start`, and the number of the rows before it."""
    if start is None:
        return dict(own), 0
    before = start.best + 1
    earlier = {name: column[:before] for name, column in start.history.items()}
    unknown = {name: np.full(len(own["step"]), np.nan) for name in earlier}
    continued = dict(own) | {name: own[name] + earlier[name][-1] for name in ("step", "seconds")}
    return {name: np.concatenate([earlier[name], (unknown | continued)[name]]) for name in earlier}, before


def _residuals(member: Member, module: SobolevModule, everywhere: bool) -> tuple[Any, Any, Any]:
    """Return rows on which a member was not trained, whether they are its validation rows, and its errors there."""
    rows = member.rows
    if rows is None:
        none = Result()
        return none.left_out, none.validated, none.residuals
    split = rows.split(member.data_seed.generator("data"))
    left_out = np.setdiff1d(np.arange(len(rows.x)) if everywhere else split.val, split.train)
    known = replace(rows, y=np.nan_to_num(rows.y), dydx=np.nan_to_num(rows.dydx))  # the spread needs all predictions
    errors = errors_of(Function(module.best).jet, known, left_out)[0] if len(left_out) else torch.zeros(0, 0)
    return left_out, np.isin(left_out, split.val), errors.double().numpy()


def publish(publication: Publication, rows: Rows | None) -> Outcome:
    """Write the directory of a run whose network is trained: all files, the events of its loggers among them."""
    settings, result, directory, overrides, options = publication
    stack = prepare([Member(settings, overrides, rows and replace(rows, table=settings.data))])
    module, run = stack.module, RunDirectory(directory)
    module.best.load_state_dict(result.weights)
    last = {name: float(column[-1]) for name, column in result.history.items()}
    ended = {"step": last["step"], "best_step": result.best_step, "lambda_now": last[LAMBDA_D]}
    ended |= {} if result.switched_on is None else {"switched_on": result.switched_on}
    module.set_progress(module.progress._replace(**_filled(module, ended)))
    shutil.rmtree(run.path, ignore_errors=True)  # of an answer before the search was resumed
    run.path.mkdir()
    run.begin(settings.configuration, overrides, options)
    recorder = Recorder(_with_history(stack, result.history), [run], draw_into, None, alone=False)
    recorder.begin()
    recorder.runs[0].log_history()
    return recorder.record(last["seconds"])[0]


def _filled(module: SobolevModule, numbers: Mapping[str, float]) -> dict[str, Tensor]:
    """Return tensors like those of a module's progress with other numbers."""
    return {name: torch.full_like(getattr(module.progress, name), number) for name, number in numbers.items()}


def _with_history(stack: Stack, history: Mapping[str, Any]) -> Stack:
    """Return a stack of one with the history of its training."""
    filled = History()
    filled.keys = [name for name in history if name not in ("step", "seconds")]
    filled.steps = [int(step) for step in history["step"]]
    figures = np.stack([history[name] for name in filled.keys], axis=1)
    filled.rows = [torch.from_numpy(row)[None] for row in figures]
    return replace(stack, history=filled)
