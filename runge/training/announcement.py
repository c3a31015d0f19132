"""Say before the training what is unusual in a run's data, and what may spoil its fit."""

import logging
from typing import TYPE_CHECKING

from runge.data.column_roles import listed, partial_name
from runge.data.rows import Rows
from runge.labels.wrong_columns import describe_wrong_columns

if TYPE_CHECKING:
    from runge.training.datamodule import PointsDataModule

__all__ = ["advice", "log_rows"]

log = logging.getLogger(__name__)


def log_rows(rows: Rows, checks_labels: bool = True) -> None:
    """Log the unused columns of a table, the contradictions of its labels, and its rows with the same inputs."""
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


def advice(data: "PointsDataModule", member: int, lambda_d: float) -> list[str]:
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
