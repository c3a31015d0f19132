"""The jobs of a sweep, and what Hydra sees of each when it begins and ends."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from runge.configuration import digest
from runge.errors import ConfigurationError, DivergedError, RunError
from runge.metrics import VAL_LOSS
from runge.objective import Pruned, best_row
from runge.runs.directories import RunDirectory
from runge.runs.reading import read_columns

if TYPE_CHECKING:
    from runge.training.member import Member

log = logging.getLogger(__name__)

Value = float | tuple[float, ...] | Pruned
"""The return value of a job for Hydra's sweepers: the figures of its objective, or the rung at which it left."""


@contextmanager
def name_overrides(overrides: Sequence[str]) -> Iterator[None]:
    """Add a job's overrides to the message of a ConfigurationError."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in the run {' '.join(overrides)})") from error


@dataclass
class Job:
    """One run of a sweep.

    Attributes:
        config: its composed configuration.
        overrides: its overrides.
        directory: its run directory.
        member: its checked configuration.
        outcome: what it returned, the values of its objective or an error, if it ended earlier.
    """

    config: DictConfig
    overrides: list[str]
    directory: str
    member: "Member"
    outcome: "Value | RunError | None"


@contextmanager
def current(config: DictConfig) -> Iterator[None]:
    """Make a job's configuration Hydra's; `set_config` would copy it."""
    state = HydraConfig.instance()
    before, state.cfg = state.cfg, config  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        state.cfg = before


def foreign_run(directory: RunDirectory) -> ConfigurationError:
    """Return the error for a directory that holds a run of a different sweep."""
    what = f"{str(directory.path)!r} holds a run of a different sweep"
    return ConfigurationError(f"hydra.sweep.dir: {what}; choose another directory, or give that sweep's overrides")


def check_rows(member: "Member", directory: RunDirectory) -> None:
    """Raise ConfigurationError if the table that a run is trained on has changed since the run began."""
    state = directory.read_state()
    if member.rows is not None and state is not None and state.rows not in ("", member.checksum):
        rule = f"must hold the rows with which the run in {str(directory.path)!r} began"
        how = f"{member.rows.table.file!r} has changed: restore it, or begin a new run"
        raise ConfigurationError(f"data.file: {rule}; {how}")


def ended_before(member: "Member", directory: RunDirectory) -> Value | RunError | None:
    """Return the objective of a sweep's run that has ended, or an error if it diverged; None if it has not ended.

    Raises:
        ConfigurationError: the directory holds a run of another configuration or of other rows, or its status is
            damaged.
    """
    state = directory.read_state()
    if state is None:
        return None
    if state.configuration not in ("", digest(member.configuration)):
        raise foreign_run(directory)
    check_rows(member, directory)
    if directory.metrics.exists():
        try:
            if (metrics := directory.read_metrics()).get(VAL_LOSS) is not None:
                return member.objective.returned(metrics)
            raise ConfigurationError(f"{directory.metrics} is damaged (it has no {VAL_LOSS})")
        except ConfigurationError as error:
            log.warning("%s: finishing the run again from its last checkpoint", error)
            directory.metrics.unlink()
    if state.status == "pruned":
        try:
            return Pruned(
                state.step, member.objective.values(best_row(read_columns(directory, directory.history, None, 10**9)))
            )
        except (ConfigurationError, LookupError, OSError) as error:
            log.warning("%s: training the run again from its last checkpoint", error)
    return DivergedError(f"diverged: {state.message}") if state.status == "diverged" else None


def job_return(job: Job, value: Value | Exception) -> JobReturn:
    """Return a job's return, for Hydra, from its value or error."""
    status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
    returned = JobReturn(overrides=job.overrides, cfg=job.config, status=status)
    returned.return_value = value
    return returned


def value_or_error(returned: JobReturn) -> Any:
    """Return the value or the error of a job; Hydra's property raises the error, and prints a message."""
    return returned._return_value


def begin_job(callbacks: Any, job: Job, announce: Callable[[], object]) -> JobReturn:
    """Make a job's directory, record and log, like Hydra's `run_job`, without its four copies of the configuration.

    `on_job_end` is not called before the job is trained.

    Raises:
        OSError: the directory cannot be written to.
    """
    config, directory = job.config, RunDirectory(job.directory)
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = os.path.abspath(directory.path)
    OmegaConf.set_readonly(config.hydra, True)
    with current(config):
        if config.hydra.output_subdir is not None:  # null if the run already has a record
            own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
            parts = {
                "config": own,
                "hydra": OmegaConf.masked_copy(config, "hydra"),
                "overrides": OmegaConf.create(job.overrides),
            }
            directory.hydra_part.mkdir(parents=True, exist_ok=True)
            for name, part in parts.items():
                OmegaConf.save(part, directory.hydra_part / f"{name}.yaml")
        callbacks.on_job_start(config=config, task_function=lambda _: None)
        directory.begin(job.member.configuration, job.overrides)
        log_to_file(config)
        announce()
    runtime = {"working_dir": os.getcwd(), "task_name": config.hydra.job.name}
    return JobReturn(job.overrides, config, config, **runtime, status=JobStatus.COMPLETED)


def log_to_file(config: DictConfig) -> None:
    """Configure logging as for a job, except on the console, which belongs to the sweep."""
    logging_config: Any = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    for logger in filter(None, (logging_config.get("root"), *(logging_config.get("loggers") or {}).values())):
        logger["handlers"] = [name for name in logger.get("handlers", []) if name != "console"]
    configure_log(DictConfig(logging_config), config.hydra.verbose)
