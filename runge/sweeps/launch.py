"""Fused sweeps: runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import shlex
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from runge.comparison.lead import FEWEST_SEEDS
from runge.composing.command import SweepCommand
from runge.composing.jobs import Job, JobReturn, job_return, log_as_sweep, make_jobs
from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import build, digest
from runge.process import machine
from runge.records.directories import RunDirectory, RunState
from runge.records.files import locked
from runge.sweeps.chunks import Chunk, begun_chunks, plan_chunks
from runge.sweeps.processes import Report, run_tasks
from runge.sweeps.slurm import PROCESSES, LauncherSettings, make_executor, run_jobs

__all__ = ["check_jobs", "count_processes", "interrupted", "launch", "read_command"]

log = logging.getLogger(__name__)

_MEMBERS, _MEMBERS_ON_GPU = 32, 1024
"""The most members of a stack by default; larger stacks are no faster and need more memory."""


def launch(
    command: SweepCommand,
    settings: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    failures: dict[str, str],
) -> list[JobReturn]:
    """Train a batch of a sweep's jobs; if the configuration of one is wrong, nothing is trained.

    Args:
        command: the command of the sweep.
        settings: the content of `LauncherSettings`.
        job_overrides: the overrides of each job.
        first: the number of the first job.
        failures: to it are added the messages of jobs whose directories cannot be written to, by their directories.

    Returns:
        For each job the values of its objective, or the error with which it ended, as Hydra's launchers return them.
    """
    log_as_sweep(command.config)
    directory, console = command.directory, Console(stderr=True)
    quiet = command.quiet and not machine.can_show_progress(console)
    try:
        launcher = build("hydra.launcher", settings, LauncherSettings)
        slurm = launcher.cluster == "slurm"
        executor = make_executor(launcher, directory.absolute() / ".submitit") if slurm else None
        processes = count_processes(settings)
        if not quiet:
            log.info("Launching %d jobs", len(job_overrides))
        jobs = make_jobs(command, job_overrides, first)
        if first == 0:  # runs of later batches have been checked, or differ in what a policy has proposed
            check_jobs(jobs, processes)
        if command.search == "none" and command.search_settings["batch"] is None:  # these are all runs
            _warn_of_few_seeds(jobs)
        for why, count in Counter(job.member.why_steps for job in jobs if not quiet and job.member.why_steps).items():
            log.info("%d runs are trained step by step, %s", count, why)
        on_gpu = any(job.member.on_gpu() for job in jobs)
        if slurm or on_gpu:  # one process fills a GPU
            processes = (launcher.processes or PROCESSES) if slurm else 1
        most = launcher.members or (_MEMBERS_ON_GPU if on_gpu else _MEMBERS)
        chunks, alone = plan_chunks(jobs, processes, most, begun_chunks(jobs, directory))

        from runge.sweeps.worker import train_jobs  # late, as in `check_jobs`

        tasks = [partial(train_jobs, [jobs[i] for i in chunk.jobs], chunk.state) for chunk in chunks]
        start = partial(run_tasks, tasks, processes=processes, threads=processes if alone else 1)
        if slurm:
            start = partial(run_jobs, tasks, executor=executor)
        values = watch_chunks(jobs, chunks, start, directory, failures, quiet)
        return [job_return(job, value) for job, value in zip(jobs, values, strict=True)]
    finally:
        log_as_sweep(command.config)


def read_command(context: Any, config: Any, settings: Mapping[str, Any] | None) -> SweepCommand:
    """Return the command of a sweep, without arguments, from what Hydra has composed.

    Args:
        context: Hydra's context.
        config: the configuration of the sweep.
        settings: the content of `LauncherSettings`; None: another launcher trains its runs.
    """
    return SweepCommand.of(context, config, None if settings is None else count_processes(settings))


def count_processes(settings: Mapping[str, Any]) -> int:
    """Return the number of processes of this machine that train."""
    launcher = build("hydra.launcher", settings, LauncherSettings)
    return launcher.processes if launcher.processes and launcher.cluster == "local" else machine.cores()


def check_jobs(jobs: Sequence[Job], processes: int = 1) -> None:
    """Make the points and the networks of each kind of job once, in several processes.

    Raises:
        ConfigurationError: a value is not allowed.
        RunError: a process died.
    """
    from runge.sweeps.worker import check_members  # late: a mistake in a key is reported before torch is loaded

    kinds = list({job.member.kind(): job.member for job in jobs}.values())
    shares = [share for i in range(processes) if (share := kinds[i::processes])]
    for _, value in list(run_tasks([partial(check_members, share) for share in shares], id, processes)):
        if isinstance(value, Exception):
            raise value


def interrupted(state: str, sweep: Path) -> SystemExit:
    """Return what ends the command of a sweep that was interrupted: its state, and how to continue in its directory."""
    how = f"to continue, run the same command with --out {shlex.quote(str(sweep))}"
    return SystemExit(f"error: interrupted; {state}; {how}")


def _warn_of_few_seeds(jobs: Sequence[Job]) -> None:
    """Log if the sweep repeats its groups of runs with several seeds, but too few to show that one of them leads.

    Nothing is shown of the folds of a cross-validation, whose runs are not independent.
    """
    if any(job.member.settings.data.folds for job in jobs):
        return
    seeds = Counter(job.member.apart_from_seed() for job in jobs)
    if len(seeds) > 1 and 1 < (most := max(seeds.values())) < FEWEST_SEEDS:
        what = f"{len(seeds)} groups of runs that differ in more than their seed"
        rule = "to show that the best leads by more than chance needs"
        log.warning("%s: %s %d seeds, not %d", what, rule, FEWEST_SEEDS, most)


def watch_chunks(
    jobs: Sequence[Job],
    chunks: Sequence[Chunk],
    start: Callable[[Report], Generator[tuple[int, Any], None, None]],
    directory: Path,
    failures: dict[str, str],
    quiet: bool,
) -> list[Any]:
    """Start the training of the chunks, show its progress, and return the value or the error of each job."""
    values = {i: job.outcome for i, job in enumerate(jobs) if job.outcome is not None}
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()]
    hidden = quiet or not all(job.member.settings.trainer.progress_bar for job in jobs)
    ended, total = 0, sum(len(chunk.jobs) * chunk.steps for chunk in chunks)
    console = Console(stderr=True)
    with Progress(*columns, console=console, auto_refresh=False, redirect_stdout=False, disable=hidden) as progress:
        bar = progress.add_task("", total=total, speed="")

        def show(steps: int) -> None:
            speed = f"{progress.tasks[0].speed or 0:,.0f} steps/s"
            progress.update(bar, advance=steps, speed=speed, description=f"{len(values)} of {len(jobs)} runs")
            progress.refresh()

        try:
            show(0)
            with closing(start(show)) as arriving:
                for number, value in arriving:
                    chunk = chunks[number]
                    values |= {i: _value_of(jobs[i], value, place, failures) for place, i in enumerate(chunk.jobs)}
                    ended += len(chunk.jobs) * chunk.steps
                    show(max(0, ended - int(progress.tasks[0].completed)))  # Slurm jobs do not report their steps
        except (KeyboardInterrupt, SystemExit) as error:
            finished = sum(RunDirectory(job.directory).metrics.exists() for job in jobs)
            raise interrupted(f"{finished} of {len(jobs)} runs are finished", directory) from error
    return [values[number] for number in range(len(jobs))]


def _value_of(job: Job, of_chunk: Any, place: int, failures: dict[str, str]) -> Any:
    """Return the value or the error of a job in a chunk, and write its failure to its directory, or else to `failures`.

    If the chunk has failed, so has the job, unless it had ended.
    """
    from runge.training.member import value_if_ended  # late, as in `check_jobs`

    if job.outcome is not None:
        return job.outcome
    run, value = RunDirectory(job.directory), of_chunk
    if not isinstance(of_chunk, Exception):
        value = of_chunk[place]
    else:
        with suppress(OSError, ConfigurationError):  # reported by the failure
            value = of_chunk if (outcome := value_if_ended(job.member, run)) is None else outcome
    if isinstance(value, Exception):
        try:
            run.hydra.stat()  # raises if the run has not begun, or its directory is gone
            with locked(run.path, "hydra.sweep.dir"):
                state = run.read_state() or RunState("running", 0)
                if state.status == "running":  # otherwise the fit has written how it ended
                    failed = replace(state, status="failed", message=describe(value), rows=job.member.checksum)
                    run.write(replace(failed, configuration=digest(job.member.settings.configuration)))
        except (OSError, ConfigurationError):
            failures[job.directory] = describe(value)
    return value
