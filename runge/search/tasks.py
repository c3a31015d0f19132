"""The work of a process of a search: train trials one after another, and write the runs of the answer."""

import gc
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from runge.configuration.command_line import key_of
from runge.configuration.errors import DivergedError
from runge.data.rows import Rows
from runge.data.table import Table
from runge.function.function import Function
from runge.function.residuals import errors_of
from runge.pictures.drawing import draw_into
from runge.process import machine
from runge.records.directories import RunDirectory
from runge.records.metrics import ERRORS, LAMBDA_D, VAL_LOSS
from runge.search.constants import (
    FEWEST_GRADIENT_STEPS,
    LEAST_RUN_SECONDS,
    LEAST_STEPS_ON_ALL_ROWS,
    LEAST_STEPS_ON_MORE_ROWS,
    SCHEDULE_SHARE,
    THREADS_POWER,
    USED_TIME_SHARE,
)
from runge.search.paces import grown_share
from runge.search.results import Publication, Result, Trial
from runge.search.standing import has_enough_steps
from runge.sobolev.network import StackedMLP
from runge.training.base import SobolevModule
from runge.training.callbacks.history import History
from runge.training.member import Member, Outcome
from runge.training.prepare import prepare
from runge.training.record import Recorder
from runge.training.settings import Settings, Training
from runge.training.train import train

__all__ = ["publish", "train_trial"]


class _Timed(History):
    """A history that also has the seconds since its beginning, and ends a trial that should have more rows.

    Args:
        is_over: is asked at the end of each block whether it should; None: it should not.
    """

    def __init__(self, is_over: "Callable[[_Timed, SobolevModule], bool] | None") -> None:
        super().__init__()
        self.seconds, self.began, self.is_over = list[float](), time.perf_counter(), is_over

    def at_block_end(self, module: SobolevModule) -> None:
        """Add a row, and the time; and end the trial if it should have more rows."""
        super().at_block_end(module)
        self.seconds.append(time.perf_counter() - self.began)
        if self.is_over is not None and self.is_over(self, module):
            module.trainer.should_stop = True


@machine.threads_restored()
def train_trial(trial: Trial, rows: Rows | None) -> Result:
    """Train a trial, and return what is left of it.

    If it should have more rows, it has them at once, with its weights, as long as it has time.

    Args:
        trial: the trial.
        rows: the rows of its table, divided as its settings say; None: it is of a formula.

    Raises:
        ConfigurationError: its settings do not fit together.
        DivergedError: its loss is not finite.
    """
    began = time.perf_counter()
    gc.collect()  # the trial before this one
    machine.limit_threads(trial.move.threads)
    result, earlier = _trained(trial, rows, began), 0.0
    while _may_grow(trial) and has_enough_steps(result):
        left = trial.move.seconds - (time.perf_counter() - began)
        if left < max(LEAST_RUN_SECONDS, LEAST_STEPS_ON_ALL_ROWS * result.seconds / max(result.steps, 1)):
            break
        trial = _grown(trial, result, left)
        following = _trained(trial, rows, time.perf_counter())
        is_better = following.error < result.error
        earlier += (result if is_better else following).seconds
        if not is_better:
            break
        result = following
    return replace(result, total=time.perf_counter() - began - earlier)


def _may_grow(trial: Trial) -> bool:
    """Return whether a trial may have more rows than it begins with: its weights can continue on them."""
    optimizer = trial.settings.optimizer
    continues = not (optimizer.by_gradient or optimizer.last_layer_alone)
    return continues and trial.move.share is not None and trial.most_share > 0


def _grown(trial: Trial, result: Result, seconds: float) -> Trial:
    """Return the trial with more rows, of which some steps should fit into its time."""
    data = trial.settings.data
    assert isinstance(data, Table)
    assert trial.move.share is not None
    affordable = seconds / max(LEAST_STEPS_ON_MORE_ROWS * result.seconds / max(result.steps, 1), 1e-9)
    share = grown_share(trial.move.share, affordable, trial.most_share)
    train = None if share is None else float(f"{share:.6g}")  # as it is typed
    data = replace(data, split={**data.split, "train": train})
    move = trial.move._replace(share=share, seconds=seconds)
    return trial._replace(settings=replace(trial.settings, data=data), move=move, start=result)


def _trained(trial: Trial, rows: Rows | None, began: float) -> Result:
    """Train the run of a trial on its rows, from a time on; for the exceptions see `train_trial`."""
    start = trial.start
    members = _members(trial.settings, rows, trial.separate)
    work = sum(member.work() for member in members) * trial.move.threads**-THREADS_POWER
    trainer = trial.settings.trainer
    if trial.settings.optimizer.by_gradient and trial.plans_steps:
        most = max(FEWEST_GRADIENT_STEPS, int(SCHEDULE_SHARE * trial.move.seconds / (trial.slowness * work)))
        trainer = replace(trainer, max_steps=min(trainer.max_steps, most))
    _set_trainer(members, trainer)
    stack = prepare(members)
    if start is not None:
        theta = {"theta": torch.from_numpy(start.unfinished)} if len(start.unfinished) else {}
        carried = {name: torch.from_numpy(x) for name, x in start.method.items()}
        stack.module.begin_with({**start.weights, **theta}, carried)
    limit = trainer.max_seconds or max(LEAST_RUN_SECONDS, trial.move.seconds - (time.perf_counter() - began))
    _set_trainer(members, replace(trainer, max_seconds=limit / len(members)))

    def overfits(history: _Timed, module: SobolevModule) -> bool:
        figures, best = _figures(history, module, rows)
        joined, before = _continued(figures, start)
        return has_enough_steps(Result(joined, before + best, end="steps", steps=int(module.step)))

    stack = replace(stack, history=(history := _Timed(overfits if _may_grow(trial) else None)))
    running, seconds = time.thread_time(), train(stack)
    running = time.thread_time() - running
    module, steps = stack.module, int(stack.module.step)
    own, best = _figures(history, module, rows)
    network = module.best.joined() if trial.separate else module.best
    unseen: dict[str, Any] = {} if rows is None else _residuals(rows, members[0], network, trial.move.of_answer)
    if rows is not None and trial.channels is not None and unseen["validated"].any():
        judged = np.where(np.isnan(rows.labels[unseen["left_out"]]), np.nan, unseen["residuals"])[unseen["validated"]]
        own = _by_one_measure(own, best, trial.channels.nrmse(judged), rows.outputs)
    unfinished = dict[str, Any]()
    if module.unfinished is not None:
        is_last = (module.best_step == steps)[:, None]
        unfinished = {"unfinished": torch.where(is_last, module.unfinished, module.best.theta).cpu().numpy()}
    joined, before = _continued(own, start)
    switched_on, since = (start.switched_on, start.best_step) if start else (None, 0)
    if switched_on is None and (step := int(module.switched_on[0])) <= steps:
        switched_on = since + step
    return Result(
        history=joined,
        best=before + best,
        weights={name: x.detach().cpu().clone() for name, x in module.best.state_dict().items()},
        rows=members[0].sizes[0],
        share=trial.move.share,
        **unfinished,
        **unseen,
        method={name: x.detach().cpu().numpy() for name, x in module.carried.items()},
        seconds=seconds,
        total=time.perf_counter() - began,
        steps=steps,
        end="steps" if steps >= trainer.steps else "time" if seconds >= USED_TIME_SHARE * limit else "rest",
        slowness=seconds / max(steps, 1) / work,
        processor=running / max(seconds, 1e-9),
        switched_on=switched_on,
    )


def _members(settings: Settings, rows: Rows | None, separate: bool) -> list[Member]:
    """Return the run of a trial, or one for each output, which are trained as a stack."""
    rows = rows and replace(rows, table=settings.data)
    tables = rows.by_output() if rows and separate else [rows]
    return [Member(settings, rows=table) for table in tables]


def _set_trainer(members: Sequence[Member], trainer: Training) -> None:
    for member in members:
        member.settings = replace(member.settings, trainer=trainer)


def _figures(history: _Timed, module: SobolevModule, rows: Rows | None) -> tuple[dict[str, np.ndarray], int]:
    """Return the history of a trial, and the place of its best weights in it.

    If each output has a network of its own, the figures are the means over them, each with its best weights so far.

    Raises:
        DivergedError: a loss is not finite.
    """
    count, steps = module.network.members, int(module.step)
    if found := [at for i in range(count) if (at := history.diverged(i, steps)) is not None]:
        raise DivergedError(f"diverged: the loss is not finite at step {min(found)}")
    every = [{name: np.asarray(column) for name, column in history.member(i).items()} for i in range(count)]
    if count == 1:
        return {**every[0], "seconds": np.asarray(history.seconds)}, history.steps.index(int(module.best_step[0]))
    places = np.arange(len(history.steps))
    for i, columns in enumerate(every):
        loss = columns[VAL_LOSS]
        best = np.maximum.accumulate(np.where(loss == np.minimum.accumulate(loss), places, 0))
        every[i] = {name: column[best] for name, column in columns.items()}
    outputs = () if rows is None else rows.outputs
    own = {name: np.mean([columns[name] for columns in every], axis=0) for name in every[0]}
    own |= {f"{name}/{output}": x[name] for name in ERRORS for output, x in zip(outputs, every, strict=True)}
    return own | {"step": np.asarray(history.steps), "seconds": np.asarray(history.seconds)}, len(places) - 1


def _continued(own: Mapping[str, Any], start: Result | None) -> tuple[dict[str, Any], int]:
    """Return a history after that of the best weights of `start`, and the number of the rows before it."""
    if start is None:
        return dict(own), 0
    before = start.best + 1
    earlier = {name: column[:before] for name, column in start.history.items()}
    unknown = {name: np.full(len(own["step"]), np.nan) for name in earlier}
    continued = dict(own) | {name: own[name] + earlier[name][-1] for name in ("step", "seconds")}
    return {name: np.concatenate([earlier[name], (unknown | continued)[name]]) for name in earlier}, before


def _by_one_measure(
    own: Mapping[str, Any], best: int, judged: np.ndarray, outputs: Sequence[str]
) -> dict[str, np.ndarray]:
    """Return a history whose errors are over the standard deviations of the whole table, as those of all trials.

    A run has them over the standard deviations of its own rows. Of 200 rows with noise, these differ by 3 %.

    Args:
        own: the history.
        best: the place of its best weights.
        judged: the errors of these over the standard deviations of the table, (2, P).
        outputs: the names of the outputs.
    """
    scaled = dict(own)
    for name, errors in zip(ERRORS, judged, strict=True):
        of_output = {f"{name}/{output}": error for output, error in zip(outputs, errors, strict=True)}
        known = errors[~np.isnan(errors)]
        for column, error in {name: known.sum() / max(len(known), 1), **of_output}.items():
            if column in own and error > 0 and own[column][best] > 0:
                scaled[column] = own[column] * (error / own[column][best])
    return scaled


def _residuals(rows: Rows, member: Member, network: StackedMLP, everywhere: bool) -> dict[str, Any]:
    """Return what a `Result` has of the rows on which a network was not trained.

    The rows are those for validation, or, `everywhere`, all: of many rows and many trials these would be much memory.
    """
    split = replace(rows, table=member.settings.data).split(member.data_seed.generator("data"))
    left_out = np.setdiff1d(np.arange(len(rows.x)) if everywhere else split.val, split.train)
    known = replace(rows, y=np.nan_to_num(rows.y), dydx=np.nan_to_num(rows.dydx))  # the spread needs all predictions
    errors = errors_of(Function(network).jet, known, left_out)[0] if len(left_out) else torch.zeros(0, 0)
    return {"left_out": left_out, "validated": np.isin(left_out, split.val), "residuals": errors.double().numpy()}


def publish(publication: Publication, rows: Rows | None) -> Outcome:
    """Write the directory of a run whose network is trained: all files, the events of its loggers among them."""
    settings, result, directory, overrides, options, separate = publication
    weights, model = result.weights, settings.model
    if separate:
        parts = prepare(_members(settings, rows, separate)).module.best
        parts.load_state_dict(weights)
        weights = parts.joined().state_dict()
        settings = replace(settings, model=replace(model, width=parts.members * model.width))
        overrides = [*(x for x in overrides if key_of(x) != "model.width"), f"model.width={settings.model.width}"]
    stack = prepare([Member(settings, overrides, rows and replace(rows, table=settings.data))])
    module, run = stack.module, RunDirectory(directory)
    module.best.load_state_dict(weights)
    last = {name: float(column[-1]) for name, column in result.history.items()}
    ended = {"step": last["step"], "best_step": result.best_step, "lambda_now": last[LAMBDA_D]}
    ended |= {} if result.switched_on is None else {"switched_on": result.switched_on}
    filled = {name: torch.full_like(getattr(module.progress, name), number) for name, number in ended.items()}
    module.set_progress(module.progress._replace(**filled))
    shutil.rmtree(run.path, ignore_errors=True)  # of an answer before the search was resumed
    run.path.mkdir()
    run.begin(settings.configuration, overrides, options)
    keys = [name for name in result.history if name not in ("step", "seconds")]
    rows_of_history = torch.from_numpy(np.stack([result.history[name] for name in keys])[None])
    steps = result.history["step"].astype(int).tolist()
    stack.history.load_state_dict({"keys": keys, "steps": steps, "rows": rows_of_history})
    recorder = Recorder(stack, [run], draw_into, None, alone=False)
    recorder.begin()
    recorder.runs[0].log_history()
    return recorder.record(last["seconds"])[0]
