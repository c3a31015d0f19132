"""Fused sweeps: runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from runge import machine
from runge.compare.groups import seeds_needed
from runge.configuration import build, digest
from runge.errors import ConfigurationError, describe, setting
from runge.launch.compose import Composer, combinations, fixed_keys, plain
from runge.launch.jobs import (
    Chunk,
    Job,
    begun_chunks,
    current,
    ended_before,
    job_return,
    name_overrides,
    plan,
    value_or_error,
)
from runge.launch.processes import run_tasks, start_loading
from runge.launch.slurm import PROCESSES, LauncherSettings, make_executor, run_jobs
from runge.machine import interruption
from runge.records.directories import RunDirectory, State
from runge.records.files import discard, locked, printable
from runge.validation import Count, checked

log = logging.getLogger(__name__)

_MOST, _MOST_ON_GPU = 32, 1024
"""The most members of a stack; larger stacks are no faster and need more memory."""


@checked
class SweeperSettings:
    """The section `hydra.sweeper`.

    Attributes:
        max_batch_size: the most jobs that are launched at a time, >= 1; None: all of them.
        params: values of keys to sweep over, as on the command line.
        compare: false skips the comparison at the end.
    """

    max_batch_size: Count | None
    params: Mapping[str, Any] | None
    compare: bool


def run_grid(
    context: HydraContext, config: DictConfig, settings: Mapping[str, Any], launcher: Any, arguments: Sequence[str]
) -> None:
    """Run every combination of the values in the command's arguments, in batches, and compare the runs."""
    sweeper = build("hydra.sweeper", settings, SweeperSettings)
    with compared(config, sweeper, launcher):
        given = [f"{key}={value}" for key, value in (sweeper.params or {}).items()]
        runs = combinations([*given, *arguments], context.config_loader)
        compose = Composer(context.config_loader, config)
        compose(runs[0], 0)  # a mistake in a key is reported before torch is loaded
        fused = hasattr(launcher, "failures")
        if len(runs) > 1 and fused:
            begin_processes(launcher.settings)  # they load what they need meanwhile
        runs = _with_folds(compose, runs)
        OmegaConf.save(config, Path(config.hydra.sweep.dir) / "multirun.yaml")
        size = sweeper.max_batch_size or len(runs)
        batches = {first: runs[first : first + size] for first in range(0, len(runs), size)}
        if not fused or len(batches) > 1:  # else they are checked in the launcher's processes
            for first, batch in batches.items():
                check_jobs(context, config, batch, first)
        failed: JobReturn | None = None
        for first, batch in batches.items():
            for returned in launcher.launch(batch, initial_job_idx=first):
                failed = failed or (returned if returned.status != JobStatus.COMPLETED else None)
        if failed is not None:
            _ = failed.return_value  # which raises the job's error


def _with_folds(compose: Composer, runs: Sequence[list[str]]) -> list[list[str]]:
    """Replace each run that has folds by one run for each of them."""
    from runge.launch.folds import folds  # late: it loads torch

    some = list[list[str]]()
    for run in runs:
        may = any(one.lstrip("+").startswith(("data", "experiment")) for one in run)  # composing others takes 82 ms
        some += [[*run, fold] for fold in (folds(compose(run, 0)) if may else ())] or [run]
    return some


@contextmanager
def compared(config: DictConfig, sweeper: Any, launcher: Any) -> Iterator[None]:
    """Keep other sweeps out of the sweep's directory, and compare its runs at the end, but not after an interrupt.

    If nothing has begun in the directory, it is removed.
    """
    directory, failure = Path(config.hydra.sweep.dir), None
    with locked(directory, "hydra.sweep.dir"):
        try:
            yield
        except Exception as error:
            failure = error
        finally:
            with suppress(OSError):  # the error that is already being raised matters more
                discard(directory, {"multirun.yaml"})
        if sweeper.compare and directory.is_dir():
            from runge.compare.leaderboard import read_leaderboard
            from runge.compare.ranking import Ranking, collect, mark
            from runge.compare.report import publish
            from runge.compare.search import read_search

            try:
                if rows := mark(collect([str(directory)]), getattr(launcher, "failures", {})):
                    of_sweep = {"search": read_search([directory]), "race": read_leaderboard([directory])}
                    publish(Ranking(rows, **of_sweep), directory)
            except (ValueError, OSError) as error:
                print(f"error: the comparison cannot be written: {printable(str(error))}", file=sys.stderr)
        if failure is not None:
            raise failure


def launch(
    context: HydraContext,
    config: DictConfig,
    settings: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    failures: dict[str, str],
) -> Sequence[JobReturn]:
    """Run a batch of a sweep's jobs, and return their returns.

    The messages of jobs whose directories cannot be written to are added to `failures`, by their directories. If a
    job's configuration is wrong, nothing is trained.
    """
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    directory, sweeper = Path(config.hydra.sweep.dir), config.hydra.sweeper
    try:
        launcher = build("hydra.launcher", settings, LauncherSettings)
        slurm = launcher.cluster == "slurm"
        executor = make_executor(launcher, (directory / ".submitit").absolute()) if slurm else None
        processes = begin_processes(settings) if len(job_overrides) > 1 else 1
        log.info("Launching %d jobs", len(job_overrides))
        jobs = check_jobs(context, config, job_overrides, first, processes)
        if sweeper.get("max_batch_size", 0) is None:  # these are all runs
            _warn_of_few_seeds(jobs)
        on_gpu = bool(launcher.gpus_per_node) if slurm else any(job.member.on_gpu() for job in jobs)
        if slurm or on_gpu:  # one process fills a GPU
            processes = (launcher.processes or PROCESSES) if slurm else 1
        most = launcher.members or (_MOST_ON_GPU if on_gpu else _MOST)
        chunks, alone = plan(jobs, processes, most, begun_chunks(jobs, directory))

        from runge.launch.run import train_jobs  # late, as in `check_jobs`

        tasks = [partial(train_jobs, context.callbacks, [jobs[i] for i in chunk.jobs], chunk.state) for chunk in chunks]
        do = partial(run_jobs, executor=executor) if slurm else partial(run_tasks, processes=1 if alone else processes)
        return _train(jobs, chunks, partial(do, tasks), directory, failures)
    finally:
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)


def begin_processes(settings: Mapping[str, Any]) -> int:
    """Return the number of processes of this machine that train, and begin to load what they need."""
    launcher = build("hydra.launcher", settings, LauncherSettings)
    processes = launcher.processes if launcher.processes and launcher.cluster == "local" else machine.cores()
    if processes > 1:
        start_loading()
    return processes


def check_jobs(
    context: HydraContext, config: DictConfig, overrides: Sequence[Sequence[str]], first: int, processes: int = 1
) -> list[Job]:
    """Compose the jobs of a sweep, whose numbers begin with `first`, read what their directories hold, and check them.

    Data and weights are built once for each kind of job, in several processes.
    """
    from runge.launch.run import check_members  # late, as torch is: a mistake in a key is reported before
    from runge.training.member import Member

    setup_globals()
    compose, jobs = Composer(context.config_loader, config), list[Job]()
    fixed = fixed_keys(config.hydra)
    for number, given in enumerate(overrides, first):
        interruption.check()
        composed = compose(given, number)
        own, sweep = list(composed.hydra.overrides.task), composed.hydra.sweep
        with current(composed), name_overrides(own):
            member = Member(plain(composed)[0], own, fixed=fixed)
            directory = os.path.join(sweep.dir, sweep.subdir)
            jobs.append(Job(composed, own, directory, member, ended_before(member, RunDirectory(directory))))
    ((directory, count),) = Counter(job.directory for job in jobs).most_common(1)
    if count > 1:
        raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {directory!r} for {count} runs")
    if first == 0:  # once in a sweep
        for message in dict.fromkeys(filter(None, (job.member.fewer_folds for job in jobs))):
            log.warning("%s", message)
    kinds = list({job.member.without_seed(): job.member for job in jobs}.values())
    parts = [part for i in range(processes) if (part := kinds[i::processes])]
    for _, value in list(run_tasks([partial(check_members, part) for part in parts], id, processes)):
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
    if len(seeds) > 1 and 1 < (most := max(seeds.values())) < (needed := seeds_needed(len(seeds))):
        what = f"{len(seeds)} groups of runs that differ in more than their seed"
        log.warning("%s: to show that the best leads by more than chance needs %d seeds, not %d", what, needed, most)


def _train(
    jobs: Sequence[Job], chunks: Sequence[Chunk], do: Callable[..., Any], directory: Path, failures: dict[str, str]
) -> list[JobReturn]:
    """Train the unfinished jobs, show the progress, and return the returns of all."""
    returns = {i: job_return(job, job.outcome) for i, job in enumerate(jobs) if job.outcome is not None}
    columns = [TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn()]
    hidden = not all(job.member.training.progress_bar for job in jobs)
    ended, total = 0, sum(len(chunk.jobs) * chunk.steps for chunk in chunks)
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False, disable=hidden) as progress:
        bar = progress.add_task("", total=total, speed="")

        def show(steps: int) -> None:
            speed = f"{progress.tasks[0].speed or 0:,.0f} steps/s"
            progress.update(bar, advance=steps, speed=speed, description=f"{len(returns)} of {len(jobs)} runs")
            progress.refresh()

        try:
            show(0)
            with closing(do(show)) as arriving:
                for number, value in arriving:
                    chunk = chunks[number]
                    returns |= {i: _returned(jobs[i], value, place, failures) for place, i in enumerate(chunk.jobs)}
                    ended += len(chunk.jobs) * chunk.steps
                    show(max(0, ended - int(progress.tasks[0].completed)))  # Slurm jobs do not report their steps
        except (KeyboardInterrupt, SystemExit) as error:
            finished = sum(RunDirectory(job.directory).metrics.exists() for job in jobs)
            count = f"{finished} of {len(jobs)} runs are finished"
            how = f"to continue, run the same command with {setting('hydra.sweep.dir', directory)}"
            raise SystemExit(f"error: interrupted; {count}; {how}") from error
    return [returns[number] for number in range(len(jobs))]


def _returned(job: Job, value: Any, place: int, failures: dict[str, str]) -> JobReturn:
    """Return the return of a job in a chunk, and write its failure to its directory, or else to the table's failures.

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
            run.hydra.stat()  # missing if the directory is gone, or the run had not begun
            with locked(run.path, "hydra.sweep.dir"):
                state = run.read_state() or State("running", 0)
                if state.status == "running":  # otherwise the fit has written it
                    identity, rows = digest(job.member.configuration), job.member.checksum
                    run.write(replace(state, status="failed", message=message, configuration=identity, rows=rows))
        except (OSError, ConfigurationError):
            failures[job.directory] = message
    return returned
