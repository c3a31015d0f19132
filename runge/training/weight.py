"""The part of the LightningModule that has lambda_d, the weight of MSE_df, of each member at each step."""

from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.schedules import NEVER, Plateau, Schedule, TwoStage, alike
from runge.training.datamodule import per_member


class WeightedModule(pl.LightningModule):
    """A LightningModule with each member's lambda_d, (M,), and the weights of its channels, (M, P, 1 + D).

    The latter multiply the weights of the points.
    """

    channels: Tensor
    lambda_d: Tensor
    lambda_now: Tensor
    switched_on: Tensor
    plateau: Tensor

    def __init__(self, lambda_d: float | Tensor, members: int, channels: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("channels", torch.ones(members, *channels, dtype=torch.float64))
        self.register_buffer("lambda_d", torch.as_tensor(lambda_d, dtype=torch.float64).expand(members).clone())
        self.register_buffer("lambda_now", self.lambda_d.clone())
        self.register_buffer("switched_on", torch.full((members,), NEVER))
        self.register_buffer("plateau", torch.stack(Plateau.start(members), dim=1))

    def set_lambda_d(self, lambda_d: Tensor) -> None:
        """Train with this weight of MSE_df, (M,), from now on; a member whose full lambda_d is 0 keeps 0."""
        self.lambda_now.copy_(torch.where(self.lambda_d > 0, lambda_d.to(self.lambda_now), 0))

    def channel_weights(self) -> Tensor:
        """Return the weight of each channel, (M, P, 1 + D), with lambda_d."""
        return torch.cat([self.channels[..., :1], self.lambda_now[:, None, None] * self.channels[..., 1:]], dim=2)

    def set_channel_weights(self, weights: Tensor) -> None:
        """Train with these weights of the channels, (M, P, 1 + D), from now on; lambda_d is a ratio of their means."""
        lambda_d = weights[..., 1:].mean((1, 2)) / weights[..., :1].mean((1, 2))
        unit = lambda_d[:, None, None]
        relative = torch.where(unit > 0, weights[..., 1:] / unit, self.channels[..., 1:])
        self.channels.copy_(torch.cat([weights[..., :1], relative], dim=2))
        self.set_lambda_d(lambda_d)

    def begin_schedules(self, schedule: Schedule | Sequence[Schedule]) -> None:
        """Begin with a schedule, or one per member, at step 0."""
        schedules: list[Schedule] = per_member(schedule, len(self.lambda_d))
        self.schedules = alike(schedules)
        self.switched_on.copy_(torch.tensor([one.first_switch() for one in schedules]))
        self.plateau.copy_(torch.stack(Plateau.start(len(schedules)), dim=1))

    def lambda_at(self, first: int, count: int) -> Tensor:
        """Return lambda_d at the steps first, ..., first + count - 1, (count, M)."""
        steps = torch.arange(first, first + count, device=self.device)
        factors = self.lambda_d.new_empty(count, len(self.lambda_d))
        for schedule, members in self.schedules.items():
            factors[:, members] = schedule.factor(steps, self.switched_on[members])
        return factors * self.lambda_now

    def observe(self, mse_f: Tensor, step: int) -> None:
        """Switch lambda_d on after this step for members whose validation MSE_f, (M,), has stopped improving."""
        for schedule, members in self.schedules.items():
            if isinstance(schedule, TwoStage) and schedule.at_step is None:
                after = schedule.observe(Plateau(*self.plateau[members].unbind(1)), mse_f[members])
                self.plateau[members] = torch.stack(after, dim=1)
                self.switched_on[members] = schedule.switch(after, step, self.switched_on[members])
