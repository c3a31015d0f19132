"""Slurm jobs as a pool: each task is a job, submitted through submitit; a job lost with its node is resubmitted."""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from runge import machine
from runge.errors import ConfigurationError, RunError
from runge.launch.processes import Report, attempt
from runge.validation import Count, Natural, Positive, checked

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_POLLS = 2.0
_SECONDS_FOR_RESULT = 20.0
"""How long after the end of a job its result may take to appear on a shared file system."""
_LARGEST_ARRAY = 1000
"""Slurm's default MaxArraySize is 1001."""
_ALIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STAGE_OUT", "STOPPED", "SIGNALING"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "RESV_DEL_HOLD"),
}
"""The states of a job that has not ended: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES"""


@checked
class LauncherSettings:
    """The section `hydra.launcher` of the fused launcher.

    Attributes:
        processes: the number of chunks that are trained at the same time; None: one per core, on a cluster 16.
        members: the most members of a stack; None: 32, or on a GPU 1024.
        cluster: `local`: processes of this machine; `slurm`: jobs of a Slurm cluster.
        partition: Slurm's partition; None: the default one.
        timeout_min: time limit of a job in minutes; a job that reaches it is continued in another.
        cpus_per_task: cores of a job.
        gpus_per_node: GPUs of a job; None: none.
        mem_gb: memory of a job, in GB; None: Slurm's default.
        retries: how often a chunk is resubmitted after its job died.
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
    retries: Natural
    additional_parameters: dict[str, Any]


class Cluster(AbstractContextManager["Cluster"]):
    """Slurm jobs that call one function.

    Args:
        function: as for `runge.launch.processes.Pool`.
        settings: the launcher's settings.
        folder: where submitit keeps its files, on a file system that all machines share.

    Raises:
        ConfigurationError: Slurm or submitit is missing, or jobs from the same folder have not ended.
    """

    def __init__(self, function: Callable[[Any, Report], Any], settings: LauncherSettings, folder: Path) -> None:
        self._function, self._retries, self.processes = function, settings.retries, settings.processes or 16
        try:
            import submitit
        except ImportError as error:
            need = "slurm needs the package submitit; install it with pip install -e '.[slurm]'"
            raise ConfigurationError(f"hydra.launcher.cluster: {need}") from error
        if shutil.which("sbatch") is None:
            rule = "must be local on a machine without Slurm's sbatch, got 'slurm'"
            raise ConfigurationError(f"hydra.launcher.cluster: {rule}")
        open_jobs = {path.name for path in folder.glob("*") if path.is_dir() and not any(path.glob("*_result.pkl"))}
        if alive := sorted(name for name, state in (_states() or {}).items() if name in open_jobs and state in _ALIVE):
            raise ConfigurationError(
                f"hydra.sweep.dir: the jobs {', '.join(alive)} of this sweep have not ended; wait for them, or end "
                "them with scancel (they save a checkpoint)"
            )
        options = {f"slurm_{key}": getattr(settings, key) for key in ("partition", "additional_parameters")}
        options |= {key: getattr(settings, key) for key in ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")}
        # A job that reaches its time limit is continued as often as necessary.
        self._executor = submitit.AutoExecutor(folder / "%j", cluster="slurm", slurm_max_num_timeout=10**6)
        self._executor.update_parameters(name="runge", **{key: x for key, x in options.items() if x is not None})
        self._submissions: dict[int, _Submission] = {}

    def __exit__(self, *_: object) -> None:
        for submission in self._submissions.values():  # those that have not ended save a checkpoint
            submission.job.cancel(check=False)

    def run(self, arguments: Sequence[Any], report: Report) -> Iterator[tuple[int, Any]]:
        """Call the function with all arguments, as `runge.launch.processes.Pool.run`, but without reports."""
        calls, size = [_Call(self._function, argument) for argument in arguments], _LARGEST_ARRAY
        arrays = [calls[first : first + size] for first in range(0, len(calls), size)]
        self._executor.update_parameters(slurm_array_parallelism=max(1, self.processes // max(1, len(arrays))))
        jobs: list[Any] = []
        for array in arrays:
            with self._executor.batch():
                jobs += [self._executor.submit(call) for call in array]
        self._submissions = {i: _Submission(*pair) for i, pair in enumerate(zip(calls, jobs, strict=True))}
        while self._submissions:
            time.sleep(_SECONDS_BETWEEN_POLLS)
            states = _states()
            for number, submission in list(self._submissions.items()):
                job = submission.job
                if job.paths.result_pickle.exists():
                    value = _result(job)
                elif states is None or (state := states.get(job.job_id, "unknown")) in _ALIVE:
                    submission.ended = None
                    continue
                elif (value := self._lost(submission, state)) is None:
                    continue
                del self._submissions[number]
                yield number, value

    def _lost(self, submission: "_Submission", state: str) -> RunError | None:
        """Return the error of a job that ended without a result; None while one may appear, or if it is resubmitted."""
        job, now = submission.job, time.monotonic()
        submission.ended = submission.ended or now
        if now - submission.ended < _SECONDS_FOR_RESULT:
            return None
        if state == "CANCELLED" or submission.times > self._retries:
            return RunError(f"its Slurm job {job.job_id} ended as {state}; see {job.paths.stderr}")
        log.warning("the Slurm job %s ended as %s: its runs are resubmitted", job.job_id, state)
        submission.job = self._executor.submit(submission.call)
        submission.times, submission.ended = submission.times + 1, None
        return None


class _Call(NamedTuple):
    """The content of a job; submitit requeues it when the job is preempted, and it resumes from its checkpoints."""

    function: Callable[[Any, Report], Any]
    argument: Any

    def __call__(self) -> Any:
        machine.limit_threads(int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
        return attempt(self.function, self.argument, lambda _: None)

    def checkpoint(self) -> Any:
        """Return what submitit requeues: the same call."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


@dataclass
class _Submission:
    """A call, its latest job, how often it was submitted, and when the job was first seen to have ended."""

    call: _Call
    job: Any
    times: int = 1
    ended: float | None = None


def _result(job: Any) -> Any:
    try:
        return job.result()
    except Exception as error:  # whatever submitit makes of it
        return RunError(str(error).strip().splitlines()[-1])


def _states() -> Mapping[str, str] | None:
    """Return the states of the user's jobs by their ids, or None if Slurm does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return dict(line.strip().split("|") for line in answer.stdout.splitlines() if "|" in line)
