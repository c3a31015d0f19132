"""What Hydra has composed becomes a run: the only place, beside the command line, that knows Hydra."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from runge.directories import RunDirectory, read_json, resumable
from runge.errors import ConfigurationError, RunError
from runge.experiment import Experiment, Outcome
from runge.member import Member
from runge.tables import error_table

log = logging.getLogger(__name__)


def run(configuration: DictConfig) -> float:
    """Train what Hydra has composed, in the directory that it has made.

    Args:
        configuration: the composed configuration.

    Returns:
        The validation loss.

    Raises:
        ConfigurationError: a key or a value is not allowed; the directory is removed again.
        RunError: the training diverged.
    """
    hydra = HydraConfig.get()
    directory, sweep = RunDirectory(hydra.runtime.output_dir), hydra.mode == RunMode.MULTIRUN
    try:
        given, resume = plain(configuration)
        if sweep:
            if (finished := done_before(given, directory)) is not None:
                return finished
            resume = directory.path if directory.last.exists() else None
        elif resume is not None:
            given = _resumed(given, resume, directory)
        elif directory.status.exists():
            raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
        experiment = stack([Member(given, hydra.overrides.task)])
    except BaseException as error:
        if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
            directory.write_status("failed", 0, str(error))
        directory.discard()
        raise
    announce(experiment)
    (outcome,) = experiment.fit([directory], resume=resume is not None)
    if not isinstance(outcome, RunError):
        Console().print(error_table(outcome, experiment.data.dataset.test.regions))
    return conclude(outcome, directory)


def stack(members: Sequence[Member]) -> Experiment:
    """Make a stack of these members.

    Raises:
        ConfigurationError: a size or a value is not allowed, or there is no memory for it.
    """
    try:
        return Experiment(members)
    except (RuntimeError, MemoryError) as error:
        if "alloc" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        raise ConfigurationError("data, model: the points and the weights must fit into memory, and do not") from error


def announce(experiment: Experiment) -> None:
    """Log what each run of a stack begins with."""
    sizes = {split: points.x.shape[1] for split, points in experiment.data.dataset._asdict().items()}
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in sizes.items()))


def conclude(outcome: Outcome, directory: RunDirectory) -> float:
    """Log how a run has ended.

    Returns:
        Its validation loss.

    Raises:
        RunError: it diverged.
    """
    if isinstance(outcome, RunError):
        log.error("%s", outcome)
        raise outcome
    switched = outcome["switched_on_step"]
    when = "never on" if switched is None else f"on from step {switched}"
    log.info("lambda_d %s; %.1f s; %s", when, outcome["seconds/total"], os.path.relpath(directory.path))
    loss = outcome["val/loss"]
    assert loss is not None
    return loss


def plain(configuration: DictConfig) -> tuple[dict[str, Any], Any]:
    """The configuration as plain data, and the run that is to be resumed, or None.

    Raises:
        ConfigurationError: a value is missing, or a run of a sweep is to be resumed by itself.
    """
    try:
        found = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error)) from error
    assert isinstance(found, dict)
    resume = found.pop("resume", None)
    if resume is not None and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigurationError("resume: takes one run; a sweep goes on with hydra.sweep.dir= its directory")
    return {str(key): value for key, value in found.items() if key != "hydra"}, resume


def done_before(plain: dict[str, Any], directory: RunDirectory) -> float | None:
    """The validation loss of a sweep's run that is finished already; None for one that is not, or not yet begun.

    Raises:
        ConfigurationError: the directory holds another run.
    """
    if not directory.status.exists():
        return None
    recorded = OmegaConf.to_container(OmegaConf.load(directory.hydra / "config.yaml"), resolve=True)
    assert isinstance(recorded, dict)
    if {key: value for key, value in recorded.items() if key != "resume"} != plain:
        raise ConfigurationError(
            f"hydra.sweep.dir: a sweep goes on as it was begun, but {str(directory.path)!r} holds a run of another one"
        )
    return read_json(directory.metrics)["val/loss"] if directory.metrics.exists() else None


def _resumed(plain: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """The configuration that the run was begun with."""
    if resumable(resume).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run goes on in its own directory; leave out hydra.run.dir")
    try:
        saved = torch.load(directory.last, weights_only=True)["configuration"]
    except Exception as error:  # whatever a damaged file makes of the loader
        raise ConfigurationError(
            f"resume: {directory.last} cannot be read ({type(error).__name__}: {error})"
        ) from error
    others = [override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")]
    if others and plain != saved:
        raise ConfigurationError(f"resume: a run goes on as it was begun; leave out {' '.join(others)}")
    return saved
