"""The loop of every sweep: a policy proposes runs, they are trained, and it sees how they have ended."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

from runge.composing.command import SweepCommand
from runge.composing.jobs import JobReturn, value_or_error
from runge.configuration.errors import ConfigurationError
from runge.process.interruption import interruption
from runge.records.directories import MULTIRUN, discard_sweep, refuse_links
from runge.records.files import discard, locked, printable, write
from runge.sweeps.journal import Batch, Journal
from runge.sweeps.policies.grid import Grid
from runge.sweeps.policies.policy import Policy
from runge.sweeps.processes import start_loading

__all__ = ["compare", "policy_of", "sweep"]

log = logging.getLogger(__name__)

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]
"""Trains runs as a launcher of Hydra's does, given the overrides of each and the number of the first."""


def policy_of(command: SweepCommand) -> Policy:
    """Return the policy that the group `search` of a command names; if it refuses the command, no directory is left.

    Meanwhile the processes that train begin to load what they need.

    Raises:
        ConfigurationError: a setting or an override is not allowed.
    """
    directory = command.directory  # which resolving makes, once: the configurations of runs copy it
    if (command.processes or 1) > 1:
        start_loading()
    try:
        if command.search == "optuna":
            from runge.sweeps.policies.optuna import Optuna

            return Optuna(command)
        return Grid(command)
    except BaseException:
        discard(directory, ())
        raise


def sweep(policy: Policy, command: SweepCommand, launch: Launch, failures: dict[str, str]) -> None:
    """Train the runs that a policy proposes until there are none, and compare them.

    They are not compared after an interrupt, or if the command is refused before the first batch has ended.

    Args:
        policy: the policy.
        command: the command of the sweep.
        launch: trains runs, given their overrides and the number of the first.
        failures: the messages of runs whose directories cannot be written to, which `launch` adds.

    Raises:
        ConfigurationError: an override is not allowed, or the directory holds another sweep.
        RunError: a run, or the whole search, has failed.
        SystemExit: it was interrupted.
    """
    directory = command.directory
    refuse_links(directory, "hydra.sweep.dir", is_sweep=True)
    with locked(directory, "hydra.sweep.dir"):
        ended, failure = train_batches(policy, command, launch)
        with suppress(OSError):  # the error that is raised below matters more
            discard_sweep(directory)
        stopped = isinstance(failure, KeyboardInterrupt | SystemExit)
        refused = isinstance(failure, ConfigurationError) and not ended  # the runs there may be of another sweep
        if policy.compares and directory.is_dir() and not (stopped or refused):
            compare(directory, failures, command.quiet)
        if failure is not None:
            raise failure


def train_batches(policy: Policy, command: SweepCommand, launch: Launch) -> tuple[bool, BaseException | None]:
    """Train the batches that a policy proposes until there are none, or an error ends them.

    Returns:
        Whether a batch has ended, and the error, or None.
    """
    ended, runs = False, None
    try:
        journal = Journal(command.directory, policy.description(), policy.adaptive, command.began)
        with closing(policy.propose(journal)) as rounds:
            while True:
                batch = rounds.send(cast(Any, runs))  # None begins it
                runs = journal.replay(batch)
                if runs is None:
                    write(command.directory / MULTIRUN, command.yaml)
                    runs = journal.end(_train(launch, batch, journal.first))
                ended = True
    except StopIteration:  # the policy proposes no further batch
        return ended, None
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        return ended, error


def _train(launch: Launch, batch: Batch, first: int) -> list[Any]:
    """Train a batch; return the values of the objective, or errors."""
    interruption.check()
    return [value_or_error(returned) for returned in launch(batch.jobs, first)]


def compare(directory: Path, failures: dict[str, str], quiet: bool) -> None:
    """Compare the runs of a sweep, write the report, and print it unless `quiet`; an error is only logged."""
    from runge.comparison.html_report import publish, write_report
    from runge.comparison.ranking import rank
    from runge.comparison.runs import collect, mark
    from runge.records.leaderboard import read_leaderboard
    from runge.records.trials import read_trials

    try:
        if rows := mark(collect([str(directory)]), failures):
            of_sweep = {"trials": read_trials([directory]), "board": read_leaderboard([directory])}
            (write_report if quiet else publish)(rank(rows, **of_sweep), directory)
    except (ValueError, OSError) as error:
        log.error("the comparison cannot be written: %s", printable(str(error)))
