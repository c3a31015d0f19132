"""Sweeps whose runs are not trained: the policy of a command, and what it does with made-up results."""

import time
from types import SimpleNamespace

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode

from runge.composing.command import SweepCommand
from runge.composing.composition import Composer
from runge.composing.overrides import check_overrides
from runge.sweeps.loop import policy_of, sweep
from tests.conftest import composer


def read_command(*arguments):
    """Return the command of a sweep, given its overrides."""
    check_overrides(arguments)
    loader, ours = composer()._loader, [x for x in arguments if x != "-m"]
    config = loader.load_configuration("config", ours, RunMode.MULTIRUN)
    task = [x for x in ours if not x.startswith("hydra")]
    context, compose = SimpleNamespace(config_loader=loader, callbacks=None), Composer(loader, config)
    return SweepCommand(context, config, task, time.monotonic(), compose, 1)


def policy(*arguments):
    """Return the policy of a command."""
    return policy_of(read_command(*arguments))


def overrides_of(job):
    return dict(override.split("=", 1) for override in job)


class Launcher:
    """It makes up the result of each run from its number and its overrides; an exception is its failure.

    Attributes:
        batches: the overrides of the runs, batch by batch.
    """

    def __init__(self, result=lambda number, overrides: 1.0):
        self.result, self.batches = result, []

    def __call__(self, jobs, first):
        self.batches.append([overrides_of(job) for job in jobs])
        returns = []
        for number, overrides in enumerate(self.batches[-1], first):
            value = self.result(number, overrides)
            failed = isinstance(value, Exception)
            returns.append(JobReturn(status=JobStatus.FAILED if failed else JobStatus.COMPLETED))
            returns[-1].return_value = value
        return returns


def run(launcher, *arguments):
    """Run a command with a launcher; return the policy."""
    command = read_command(*arguments)
    made = policy_of(command)
    sweep(made, command, launcher, {})
    return made
