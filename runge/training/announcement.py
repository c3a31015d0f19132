"""Say before the training what is unusual in a run's data, and what may spoil its fit."""

import logging

from runge.configuration.errors import listed
from runge.data.column_roles import partial_name
from runge.data.rows import Rows
from runge.labels.wrong_columns import describe_wrong_columns
from runge.training.datamodule import PointsDataModule
from runge.training.evaluation import point_counts
from runge.training.prepare import Stack
from runge.training.rules import without_effect

__all__ = ["announce"]

log = logging.getLogger(__name__)


def announce(stack: Stack, member: int) -> None:
    """Log the data of one of a stack's runs, and warn of overrides without effect and of what may spoil its fit.

    The data are the numbers of points, the units, and what is unusual in the rows of a table. Derivatives that
    contradict its values are looked for, which takes a second with 20 inputs.
    """
    counts, run = point_counts(stack.members[member], stack.data), stack.members[member]
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in counts.items()))
    if run.why_steps:
        log.info("trained step by step, %s", run.why_steps)
    if run.far:
        log.info("trained in standardised units, because far from size 1: %s", ", ".join(run.far))
    if run.rows is not None:
        _log_rows(run.rows)
    if useless := without_effect(run.settings, run.overrides):
        log.warning("without effect on the training: %s", "; ".join(useless))
    for message in _doubts(stack.data, member, float(stack.module.lambda_d[member])):
        log.warning("%s", message)


def _log_rows(rows: Rows) -> None:
    """Log the unused columns of a table, the contradictions of its labels, and its rows with the same inputs."""
    if rows.unused:
        log.info("columns not used: %s", listed(rows.unused))
    ignored = {partial_name(y, x) for y in rows.outputs for x in rows.inputs} & {*rows.unused}
    if ignored and rows.table.derivatives == {}:
        what = "data.derivatives={} ignores %s; to measure their errors, use loss.lambda_d=0"
        log.info(what, listed(sorted(ignored)))
    if wrong := describe_wrong_columns(rows):
        log.warning("%s", wrong)
    what = "the inputs" if (group := rows.table.group) is None else f"the {group}"
    if rows.duplicates:
        same_set = "" if rows.sets is not None else f"; {rows.together} are in the same set"
        log.info("%d of %d rows have %s of an earlier row%s", rows.duplicates, len(rows.x), what, same_set)
    if rows.sets is not None and (n := rows.leaking):
        rule = "their labels are known from training, so that errors come out too small"
        log.warning("%d rows for validation and test have %s of a training row: %s", n, what, rule)


def _doubts(data: PointsDataModule, member: int, lambda_d: float) -> list[str]:
    """Return sentences on what is likely to spoil the fit of a member, given its index and its full lambda_d."""
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
