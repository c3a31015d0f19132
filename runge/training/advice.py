"""Messages about a run: before the training, on its settings and data, and after it, on its fit."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from runge.balance import Log
from runge.configuration.command_line import command, in_shell, key_of
from runge.data.column_roles import columns_override, find_roles, listed, of_columns, partial_name
from runge.data.rows import Rows
from runge.data.table import open_table
from runge.metrics import SWITCHED_ON_STEP, TRAIN_LOSS, VAL_LOSS, key
from runge.resampling import Periodic
from runge.schedules import NEVER

if TYPE_CHECKING:
    from runge.labels.contradictions import Finding
    from runge.training.datamodule import PointsDataModule
    from runge.training.member import Member

__all__ = ["advice", "describe_wrong_columns", "fit_findings", "log_rows", "without_effect", "without_wrong_columns"]

log = logging.getLogger(__name__)

# Only what is said of a fit depends on these, not the fit.
_LITTLE, _NOTHING = 0.9, 0.05  # R2 below which a fit explains little, and nothing
_POOR = 0.05  # val/nrmse of a fit of which it is worth saying how to improve it
_OVERFITS = 3.0  # the root of the validation loss over that of the training loss
# The share of the steps, and how far the root of the validation loss must have fallen since then to be still falling.
# A learning rate that ends at zero lowers it anyway.
_SINCE = {"cosine": (0.5, 0.5), "constant": (0.8, 0.7)}
_FEW, _FAILED = 500, -1.0  # steps of a gradient method that fit little; R2 of training points that it went away from
_WRONG = dict[str, list["Finding"]]()
"""The contradictions of the last table, by the checksum of its rows."""


def advice(data: "PointsDataModule", member: int, lambda_d: float) -> list[str]:
    """Return what is likely to spoil the fit of a member, given its index and its full lambda_d."""
    messages, train = list[str](), data.dataset.train
    labelled = train.weight_f[member] > 0
    for p, name in enumerate(train.outputs):
        f = train.f[member, labelled[:, p], p]
        if len(f) > 1 and f.min() == f.max():
            messages.append(f"{name} has the same value in all training points; without spread, no nrmse_f and no r2_f")
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


def log_rows(rows: Rows, checks_labels: bool = True) -> None:
    """Log unused columns, contradictions and rows with the same inputs of a table."""
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


def without_effect(run: "Member") -> list[str]:
    """Return the overrides of a balance or a resampling that the run does not reach, each with the reason.

    A gradient method minimises the logarithm itself with `balance=log`.
    """
    moves, steps, balance = run.settings.resampling, run.settings.trainer.max_steps, run.settings.balance
    look, reasons = balance.next_look(0), dict[str, str]()
    if steps <= look < NEVER and not (run.settings.optimizer.by_gradient and isinstance(balance, Log)):
        reasons["balance"] = f"trainer.max_steps is {steps}, and it is first applied after {look}"
    if isinstance(moves, Periodic) and max(moves.every, 1) >= min(steps, moves.last_step + 1):
        reasons["resampling"] = f"trainer.max_steps is {steps}, and no point moves before the end"
    keys = {override: key_of(override).partition(".")[0] for override in run.overrides}
    return [f"{override} ({reasons[key]})" for override, key in keys.items() if key in reasons]


def fit_findings(
    figures: Mapping[str, float | int | None],
    history: Mapping[str, Sequence[float]],
    outputs: Sequence[str],
    *,
    of_table: bool,
    rate: str | None,
    lambda_d: float,
) -> list[str]:
    """Judge a finished fit by its validation points: that it is poor, why, and what to try; nothing of a good one.

    Args:
        figures: its final figures.
        history: its history, by key.
        outputs: the names of the outputs.
        of_table: the points are the rows of a table.
        rate: the course of the learning rate, `cosine` or `constant`; None: the optimiser has none.
        lambda_d: its full lambda_d.
    """
    more = "more rows" if of_table else "more points (data.n_train)"
    sentences, several = [], len(outputs) > 1
    few = rate is not None and history.get("step") and history["step"][-1] < _FEW
    for name in outputs:
        r2 = figures.get(key("val", "r2_f", name if several else ""))
        if r2 is not None and r2 < _LITTLE:
            of = f" of {name}" if several else ""
            what = f"explains nothing{of}" if r2 < _NOTHING else f"explains only {100 * r2:.0f} % of the variance{of}"
            how = f"try optimizer=levenberg_marquardt, model.activation=sin, or {more}"
            if few:
                how = f"it took {history['step'][-1]:.0f} steps; try a larger trainer.max_steps"
            fitted = figures.get(key("train", "r2_f", name if several else ""))
            if rate is not None and fitted is not None and fitted < _FAILED:
                how = f"nor does it fit the training points (R2 = {fitted:.3g}); try a smaller optimizer.lr"
            sentences.append(f"{what} (R2 = {r2:.3g}): {how}")
    if not sentences and any((figures.get(key("val", name)) or 0.0) > _POOR for name in ("nrmse_f", "nrmse_df")):
        val, training = (figures.get(name) or 0.0 for name in (VAL_LOSS, TRAIN_LOSS))
        if training > 0 and (ratio := math.sqrt(val / training)) > _OVERFITS:
            how = f"try {more}, or fewer neurons (model.width)"
            sentences.append(f"overfits (validation errors are {ratio:.2g} times those of training): {how}")
        elif _falls(history, *_SINCE[rate or "constant"]):
            sentences.append("still falling at the end: try a larger trainer.max_steps")
    if lambda_d and figures.get(SWITCHED_ON_STEP) is None:
        how = "no derivative was fitted; try schedule=constant or a larger trainer.max_steps"
        sentences.append(f"lambda_d was never on: {how}")
    return sentences


def _falls(history: Mapping[str, Sequence[float]], since: float, factor: float) -> bool:
    """Return whether the root of the best validation loss fell below `factor` times that after a share of the steps."""
    losses = np.nan_to_num(history.get(VAL_LOSS, []), nan=np.inf)
    before = losses[: int(since * len(losses))]
    return len(before) > 0 and bool(losses.min() < factor**2 * before.min())
