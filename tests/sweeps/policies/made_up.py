"""Sweeps whose runs are not trained: the policy of a command, and what it does with made-up results."""

import json
import time
from types import SimpleNamespace

import numpy as np
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode

from runge.composing.command import SweepCommand
from runge.composing.composition import Composer
from runge.composing.overrides import check_overrides
from runge.metrics import ERRORS, FIT_SECONDS, TOTAL_SECONDS
from runge.records.directories import RunDirectory, RunState
from runge.sweeps.loop import policy_of, sweep
from runge.sweeps.policies.best.trained_runs import TrainedRun
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


def trained_run(directory=".", number=0, **changes):
    """Return a trained run of 40 steps in 0.1 s, of which step 30 was the best; it needs no files."""
    return TrainedRun(
        **{
            "directory": RunDirectory(directory), "number": number, "share": None, "used_share": None, "cut": False,
            "before": 0, "spent": 0.1, "unused": 0, "steps": 40, "max_steps": 40,
            "logged_steps": np.array([30, 40]), "logged_errors": np.array([-1.0, 0.0]),
        }
        | changes
        | {"metrics": {FIT_SECONDS: 0.1, TOTAL_SECONDS: 0.1} | changes.get("metrics", {})}
    )  # fmt: skip


def written(path, *, error, share=None, steps=4, seconds=2.0, history=None):
    """Return the directory of a run that had 100 steps and 9 s, with the files that a search reads."""
    directory = RunDirectory(path)
    split = {} if share is None else {"train": share}
    configuration = {"trainer": {"max_steps": 100, "max_seconds": 9.0}, "data": {"split": split}}
    path.mkdir()
    directory.configuration.write_text(json.dumps(configuration))
    metrics = dict.fromkeys(ERRORS, error) | {FIT_SECONDS: seconds, TOTAL_SECONDS: seconds + 1.0}
    columns = history or {"step": [1, steps], **{name: [2 * error, error] for name in ERRORS}}
    directory.write(RunState("finished", steps), history=columns, metrics=metrics)
    return directory
