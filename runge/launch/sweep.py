"""Fused sweeps: runs that can share a stack are trained together, in chunks, on all cores."""

import logging
import math
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig
from tqdm import tqdm

from runge import machine
from runge.compare.groups import seeds_needed
from runge.configuration import build, digest
from runge.errors import ConfigurationError, describe
from runge.launch.jobs import Job, ended_before, job_return
from runge.launch.plan import Chunk, begun_chunks, plan
from runge.launch.preparation import prepare, restored
from runge.launch.processes import InProcess, Pool
from runge.launch.slurm import Cluster, LauncherSettings
from runge.launch.worker import call, request
from runge.runs.directories import RunDirectory, State
from runge.runs.files import discard, printable
from runge.runs.lock import locked
from runge.validation import Count, Factor, checked

log = logging.getLogger(__name__)

_MOST, _MOST_ON_GPU = 32, 1024
"""The most members of a stack; larger stacks are no faster and need more memory."""


@checked
class SweeperSettings:
    """The section `hydra.sweeper`.

    Attributes:
        max_batch_size: the most jobs that are launched at a time, >= 1; None: all of them.
        params: values of keys to sweep over, as on the command line.
        halving: the factor by which the worst runs leave each stack at rungs, >= 2; None: all take all steps.
        compare: false skips the comparison at the end.
    """

    max_batch_size: Count | None
    params: Mapping[str, Any] | None
    halving: Factor | None
    compare: bool


def launch(
    context: HydraContext,
    config: DictConfig,
    settings: Mapping[str, Any],
    job_overrides: Sequence[Sequence[str]],
    first: int,
    failures: dict[str, str],
    pool: Pool | InProcess | None = None,
    meanwhile: Callable[[], None] = lambda: None,
) -> Sequence[JobReturn]:
    """Run a batch of a sweep's jobs, and return their returns.

    Args:
        context: Hydra's.
        config: the sweep's configuration.
        settings: the section `hydra.launcher`.
        job_overrides: the overrides of each job.
        first: the number of the first job.
        failures: receives the messages of jobs whose directories cannot be written to, by their directories.
        pool: the processes that train, of `workers`, which stay; None: processes of this batch.
        meanwhile: called once, when the training has begun.

    Raises:
        ConfigurationError: a job's configuration is wrong; nothing has been trained.
        SystemExit: the sweep was interrupted.
    """
    setup_globals()
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    directory = Path(config.hydra.sweep.dir)
    try:
        with restored():
            launcher = build("hydra.launcher", settings, LauncherSettings)
            folder = (directory / ".submitit").absolute()
            cluster = Cluster(call, launcher, folder) if launcher.cluster == "slurm" else None
            # The workers load their libraries while the jobs are composed here.
            own = nullcontext(pool) if pool else _pool(launcher) if len(job_overrides) > 1 else InProcess(call)
            log.info("Launching %d jobs", len(job_overrides))
            with own as local, cluster or nullcontext():
                jobs = prepare(context, config, job_overrides, first, local)
                if pool is None and not config.hydra.sweeper.get("max_batch_size"):  # these are all runs
                    _warn_of_few_seeds(jobs)
                halving = config.hydra.sweeper.get("halving")
                if halving is not None and len({job.member.objective.keys for job in jobs}) > 1:
                    raise ConfigurationError("objective: must be the same for all runs with hydra.sweeper.halving")
                sweep = _Sweep(context, directory, jobs, failures, halving)
                return sweep.train(cluster or local, launcher.members, bool(launcher.gpus_per_node), meanwhile)
    finally:
        configure_log(config.hydra.hydra_logging, config.hydra.verbose)


def _warn_of_few_seeds(jobs: Sequence[Job]) -> None:
    """Log if the sweep repeats its groups of runs with several seeds, but too few to show that one of them leads."""
    seeds = Counter(job.member.apart_from_seed() for job in jobs)
    if len(seeds) > 1 and 1 < (most := max(seeds.values())) < (needed := seeds_needed(len(seeds))):
        what = f"{len(seeds)} groups of runs that differ in more than their seed"
        log.warning("%s: to show that the best leads by more than chance needs %d seeds, not %d", what, needed, most)


def _pool(launcher: LauncherSettings) -> Pool | InProcess:
    processes = launcher.processes if launcher.processes and launcher.cluster == "local" else machine.cores()
    return Pool(call, processes) if processes > 1 else InProcess(call)


def workers(settings: Mapping[str, Any] | None) -> Pool | InProcess:
    """Return the processes that train, for several batches, given the section `hydra.launcher`; None: this process.

    Raises:
        ConfigurationError: a setting is not allowed.
    """
    return InProcess(call) if settings is None else _pool(build("hydra.launcher", settings, LauncherSettings))


@contextmanager
def reserved(directory: Path) -> Iterator[None]:
    """Keep other sweeps out of a directory; after an error remove it if nothing has begun in it.

    Raises:
        ConfigurationError: a sweep in this directory is still running.
    """
    with locked(directory, "hydra.sweep.dir"):
        try:
            yield
        except BaseException:
            with suppress(OSError):  # the error that is already being raised matters more
                discard(directory, {"multirun.yaml"})
            raise


def compare(directory: str, failures: Mapping[str, str]) -> None:
    """Print the comparison of a sweep that has ended, and write it to its directory, unless that is gone.

    A directory in which nothing has begun is removed. The failures are messages of runs whose own directories could
    not be written to, by their directories.
    """
    discard(Path(directory), {"multirun.yaml"})
    if not Path(directory).is_dir():
        return
    from runge.compare.comparison import Comparison, collect, mark
    from runge.compare.search import read_search

    try:
        if rows := mark(collect([str(Path(directory))]), failures):
            Comparison(rows, search=read_search([directory])).publish(Path(directory))
    except (ValueError, OSError) as error:
        print(f"error: the comparison cannot be written: {printable(str(error))}", file=sys.stderr)


class _Sweep:
    """The jobs of one launch and their returns."""

    def __init__(
        self,
        context: HydraContext,
        directory: Path,
        jobs: Sequence[Job],
        failures: dict[str, str],
        halving: int | None,
    ) -> None:
        self.context, self.directory, self.jobs, self.failures = context, directory, jobs, failures
        self.halving = halving
        self.returns = {i: job_return(job, job.outcome) for i, job in enumerate(jobs) if job.outcome is not None}

    def train(
        self, pool: Pool | InProcess | Cluster, members: int | None, on_gpu: bool, meanwhile: Callable[[], None]
    ) -> list[JobReturn]:
        """Train the unfinished jobs.

        Args:
            pool: what trains them.
            members: the most members of a stack; None: as many as are useful.
            on_gpu: true if the cluster's nodes have GPUs.
            meanwhile: called once, when the training has begun.
        """
        jobs, slurm = self.jobs, isinstance(pool, Cluster)
        on_gpu = on_gpu if slurm else any(job.member.on_gpu() for job in jobs)
        if on_gpu and not slurm:
            pool = InProcess(call)  # one process fills the GPU
        memory = math.inf if on_gpu or slurm else machine.memory() / 2
        if max(job.member.memory()[0] for job in jobs) * pool.processes > memory:
            pool = InProcess(call)  # there is not enough memory for a run in each process
        most = members or (_MOST_ON_GPU if on_gpu else _MOST)
        begun = begun_chunks(jobs, self.directory)
        chunks, alone = plan(jobs, pool.processes, most, memory / pool.processes, self.halving, begun)
        if alone and not slurm:
            pool = InProcess(call)  # on all cores
        parts = [([jobs[i] for i in chunk.jobs], self.halving, chunk.state) for chunk in chunks]
        requests = [request("train_jobs", self.context, part) for part in parts]
        sizes = [len(chunk.jobs) * chunk.steps for chunk in chunks]
        style: dict[str, Any] = {"unit": " steps", "unit_scale": True, "dynamic_ncols": True, "leave": False}
        hidden = not all(job.member.training.progress_bar for job in jobs)
        with tqdm(total=sum(sizes), desc=self._progress(), disable=hidden, **style) as bar:
            once = iter([meanwhile])

            def show(steps: int) -> None:
                bar.update(steps)
                for call in once:
                    call()

            try:
                for number, value in pool.run(requests, show):
                    self._keep_returns(chunks[number], value)
                    show(sizes[number] if slurm else 0)  # Slurm jobs do not report their steps
                    bar.set_description(self._progress())
                show(0)
            except (KeyboardInterrupt, SystemExit) as error:
                finished = sum(RunDirectory(job.directory).metrics.exists() for job in jobs)
                raise SystemExit(
                    f"error: interrupted; {finished} of {len(jobs)} runs are finished; to continue, run the same "
                    f"command with hydra.sweep.dir={self.directory}"
                ) from error
        return [self.returns[number] for number in range(len(jobs))]

    def _progress(self) -> str:
        return f"{len(self.returns)} of {len(self.jobs)} runs"

    def _keep_returns(self, chunk: Chunk, value: Any) -> None:
        """Keep the returns of a chunk's jobs; if the chunk failed, so have those that had not ended."""
        for i, number in enumerate(chunk.jobs):
            job = self.jobs[number]
            if job.outcome is None:
                returned = self._failed(job, value) if isinstance(value, Exception) else value[i]
                returned.cfg = returned.hydra_cfg = job.config
                if returned.status == JobStatus.FAILED:
                    self._record_failure(job, returned._return_value)
                self.returns[number] = returned

    def _failed(self, job: Job, error: Exception) -> JobReturn:
        """Return the return of a job in a failed chunk, which may have ended before."""
        with suppress(OSError, ConfigurationError):  # reported by `_record_failure`
            if (outcome := ended_before(job.member, RunDirectory(job.directory))) is not None:
                return job_return(job, outcome)
        return job_return(job, error)

    def _record_failure(self, job: Job, error: Any) -> None:
        """Write a job's failure to its directory, or if that is impossible keep it for the table."""
        directory = RunDirectory(job.directory)
        try:
            directory.hydra.stat()  # missing if the directory is gone, or the run had not begun
            with locked(directory.path, "hydra.sweep.dir"):
                state = directory.read_state()
                if state is None or state.status == "running":  # otherwise the fit has written it
                    step, member = 0 if state is None else state.step, job.member
                    identity = digest(member.configuration), member.checksum
                    directory.write(State("failed", step, describe(error), *identity))
        except (OSError, ConfigurationError):
            self.failures[job.directory] = describe(error)
