"""Checks of the configuration of a run on a table, whose rows are its points."""

import logging
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from runge.configuration import flatten
from runge.data import Rows
from runge.data.roles import listed, partial_name
from runge.errors import ConfigurationError
from runge.resampling import Never
from runge.runs.columns import Columns

if TYPE_CHECKING:
    from runge.training.datamodule import PointsDataModule

log = logging.getLogger(__name__)

__all__ = ["OF_FORMULAS", "check_columns", "check_for_table", "log_rows"]

_ROUND_OFF = 1e-3

OF_FORMULAS = ("target", "sampling")
"""The keys of sections that say what is sampled and where, and that a table has not."""


def check_for_table(configuration: Mapping[str, Any], resampling: object, sample_weight: str) -> None:
    """Raise ConfigurationError if a key places or weights points, which are the rows of a table."""
    if given := [key for key in OF_FORMULAS if configuration.get(key) is not None]:
        values = flatten({given[0]: configuration[given[0]]})
        rule = "must be absent with data=table, whose rows are the points"
        raise ConfigurationError(f"{given[0]}: {rule}; got {values.get(given[0], values)}")
    if not isinstance(resampling, Never):
        name = type(resampling).__name__
        raise ConfigurationError(f"resampling: must be none with data=table, whose rows stay in place; got {name}")
    if sample_weight != "none":
        raise ConfigurationError(f"loss.sample_weight: must be none with data=table, got {sample_weight!r}")


def check_columns(rows: Rows) -> None:
    """Raise ConfigurationError if names of columns collide in `fit.csv`."""
    columns = Counter(Columns.of(rows.inputs, rows.outputs).names())
    if twice := [name for name, number in columns.items() if number > 1]:
        what = f"the run's fit.csv would have two columns {twice[0]!r}, because u_y is the fit of y, and dy_dx its"
        raise ConfigurationError(f"data.outputs: {what} derivative by x; rename or leave out a column of the table")


def log_rows(rows: Rows, data: "PointsDataModule", member: int) -> None:
    """Log what of a table is not used, how many rows have the same inputs, and which outputs have few values.

    Args:
        rows: the rows of the table.
        data: the points of a stack.
        member: the index of the run in it.
    """
    if rows.unused:
        log.info("columns not used: %s", listed(rows.unused))
    ignored = {partial_name(y, x) for y in rows.outputs for x in rows.inputs} & {*rows.unused}
    if ignored and rows.table.derivatives == {}:
        log.info(
            "data.derivatives={} ignores %s; to measure their errors, use loss.lambda_d=0", listed(sorted(ignored))
        )
    if rows.duplicates:
        kept = "" if rows.sets is not None else "; rows with the same inputs are in the same set"
        log.info("%d of %d rows have the inputs of an earlier row%s", rows.duplicates, len(rows.x), kept)
    if rows.sets is not None and (n := rows.leaking):
        rule = "their labels are known from training, so that errors come out too small"
        log.warning("%d rows for validation and test have the inputs of a training row: %s", n, rule)
    if data.units is None:
        return
    train, scales = data.dataset.train, data.units.y_std[member].tolist()
    for p, (name, scale) in enumerate(zip(train.outputs, scales, strict=True)):
        f = train.f[member, train.weight_f[member, :, p] > 0, p].double()
        if len(f) > 1 and 0 < (spread := float(f.std(correction=0))) < 1 - _ROUND_OFF:
            what = f"{name} is known in {len(f)} training rows only, with a standard deviation of {scale * spread:.3g}"
            log.warning("%s; its scale is what its derivatives suggest, %.3g", what, scale)
