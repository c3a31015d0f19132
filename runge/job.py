"""What Hydra has composed becomes a run: the only place, beside the command line, that knows Hydra."""

import itertools
import logging
import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from runge.configuration import CONFIGURATIONS
from runge.directories import RunDirectory, read_json, resumable
from runge.errors import ConfigurationError
from runge.experiment import Experiment
from runge.tables import error_table

log = logging.getLogger(__name__)

_CHECKED = 64
"""Of a larger sweep not all combinations are built beforehand: each takes some 50 ms."""


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
        plain, resume = _plain(configuration)
        if sweep and resume is not None:
            raise ConfigurationError("resume: takes one run; a sweep goes on with hydra.sweep.dir= its directory")
        if sweep and directory.status.exists():
            if (finished := _done_before(plain, directory)) is not None:
                return finished
            resume = directory.path if directory.last.exists() else None
        elif resume is not None:
            plain = _resumed(plain, resume, directory)
        elif directory.status.exists():
            raise ConfigurationError(f"hydra.run.dir: must be a directory without a run, got {str(directory.path)!r}")
        experiment = _build(plain, hydra.overrides.task)
    except BaseException as error:
        if sweep and isinstance(error, ConfigurationError) and not directory.status.exists():
            directory.write_status("failed", 0, str(error))
        directory.discard()
        raise
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
    """Build the runs of a sweep before anything is trained: all of them, or of very many each value once.

    Args:
        arguments: those of the command line.

    Raises:
        ConfigurationError: a value is not allowed.
    """
    with initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
        parser = OverridesParser.create(GlobalHydra.instance().config_loader())
        parsed = parser.parse_overrides([argument for argument in arguments if "=" in argument and argument[0] != "-"])
        choices = [
            [f"{override.get_key_element()}={value}" for value in override.sweep_string_iterator()]
            if override.is_discrete_sweep()
            else [str(override.input_line)]
            for override in parsed
            if not str(override.key_or_group).startswith("hydra")
            and (override.is_discrete_sweep() or not override.is_sweep_override())
        ]
        jobs = itertools.product(*choices)
        if math.prod(map(len, choices)) > _CHECKED:
            first = [values[0] for values in choices]
            jobs = ((*first[:i], value, *first[i + 1 :]) for i, values in enumerate(choices) for value in values)
        for job in jobs:
            _build(_plain(compose("config", list(job)))[0])


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


def _done_before(plain: dict[str, Any], directory: RunDirectory) -> float | None:
    """The validation loss of a sweep's run that is finished already, or None.

    Raises:
        ConfigurationError: the directory holds another run.
    """
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
