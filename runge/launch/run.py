"""What Hydra has composed becomes a run, or a stack of them."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from runge.compare.tables import error_table
from runge.configuration import digest, strangers
from runge.errors import ConfigurationError, RunError, is_out_of_memory
from runge.function import read_checkpoint
from runge.launch.composition import plain, recorded
from runge.launch.jobs import Held, Job, as_job, ended_before, log_to_file, name_overrides, replay
from runge.metrics import STAGES, SWITCHED_ON_STEP, TOTAL_SECONDS, VAL_LOSS
from runge.records.checkpoints import saved
from runge.records.directories import RunDirectory, State, resumable
from runge.training.member import Member
from runge.training.stack import Outcome, Stack

log = logging.getLogger(__name__)


def run(configuration: DictConfig) -> float:
    """Train what Hydra has composed, in the directory that it has made.

    Args:
        configuration: the composed configuration.

    Returns:
        The validation loss.

    Raises:
        ConfigurationError: a key or a value is not allowed; the directory is removed again.
        RunError: the training diverged.
    """
    hydra = HydraConfig.get()
    directory, sweep = RunDirectory(hydra.runtime.output_dir), hydra.mode == RunMode.MULTIRUN
    directory.begin()
    resuming = configuration.get("resume") is not None
    try:
        given, resume = plain(configuration)
        if sweep:
            if isinstance(outcome := ended_before(given, directory), RunError):
                raise outcome
            if outcome is not None:
                return outcome
        elif resume is not None:
            given = _resumed(given, resume, directory)
        elif directory.status.exists():
            raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
        stack = make_stack([Member(given, hydra.overrides.task)])
    except BaseException as error:
        if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
            directory.write(State("failed", 0, str(error)))
        if not resuming:
            directory.discard()
        raise
    announce(stack)
    (outcome,) = stack.fit([directory])
    if not isinstance(outcome, RunError):
        Console().print(error_table(outcome, stack.data.dataset.test.regions))
    return conclude(outcome, directory, given)


def make_stack(members: Sequence[Member]) -> Stack:
    """Make a stack of these members.

    Raises:
        ConfigurationError: a size or a value is not allowed, or there is no memory for it.
    """
    try:
        return Stack(members)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigurationError("data, model: the points and the weights must fit into memory, and do not") from error


def announce(stack: Stack) -> None:
    """Log what each run of a stack begins with."""
    sizes = {split: points.x.shape[1] for split, points in stack.data.dataset._asdict().items()}
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in sizes.items()))


def conclude(outcome: Outcome, directory: RunDirectory, configuration: Mapping[str, Any]) -> float:
    """Log how a run has ended.

    Args:
        outcome: what `Stack.fit` says of it.
        directory: where it lies.
        configuration: its configuration.

    Returns:
        Its validation loss.

    Raises:
        RunError: it diverged.
    """
    if isinstance(outcome, RunError):
        log.error("%s", outcome)
        raise outcome
    switched = outcome[SWITCHED_ON_STEP]
    when = "never on" if switched is None else f"on from step {switched}"
    log.info("lambda_d %s; %.1f s; %s", when, outcome[TOTAL_SECONDS], os.path.relpath(directory.path))
    stages, asked = outcome[STAGES], configuration["model"]["stages"]
    if stages != asked:
        log.warning("residual stages: the next one did not lower the validation loss; %s of %s are kept", stages, asked)
    loss = outcome[VAL_LOSS]
    assert loss is not None
    return loss


def _resumed(given: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """The configuration that the run was begun with.

    Args:
        given: what the command composes without that.
        resume: the run.
        directory: where the command would go on.
    """
    if resumable(resume).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run goes on in its own directory; leave out hydra.run.dir")
    try:
        found = saved(directory)
        begun = read_checkpoint(found[max(found)].path)["configuration"] if found else recorded(directory)
    except ConfigurationError as error:
        raise ConfigurationError(f"resume: {error}") from error
    others = [override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")]
    same = digest(given) == digest(begun)
    if others and not same:
        raise ConfigurationError(f"resume: a run goes on as it was begun; leave out {' '.join(others)}")
    if not same and (named := strangers(begun)):
        raise ConfigurationError(
            f"resume: the run's files name {', '.join(named)}, and no module is imported for a file's sake; give the "
            "run's overrides once more, beside resume="
        )
    if found and len(found[max(found)].stack) > 1:
        log.warning(
            "the run was trained in a stack with others of its sweep: alone its figures are the same to round-off; the "
            "sweep's own command with hydra.sweep.dir= goes on to the same bits"
        )
    return given if same else {"logger": given.get("logger", {}), **begun}


def check(members: Sequence[Member]) -> None:
    """Make each of these runs and forget it.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """
    for member in members:
        with name_overrides(member.overrides):
            make_stack([member])


def train(callbacks: Callbacks, jobs: Sequence[Job], report: Callable[[int], object]) -> list[JobReturn]:
    """Train the jobs of a chunk, each in the directory, with the log and with the return that Hydra would leave.

    What is logged while all of them are trained, a warning say, stands in the log of the last one.

    Args:
        callbacks: Hydra's.
        jobs: the jobs, all at the same step.
        report: what is called with the number of steps that the members have taken since the last time.
    """
    stack = make_stack([job.member for job in jobs])
    held, directories = Held(callbacks), [RunDirectory(job.directory) for job in jobs]
    # A job that is sent once more, since its machine died, may find some of its runs ended.
    ended = [
        ended_before(job.member.configuration, directory) for job, directory in zip(jobs, directories, strict=True)
    ]
    returns = [
        as_job(held, job.config, lambda _: announce(stack)) if outcome is None else replay(callbacks, job, outcome)
        for job, outcome in zip(jobs, ended, strict=True)
    ]
    for returned, outcome in zip(returns, ended, strict=True):
        if outcome is None:
            _ = returned.return_value  # raises what has kept a job from beginning
    outcomes = stack.fit(directories, report=lambda steps: report(steps * len(jobs)))
    for job, returned, outcome, directory, before in zip(jobs, returns, outcomes, directories, ended, strict=True):
        if before is not None:
            continue
        if os.access(directory.path, os.W_OK) and directory.path.is_dir():  # else the outcome tells of it
            log_to_file(job.config)
        try:
            returned.return_value = conclude(outcome, directory, job.member.configuration)
        except RunError as error:
            returned.return_value, returned.status = error, JobStatus.FAILED
        callbacks.on_job_end(config=job.config, job_return=returned)
    return returns
