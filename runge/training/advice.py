"""Messages about a run: before the training, on its settings and data, and after it, on its fit."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from runge.balance import GradNorm, Log, Scale
from runge.configuration.words import command, in_shell, key_of
from runge.data.roles import columns_override, find_roles, listed, of_columns, partial_name
from runge.data.rows import Rows
from runge.data.sampled import Data
from runge.data.table import open_table
from runge.metrics import BEST_STEP, SWITCHED_ON_STEP, TRAIN_LOSS, VAL_LOSS, key
from runge.resampling import Periodic
from runge.schedules import NEVER, Constant
from runge.sobolev.points import Points

if TYPE_CHECKING:
    from runge.labels.contradictions import Finding
    from runge.training.datamodule import PointsDataModule
    from runge.training.member import Member

__all__ = ["advice", "fit_findings", "hardly_matters", "log_rows"]
__all__ += ["describe_wrong_columns", "without_effect", "without_wrong_columns"]

log = logging.getLogger(__name__)

# Only what is said of a fit depends on these, not the fit.
_ROUND_OFF = 1e-3
_LITTLE, _NOTHING = 0.9, 0.05  # R2 below which a fit explains little, and nothing
_POOR = 0.05  # val/nrmse of a fit of which it is worth saying how to improve it
_OVERFITS = 3.0  # the root of the validation loss over that of the training loss
# The share of the steps, and how far the root of the validation loss must have fallen since then to be still falling.
# A learning rate that ends at zero lowers it anyway.
_SINCE = {"cosine": (0.5, 0.5), "constant": (0.8, 0.7)}
_OSCILLATES, _TOO_MANY = 10.0, 1000.0  # the frequencies for which fixed neurons are the way
_FEW, _FAILED = 500, -1.0  # steps of a gradient method that fit little; R2 of training points that it went away from
_OWN = 512  # the neurons of optimizer=least_squares
_WRONG = dict[str, list["Finding"]]()
"""The contradictions of the last table, by the checksum of its rows."""

_MATTERS = 1e-3  # the root mean square of a partial derivative, relative to the output's largest


def _training_values(data: "PointsDataModule", member: int) -> dict[str, Tensor]:
    """Return the known values of each output at a member's training points, (n,)."""
    train = data.dataset.train
    labelled = train.weight_f[member] > 0
    return {name: train.f[member, labelled[:, p], p].double() for p, name in enumerate(train.outputs)}


def advice(data: "PointsDataModule", member: int, lambda_d: float) -> list[str]:
    """Return what is likely to spoil the fit of a member, given its index and its full lambda_d."""
    messages = [
        f"{name} has the same value in all training points; without spread, no nrmse_f and no r2_f"
        for name, f in _training_values(data, member).items()
        if len(f) > 1 and f.min() == f.max()
    ]
    val = data.dataset.val
    if not (val.weight_f[member].any() or (lambda_d and val.weight_df[member].any())):
        messages.append("no label of the validation points is in the loss; the last weights are kept, not the best")
    return messages


def describe_wrong_columns(rows: Rows) -> str:
    """Say which columns of derivatives contradict the values of a table, and the command that says more; "": none."""
    if not (sentences := " ".join(f"{finding.what} {finding.evidence}" for finding in _wrong_columns(rows))):
        return ""
    return f"{sentences} More: {command('check')} {' '.join(map(in_shell, [rows.table.file, *of_columns(rows.table)]))}"


def without_wrong_columns(rows: Rows) -> list[str]:
    """Return the overrides that leave out the columns of derivatives that contradict the values; none: there are none.

    None either if the names of the others cannot be typed.
    """
    if not (wrong := {name for finding in _wrong_columns(rows) for name in finding.columns}):
        return []
    table = rows.table
    roles = find_roles(open_table(table.file), table)
    sound = dict[str, dict[str, str]]()
    for (output, name), column in roles.partials.items():
        if partial_name(output, name) not in wrong:
            sound.setdefault(output, {})[name] = column
    columns = {"inputs": rows.inputs, "outputs": rows.outputs, "derivatives": sound}
    overrides = [columns_override(f"data.{key}", names) for key, names in columns.items()]
    return overrides if all(overrides) else []


def _wrong_columns(rows: Rows) -> "list[Finding]":
    from runge.labels.contradictions import ColumnNames, wrong_columns  # late, with scipy.spatial: only tables need it

    if rows.checksum not in _WRONG:  # the runs of a sweep have the same rows
        _WRONG.clear()
        _WRONG[rows.checksum] = wrong_columns(rows.x, rows.y, rows.dydx, ColumnNames(rows.inputs, rows.outputs))
    return _WRONG[rows.checksum]


def log_rows(rows: Rows, data: "PointsDataModule", member: int, checks_labels: bool = True) -> None:
    """Log unused columns, contradictions and rows with the same inputs of a member's table, and outputs on few rows."""
    if rows.unused:
        log.info("columns not used: %s", listed(rows.unused))
    ignored = {partial_name(y, x) for y in rows.outputs for x in rows.inputs} & {*rows.unused}
    if ignored and rows.table.derivatives == {}:
        what = "data.derivatives={} ignores %s; to measure their errors, use loss.lambda_d=0"
        log.info(what, listed(sorted(ignored)))
    if checks_labels and (wrong := describe_wrong_columns(rows)):
        log.warning("%s", wrong)
    what = "the inputs" if (group := rows.table.group) is None else f"the {group}"
    if rows.duplicates:
        same_set = "" if rows.sets is not None else f"; {rows.together} are in the same set"
        log.info("%d of %d rows have %s of an earlier row%s", rows.duplicates, len(rows.x), what, same_set)
    if rows.sets is not None and (n := rows.leaking):
        rule = "their labels are known from training, so that errors come out too small"
        log.warning("%d rows for validation and test have %s of a training row: %s", n, what, rule)
    if data.units is None:
        return
    for (name, f), scale in zip(_training_values(data, member).items(), data.units.y_std[member].tolist(), strict=True):
        if len(f) > 1 and 0 < (spread := float(f.std(correction=0))) < 1 - _ROUND_OFF:
            what = f"{name} is known in {len(f)} training rows only, with a standard deviation of {scale * spread:.3g}"
            log.warning("%s; its scale is what its derivatives suggest, %.3g", what, scale)


def without_effect(run: "Member", lambda_d: float, at_first: float, outputs: int) -> list[str]:
    """Return the overrides of a run that change no weight in any step, each with the reason.

    Without f' in the loss, a balance of ratios has no effect on a single output. ReLoBRaLo changes the loss's size,
    which affects momentum and damping, and a gradient method minimises the logarithm itself with `balance=log`.

    Args:
        run: the run.
        lambda_d: its full lambda_d; 0 if none of its training points has a derivative.
        at_first: its lambda_d as the balance sets it before the first step.
        outputs: the number of outputs.
    """
    balance, loss = run.balance, run.loss
    moves, steps = run.resampling, run.training.max_steps
    data = run.data
    look, minimises_log = balance.next_look(0), run.optimizer.by_gradient and isinstance(balance, Log)
    off = lambda_d == 0
    of_ratios = isinstance(balance, GradNorm | Log) and outputs == 1 and not minimises_log
    sets_it = isinstance(balance, Scale) and math.isclose(at_first, lambda_d, rel_tol=1e-3)
    why = "no training point has a derivative" if loss.lambda_d else "lambda_d is 0"
    ends = f"trainer.max_steps is {steps}"
    rules = [
        ("schedule", off and not isinstance(run.schedule, Constant), why),
        ("balance", off and (isinstance(balance, Scale) or of_ratios), why),
        ("loss.lambda_d", off and loss.lambda_d > 0, why),
        ("loss.lambda_dd", off and loss.lambda_dd > 0, why),
        ("loss.derivative_scale", off and loss.derivative_scale != "none", why),
        ("data.noise_df", off and isinstance(data, Data) and data.noise_df > 0, why),
        ("data.n_derivative", off and isinstance(data, Data) and data.n_derivative is not None, why),
        ("balance", sets_it and not off, f"it sets lambda_d to {lambda_d:g}, which it is without it"),
        ("balance", steps <= look < NEVER and not minimises_log, f"{ends}, and it is first applied after {look}"),
        (
            "resampling",
            isinstance(moves, Periodic) and max(moves.every, 1) >= min(steps, moves.last_step + 1),
            f"{ends}, and no point moves before the end",
        ),
        ("trainer.patience", (run.training.patience or 0) >= steps, ends),
    ]
    reasons = {option: reason for option, holds, reason in rules if holds}
    return [
        f"{override} ({reason})"
        for override in run.overrides
        for option, reason in reasons.items()
        if f"{key_of(override)}.".startswith(f"{option}.")
    ]


def fit_findings(
    figures: Mapping[str, float | int | None],
    history: Mapping[str, Sequence[float]],
    train: Points,
    unimportant: Sequence[str],
    *,
    of_table: bool,
    rate: str | None,
    lambda_d: float,
) -> list[str]:
    """Judge a finished fit by its validation points: that it is poor, why, and what to try; nothing of a good one.

    Args:
        figures: its final figures.
        history: its history, by key.
        train: the training points, a stack of one.
        unimportant: the inputs of a table that hardly matter.
        of_table: the points are the rows of a table.
        rate: the course of the learning rate, `cosine` or `constant`; None: the optimiser has none.
        lambda_d: its full lambda_d.
    """
    more = "more rows" if of_table else "more points (data.n_train)"
    sentences, several = [], len(train.outputs) > 1
    early = _early(figures, history, more)
    few = rate is not None and history.get("step") and history["step"][-1] < _FEW
    for name in train.outputs:
        r2 = figures.get(key("val", "r2_f", name if several else ""))
        if r2 is not None and r2 < _LITTLE:
            of = f" of {name}" if several else ""
            what = f"explains nothing{of}" if r2 < _NOTHING else f"explains only {100 * r2:.0f} % of the variance{of}"
            how = early or f"try {_method(train, of_table)}"
            if few:
                how = f"it took {history['step'][-1]:.0f} steps; try a larger trainer.max_steps"
            fitted = figures.get(key("train", "r2_f", name if several else ""))
            if rate is not None and fitted is not None and fitted < _FAILED:
                how = f"nor does it fit the training points (R2 = {fitted:.3g}); try a smaller optimizer.lr"
            sentences.append(f"{what} (R2 = {r2:.3g}): {how}")
    if not sentences and any((figures.get(key("val", name)) or 0.0) > _POOR for name in ("nrmse_f", "nrmse_df")):
        val, training = (figures.get(name) or 0.0 for name in (VAL_LOSS, TRAIN_LOSS))
        if training > 0 and (ratio := math.sqrt(val / training)) > _OVERFITS:
            how = early or f"try {more}, or fewer neurons (model.width)"
            sentences.append(f"overfits (validation errors are {ratio:.2g} times those of training): {how}")
        elif _falls(history, *_SINCE[rate or "constant"]):
            sentences.append("still falling at the end: try a larger trainer.max_steps")
    if lambda_d and figures.get(SWITCHED_ON_STEP) is None:
        how = "no derivative was fitted; try schedule=constant or a larger trainer.max_steps"
        sentences.append(f"lambda_d was never on: {how}")
    if unimportant:
        how = "to leave out what has no meaning, name the others in data.inputs"
        sentences.append(f"inputs hardly matter ({', '.join(unimportant)}): {how}")
    return sentences


def _method(train: Points, of_table: bool) -> str:
    """Return the settings to try where a fit explains little.

    With one input k, the root mean square of f' in units of half the length of the domain over the standard deviation
    of f, is the frequency of a sine. Fixed neurons need as many points and neurons as three times that, and slopes up
    to it, for `sin(60*x)` and for `exp(-x)*cos(250*x)`. Up to 512, the optimizer's own settings suffice.
    """
    if of_table:
        return "optimizer=levenberg_marquardt, model.activation=tanh or sin, or more rows"
    k = float(train.df.square().mean().sqrt() * (train.x.max() - train.x.min()) / 2 / train.f.std(correction=0))
    if train.x.shape[2] > 1 or not _OSCILLATES < k < _TOO_MANY:
        return "model.activation=sin, more points (data.n_train), or more neurons (model.width)"
    n = 2 ** math.ceil(math.log2(3 * k))
    more = f" data.n_train={n} model.width={n} optimizer.slopes=[1,{math.ceil(3 * k)}]" if n > _OWN else ""
    return f"optimizer=least_squares{more}"


def _early(figures: Mapping[str, float | int | None], history: Mapping[str, Sequence[float]], more: str) -> str:
    """Return what to try if the best weights came in the first quarter of the steps with lambda_d, as with noise."""
    steps, best = history.get("step", []), figures.get(BEST_STEP)
    first = figures.get(SWITCHED_ON_STEP) or 0
    if not steps or best is None or best - first > (steps[-1] - first) / 4:
        return ""
    noise = f"it was best after {best:.0f} of {steps[-1]:.0f} steps, as with noise in the labels"
    return f"{noise}; try optimizer=adamw optimizer.weight_decay=1, or {more}"


def _falls(history: Mapping[str, Sequence[float]], since: float, factor: float) -> bool:
    """Return whether the root of the best validation loss fell below `factor` times that after a share of the steps."""
    losses = np.nan_to_num(history.get(VAL_LOSS, []), nan=np.inf)
    before = losses[: int(since * len(losses))]
    return len(before) > 0 and bool(losses.min() < factor**2 * before.min())


def hardly_matters(du: Tensor, x: Tensor) -> Tensor:
    """Return which inputs change each output by less than a thousandth of what another one does, (M, D).

    Args:
        du: the Jacobians of the fit at some points, (M, N, P, D).
        x: the training points, (M, N', D), in the same units.
    """
    sizes = du.double().square().mean(1).sqrt() * x.double().std(1, correction=0)[:, None]
    return (sizes < _MATTERS * sizes.amax(2, keepdim=True)).all(1)
