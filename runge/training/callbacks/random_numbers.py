"""The callback by which the random numbers of a run that is trained step by step follow from its seed."""

from typing import Any

import lightning.pytorch as pl
import torch

from runge.data.seed import Seed

__all__ = ["RandomNumbers"]


class RandomNumbers(pl.Callback):
    """A callback that seeds torch's generators before each step: a resumed run draws what it would have drawn.

    Args:
        seed: the seed of the run.
    """

    def __init__(self, seed: Seed) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Seed the generators by the seed of the run and the step."""
        seed = self._seed.generator("step", int(pl_module.step)).initial_seed()
        torch.default_generator.manual_seed(seed)
        if pl_module.device.type == "cuda":
            torch.cuda.manual_seed(seed)
