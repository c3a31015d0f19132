"""Hydra's task function: one job, from what Hydra has composed to a trained run."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runge.composing.composition import fixed_keys, is_of_program, options_of, plain_data
from runge.composing.extension import asks_for_more_steps, extend
from runge.composing.jobs import log_to_file
from runge.configuration.command_line import command, key_of
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.objects import REMARKS, SAME_BITS, digest, foreign, section
from runge.process.interruption import interruption
from runge.records.directories import RunDirectory, RunState, resumable
from runge.records.files import locked, printable, read_yaml

if TYPE_CHECKING:
    from runge.training.record import Draw, Metrics

    Show = Callable[[Metrics, Sequence[str], Sequence[str], int], object]

__all__ = ["train_composed"]

log = logging.getLogger(__name__)


def train_composed(configuration: DictConfig, draw: "Draw", show: "Show | None" = None) -> Any:
    """Train the run that Hydra has composed, in the directory that it has made; return the values of its objective.

    Args:
        configuration: what Hydra has composed.
        draw: draws the pictures of the run, as for `runge.training.record.Recorder`.
        show: shows the final metrics of the run, given the regions, the outputs and the number of columns that are
            inputs; None: they are only in its files.

    Raises:
        ConfigurationError: a key or a value is not allowed, and the directory is removed again; or another process
            trains the run.
        RunError: the training diverged, or its files could not be written.
    """
    interruption.check()
    hydra = HydraConfig.get()
    if is_of_program(hydra):
        log_to_file(cast(DictConfig, HydraConfig.instance().cfg))
    directory, sweep = RunDirectory(hydra.runtime.output_dir), hydra.mode == RunMode.MULTIRUN
    resuming = configuration.get("resume") is not None
    with locked(directory.path, "hydra.sweep.dir" if sweep else "resume" if resuming else "hydra.run.dir"):
        try:
            content = begin_run(configuration, directory, sweep)
            # Late: a mistake in a key is reported before torch is loaded, and one in a value before Lightning is.
            from runge.training.member import Member, check_rows, conclude, value_if_ended
            from runge.training.settings import Settings

            fixed = _fixed(Path(hydra.sweep.dir)) if sweep else frozenset[str]()
            member = Member(Settings.of(content), hydra.overrides.task, fixed=fixed)
            if not sweep:
                check_rows(member, directory, directory.read_state())
                if resuming:
                    extend(directory, member.settings)
            elif (value := value_if_ended(member, directory)) is not None:
                if isinstance(value, RunError):
                    raise value
                return value
            from runge.training.announcement import announce
            from runge.training.prepare import prepare
            from runge.training.train import train_and_record

            stack = prepare([member])
        except BaseException as error:
            if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
                directory.write(RunState("failed", 0, str(error)))
            if not resuming:
                directory.discard()
            raise
        announce(stack, 0)
        (outcome,) = train_and_record(stack, [directory], draw, alone=not sweep)
        if show and isinstance(outcome, dict):
            test, columns = stack.data.dataset.test, 0 if member.rows is None else len(stack.data.inputs)
            show(outcome, test.regions if len(test.outputs) == 1 else (), test.outputs, columns)
        return conclude(outcome, directory, member)


def begin_run(configuration: DictConfig, directory: RunDirectory, sweep: bool) -> dict[str, Any]:
    """Begin the directory of a run, or check that it can be resumed there; return its configuration as plain data.

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
    return content


def _resumed(composed: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """Return the configuration with which the run to resume was started, and check it against the command's."""
    if resumable(resume, may_have_finished=True).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run resumes in its own directory; remove hydra.run.dir")
    try:
        begun, typed, _ = directory.read_configuration()
        begun |= {key: section(key, begun.get(key)) for key in ("data", "trainer")}
    except ConfigurationError as error:
        raise ConfigurationError(f"resume: {error}") from error
    more_steps = asks_for_more_steps(composed, HydraConfig.get().overrides.task, begun, typed)
    resumable(resume, may_have_finished=more_steps)
    if not directory.last.exists():
        log.warning("the run has no checkpoint of its own, and begins again")
    if digest(composed) == digest(begun):
        return composed
    return _merged(composed, begun, more_steps)


def _merged(composed: dict[str, Any], begun: dict[str, Any], more_steps: bool) -> dict[str, Any]:
    """Return the configuration of a run's files, with the settings of the command that may differ from it."""
    keys = {override: key_of(override) for override in HydraConfig.get().overrides.task}
    allowed, moved = {*SAME_BITS, *(["trainer.max_steps"] if more_steps else [])}, {}
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
    others = [key for key in ("objective", "pictures", *REMARKS) if key in keys.values() or key not in begun]
    return {**begun, **sections, "logger": composed.get("logger", {}), **{key: composed[key] for key in others}}


def _fixed(sweep: Path) -> set[str]:
    """Return the keys that have one value in a sweep, whose command Hydra's own launchers do not hand to its jobs."""
    file = sweep / "multirun.yaml"
    try:
        return fixed_keys(read_yaml(file)["hydra"])
    except FileNotFoundError:
        return set()
    except (LookupError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} is damaged (it has no overrides)") from error
