"""What Hydra has composed becomes a run: the only place, beside the command line, that knows Hydra."""

import logging
import os
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from runge.command import ConfigurationError
from runge.experiment import Experiment
from runge.runs import RunDirectory
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
        if resume:
            plain = _resumed(plain, directory)
        experiment = Experiment(plain)
    except Exception:
        directory.discard()
        raise
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    metrics = experiment.fit(directory, resume=resume)
    Console().print(error_table(metrics, experiment.data.dataset.test.regions))
    switched = metrics["switched_on_step"]
    when = "never on" if switched is None else f"on from step {switched}"
    log.info("lambda_d %s; %.1f s; %s", when, metrics["seconds/total"], os.path.relpath(directory.path))
    loss = metrics["val/loss"]
    assert loss is not None
    return loss


def _plain(configuration: DictConfig) -> tuple[dict[str, Any], bool]:
    """The configuration as plain data, and whether a run is to be resumed."""
    try:
        plain = OmegaConf.to_container(configuration, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error)) from error
    assert isinstance(plain, dict)
    resume = plain.pop("resume") is not None
    if resume and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigurationError("resume: takes one run, not a sweep")
    return {str(key): value for key, value in plain.items()}, resume


def _resumed(plain: dict[str, Any], directory: RunDirectory) -> dict[str, Any]:
    """The configuration that the run was begun with; Hydra's record of the new command gives way to that of the old."""
    saved = torch.load(directory.last, weights_only=True)["configuration"]
    others = [override for override in HydraConfig.get().overrides.task if not override.startswith("resume=")]
    if others and plain != saved:
        raise ConfigurationError(f"resume: a run goes on as it was begun; leave out {' '.join(others)}")
    OmegaConf.save({**saved, "resume": None}, directory.hydra / "config.yaml")
    return saved
