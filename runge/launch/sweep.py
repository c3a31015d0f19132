"""Fused sweeps: the runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from hydra.version import VersionBase
from omegaconf import DictConfig
from tqdm import tqdm

from runge.configuration import build, digest
from runge.errors import ConfigurationError, RunError, describe
from runge.launch.cluster import Cluster, Settings
from runge.launch.composition import (
    Composer,
    plain,
    register_resolvers,
)
from runge.launch.jobs import Job, ended_before, foreign_run, name_overrides, replay
from runge.launch.planning import Chunk, plan
from runge.launch.pool import InProcess, Pool, Task
from runge.machine import cores
from runge.records.directories import ComparisonDirectory, RunDirectory, State
from runge.records.files import discard, printable

log = logging.getLogger(__name__)

_MOST, _MOST_ON_GPU = 32, 1024
"""Members of a stack: more bring no more, and need more memory."""


def launch(
    context: HydraContext,
    config: DictConfig,
    settings: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    failures: dict[str, str],
) -> Sequence[JobReturn]:
    """Run a batch of a sweep's jobs.

    Args:
        context: Hydra's.
        config: that of the sweep.
        settings: the section `hydra.launcher`.
        job_overrides: the overrides of each job.
        first: the number of the first job.
        failures: takes the messages of jobs whose directories cannot be written to, by the directories.

    Returns:
        What each job has returned.

    Raises:
        ConfigurationError: a job's configuration is wrong; nothing has been trained.
        SystemExit: the sweep was interrupted.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    directory = Path(config.hydra.sweep.dir)
    try:
        launcher = build("hydra.launcher", settings, Settings)
        slurm = launcher.cluster == "slurm"
        cluster = Cluster(call, launcher, (directory / ".submitit").absolute()) if slurm else None
    except ConfigurationError:
        discard(directory, {"multirun.yaml"})
        raise
    processes = launcher.processes if launcher.processes and cluster is None else cores()
    several = processes > 1 and len(job_overrides) > 1
    # The workers load what they need while the jobs are composed here.
    pool = Pool(call, processes, ["runge.launch.preload"]) if several else InProcess(call)
    log.info("Launching %d jobs", len(job_overrides))
    before = HydraConfig.instance().cfg
    try:
        with pool, cluster or nullcontext():
            jobs = prepare(context, config, job_overrides, first, pool)
            sweep = _Sweep(context, str(directory), jobs, failures)
            return sweep.train(cluster or pool, launcher.members, bool(launcher.gpus_per_node))
    finally:
        HydraConfig.instance().cfg = before
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)


def prepare(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    pool: Pool | InProcess,
) -> list[Job]:
    """Compose the jobs of a sweep, and build the data and weights of every kind of them once.

    Args:
        context: Hydra's.
        config: that of the sweep.
        job_overrides: what is asked for, job by job.
        first: the number of the first job.
        pool: where they are built.

    Raises:
        ConfigurationError: a key or a value of a job is not allowed; the sweep's directory is removed again.
    """
    compose = Composer(context.config_loader, config)
    try:
        jobs = [_job(compose(overrides, first + i)) for i, overrides in enumerate(job_overrides)]
        where = Counter(job.directory for job in jobs).most_common(1)
        if where and where[0][1] > 1:
            raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {where[0][0]!r} for two")
        _load_meanwhile()
        kinds = list({job.member.without_seed(): job.member for job in jobs}.values())
        parts = [part for i in range(pool.processes) if (part := kinds[i :: pool.processes])]
        for _, value in pool.run([Task(_call("check", context, part)) for part in parts], id):
            if isinstance(value, Exception):
                raise value
    except BaseException:
        discard(Path(config.hydra.sweep.dir), {"multirun.yaml"})
        raise
    return jobs


def _load_meanwhile() -> None:
    """Load what the comparison needs, while the workers load their libraries."""
    import scipy.stats  # noqa: F401

    import runge.compare.comparison  # noqa: F401


def check(context: HydraContext, config: DictConfig, job_overrides: Sequence[Sequence[str]], first: int) -> None:
    """Check the jobs of a sweep, from this number on, that another launcher will run.

    Raises:
        ConfigurationError: a key or a value of a job is not allowed.
    """
    before = HydraConfig.instance().cfg
    try:
        prepare(context, config, job_overrides, first, InProcess(call))
    finally:
        HydraConfig.instance().cfg = before


def compare(directory: str, failures: Mapping[str, str]) -> None:
    """Print the comparison of a sweep that has ended, and write it beside the runs.

    Args:
        directory: the sweep's directory; nothing is done where it is gone.
        failures: messages of runs whose own directories could not be written to, by the runs' directories.
    """
    if not Path(directory).is_dir():
        return
    from runge.compare.comparison import Comparison, collect, mark, publish

    try:
        if rows := mark(collect([directory]), failures):
            publish(Comparison(rows), ComparisonDirectory(directory))
    except (ValueError, OSError) as error:
        print(f"error: the comparison cannot be written: {printable(str(error))}", file=sys.stderr)


class _Sweep:
    """The jobs of one launch and what they have returned."""

    def __init__(self, context: HydraContext, directory: str, jobs: Sequence[Job], failures: dict[str, str]) -> None:
        self.context, self.directory, self.jobs, self.failures = context, directory, jobs, failures
        self.returns: dict[int, JobReturn] = {}

    def train(self, pool: Pool | InProcess | Cluster, members: int | None, on_gpu: bool) -> list[JobReturn]:
        """Train what is not finished.

        Args:
            pool: where.
            members: the most members of a stack; None: what suits the machine.
            on_gpu: whether it is a GPU of another machine.
        """
        context, jobs = self.context, self.jobs
        if not isinstance(pool, Cluster) and (on_gpu := any(job.member.on_gpu() for job in jobs)):
            pool = InProcess(call)  # which the GPU is filled by
        chunks, alone = plan(jobs, pool.processes, members or (_MOST_ON_GPU if on_gpu else _MOST))
        for number, job in enumerate(jobs):
            if job.outcome is not None:
                self.returns[number] = replay(context.callbacks, job, job.outcome)
        if alone and isinstance(pool, Pool):  # on all cores
            pool = InProcess(call)
        sizes = [len(chunk.jobs) * chunk.steps for chunk in chunks]
        tasks = [
            Task(_call("train", context, [jobs[i] for i in chunk.jobs]), size)
            for chunk, size in zip(chunks, sizes, strict=True)
        ]
        hidden = not all(job.member.training.progress_bar for job in self.jobs)
        with tqdm(
            total=sum(sizes), unit=" steps", unit_scale=True, dynamic_ncols=True, leave=False, disable=hidden
        ) as bar:
            bar.set_description(self._progress())
            try:
                for number, value in pool.run(tasks, bar.update):
                    self._take(chunks[number], value)
                    bar.set_description(self._progress())
            except (KeyboardInterrupt, SystemExit) as error:
                finished = sum(RunDirectory(job.directory).metrics.exists() for job in self.jobs)
                how = f"the same command with hydra.sweep.dir={self.directory} goes on"
                raise SystemExit(
                    f"error: interrupted; {finished} of {len(self.jobs)} runs are finished; {how}"
                ) from error
        return [self.returns[number] for number in range(len(self.jobs))]

    def _take(self, chunk: Chunk, value: Any) -> None:
        """Keep what a chunk has returned; where it failed, so have its jobs."""
        for i, number in enumerate(chunk.jobs):
            job = self.jobs[number]
            if job.outcome is not None:
                continue
            if isinstance(value, Exception) and (ended := self._ended(job)) is not None:
                self.returns[number] = replay(self.context.callbacks, job, ended)
            elif isinstance(value, Exception):
                failed = JobReturn(overrides=job.overrides, cfg=job.config, status=JobStatus.FAILED)
                failed.return_value = value
                self.returns[number] = failed
            else:
                self.returns[number] = value[i]
            if self.returns[number].status == JobStatus.FAILED:
                self._tell_of(job, self.returns[number]._return_value)

    def _ended(self, job: Job) -> float | RunError | None:
        """What a job returns that came to its end before the others of its chunk failed."""
        try:
            return ended_before(job.member.configuration, RunDirectory(job.directory))
        except (OSError, ConfigurationError):  # which `_tell_of` deals with
            return None

    def _tell_of(self, job: Job, error: Any) -> None:
        """See that the failure of a job is told in its directory, or else in the table alone."""
        directory = RunDirectory(job.directory)
        try:
            state = directory.read_state()
            if state is None or state.status == "running":  # else the fit has said it
                step = 0 if state is None else state.step
                directory.write(State("failed", step, describe(error), digest(job.member.configuration)))
        except (OSError, ConfigurationError):
            self.failures[job.directory] = describe(error)

    def _progress(self) -> str:
        return f"{len(self.returns)} of {len(self.jobs)} runs"


def _call(function: str, context: HydraContext, argument: Any) -> tuple[str, Any, Callbacks, Any]:
    """What `call` is called with: the function, what the process must know of Hydra, and its argument."""
    instances = Singleton.get_state()["instances"]
    return function, {kind: instances[kind] for kind in (JobRuntime, VersionBase)}, context.callbacks, argument


def call(what: tuple[str, Any, Callbacks, Any], report: Callable[[int], object]) -> Any:
    """Call a function of `runge.launch.run`, in a process that may know nothing of Hydra yet."""
    from runge.launch import run as job

    function, instances, callbacks, argument = what
    # In the commanding process Hydra has its state; to set it would load all plugins anew, as other classes.
    if JobRuntime not in (state := Singleton.get_state())["instances"]:
        Singleton.set_state({**state, "instances": {**state["instances"], **instances}})
        setup_globals()
        register_resolvers()
    if function == "check":
        return job.check(argument)
    return job.train(callbacks, argument, report)


def _job(config: DictConfig) -> Job:
    """Look at a composed job.

    Raises:
        ConfigurationError: a key or a value is not allowed.
    """
    from runge.records.checkpoints import saved
    from runge.training.member import Member  # late, as all that brings torch: the workers load it at the same time

    overrides = list(config.hydra.overrides.task)
    HydraConfig.instance().cfg = config  # pyright: ignore[reportAttributeAccessIssue]: `set_config` would copy it
    directory = os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir)
    run = RunDirectory(directory)
    with name_overrides(overrides):
        given, _ = plain(config)
        outcome = ended_before(given, run)
        member = Member(given, overrides)
        try:
            found = saved(run) if outcome is None else {}
        except ConfigurationError as error:
            log.warning("%s: it is put aside", error)
            run.last.replace(run.last.with_name(f"{run.last.name}.damaged"))
            found = saved(run)
        if any(one.configuration != digest(given) for one in found.values()):
            raise foreign_run(run)
    return Job(config, overrides, directory, member, outcome, found)
