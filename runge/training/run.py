"""Runs from their settings to their files: a stack is prepared and trained, and its results are recorded."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from runge.interruption import interruption
from runge.records.directories import RunDirectory
from runge.training.advice import advice, log_rows, without_effect
from runge.training.evaluation import point_counts
from runge.training.prepare import Stack, prepare
from runge.training.record import Draw, Outcome, Recorder
from runge.training.train import train

__all__ = ["announce", "prepare", "train_and_record"]

log = logging.getLogger(__name__)


@interruption.handled()
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
    except (KeyboardInterrupt, SystemExit) as error:  # the latter from Lightning, on a second Ctrl-C
        raise recorder.interrupted() from error
    except Exception as error:
        raise recorder.failed(error) from error
    if interruption.requested:  # after the last step: the runs are finished, but no other run may start
        where = ", ".join(str(directory.path) for directory in directories)
        raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
    return outcomes


def announce(stack: Stack, member: int, checks_labels: bool = True) -> None:
    """Log the data of one of a stack's runs, and warn of overrides without effect and of what may spoil its fit.

    The data are the numbers of points, the units, and what is unusual in the rows of a table. Derivatives
    that contradict its values are looked for unless the command has done it: with 20 inputs it takes a second.
    """
    counts, run = point_counts(stack.members[member], stack.data), stack.members[member]
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in counts.items()))
    if run.far:
        log.info("trained in standardised units, because far from size 1: %s", ", ".join(run.far))
    if run.rows is not None:
        log_rows(run.rows, checks_labels)
    if useless := without_effect(run):
        log.warning("without effect on the training: %s", "; ".join(useless))
    for message in advice(stack.data, member, float(stack.module.lambda_d[member])):
        log.warning("%s", message)
