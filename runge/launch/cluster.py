"""Slurm jobs as a pool: each task is a job, through submitit; one that a dead node takes with it is sent once more."""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from runge import machine
from runge.errors import ConfigurationError, RunError
from runge.launch.pool import Report, Result, Task, attempt
from runge.validation import Count, Natural, Positive, checked

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 2.0
_SECONDS_FOR_A_RESULT = 20.0
"""How long after the end of a job its result may take to be seen, on a file system that many machines share."""

_LARGEST_ARRAY = 1000
"""Slurm's MaxArraySize is 1001 where nobody has set it."""

_ALIVE = {
    *("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "STAGE_OUT", "STOPPED", "SIGNALING"),
    *("REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESIZING", "RESV_DEL_HOLD"),
}
"""The states of a job that has not come to its end: https://slurm.schedmd.com/squeue.html#SECTION_JOB-STATE-CODES"""


@checked
class Settings:
    """The section `hydra.launcher` of the fused launcher.

    Attributes:
        processes: how many chunks are trained at the same time; None: one for each core, on a cluster 16.
        members: the most members of a stack; None: 32, or on a GPU 1024.
        cluster: where: in processes of this machine, or in jobs of a Slurm cluster.
        partition: Slurm's partition; None: the default one.
        timeout_min: minutes that a job may take; one that takes longer is continued in another.
        cpus_per_task: cores of a job.
        gpus_per_node: GPUs of a job; None: none.
        mem_gb: memory of a job, in GB; None: as Slurm is set up.
        retries: how many times a chunk is sent once more whose job has died.
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


class Cluster:
    """Slurm jobs that call one function.

    Args:
        function: as that of a `runge.launch.pool.Pool`.
        settings: what is asked of Slurm.
        folder: where submitit keeps what it sends and gets, on a file system that all machines share.

    Raises:
        ConfigurationError: there is no Slurm here or no submitit, or jobs from the same folder have not ended.
    """

    def __init__(self, function: Callable[[Any, Report], Any], settings: Settings, folder: Path) -> None:
        self._function, self._settings, self._folder = function, settings, folder
        self.processes = settings.processes or 16
        try:
            import submitit
        except ImportError as error:
            raise ConfigurationError(
                "hydra.launcher.cluster: slurm needs the package submitit: pip install -e '.[slurm]'"
            ) from error
        if shutil.which("sbatch") is None:
            raise ConfigurationError(
                "hydra.launcher.cluster: must be local on a machine without Slurm's sbatch, got 'slurm'"
            )
        sent = {path.name for path in folder.glob("*") if path.is_dir() and not any(path.glob("*_result.pkl"))}
        if alive := sorted(name for name, state in (_states() or {}).items() if name in sent and state in _ALIVE):
            raise ConfigurationError(
                f"hydra.sweep.dir: the jobs {', '.join(alive)} of this sweep have not ended; wait for them, or end "
                "them with scancel: they save what they have"
            )
        options = {f"slurm_{key}": getattr(settings, key) for key in ("partition", "additional_parameters")}
        options |= {key: getattr(settings, key) for key in ("timeout_min", "cpus_per_task", "gpus_per_node", "mem_gb")}
        # A job that runs into its time is continued as often as it takes.
        self._executor = submitit.AutoExecutor(folder / "%j", cluster="slurm", slurm_max_num_timeout=10**6)
        self._executor.update_parameters(
            name="runge",
            **{key: value for key, value in options.items() if value is not None},
        )
        self._jobs: dict[int, _Sent] = {}

    def __enter__(self) -> Self:
        """Nothing: jobs are sent where there is something to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End all jobs that have not ended; they save what they have."""
        for sent in self._jobs.values():
            sent.job.cancel(check=False)

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Result]:
        """Do all tasks, the first ones first, as `runge.launch.pool.Pool.run`; progress is reported task by task."""
        jobs: list[Any] = []
        arrays = -(-len(tasks) // _LARGEST_ARRAY)
        self._executor.update_parameters(slurm_array_parallelism=max(1, self.processes // max(1, arrays)))
        for first in range(0, len(tasks), _LARGEST_ARRAY):
            with self._executor.batch():
                part = tasks[first : first + _LARGEST_ARRAY]
                jobs += [self._executor.submit(_Call(self._function, task.argument)) for task in part]
        self._jobs = {number: _Sent(job, 1, None) for number, job in enumerate(jobs)}
        while self._jobs:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            states = _states()
            for number, sent in list(self._jobs.items()):
                if sent.job.paths.result_pickle.exists():
                    value = _result(sent.job)
                elif states is None or states.get(sent.job.job_id) in _ALIVE:
                    self._jobs[number] = sent._replace(ended=None)
                    continue
                else:
                    value = self._ended(number, states.get(sent.job.job_id, "unknown"), tasks[number])
                    if value is None:
                        continue
                del self._jobs[number]
                report(tasks[number].size)
                yield Result(number, value)

    def _ended(self, number: int, state: str, task: Task) -> RunError | None:
        """What to make of a job that has ended without a result: wait for it a while, then send it once more."""
        sent, now = self._jobs[number], time.monotonic()
        if sent.ended is None:
            self._jobs[number] = sent._replace(ended=now)
        if sent.ended is None or now - sent.ended < _SECONDS_FOR_A_RESULT:
            return None
        name, what = sent.job.job_id, f"its Slurm job {sent.job.job_id} ended as {state}; see {sent.job.paths.stderr}"
        if state == "CANCELLED" or sent.times > self._settings.retries:
            return RunError(what)
        log.warning("the Slurm job %s ended as %s: what it was to do is sent once more", name, state)
        again = self._executor.submit(_Call(self._function, task.argument))
        self._jobs[number] = _Sent(again, sent.times + 1, None)
        return None


class _Sent(NamedTuple):
    """A task on its way: its job, how often it has been sent, and since when its job has been seen to have ended."""

    job: Any
    times: int
    ended: float | None


class _Call:
    """What a job does. When Slurm needs its place, submitit has it start anew, and it goes on from its checkpoints."""

    def __init__(self, function: Callable[[Any, Report], Any], argument: Any) -> None:
        self.function, self.argument = function, argument

    def __call__(self) -> Any:
        """Call the function on the cores that the job has."""
        machine.limit_threads(int(os.environ.get("SLURM_CPUS_PER_TASK", "1")))
        return attempt(self.function, self.argument, lambda _: None)

    def checkpoint(self) -> Any:
        """What is to be done when the job starts anew: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def _result(job: Any) -> Any:
    """What a job has returned, or why it has returned nothing."""
    try:
        return job.result()
    except Exception as error:  # whatever submitit makes of it
        return RunError(str(error).strip().splitlines()[-1])


def _states() -> Mapping[str, str] | None:
    """The states of the user's jobs by their ids, or None where Slurm does not answer."""
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return None
    return dict(line.strip().split("|") for line in answer.stdout.splitlines() if "|" in line)
