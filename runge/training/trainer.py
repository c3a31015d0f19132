"""Lightning's Trainer of a stack, and the base class of its callbacks."""

from collections.abc import Sequence

import lightning.pytorch as pl
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback

from runge import machine
from runge.training.member import Training
from runge.training.module import SobolevRegression
from runge.training.saving import StateFile

IGNORED = ".isinstance.treespec, LeafSpec.. is deprecated|The .srun. command is available on your system"
"""Warnings of no use to the user: Lightning 2.6 uses torch's pytree in a deprecated way, and advertises srun."""


def make_trainer(
    training: Training, on_gpu: bool, callbacks: Sequence[Callback], file: StateFile | None = None
) -> pl.Trainer:
    """Return the Trainer that takes the steps of a stack in one epoch, and validates after each block.

    Args:
        training: the section `trainer`.
        on_gpu: true: train on the GPU.
        callbacks: all callbacks, in the order in which they act.
        file: the file of the stack's state; None: it has none.
    """
    machine.keep_memory()
    return pl.Trainer(
        accelerator="gpu" if on_gpu else "cpu",
        devices=1,
        logger=False,
        callbacks=list(callbacks),
        plugins=[*([file] if file else []), LightningEnvironment()],  # one process, also inside a Slurm job
        default_root_dir=file.directories[file.rows[0]].path if file else None,
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


class BlockCallback(Callback):
    """A callback that acts at the end of each block of the fit, after the validation."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call `at_block_end`, unless the block was left early or this is not the fit."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression) and pl_module.block_ended:
            self.at_block_end(pl_module)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Act on the module, whose `figures` hold the errors of this step."""
