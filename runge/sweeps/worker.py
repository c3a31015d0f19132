"""The work of a process of a sweep: check runs, or train the jobs of a chunk as one stack."""

import gc
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from runge.composing.composition import register_resolvers
from runge.composing.jobs import Job, begin_job, end_job, name_overrides
from runge.configuration.errors import RunError
from runge.process.machine import allow_open_files
from runge.records.checkpoints import state_path
from runge.records.directories import RunDirectory
from runge.records.files import locked
from runge.training.member import Member, Value, value_if_ended

__all__ = ["check_members", "train_jobs"]

_SECONDS_FOR_OTHERS = 60.0
"""How long to wait for another process that trains a run, such as a worker of a sweep that has just been killed."""

_OTHER_FILES = 256
"""How many files a process may have open besides the locks of its runs."""


def check_members(members: Sequence[Member], _report: Callable[[int], object]) -> None:
    """Make the stack of each of these runs without training it, and raise ConfigurationError if a value is wrong."""
    from runge.training.prepare import prepare  # late: the commanding process does not load Lightning

    for member in members:
        with name_overrides(member.overrides):
            prepare([member])


def train_jobs(jobs: Sequence[Job], state: Path | None, report: Callable[[int], object]) -> list[Value | RunError]:
    """Train jobs as one stack; each gets the directory and the log that Hydra's own launcher would leave.

    Messages logged while the stack is training, such as warnings, go to the last job's log.

    Args:
        jobs: the jobs.
        state: the file of their stack's state, if they have begun.
        report: called with the number of steps that the members have taken since the last call.

    Returns:
        The values of the objective of each job, or the error with which it ended.

    Raises:
        ConfigurationError: another process trains one of the runs, and does not end soon.
    """
    from runge.pictures.drawing import draw_into  # late, as above
    from runge.training.announcement import announce
    from runge.training.prepare import prepare
    from runge.training.train import train_and_record

    register_resolvers()
    allow_open_files(len(jobs) + _OTHER_FILES)
    with ExitStack() as locks:
        for job in jobs:
            locks.enter_context(locked(Path(job.directory), "hydra.sweep.dir", _SECONDS_FOR_OTHERS))
        gc.collect()  # the stack before this one, of which nothing else is left
        stack = prepare([job.member for job in jobs])
        directories = [RunDirectory(job.directory) for job in jobs]
        # Some runs of a resubmitted chunk may have ended already.
        values = [value_if_ended(job.member, run) for job, run in zip(jobs, directories, strict=True)]
        for i, (job, value) in enumerate(zip(jobs, values, strict=True)):
            if value is None:
                begin_job(job, partial(announce, stack, i))
        state = state or state_path(directories, Path(jobs[0].config.hydra.sweep.dir))
        outcomes = train_and_record(stack, directories, draw_into, lambda steps: report(steps * len(jobs)), state)
        return [
            end_job(job, outcome) if value is None else value
            for job, value, outcome in zip(jobs, values, outcomes, strict=True)
        ]
