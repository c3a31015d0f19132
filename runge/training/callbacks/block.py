"""The base class of the callbacks that act at the end of a block of steps."""

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback

from runge.training.module import SobolevRegression


class BlockCallback(Callback):
    """A callback that acts at the end of each block of the fit, after the validation."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call `at_block_end`, unless the block was left early or this is not the fit."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression) and pl_module.block_ended:
            self.at_block_end(pl_module)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Act on the module, whose `figures` hold the errors of this step."""
