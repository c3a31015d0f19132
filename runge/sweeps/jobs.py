"""The jobs of a sweep: what Hydra sees of each when it begins and ends, and which of them are trained together."""

import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from runge.configuration.command_line import setting
from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.configuration.objects import digest
from runge.metrics import VAL_LOSS
from runge.records.directories import RunDirectory
from runge.composing.composition import options_of

if TYPE_CHECKING:
    from runge.training.member import Member

log = logging.getLogger(__name__)

_CHUNKS = 2
"""The chunks for each process that are enough: of 1 to 4 the best for twelve sweeps on two processes, by estimate."""

TIME_OVER = "the time of the search was over"
"""The message of a run that was cut off at the deadline of its batch."""

Launch = Callable[[Sequence[Sequence[str]], int], Sequence[JobReturn]]
"""Trains the runs with some overrides, of which the first has a number, as a launcher of Hydra's does."""

Value = float | tuple[float, ...]
"""The return value of a job for Hydra's sweepers: the figures of its objective."""


class Job(NamedTuple):
    """One run of a sweep, and its outcome if it ended earlier: the values of its objective, or an error."""

    config: DictConfig
    overrides: list[str]
    directory: str
    member: "Member"
    outcome: Value | RunError | None


class Chunk(NamedTuple):
    """Jobs that are trained together: their numbers, the steps that each of them has left, and their saved state."""

    jobs: list[int]
    steps: int
    state: Path | None = None


@contextmanager
def name_overrides(overrides: Sequence[str]) -> Iterator[None]:
    """Add a job's overrides to the message of a ConfigurationError."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in the run {' '.join(overrides)})") from error


@contextmanager
def current_job(config: DictConfig) -> Iterator[None]:
    """Make a job's configuration Hydra's; `set_config` would copy it."""
    state = HydraConfig.instance()
    before, state.cfg = state.cfg, config  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        state.cfg = before


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
        raise _foreign_run(directory)
    check_rows(member, directory)
    try:
        if directory.metrics.exists():
            if (metrics := directory.read_metrics()).get(VAL_LOSS) is not None:
                return member.objective.returned(metrics)
            raise ConfigurationError(f"{directory.metrics} is damaged (it has no {VAL_LOSS})")
    except (ConfigurationError, LookupError, FileNotFoundError) as error:
        log.warning("%s: training the run again", error)
        directory.metrics.unlink(missing_ok=True)
    return DivergedError(f"diverged: {state.message}") if state.status == "diverged" else None


def check_rows(member: "Member", directory: RunDirectory) -> None:
    """Raise ConfigurationError if the table that a run is trained on has changed since the run began."""
    state = directory.read_state()
    if member.rows is not None and state is not None and state.rows not in ("", member.checksum):
        rule = f"must hold the rows with which the run in {str(directory.path)!r} began"
        how = f"{member.rows.table.file!r} has changed: restore it, or begin a new run"
        raise ConfigurationError(f"data.file: {rule}; {how}")


def _foreign_run(directory: RunDirectory) -> ConfigurationError:
    what = f"{str(directory.path)!r} holds a run of a different sweep"
    return ConfigurationError(f"hydra.sweep.dir: {what}; choose another directory, or give that sweep's overrides")


def begin_job(callbacks: Any, job: Job, announce: Callable[[], object]) -> JobReturn:
    """Make a job's directory, record and log, like Hydra's `run_job`, without its four copies of the configuration.

    `on_job_end` is not called before the job is trained.
    """
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
        callbacks.on_job_start(config=config, task_function=lambda _: None)
        directory.begin(job.member.configuration, job.overrides, options_of(config.hydra))
        log_to_file(config)
        announce()
    runtime = {"working_dir": os.getcwd(), "task_name": config.hydra.job.name}
    return JobReturn(job.overrides, config, config, **runtime, status=JobStatus.COMPLETED)


def log_to_file(config: DictConfig) -> None:
    """Configure logging as for a job, except on the console, which belongs to the sweep.

    For a program that calls the package only the file is opened: `configure_log` would close the program's handlers.
    """
    logging_config: Any = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    for logger in filter(None, (logging_config.get("root"), *(logging_config.get("loggers") or {}).values())):
        logger["handlers"] = [name for name in logger.get("handlers", []) if name != "console"]
    file = (logging_config.get("handlers") or {}).get("file")
    if logging_config["root"] is None and file:
        handler = logging.FileHandler(file["filename"])
        handler.setFormatter(logging.Formatter(logging_config["formatters"][file["formatter"]]["format"]))
        set_handlers(handler)
    configure_log(DictConfig(logging_config), config.hydra.verbose)


def log_as_sweep(config: DictConfig) -> None:
    """Configure logging as for a sweep, after that of a job."""
    if config.hydra.hydra_logging.root is None:
        set_handlers()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)


def set_handlers(*handlers: logging.Handler) -> None:
    """Log from the level INFO on, by these handlers only; close those of the job before."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for handler in root.handlers[:]:
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)


def job_return(job: Job, value: Value | Exception) -> JobReturn:
    """Return a job's return, for Hydra, from its value or error."""
    status = JobStatus.FAILED if isinstance(value, Exception) else JobStatus.COMPLETED
    returned = JobReturn(overrides=job.overrides, cfg=job.config, status=status)
    returned.return_value = value
    return returned


def value_or_error(returned: JobReturn) -> Any:
    """Return the value or the error of a job; of a failed one Hydra would raise the error, and print a message."""
    return replace(returned, status=JobStatus.COMPLETED).return_value


def interrupted(state: str, sweep: Path) -> SystemExit:
    """Return what ends the command of a sweep that was interrupted: its state, and how to continue in its directory."""
    how = f"to continue, run the same command with {setting('hydra.sweep.dir', sweep)}"
    return SystemExit(f"error: interrupted; {state}; {how}")


def begun_chunks(jobs: Sequence[Job], sweep: Path) -> list[Chunk]:
    """Return the unfinished stacks of a sweep that have a saved state. A damaged file is set aside.

    Only whole stacks resume. The files of stacks come before those of runs trained alone, and the latest first: of a
    run that is in several files, the first one counts.
    """
    from runge.records.checkpoints import STACKS, read_state

    numbers = {os.path.normpath(job.directory): number for number, job in enumerate(jobs)}
    alone = [RunDirectory(job.directory).last for job in jobs if job.outcome is None]
    stacks = sorted((sweep / STACKS).glob("*.ckpt"), key=lambda file: -file.stat().st_mtime_ns)
    chunks, taken = list[Chunk](), set[int]()
    for path in [*stacks, *filter(Path.exists, alone)]:
        try:
            saved = read_state(path)
        except ConfigurationError as error:
            log.warning("%s: set aside", error)
            path.replace(path.with_name(f"{path.name}.damaged"))
            continue
        together = [numbers[run] for run in saved.runs if run in numbers]
        if all(jobs[i].outcome is not None for i in together):
            continue
        for run, identity in zip(saved.runs, saved.digests, strict=True):
            if run in numbers and digest(jobs[numbers[run]].member.configuration) != identity:
                raise _foreign_run(RunDirectory(run))
        if len(together) < len(saved.runs):
            log.warning("%s is not continued: the command has %d of its %d runs", path, len(together), len(saved.runs))
        elif taken.isdisjoint(together):
            taken |= {*together}
            chunks.append(Chunk(together, _steps(jobs, together) - saved.step, path))
    return chunks


def plan(jobs: Sequence[Job], processes: int, most: int, begun: Sequence[Chunk] = ()) -> tuple[list[Chunk], bool]:
    """Divide jobs into unfinished chunks of at most `most`, in order; and say if the whole sweep is one.

    With several processes the chunks that take longest come first.

    Whole stacks that have begun resume (see `begun_chunks`), so their results are the same, bit for bit. All other jobs
    begin, divided as at the sweep's beginning, so that a resumed sweep has the stacks of an uninterrupted one. A job
    that its stack lacks, such as one whose files are damaged, is trained without it.
    """
    fresh, chunks = _divide(jobs, processes, most), list(begun)
    settled = {number for number, job in enumerate(jobs) if job.outcome is not None}.union(*(c.jobs for c in chunks))
    for chunk in fresh:
        if new := [number for number in chunk.jobs if number not in settled]:
            chunks.append(chunk._replace(jobs=new))
            if len(new) < len(chunk.jobs) and any(RunDirectory(jobs[i].directory).hydra.exists() for i in new):
                what = f"a stack of {len(chunk.jobs)} runs begins again with {len(new)} of them"
                log.warning("%s, whose figures are the same to round-off; they have no checkpoint", what)
    if processes > 1:
        chunks.sort(key=lambda chunk: len(chunk.jobs) * chunk.steps * jobs[chunk.jobs[0]].member.work(), reverse=True)
    return chunks, len(fresh) == 1


def _divide(jobs: Sequence[Job], processes: int, most: int) -> list[Chunk]:
    """Group the jobs that can share a stack, and cut each group into chunks of equal size.

    Each group has a chunk for each process, so that all have work to the end, whatever the groups cost. If there are
    many groups, they have fewer, because each stack takes time to set up. A chunk has at most `most` jobs.
    """
    groups: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        group = f"{job.member.shared()} {'' if job.member.optimizer.keeps_apart else number}"
        groups.setdefault(group, []).append(number)
    chunks_of_group = min(processes, math.ceil(_CHUNKS * processes / len(groups)))
    chunks = []
    for group in groups.values():
        count = min(len(group), max(chunks_of_group, math.ceil(len(group) / most)))
        chunks += [Chunk(group[i::count], _steps(jobs, group)) for i in range(count)]
    return chunks


def _steps(jobs: Sequence[Job], numbers: Sequence[int]) -> int:
    return jobs[numbers[0]].member.training.steps
