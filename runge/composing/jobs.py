"""The jobs of a sweep: their settings, and what Hydra sees of each when it begins and ends."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.utils import JobReturn, JobStatus, configure_log
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from runge.composing.command import SweepCommand
from runge.composing.composition import current_job, is_of_program, options_of, plain_data, register_resolvers
from runge.configuration.errors import ConfigurationError, RunError
from runge.process.interruption import interruption
from runge.records.directories import RunDirectory

if TYPE_CHECKING:
    from runge.training.member import Member, Outcome, Value

__all__ = ["OF_RUNS", "Job", "JobReturn", "begin_job", "end_job", "job_return", "log_as_sweep", "log_to_file"]
__all__ += ["end_log", "make_jobs", "name_overrides", "value_or_error"]

log = logging.getLogger(__name__)

_PACKAGE = logging.getLogger("runge")

OF_RUNS = ("runge.training.announcement", "runge.training.member")
"""The loggers that say how a run begins and ends."""


class Job(NamedTuple):
    """One run of a sweep.

    Attributes:
        config: its configuration, for Hydra.
        overrides: its overrides.
        directory: its directory.
        member: the run.
        outcome: the values of its objective, or an error, if it ended earlier; None: it has not ended.
        callbacks: Hydra's callbacks.
    """

    config: DictConfig
    overrides: list[str]
    directory: str
    member: "Member"
    outcome: "Value | RunError | None"
    callbacks: Any = None


def make_jobs(command: SweepCommand, overrides: Sequence[Sequence[str]], first: int) -> list[Job]:
    """Compose the jobs of a sweep, whose numbers begin with `first`, and read what their directories hold.

    Raises:
        ConfigurationError: a key or a value is not allowed, or two jobs have one directory.
        HydraException: an override is not allowed.
    """
    register_resolvers()
    composed = list[DictConfig]()
    for number, typed in enumerate(overrides, first):
        interruption.check()
        composed.append(command.compose(typed, number))

    from runge.training.member import (  # late: a mistake in a key is reported before torch is loaded
        Member,
        value_if_ended,
    )
    from runge.training.settings import Settings

    jobs, fixed = list[Job](), command.fixed_keys
    for config in composed:
        interruption.check()
        task, sweep = list(config.hydra.overrides.task), config.hydra.sweep
        with current_job(config), name_overrides(task):
            member = Member(Settings.of(plain_data(config)[0]), task, fixed=fixed)
            directory = os.path.join(sweep.dir, sweep.subdir)
            jobs.append(
                Job(config, task, directory, member, value_if_ended(member, RunDirectory(directory)), command.callbacks)
            )
    ((directory, count),) = Counter(job.directory for job in jobs).most_common(1)
    if count > 1:
        raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {directory!r} for {count} runs")
    if first == 0:  # once in a sweep
        for message in dict.fromkeys(filter(None, (job.member.fewer_folds for job in jobs))):
            log.warning("%s", message)
    return jobs


@contextmanager
def name_overrides(overrides: Sequence[str]) -> Iterator[None]:
    """Add a job's overrides to the message of a ConfigurationError."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in the run {' '.join(overrides)})") from error


def begin_job(job: Job, announce: Callable[[], object]) -> None:
    """Make a job's directory, record and log, like Hydra's `run_job`, without its four copies of the configuration."""
    config, directory = job.config, RunDirectory(job.directory)
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = os.path.abspath(directory.path)
    OmegaConf.set_readonly(config.hydra, True)
    with current_job(config):
        if config.hydra.output_subdir is not None:  # null if the run already has a record
            directory.hydra_part.mkdir(parents=True, exist_ok=True)
            configuration = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            OmegaConf.save(configuration, directory.hydra_part / "config.yaml")
            OmegaConf.save(OmegaConf.masked_copy(config, "hydra"), directory.hydra_part / "hydra.yaml")
            OmegaConf.save(OmegaConf.create(job.overrides), directory.hydra_part / "overrides.yaml")
        job.callbacks.on_job_start(config=config, task_function=lambda _: None)
        directory.begin(job.member.settings.configuration, job.overrides, options_of(config.hydra))
        log_to_file(config)
        announce()


def end_job(job: Job, outcome: "Outcome") -> "Value | RunError":
    """Log how a job has ended, and call Hydra's callbacks; return the values of its objective, or the error."""
    from runge.training.member import conclude

    directory = RunDirectory(job.directory)
    if os.access(directory.path, os.W_OK) and directory.path.is_dir():  # otherwise the outcome reports it
        log_to_file(job.config)
    try:
        value = conclude(outcome, directory, job.member)
    except RunError as error:
        value = error
    job.callbacks.on_job_end(config=job.config, job_return=job_return(job, value))
    return value


def log_to_file(config: DictConfig) -> None:
    """Configure logging as for a job, except on the console, which belongs to the sweep.

    For a program that calls the package only the messages of the package are written, and no handler but that of the
    file is touched: `configure_log` would close the program's.
    """
    logging_config: Any = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    for logger in filter(None, (logging_config.get("root"), *(logging_config.get("loggers") or {}).values())):
        logger["handlers"] = [name for name in logger.get("handlers", []) if name != "console"]
    file = (logging_config.get("handlers") or {}).get("file")
    if is_of_program(config.hydra) and file:
        end_log()
        handler = _RunLog(file["filename"])
        handler.setFormatter(logging.Formatter(logging_config["formatters"][file["formatter"]]["format"]))
        _PACKAGE.addHandler(handler)
        _PACKAGE.setLevel(logging.INFO)
    configure_log(DictConfig(logging_config), config.hydra.verbose)


def log_as_sweep(config: DictConfig) -> None:
    """Configure logging as for a sweep, after that of a job."""
    end_log()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)


def end_log() -> None:
    """Close the log of the run before, if a program calls the package."""
    for handler in _PACKAGE.handlers[:]:
        if isinstance(handler, _RunLog):
            _PACKAGE.removeHandler(handler)
            handler.close()


class _RunLog(logging.FileHandler):
    """The log of a run, beside the handlers of the program that calls the package."""


def job_return(job: Job, value: "Value | Exception") -> JobReturn:
    """Return a job's return, for Hydra, from its value or error."""
    status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
    runtime = {"working_dir": os.getcwd(), "task_name": job.config.hydra.job.name}
    returned = JobReturn(job.overrides, job.config, job.config, **runtime, status=status)
    returned.return_value = value
    return returned


def value_or_error(returned: JobReturn) -> Any:
    """Return the value or the error of a job; of a failed one Hydra would raise the error, and print a message."""
    return replace(returned, status=JobStatus.COMPLETED).return_value
