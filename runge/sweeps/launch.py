"""Fused sweeps: runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import os
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.utils import JobReturn, JobStatus, setup_globals
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from runge import machine
from runge.comparison.lead import FEWEST_SEEDS
from runge.configuration.errors import ConfigurationError, RunError, describe
from runge.configuration.objects import build, digest
from runge.interruption import interruption
from runge.records.directories import RunDirectory, RunState
from runge.records.files import locked
from runge.composing.composition import Composer, fixed_keys, plain_data
from runge.sweeps.jobs import (
    TIME_OVER,
    Chunk,
    Job,
    begun_chunks,
    current_job,
    ended_before,
    interrupted,
    job_return,
    log_as_sweep,
    name_overrides,
    plan,
    value_or_error,
)
from runge.sweeps.processes import Report, run_tasks
from runge.sweeps.slurm import PROCESSES, LauncherSettings, make_executor, run_jobs

if TYPE_CHECKING:
    from runge.training.member import Member

log = logging.getLogger(__name__)

_MOST, _MOST_ON_GPU = 32, 1024
"""The most members of a stack; larger stacks are no faster and need more memory."""


def launch(
    callbacks: Any,
    compose: Composer,
    config: DictConfig,
    settings: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    failures: dict[str, str],
    quiet: bool = False,
) -> Sequence[JobReturn]:
    """Run a batch of a sweep's jobs, and return their returns.

    The messages of jobs whose directories cannot be written to are added to `failures`, by their directories. If a
    job's configuration is wrong, nothing is trained.
    """
    log_as_sweep(config)
    directory = Path(config.hydra.sweep.dir)
    try:
        launcher = build("hydra.launcher", settings, LauncherSettings)
        slurm = launcher.cluster == "slurm"
        executor = make_executor(launcher, directory.absolute() / ".submitit") if slurm else None
        processes = count_processes(settings)
        if not quiet:
            log.info("Launching %d jobs", len(job_overrides))
        # The runs of later batches have been checked, or differ from the first ones in what a policy has proposed.
        jobs = check_jobs(compose, config, job_overrides, first, processes, build_stacks=first == 0)
        if config.hydra.runtime.choices.get("search") == "none" and config.search.batch is None:  # these are all runs
            _warn_of_few_seeds(jobs)
        on_gpu = any(job.member.on_gpu() for job in jobs)
        if slurm or on_gpu:  # one process fills a GPU
            processes = (launcher.processes or PROCESSES) if slurm else 1
        most = launcher.members or (_MOST_ON_GPU if on_gpu else _MOST)
        chunks, alone = plan(jobs, processes, most, begun_chunks(jobs, directory))

        from runge.sweeps.run import train_jobs  # late, as in `check_jobs`

        searches = config.hydra.runtime.choices.get("search") == "best"  # which has checked the labels
        train = partial(train_jobs, checks_labels=not searches)
        tasks = [partial(train, callbacks, [jobs[i] for i in chunk.jobs], chunk.state) for chunk in chunks]
        start = (
            partial(run_jobs, tasks, executor=executor)
            if slurm
            else partial(run_tasks, tasks, processes=processes, threads=processes if alone else 1)
        )
        return watch_chunks(jobs, chunks, start, directory, failures, quiet)
    finally:
        log_as_sweep(config)


def count_processes(settings: Mapping[str, Any]) -> int:
    """Return the number of processes of this machine that train."""
    launcher = build("hydra.launcher", settings, LauncherSettings)
    return launcher.processes if launcher.processes and launcher.cluster == "local" else machine.cores()


def check_jobs(
    compose: Composer,
    config: DictConfig,
    overrides: Sequence[Sequence[str]],
    first: int,
    processes: int = 1,
    build_stacks: bool = True,
) -> list[Job]:
    """Compose the jobs of a sweep, whose numbers begin with `first`, read what their directories hold, and check them.

    If `build_stacks` is true, data and weights are built once for each kind of job, in several processes.
    """
    from runge.sweeps.run import check_members  # late, as torch is: a mistake in a key is reported before
    from runge.training.member import Member

    setup_globals()
    jobs, fixed = list[Job](), fixed_keys(cast(dict[str, Any], OmegaConf.to_container(config.hydra)))
    for number, typed in enumerate(overrides, first):
        interruption.check()
        composed = compose(typed, number)
        task, sweep = list(composed.hydra.overrides.task), composed.hydra.sweep
        with current_job(composed), name_overrides(task):
            member = Member(plain_data(composed)[0], task, fixed=fixed)
            directory = os.path.join(sweep.dir, sweep.subdir)
            jobs.append(Job(composed, task, directory, member, ended_before(member, RunDirectory(directory))))
    ((directory, count),) = Counter(job.directory for job in jobs).most_common(1)
    if count > 1:
        raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {directory!r} for {count} runs")
    if first == 0:  # once in a sweep
        for message in dict.fromkeys(filter(None, (job.member.fewer_folds for job in jobs))):
            log.warning("%s", message)
    if not build_stacks:
        return jobs
    kinds = list({job.member.kind(): job.member for job in jobs}.values())
    shares = [share for i in range(processes) if (share := kinds[i::processes])]
    for _, value in list(run_tasks([partial(check_members, share) for share in shares], id, processes)):
        if isinstance(value, Exception):
            raise value
    return jobs


def _warn_of_few_seeds(jobs: Sequence[Job]) -> None:
    """Log if the sweep repeats its groups of runs with several seeds, but too few to show that one of them leads.

    Nothing is shown of the folds of a cross-validation, whose runs are not independent.
    """
    if any(job.member.data.folds for job in jobs):
        return
    seeds = Counter(job.member.apart_from_seed() for job in jobs)
    if len(seeds) > 1 and 1 < (most := max(seeds.values())) < FEWEST_SEEDS:
        what = f"{len(seeds)} groups of runs that differ in more than their seed"
        log.warning(
            "%s: to show that the best leads by more than chance needs %d seeds, not %d", what, FEWEST_SEEDS, most
        )


def watch_chunks(
    jobs: Sequence[Job],
    chunks: Sequence[Chunk],
    start: Callable[[Report], Generator[tuple[int, Any], None, None]],
    directory: Path,
    failures: dict[str, str],
    quiet: bool,
) -> list[JobReturn]:
    """Start the training of the chunks, show its progress, and return the returns of all jobs."""
    returns = {i: job_return(job, job.outcome) for i, job in enumerate(jobs) if job.outcome is not None}
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()]
    hidden = quiet or not all(job.member.training.progress_bar for job in jobs)
    ended, total = 0, sum(len(chunk.jobs) * chunk.steps for chunk in chunks)
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, disable=hidden) as progress:
        bar = progress.add_task("", total=total, speed="")

        def show(steps: int) -> None:
            speed = f"{progress.tasks[0].speed or 0:,.0f} steps/s"
            progress.update(bar, advance=steps, speed=speed, description=f"{len(returns)} of {len(jobs)} runs")
            progress.refresh()

        try:
            show(0)
            with closing(start(show)) as arriving:
                for number, value in arriving:
                    chunk = chunks[number]
                    returns |= {i: _returned(jobs[i], value, place, failures) for place, i in enumerate(chunk.jobs)}
                    ended += len(chunk.jobs) * chunk.steps
                    show(max(0, ended - int(progress.tasks[0].completed)))  # Slurm jobs do not report their steps
        except (KeyboardInterrupt, SystemExit) as error:
            if interruption.time_is_over:
                cut = RunError(TIME_OVER)
                return [returns.get(number) or job_return(job, cut) for number, job in enumerate(jobs)]
            finished = sum(RunDirectory(job.directory).metrics.exists() for job in jobs)
            raise interrupted(f"{finished} of {len(jobs)} runs are finished", directory) from error
    return [returns[number] for number in range(len(jobs))]


def _returned(job: Job, value: Any, place: int, failures: dict[str, str]) -> JobReturn:
    """Return the return of a job in a chunk, and write its failure to its directory, or else to `failures`.

    If the chunk has failed, so has the job, unless it had ended.
    """
    run = RunDirectory(job.directory)
    if job.outcome is not None:
        return job_return(job, job.outcome)
    if isinstance(value, Exception):
        with suppress(OSError, ConfigurationError):  # reported by the failure
            value = outcome if (outcome := ended_before(job.member, run)) is not None else value
        returned = job_return(job, value)
    else:
        returned = value[place]
        returned.cfg = returned.hydra_cfg = job.config
    if returned.status == JobStatus.FAILED:
        message = describe(value_or_error(returned))
        try:
            _write_failure(run, job.member, message)
        except (OSError, ConfigurationError):
            failures[job.directory] = message
    return returned


def _write_failure(run: RunDirectory, member: "Member", message: str) -> None:
    """Write to a run's directory that it has failed, unless the fit has written how it ended.

    Raises:
        OSError: the directory is gone, or cannot be written to, or the run had not begun.
        ConfigurationError: another process trains the run.
    """
    run.hydra.stat()
    with locked(run.path, "hydra.sweep.dir"):
        state = run.read_state() or RunState("running", 0)
        if state.status == "running":
            identity, rows = digest(member.configuration), member.checksum
            run.write(replace(state, status="failed", message=message, configuration=identity, rows=rows))
