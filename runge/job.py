"""What Hydra has composed becomes a run: the only place, beside the command line, that knows Hydra."""

import logging
import os
from collections.abc import Sequence
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from runge.configuration import CONFIGURATIONS
from runge.directories import RunDirectory, resumable
from runge.errors import ConfigurationError
from runge.experiment import Experiment
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
    directory = RunDirectory(HydraConfig.get().runtime.output_dir)
    try:
        plain, resume = _plain(configuration)
        if resume is not None:
            plain = _resumed(plain, resume, directory)
        elif directory.status.exists():
            raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
        experiment = _build(plain, HydraConfig.get().overrides.task)
    except BaseException:
        directory.discard()
        raise
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    sizes = {split: points.x.shape[1] for split, points in experiment.data.dataset._asdict().items()}
    log.info("points: %s", ", ".join(f"{n} {split}" for split, n in sizes.items()))
    metrics = experiment.fit(directory, resume=resume is not None)
    Console().print(error_table(metrics, experiment.data.dataset.test.regions))
    switched = metrics["switched_on_step"]
    when = "never on" if switched is None else f"on from step {switched}"
    log.info("lambda_d %s; %.1f s; %s", when, metrics["seconds/total"], os.path.relpath(directory.path))
    loss = metrics["val/loss"]
    assert loss is not None
    return loss


def check_sweep(arguments: Sequence[str]) -> None:
    """Build each value that a sweep will take once, with all other keys at their first, before anything is trained.

    Args:
        arguments: those of the command line.

    Raises:
        ConfigurationError: a value is not allowed.
    """
    parsed = OverridesParser.create().parse_overrides([a for a in arguments if not a.startswith("-") and "=" in a])
    choices = [
        [f"{override.key_or_group}={value}" for value in override.sweep_string_iterator()]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in parsed
        if not str(override.key_or_group).startswith("hydra")
    ]
    first = [values[0] for values in choices]
    for i, values in enumerate(choices):
        for value in values[bool(i) :]:  # the firsts together count once
            with initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
                composed = compose("config", [*first[:i], value, *first[i + 1 :]])
            _build(_plain(composed)[0])


def _build(plain: dict[str, Any], overrides: Sequence[str] = ()) -> Experiment:
    try:
        return Experiment(plain, overrides)
    except (RuntimeError, MemoryError) as error:
        if "alloc" not in str(error).lower() and not isinstance(error, MemoryError):
            raise
        raise ConfigurationError("data, model: the points and the weights must fit into memory, and do not") from error


def _plain(configuration: DictConfig) -> tuple[dict[str, Any], Any]:
    """The configuration as plain data, and the run that is to be resumed, or None."""
    try:
        plain = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error)) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items() if key != "resume"}, plain.get("resume")


def _resumed(plain: dict[str, Any], resume: Any, directory: RunDirectory) -> dict[str, Any]:
    """The configuration that the run was begun with."""
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        raise ConfigurationError("resume: takes one run, not a sweep")
    if resumable(resume).path.resolve() != directory.path.resolve():
        raise ConfigurationError("resume: a run goes on in its own directory; leave out hydra.run.dir")
    try:
        saved = torch.load(directory.last, weights_only=True)["configuration"]
    except Exception as error:  # whatever a damaged file makes of the loader
        raise ConfigurationError(
            f"resume: {directory.last} cannot be read ({type(error).__name__}: {error})"
        ) from error
    others = [override for override in hydra.overrides.task if not override.startswith("resume=")]
    if others and plain != saved:
        raise ConfigurationError(f"resume: a run goes on as it was begun; leave out {' '.join(others)}")
    return saved
