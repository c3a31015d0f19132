"""Runs from their settings to their files: a stack is prepared and trained, and its results are recorded."""

from collections.abc import Callable, Sequence
from pathlib import Path

from runge.configuration.errors import describe
from runge.interruption import interruption
from runge.records.directories import RunDirectory
from runge.training.prepare import Stack
from runge.training.record import Draw, Outcome, Recorder
from runge.training.train import train

__all__ = ["train_and_record"]


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
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        # Lightning raises SystemExit on a second Ctrl-C; a library may have turned the first one into an error.
        if interruption.requested or not isinstance(error, Exception):
            raise recorder.interrupted() from error
        recorder.leave("failed", describe(error))
        raise
    if interruption.requested:  # after the last step: the runs are finished, but no other run may start
        where = ", ".join(str(directory.path) for directory in directories)
        raise SystemExit(f"error: interrupted after the last step; the run is finished, see {where}")
    return outcomes
