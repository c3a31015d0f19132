"""From what Hydra has composed to a trained run, or a stack of them."""

import gc
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from runge.comparison.tables import error_table
from runge.configuration.command_line import command, key_of
from runge.configuration.errors import ConfigurationError, RunError, is_out_of_memory
from runge.configuration.objects import SAME_BITS, digest, foreign, section
from runge.interruption import interruption
from runge.machine import allow_open_files
from runge.metrics import BEST_STEP, SWITCHED_ON_STEP, TOTAL_SECONDS
from runge.records.checkpoints import state_path
from runge.records.directories import FINDINGS, RunDirectory, RunState, resumable
from runge.records.files import locked, printable, read_yaml
from runge.sweeps.compose import fixed_keys, options_of, plain_data
from runge.sweeps.jobs import Job, Value, begin_job, check_rows, ended_before, job_return, log_to_file, name_overrides
from runge.training.announcement import advice, log_rows
from runge.training.member import Member
from runge.training.rules import without_effect

if TYPE_CHECKING:
    from runge.training.evaluation import Metrics
    from runge.training.stack import Outcome, Stack

log = logging.getLogger(__name__)

_SECONDS_FOR_OTHERS = 60.0
"""How long to wait for another process that trains a run, such as a worker of a sweep that has just been killed."""

_OTHER_FILES = 256
"""How many files a process may have open besides the locks of its runs."""


def train_run(configuration: DictConfig) -> Value:
    """Train the run that Hydra has composed, in the directory that it has made; return the values of its objective.

    Raises:
        ConfigurationError: a key or a value is not allowed, and the directory is removed again; or another process
            trains the run.
        RunError: the training diverged.
    """
    hydra = HydraConfig.get()
    directory, sweep = RunDirectory(hydra.runtime.output_dir), hydra.mode == RunMode.MULTIRUN
    resuming = configuration.get("resume") is not None
    with locked(directory.path, "hydra.sweep.dir" if sweep else "resume" if resuming else "hydra.run.dir"):
        try:
            member = begin_run(configuration, directory, sweep)
            if sweep and (value := ended_before(member, directory)) is not None:
                if isinstance(value, RunError):
                    raise value
                return value
            stack = make_stack([member])
        except BaseException as error:
            if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
                directory.write(RunState("failed", 0, str(error)))
            if not resuming:
                directory.discard()
            raise
        announce(stack, 0)
        (outcome,) = stack.fit([directory], alone=not sweep)
        if isinstance(outcome, dict):
            print_errors(outcome, stack)
        return conclude(outcome, directory, member)


def begin_run(configuration: DictConfig, directory: RunDirectory, sweep: bool) -> Member:
    """Begin the directory of a run, or check that it can be resumed there; return the run.

    Raises:
        ConfigurationError: a key or a value is not allowed.
    """
    hydra = HydraConfig.get()
    content, resume = plain_data(configuration)
    if resume is not None:
        content = _resumed(content, resume, directory)
    elif not sweep and directory.status.exists():
        raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
    else:
        directory.begin(content, hydra.overrides.task, options_of(hydra))
    if hydra.runtime.choices.get("search") not in (None, "none") and not sweep and resume is None:
        raise ConfigurationError(f"search: needs -m: {command()} -m search=best")
    member = Member(content, hydra.overrides.task, fixed=_fixed(Path(hydra.sweep.dir)) if sweep else ())
    check_rows(member, directory)
    return member


def _resumed(composed: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """Return the configuration with which the run to resume was started, and check it against the command's."""
    if resumable(resume).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run resumes in its own directory; remove hydra.run.dir")
    try:
        begun, *_ = directory.read_configuration()
        begun |= {key: section(key, begun.get(key)) for key in ("data", "trainer")}
    except ConfigurationError as error:
        raise ConfigurationError(f"resume: {error}") from error
    if not directory.last.exists():
        log.warning("the run has no checkpoint of its own, and begins again")
    if digest(composed) == digest(begun):
        return composed
    return _merged(composed, begun)


def _merged(composed: dict[str, Any], begun: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run's files, with the settings of the command that may differ from it."""
    keys = {override: key_of(override) for override in HydraConfig.get().overrides.task}
    allowed, moved = {*SAME_BITS}, {}
    if "_target_" in composed["data"] and "_target_" in begun["data"]:
        allowed |= {"data", "data.file"}  # a table may be in another place now
        moved = {"file": composed["data"]["file"]} if "data.file" in keys.values() else {}
    refused = [override for override, key in keys.items() if key.partition(".")[0] != "logger" and key not in allowed]
    if refused:
        exceptions = ", ".join(key for key in SAME_BITS if key != "resume")
        rule = f"a run resumes with the configuration it was started with, except {exceptions}"
        raise ConfigurationError(f"resume: {rule}; remove {' '.join(refused)}")
    # Loggers are always the command's, because those of a file could write anywhere.
    left = sorted({*(begun.pop("logger", None) or {})} - {*(composed.get("logger") or {})})
    if left and not any(key.partition(".")[0] == "logger" for key in keys.values()):
        log.warning(
            "not continued: the run's loggers (%s), unless they are repeated with resume=", printable(", ".join(left))
        )
    if named := foreign(begun):
        raise ConfigurationError(
            f"resume: the run's files refer to {', '.join(named)}, which files may not import or call, for safety; "
            "repeat the run's overrides together with resume="
        )
    trainer = {key: value for key, value in composed["trainer"].items() if f"trainer.{key}" in keys.values()}
    sections = {"data": {**begun["data"], **moved}, "trainer": {**begun["trainer"], **trainer}}
    return {
        **begun,
        **sections,
        "logger": composed.get("logger", {}),
        **{key: composed[key] for key in ("objective", "pictures") if key in keys.values() or key not in begun},
    }


def _fixed(sweep: Path) -> set[str]:
    """Return the keys that have one value in a sweep, whose command Hydra's own launchers do not hand to its jobs."""
    file = sweep / "multirun.yaml"
    try:
        return fixed_keys(read_yaml(file)["hydra"])
    except FileNotFoundError:
        return set()
    except (LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} is damaged (it has no overrides)") from error


def make_stack(members: Sequence[Member]) -> "Stack":
    """Make a stack of these members.

    Raises:
        ConfigurationError: a size or a value is not allowed, or the stack does not fit into memory.
    """
    from runge.training.stack import Stack  # late: a wrong value is reported before Lightning is loaded

    try:
        stack = Stack(members)
        interruption.check()
        return stack
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        message = "not enough memory for the points and the weights; reduce data.n_train or model.width"
        raise ConfigurationError(f"data, model: {message}") from error


def announce(stack: "Stack", member: int, checks_labels: bool = True) -> None:
    """Log the data of one of a stack's runs, and warn of overrides without effect and of what may spoil its fit.

    The data are the numbers of points, the units, and what is unusual in the rows of a table. Derivatives
    that contradict its values are looked for unless the command has done it: with 20 inputs it takes a second.
    """
    from runge.training.evaluation import point_counts  # late: it imports Lightning

    counts = point_counts(stack.members[member], stack.data)
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in counts.items()))
    run = stack.members[member]
    if run.far:
        log.info("trained in standardised units, because far from size 1: %s", ", ".join(run.far))
    if run.rows is not None:
        log_rows(run.rows, checks_labels)
    if useless := without_effect(run):
        log.warning("without effect on the training: %s", "; ".join(useless))
    for message in advice(stack.data, member, float(stack.module.lambda_d[member])):
        log.warning("%s", message)


def print_errors(metrics: "Metrics", stack: "Stack") -> None:
    """Print the table of a single run's errors."""
    test, rows = stack.data.dataset.test, stack.members[0].rows
    columns = 0 if rows is None else len(stack.data.inputs)
    Console().print(error_table(metrics, test.regions if len(test.outputs) == 1 else (), test.outputs, columns))


def conclude(outcome: "Outcome", directory: RunDirectory, member: Member) -> Value:
    """Log how a run has ended, and return the values of its objective.

    Raises:
        RunError: it diverged.
    """
    if isinstance(outcome, RunError):
        log.error("%s", outcome)
        raise outcome
    switched = outcome[SWITCHED_ON_STEP]
    when = f"lambda_d on from step {switched}; " if switched else ""
    if best := outcome.get(BEST_STEP):
        when += f"best weights after step {best}; "
    state, most = directory.read_state(), member.training.steps
    early = "" if state is None or state.step >= most else f"ended at step {state.step} of {most}; "
    log.info("%s%s%.1f s; %s", early, when, outcome[TOTAL_SECONDS], os.path.relpath(directory.path))
    for finding in filter(None, (state.message if state else "").split(FINDINGS)):
        log.warning("%s", finding)
    return member.objective.returned(outcome)


def check_members(members: Sequence[Member], _report: Callable[[int], object]) -> None:
    """Make each of these runs without training it, and raise ConfigurationError if a value is not allowed."""
    for member in members:
        with name_overrides(member.overrides):
            make_stack([member])


def train_jobs(
    callbacks: Any,
    jobs: Sequence[Job],
    state: Path | None,
    report: Callable[[int], object],
    checks_labels: bool = True,
) -> list[JobReturn]:
    """Train jobs as one stack; each gets the directory, the log and the return that Hydra's own launcher would leave.

    Messages logged while the stack is training, such as warnings, go to the last job's log.

    Args:
        callbacks: Hydra's.
        jobs: the jobs.
        state: the file of their stack's state, if they have begun.
        report: called with the number of steps that the members have taken since the last call.
        checks_labels: whether each run looks for derivatives that contradict the values of its table.

    Raises:
        ConfigurationError: another process trains one of the runs, and does not end soon.
    """
    allow_open_files(len(jobs) + _OTHER_FILES)
    with ExitStack() as locks:
        for job in jobs:
            locks.enter_context(locked(Path(job.directory), "hydra.sweep.dir", _SECONDS_FOR_OTHERS))
        gc.collect()  # the stack before this one, of which nothing else is left
        stack = make_stack([job.member for job in jobs])
        directories = [RunDirectory(job.directory) for job in jobs]
        # Some runs of a resubmitted chunk may have ended already.
        ended = [ended_before(job.member, run) for job, run in zip(jobs, directories, strict=True)]
        returns = [
            begin_job(callbacks, job, partial(announce, stack, i, checks_labels))
            if value is None
            else job_return(job, value)
            for i, (job, value) in enumerate(zip(jobs, ended, strict=True))
        ]
        state = state or state_path(directories, Path(jobs[0].config.hydra.sweep.dir))
        outcomes = stack.fit(directories, lambda steps: report(steps * len(jobs)), state)
        for job, value, outcome, returned in zip(jobs, ended, outcomes, returns, strict=True):
            if value is None:
                end_job(callbacks, job, outcome, returned)
    for returned in returns:  # the command has the configuration, and a plugin's class may not be the same there
        returned.cfg = returned.hydra_cfg = None
    return returns


def end_job(callbacks: Any, job: Job, outcome: "Outcome", returned: JobReturn) -> None:
    """Log how a job has ended, complete its return, and tell Hydra's callbacks."""
    directory = RunDirectory(job.directory)
    if os.access(directory.path, os.W_OK) and directory.path.is_dir():  # otherwise the outcome reports it
        log_to_file(job.config)
    try:
        returned.return_value = conclude(outcome, directory, job.member)
    except RunError as error:
        returned.return_value, returned.status = error, JobStatus.FAILED
    callbacks.on_job_end(config=job.config, job_return=returned)
