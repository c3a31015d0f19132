"""The settings of the launcher, and Slurm jobs in place of processes: each task is a job, submitted by submitit."""

import os
import shutil
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.validation import Count, Positive, checked
from runge.process import machine
from runge.process.interruption import ENDING, interruption
from runge.sweeps.processes import Report, Task, attempt

PROCESSES = 16
"""How many jobs run at a time by default."""

_SECONDS_BETWEEN_LOOKS = 2.0
"""How often the jobs' results are looked for on the file system; submitit asks Slurm for their states."""


@checked
class LauncherSettings:
    """The section `hydra.launcher` of the fused launcher.

    Attributes:
        processes: the number of stacks that are trained at the same time; None: one per core, on a cluster 16.
        members: the most members of a stack; None: 32, or on a GPU 1024.
        cluster: `local`: processes of this machine; `slurm`: jobs of a Slurm cluster.
        partition: Slurm's partition; None: the default one.
        timeout_min: time limit of a job in minutes; a job that reaches it is continued in another.
        cpus_per_task: cores of a job.
        gpus_per_node: GPUs of a job; None: none.
        mem_gb: memory of a job, in GB; None: Slurm's default.
        additional_parameters: further options of sbatch, by their names.
    """

    processes: Count | None
    members: Count | None
    cluster: Literal["local", "slurm"]
    partition: str | None
    timeout_min: Count
    cpus_per_task: Count
    gpus_per_node: Count | None
    mem_gb: Positive | None
    additional_parameters: dict[str, Any]


def make_executor(settings: LauncherSettings, folder: Path) -> Any:
    """Return submitit's executor, which keeps its files in a folder on a file system that all machines share.

    Raises:
        ConfigurationError: Slurm or submitit is missing, or others can write to the folder.
    """
    try:
        import submitit
    except ImportError as error:
        need = "slurm needs the package submitit; install it with pip install -e '.[slurm]'"
        raise ConfigurationError(f"hydra.launcher.cluster: {need}") from error
    if shutil.which("sbatch") is None:
        rule = "must be local on a machine without Slurm's sbatch, got 'slurm'"
        raise ConfigurationError(f"hydra.launcher.cluster: {rule}")
    _make_private(folder)
    options = {f"slurm_{key}": getattr(settings, key) for key in ("partition", "additional_parameters")}
    options |= {key: getattr(settings, key) for key in ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")}
    options["slurm_array_parallelism"] = settings.processes or PROCESSES
    # A job that reaches its time limit is continued as often as necessary.
    executor = submitit.AutoExecutor(folder / "%j", cluster="slurm", slurm_max_num_timeout=10**6)
    executor.update_parameters(name="runge", **{key: x for key, x in options.items() if x is not None})
    return executor


def _make_private(folder: Path) -> None:
    """Make a folder that only this user can enter, because what submitit finds in it is unpickled."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not machine.is_own(folder) or folder.stat().st_mode & 0o077:
        rule = "must be a folder of yours that nobody else can enter (chmod 700), and no link"
        raise ConfigurationError(f"hydra.sweep.dir: {str(folder)!r} {rule}; remove it, or choose another directory")


def run_jobs(tasks: Sequence[Task], report: Report, executor: Any) -> Generator[tuple[int, Any], None, None]:
    """Do tasks as `run_tasks`, in jobs, without reports; those that have not ended when the command does are cancelled.

    A job that Slurm or submitit requeues, after its node has died or at its time limit, resumes from its checkpoints.
    """
    from submitit.core.utils import UncompletedJobError
    from submitit.helpers import as_completed

    with executor.batch():
        jobs = [executor.submit(_Call(task)) for task in tasks]
    left = dict(enumerate(jobs))
    try:
        for job in as_completed(jobs, poll_frequency=_SECONDS_BETWEEN_LOOKS):
            left.pop(number := jobs.index(job))
            try:
                yield number, job.result()
            except UncompletedJobError:
                yield number, RunError(f"its Slurm job {job.job_id} ended as {job.state}; see {job.paths.stderr}")
    finally:
        for job in left.values():  # they save a checkpoint
            job.cancel(check=False)


class _Call(NamedTuple):
    """The content of a job; submitit requeues it when the job is preempted."""

    task: Task

    def __call__(self) -> Any:
        machine.limit_threads(int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
        with interruption.handled(*ENDING):
            return attempt(self.task, lambda _: None)

    def checkpoint(self) -> Any:
        """Return what submitit requeues: the same call."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)
