"""Lightning's Trainer of a stack, and a user's own callbacks and metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping

from runge import machine
from runge.configuration.errors import ConfigurationError, describe
from runge.configuration.objects import build, locate, section
from runge.sobolev.accuracy import Metric
from runge.sobolev.points import Points
from runge.training.saving import StateFile
from runge.training.settings import Training

IGNORED = ".isinstance.treespec, LeafSpec.. is deprecated|The .srun. command is available|GPU available but not used"
"""Warnings of no use to the user: Lightning 2.6 uses torch's pytree in a deprecated way, and advertises
srun and GPUs."""


def make_trainer(
    training: Training, on_gpu: bool, callbacks: Sequence[Callback], file: StateFile | None = None
) -> pl.Trainer:
    """Return the Trainer that takes the steps of a stack in one epoch, and validates after each block."""
    machine.keep_memory()
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        logger=False,
        callbacks=list(callbacks),
        plugins=[*([file] if file else []), LightningEnvironment()],  # one process, also inside a Slurm job
        default_root_dir=file.directories[0].path if file else None,
        enable_checkpointing=False,
        max_epochs=1,
        max_steps=training.max_steps,
        val_check_interval=1,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        inference_mode=False,  # it forbids the derivative by autograd
        use_distributed_sampler=False,
    )


def make_callbacks(entries: Mapping[str, Any]) -> list[Callback]:
    """Make a user's own callbacks for a stack, given the section `callbacks`.

    Raises:
        ConfigurationError: an entry does not name a callback, or one that saves checkpoints, or a parameter is wrong.
    """
    callbacks = []
    for name, entry in entries.items():
        values = section(key := f"callbacks.{name}", entry)
        kind: Any = locate(key, values.get("_target_"), Callback)
        if issubclass(kind, Checkpoint):
            raise ConfigurationError(f"{key}: must not save checkpoints; each run has its own, see resume=")
        if issubclass(kind, EarlyStopping):  # by default it waits for the end of the only epoch
            values = {"check_on_train_epoch_end": False} | values
        callbacks.append(build(key, values, Callback))
    return callbacks


def check_metrics(functions: Mapping[str, Metric], points: Points) -> None:
    """Compute a user's own metrics of the function itself.

    Raises:
        ConfigurationError: one cannot be computed, or is not a figure per member.
    """
    for name, function in functions.items():
        try:
            figure = function(points.f, points.df, points)
        except Exception as error:  # a user's function may raise anything
            raise ConfigurationError(f"metrics.{name}: cannot be computed ({describe(error)})") from error
        got = tuple(figure.shape) if isinstance(figure, torch.Tensor) else repr(figure)
        if got != (members := tuple(points.f.shape[:1])):
            rule = f"a tensor (M,), one figure per member, here {members}"
            raise ConfigurationError(f"metrics.{name}: must return {rule}; got {got}")
