"""A callback that sets lambda_d by a policy during the training.

What the policy remembers is saved, and its random numbers follow from the step, so that a resumed run equals an
uninterrupted one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch

from runge.balance import REMEMBERED, Balance, Look, joined, separated
from runge.schedules import NEVER
from runge.sobolev.points import Points


class Balancing(pl.Callback):
    """A callback that sets each member's lambda_d, and the weights of its channels, by a policy.

    It acts on a `runge.training.module.SobolevRegression`, which is above this package.

    Args:
        balance: the policy.
        points: returns the training points as they are now.
        generators: each returns a member's source of randomness at a step.
    """

    def __init__(
        self, balance: Balance, points: Callable[[], Points], generators: Sequence[Callable[[int], torch.Generator]]
    ) -> None:
        self.balance, self.points, self.generators = balance, points, generators
        _, _, outputs, dimension = points().df.shape
        shape = (len(generators), REMEMBERED, outputs * (1 + dimension))
        self.memory = torch.full(shape, torch.nan, dtype=torch.float64)

    def at_block_end(self, module: Any) -> None:
        """Update lambda_d if the policy is due."""
        step, next_look = int(module.step), self.balance.next_look
        if next_look(module.block_start) > step or module.is_over:
            return
        chance = torch.cat([torch.rand(1, generator=generator(step)) for generator in self.generators])
        look = Look(module.network, self.points(), module.scale, chance.to(module.scale.device))
        before = joined(module.channels, module.lambda_now)
        weights, memory = self.balance.update(before, self.memory.to(before), lambda figure: getattr(look, figure))
        weights = torch.where(module.stopped_at[:, None, None] < NEVER, before, weights)
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
