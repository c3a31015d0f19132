"""Fused sweeps: the runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import math
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, filter_overrides, run_job, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from tqdm import tqdm

from runge import command, machine
from runge.checkpoints import steps_taken
from runge.directories import RunDirectory, read_json
from runge.errors import ConfigurationError, RunError
from runge.job import announce, conclude, done_before, plain, stack
from runge.member import Member
from runge.pool import Pool, Task

if TYPE_CHECKING:
    from hydra_plugins.runge_fused import FusedLauncher

log = logging.getLogger(__name__)

_FEWEST, _MOST = 8, 32
"""Members of a stack: fewer do not fill a step, and more bring no more."""


@dataclass
class Job:
    """One run of a sweep.

    Attributes:
        config: its composed configuration.
        overrides: what of it was asked for.
        directory: where it goes.
        member: what its configuration says.
        step: the step of the checkpoint that it goes on from, or 0.
        loss: the validation loss, where it was finished before.
    """

    config: DictConfig
    overrides: list[str]
    directory: str
    member: Member
    step: int
    loss: float | None


class Chunk(NamedTuple):
    """Jobs that are trained together.

    Attributes:
        kind: what they share.
        jobs: their places in the sweep.
        steps: what each of them has yet to take.
    """

    kind: str
    jobs: list[int]
    steps: int


class Composer:
    """Composes the jobs of a sweep as Hydra's loader does, but each choice of groups only once.

    Args:
        loader: Hydra's loader.
        master: the sweep's configuration.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create(loader)
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], bytes] = {}

    def __call__(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The configuration of the job with this number."""
        try:
            config = self._compose([self._parse(override) for override in overrides])
        except OmegaConfBaseException:
            config = self._loader.load_sweep_config(self._master, list(overrides))  # which says what is wrong
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _parse(self, override: str) -> Override:
        if override not in self._parsed:
            (self._parsed[override],) = self._parser.parse_overrides([override])
        return self._parsed[override]

    def _compose(self, overrides: Sequence[Override]) -> DictConfig:
        plain = [override for override in overrides if self._is_value(override)]
        config = self._base(tuple(str(override.input_line) for override in overrides if override not in plain))
        for override in plain:
            OmegaConf.update(config, override.key_or_group, override.value())
        task = [str(override.input_line) for override in overrides]
        naming = config.hydra.job.config.override_dirname
        config.hydra.overrides.task = task
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=list(overrides),
            kv_sep=naming.kv_sep,
            item_sep=naming.item_sep,
            exclude_keys=naming.exclude_keys,
        )
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether it sets one value of a configuration that is composed already."""
        value = override.value()
        return (
            not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
            and override.key_or_group not in self._master.hydra.runtime.choices
            and (value is None or isinstance(value, bool | int | float | str))
        )

    def _base(self, groups: tuple[str, ...]) -> DictConfig:
        if groups not in self._bases:
            self._bases[groups] = pickle.dumps(self._loader.load_sweep_config(self._master, list(groups)))
        return pickle.loads(self._bases[groups])


def launch(launcher: "FusedLauncher", job_overrides: Sequence[Sequence[str]], first: int) -> Sequence[JobReturn]:
    """Run a batch of a sweep's jobs.

    Args:
        launcher: the launcher, as Hydra has set it up.
        job_overrides: what is asked for, job by job.
        first: the number of the first job.

    Returns:
        What each job has returned.

    Raises:
        ConfigurationError: a job's configuration is wrong; nothing has been trained.
        SystemExit: the sweep was interrupted.
    """
    setup_globals()
    configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)
    processes = machine.cores() if launcher.processes is None else launcher.processes
    for key, value in (("processes", processes), ("members", launcher.members or _MOST)):
        if value < 1:
            raise ConfigurationError(f"hydra.launcher.{key}: must be null or at least 1, got {value}")
    fusable = command.is_fusable(launcher.task_function)
    # The workers load what they need while the jobs are composed here.
    pool = Pool(_train, processes, ["runge.job"]) if fusable and processes > 1 and len(job_overrides) > 1 else None
    log.info("Launching %d jobs", len(job_overrides))
    compose = Composer(launcher.hydra_context.config_loader, launcher.config)
    configs = [compose(overrides, first + i) for i, overrides in enumerate(job_overrides)]
    Path(str(launcher.config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
    try:
        if not fusable:
            return [_run(launcher.hydra_context, config, launcher.task_function) for config in configs]
        return _Sweep(launcher, configs).train(pool)
    finally:
        configure_log(launcher.config.hydra.hydra_logging, launcher.config.hydra.verbose)


class _Sweep:
    """The jobs of one launch and what they have returned."""

    def __init__(self, launcher: "FusedLauncher", configs: Sequence[DictConfig]) -> None:
        self.launcher, self.context = launcher, launcher.hydra_context
        self.jobs = [_job(config) for config in configs]
        _check(self.jobs)
        self.returns: dict[int, JobReturn] = {}

    def train(self, pool: Pool | None) -> list[JobReturn]:
        """Train what is not finished, in this process or in those of the pool."""
        for number, job in enumerate(self.jobs):
            if job.loss is not None:
                loss = job.loss
                self.returns[number] = _run(self.context, job.config, lambda _, loss=loss: loss)
        chunks = plan(self.jobs, pool.processes if pool else 1, self.launcher.members)
        tasks = [Task(chunk.kind, (self.context, [self.jobs[i] for i in chunk.jobs])) for chunk in chunks]
        steps = sum(len(chunk.jobs) * chunk.steps for chunk in chunks)
        hidden = not all(job.member.training.progress_bar for job in self.jobs)
        with tqdm(total=steps, unit=" steps", unit_scale=True, dynamic_ncols=True, leave=False, disable=hidden) as bar:
            bar.set_description(self._progress())
            try:
                for number, value in self._results(pool, tasks, bar.update):
                    self._take(chunks[number], value)
                    bar.set_description(self._progress())
            except (KeyboardInterrupt, SystemExit) as error:
                where = self.launcher.config.hydra.sweep.dir
                how = f"{self._progress()}; the same command with hydra.sweep.dir={where} goes on"
                raise SystemExit(f"error: interrupted; {how}") from error
        return [self.returns[number] for number in range(len(self.jobs))]

    def _results(
        self, pool: Pool | None, tasks: Sequence[Task], report: Callable[[int], Any]
    ) -> Iterator[tuple[int, Any]]:
        if pool is not None and len(tasks) > 1:
            state = Singleton.get_state()
            with pool:
                yield from pool.run([Task(kind, (state, *argument)) for kind, argument in tasks], report)
            return
        for number, task in enumerate(tasks):
            try:
                yield number, train(*task.argument, report)
            except Exception as error:
                yield number, error

    def _take(self, chunk: "Chunk", value: Any) -> None:
        """Keep what a chunk has returned; where it failed, so have its jobs."""
        for i, number in enumerate(chunk.jobs):
            if not isinstance(value, Exception):
                self.returns[number] = value[i]
                continue
            job = self.jobs[number]
            directory = RunDirectory(job.directory)
            if not directory.status.exists() or read_json(directory.status)["status"] == "running":
                directory.path.mkdir(parents=True, exist_ok=True)
                directory.write_status("failed", job.step, str(value))
            self.returns[number] = JobReturn(
                overrides=job.overrides, cfg=job.config, status=JobStatus.FAILED, _return_value=value
            )

    def _progress(self) -> str:
        return f"{len(self.returns)} of {len(self.jobs)} runs"


def _job(config: DictConfig) -> "Job":
    """Look at a composed job.

    Raises:
        ConfigurationError: a key or a value is not allowed.
    """
    overrides = list(config.hydra.overrides.task)
    HydraConfig.instance().set_config(config)
    directory = os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir)
    run = RunDirectory(directory)
    with _told_by(overrides):
        given, _ = plain(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
        loss = done_before(given, run)
        step = steps_taken(run.last) if loss is None and run.last.exists() else 0
        return Job(config, overrides, directory, Member(given, overrides), step, loss)


def _check(jobs: "Sequence[Job]") -> None:
    """Build the data and weights of every kind of job once.

    Raises:
        ConfigurationError: a size or a value is not allowed.
    """
    for job in {job.member.without_seed(): job for job in jobs}.values():
        with _told_by(job.overrides):
            stack([job.member])


@contextmanager
def _told_by(overrides: Sequence[str]) -> Iterator[None]:
    """Tell of a mistake by the overrides of the job that has it."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in the run {' '.join(overrides)})") from error


def plan(jobs: "Sequence[Job]", processes: int, most: int | None) -> "list[Chunk]":
    """Sort jobs into chunks that share a stack, the longest first.

    Args:
        jobs: all jobs of the sweep; those that are finished are left out.
        processes: how many chunks are trained at the same time.
        most: the most members of a chunk; None: so many that each process has some two chunks, within 8 and 32, or
            all that can share a stack where there is a GPU.
    """
    waiting = [number for number, job in enumerate(jobs) if job.loss is None]
    if most is None:
        most = min(max(math.ceil(len(waiting) / (2 * processes)), _FEWEST), _MOST)
    groups: dict[str, list[int]] = {}
    for number in waiting:
        member, step = jobs[number].member, jobs[number].step
        alone = "" if member.optimizer.elementwise else str(number)
        groups.setdefault(f"{member.shared()} {step} {alone}", []).append(number)
    chunks: list[Chunk] = []
    for kind, numbers in groups.items():
        count = math.ceil(len(numbers) / most)
        member, step = jobs[numbers[0]].member, jobs[numbers[0]].step
        steps = member.training.max_steps - step
        chunks += [Chunk(kind, numbers[i::count], steps) for i in range(count)]
    return sorted(chunks, key=lambda chunk: -len(chunk.jobs) * chunk.steps * jobs[chunk.jobs[0]].member.work())


def train(context: HydraContext, jobs: "Sequence[Job]", report: Callable[[int], None]) -> list[JobReturn]:
    """Train the jobs of a chunk, each in the directory, with the log and with the return that Hydra would leave.

    Args:
        context: Hydra's.
        jobs: the jobs, all at the same step.
        report: what is called with the number of steps that the members have taken since the last time.
    """
    experiment = stack([job.member for job in jobs])
    held = HydraContext(config_loader=context.config_loader, callbacks=_Held(context.callbacks))
    returns = [_run(held, job.config, lambda _: announce(experiment)) for job in jobs]
    directories = [RunDirectory(job.directory) for job in jobs]
    outcomes = experiment.fit(
        directories, resume=jobs[0].step > 0, report=lambda steps: report(steps * len(jobs))
    )
    for job, returned, outcome, directory in zip(jobs, returns, outcomes, directories, strict=True):
        _log_to_file(job.config)
        try:
            returned.return_value = conclude(outcome, directory)
        except RunError as error:
            returned.return_value, returned.status = error, JobStatus.FAILED
        context.callbacks.on_job_end(config=job.config, job_return=returned)
    return returns


def _train(argument: tuple[Any, HydraContext, "Sequence[Job]"], report: Callable[[int], None]) -> list[JobReturn]:
    """`train` in a process of its own, which knows nothing of Hydra yet."""
    state, context, jobs = argument
    Singleton.set_state(state)
    setup_globals()
    command.register_resolvers()
    return train(context, jobs, report)


class _Held(Callbacks):
    """Callbacks of which the end of a job is held back, until it has been trained."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks = callbacks.callbacks

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Wait."""


def _run(context: HydraContext, config: DictConfig, task: Callable[[DictConfig], Any]) -> JobReturn:
    """Run a task as a job of Hydra's, that logs to its file."""
    HydraConfig.instance().set_config(config)

    def logged(task_config: DictConfig) -> Any:
        _log_to_file(config)
        return task(task_config)

    return run_job(
        hydra_context=context,
        task_function=logged,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )


def _log_to_file(config: DictConfig) -> None:
    """Configure logging as a job does, but for the console, which belongs to the sweep."""
    logging_config = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    assert isinstance(logging_config, dict)
    for logger in (logging_config.get("root", {}), *logging_config.get("loggers", {}).values()):
        logger["handlers"] = [name for name in logger.get("handlers", []) if name != "console"]
    configure_log(OmegaConf.create(logging_config), config.hydra.verbose)
