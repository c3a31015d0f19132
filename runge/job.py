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

from runge.composition import Job, as_job, done_before, log_to_file, plain, told_by
from runge.directories import RunDirectory, resumable
from runge.errors import ConfigurationError, RunError
from runge.experiment import Experiment, Outcome
from runge.function import read_checkpoint
from runge.member import Member
from runge.tables import error_table

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
    try:
        given, resume = plain(configuration)
        if sweep:
            if (finished := done_before(given, directory)) is not None:
                return finished
            resume = directory.path if directory.last.exists() else None
        elif resume is not None:
            given = _resumed(given, resume, directory)
        elif directory.status.exists():
            raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
        experiment = stack([Member(given, hydra.overrides.task)])
    except BaseException as error:
        if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
            directory.write_status("failed", 0, str(error))
        directory.discard()
        raise
    announce(experiment)
    (outcome,) = experiment.fit([directory], resume=resume is not None)
    if not isinstance(outcome, RunError):
        Console().print(error_table(outcome, experiment.data.dataset.test.regions))
    return conclude(outcome, directory, given)


def stack(members: Sequence[Member]) -> Experiment:
    """Make a stack of these members.

    Raises:
        ConfigurationError: a size or a value is not allowed, or there is no memory for it.
    """
    try:
        return Experiment(members)
    except (RuntimeError, MemoryError) as error:
        if "alloc" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        raise ConfigurationError("data, model: the points and the weights must fit into memory, and do not") from error


def announce(experiment: Experiment) -> None:
    """Log what each run of a stack begins with."""
    sizes = {split: points.x.shape[1] for split, points in experiment.data.dataset._asdict().items()}
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in sizes.items()))


def conclude(outcome: Outcome, directory: RunDirectory, configuration: Mapping[str, Any]) -> float:
    """Log how a run has ended.

    Args:
        outcome: what `Experiment.fit` says of it.
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
    switched = outcome["switched_on_step"]
    when = "never on" if switched is None else f"on from step {switched}"
    log.info("lambda_d %s; %.1f s; %s", when, outcome["seconds/total"], os.path.relpath(directory.path))
    stages, asked = outcome["stages"], configuration["model"]["stages"]
    if stages != asked:
        log.warning("residual stages: the next one did not lower the validation loss; %s of %s are kept", stages, asked)
    loss = outcome["val/loss"]
    assert loss is not None
    return loss


def _resumed(plain: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """The configuration that the run was begun with."""
    if resumable(resume).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run goes on in its own directory; leave out hydra.run.dir")
    try:
        saved = read_checkpoint(directory.last)["configuration"]
    except ConfigurationError as error:
        raise ConfigurationError(f"resume: {error}") from error
    others = [override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")]
    if others and plain != saved:
        raise ConfigurationError(f"resume: a run goes on as it was begun; leave out {' '.join(others)}")
    return saved


def check(members: Sequence[Member]) -> None:
    """Make each of these runs and forget it.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """
    for member in members:
        with told_by(member.overrides):
            stack([member])


def train(callbacks: Callbacks, jobs: Sequence[Job], report: Callable[[int], object]) -> list[JobReturn]:
    """Train the jobs of a chunk, each in the directory, with the log and with the return that Hydra would leave.

    What is logged while all of them are trained, a warning say, stands in the log of the last one.

    Args:
        callbacks: Hydra's.
        jobs: the jobs, all at the same step.
        report: what is called with the number of steps that the members have taken since the last time.
    """
    experiment = stack([job.member for job in jobs])
    held = _Held(callbacks)
    returns = [as_job(held, job.config, lambda _: announce(experiment)) for job in jobs]
    for returned in returns:
        _ = returned.return_value  # raises what has kept a job from beginning
    directories = [RunDirectory(job.directory) for job in jobs]
    outcomes = experiment.fit(directories, resume=jobs[0].step > 0, report=lambda steps: report(steps * len(jobs)))
    for job, returned, outcome, directory in zip(jobs, returns, outcomes, directories, strict=True):
        log_to_file(job.config)
        try:
            returned.return_value = conclude(outcome, directory, job.member.configuration)
        except RunError as error:
            returned.return_value, returned.status = error, JobStatus.FAILED
        callbacks.on_job_end(config=job.config, job_return=returned)
    return returns


class _Held(Callbacks):
    """Callbacks of which the end of a job is held back, until it has been trained."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks = callbacks.callbacks

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Wait."""
