"""How a run stands: whether it ended before, and what is said when it ends."""

import logging
import os
from typing import TYPE_CHECKING

from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.configuration.objects import digest
from runge.metrics import BEST_STEP, SWITCHED_ON_STEP, TOTAL_SECONDS, VAL_LOSS
from runge.records.directories import FINDINGS, RunDirectory, RunState
from runge.training.member import Member

if TYPE_CHECKING:
    from runge.training.record import Outcome

__all__ = ["Value", "check_rows", "conclude", "foreign_run", "value_if_ended"]

log = logging.getLogger(__name__)

Value = float | tuple[float, ...]
"""The figures of a run's objective, the result of a job for Hydra's sweepers."""


def value_if_ended(member: Member, directory: RunDirectory) -> Value | RunError | None:
    """Return the objective of a sweep's run that has ended, or an error if it diverged; None if it has not ended.

    Raises:
        ConfigurationError: the directory holds a run of another configuration or of other rows, or its status is
            damaged.
    """
    state = directory.read_state()
    if state is None:
        return None
    if state.configuration not in ("", digest(member.settings.configuration)):
        raise foreign_run(directory)
    check_rows(member, directory, state)
    try:
        if directory.metrics.exists():
            if (metrics := directory.read_metrics()).get(VAL_LOSS) is not None:
                return member.objective.returned(metrics)
            raise ConfigurationError(f"{directory.metrics} is damaged (it has no {VAL_LOSS})")
    except (ConfigurationError, LookupError, FileNotFoundError) as error:
        log.warning("%s: training the run again", error)
        directory.metrics.unlink(missing_ok=True)
    return DivergedError(f"diverged: {state.message}") if state.status == "diverged" else None


def check_rows(member: Member, directory: RunDirectory, state: RunState | None) -> None:
    """Raise ConfigurationError if the table that a run is trained on has changed since the run began."""
    if member.rows is not None and state is not None and state.rows not in ("", member.checksum):
        rule = f"must hold the rows with which the run in {str(directory.path)!r} began"
        how = f"{member.rows.table.file!r} has changed: restore it, or begin a new run"
        raise ConfigurationError(f"data.file: {rule}; {how}")


def foreign_run(directory: RunDirectory) -> ConfigurationError:
    """Return the error for a directory that holds a run of another configuration."""
    what = f"{str(directory.path)!r} holds a run of a different sweep"
    return ConfigurationError(f"hydra.sweep.dir: {what}; choose another directory, or give that sweep's overrides")


def conclude(outcome: "Outcome", directory: RunDirectory, member: Member) -> Value:
    """Log how a run has ended, and return the values of its objective.

    Raises:
        RunError: it diverged, or its files could not be written.
    """
    if isinstance(outcome, RunError):
        log.error("%s", outcome)
        raise outcome
    switched = outcome[SWITCHED_ON_STEP]
    when = f"lambda_d on from step {switched}; " if switched else ""
    if best := outcome.get(BEST_STEP):
        when += f"best weights after step {best}; "
    state, most = directory.read_state(), member.settings.trainer.max_steps
    early = "" if state is None or state.step >= most else f"ended at step {state.step} of {most}; "
    log.info("%s%s%.1f s; %s", early, when, outcome[TOTAL_SECONDS], os.path.relpath(directory.path))
    for finding in filter(None, (state.message if state else "").split(FINDINGS)):
        log.warning("%s", finding)
    return member.objective.returned(outcome)
