"""A callback that prints the seconds of the processor that a command has taken before its first step.

python train.py +callbacks.first._target_=first_step.FirstStep, with this folder in PYTHONPATH
"""

import os

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback


class FirstStep(Callback):
    """A callback that acts before the first step."""

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Print the seconds of this process and its children."""
        print(f"before the first step {sum(os.times()[:4])}")
