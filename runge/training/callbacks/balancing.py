"""A callback that sets lambda_d by a policy during the training.

What the policy remembers is saved, and its random numbers follow from the step, so that a resumed run equals an
uninterrupted one.
"""

from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from runge.balance import REMEMBERED, Balance, Look, joined, separated
from runge.data.seed import Seed
from runge.training.datamodule import PointsDataModule
from runge.training.module import SobolevRegression


class Balancing(pl.Callback):
    """A callback that sets each member's lambda_d, and the weights of its channels, by a policy."""

    def __init__(self, balance: Balance, data: PointsDataModule, seeds: Sequence[Seed]) -> None:
        self.balance, self.data = balance, data
        self.seeds = seeds
        _, _, outputs, dimension = data.dataset.train.df.shape
        shape = (len(seeds), REMEMBERED, outputs * (1 + dimension))
        self.memory = torch.full(shape, torch.nan, dtype=torch.float64)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Update lambda_d if the policy is due."""
        step, next_look = int(module.step), self.balance.next_look
        if next_look(module.block_start) > step or module.is_over:
            return
        chance = torch.cat([torch.rand(1, generator=seed.generator("balance", step)) for seed in self.seeds])
        look = Look(module.network, self.data.dataset.train, module.scale, chance.to(module.scale.device))
        before = joined(module.channels, module.lambda_now)
        weights, memory = self.balance.update(before, self.memory.to(before), lambda figure: getattr(look, figure))
        weights = torch.where(module.progress.stopped[:, None, None], before, weights)
        channels, lambda_d = separated(weights, module.channels)
        module.set_lambda_d(lambda_d, channels)
        self.memory = memory.cpu()
        if not torch.equal(before, joined(module.channels, module.lambda_now)):
            module.reset_optimizer()
            module.settle(next_look(step))

    def state_dict(self) -> dict[str, Any]:
        """Return the policy's memory."""
        return {"memory": self.memory}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the policy's memory."""
        self.memory = state_dict["memory"].clone()
