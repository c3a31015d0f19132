"""SobolevRegression: the LightningModule that wraps the stacked MLP."""

from collections.abc import Sequence

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge import losses, metrics
from runge.compilation import LossAndGradient
from runge.data import Block
from runge.network import StackedMLP
from runge.optimizers import Optimizer, clip
from runge.points import Points
from runge.schedules import Schedule, alike, learning_rate_factor

DIAGNOSTICS = ("grad_norm/f", "grad_norm/df", "grad_cosine")
"""The keys of `gradient_diagnostics`; NaN where the gradients were not looked at."""

_AT_ONCE = 512
"""Points at which errors are evaluated at once, lest the memory grow with the test grid."""


class SobolevRegression(pl.LightningModule):
    """Fit values and derivatives with a stack of MLPs.

    One call of `training_step` takes many optimiser steps, so that Lightning's cost of a batch vanishes. The figures of
    a block's end lie in `figures`, each of shape (M,), for callbacks to write, show and act upon. `val/loss` and
    `test/loss` carry the full lambda_d at all times, so that checkpoints from before and after the switch compare;
    `train/loss` is what is being minimised. Each member's weights with the lowest validation loss so far lie in `best`.

    Args:
        network: the stack.
        scale: what the derivative is divided by inside the loss, (M,).
        lambda_d: the full weight of MSE_df, (M,).
        schedules: when each member's lambda_d is on.
        optimizer: the optimiser's settings.
        max_steps: optimiser steps of the run.
        steps_per_block: optimiser steps of a `training_step`.
        diagnostics_every: steps between two looks at the gradients of the two terms.
        loss_and_gradient: `losses.loss_and_gradient`, or what `runge.compilation` makes of it.

    Raises:
        ValueError: the optimiser is not elementwise and the stack has more than one member.
    """

    scale: Tensor
    lambda_d: Tensor
    switched_on: Tensor
    step: Tensor
    best: Tensor
    best_loss: Tensor

    def __init__(
        self,
        network: StackedMLP,
        *,
        scale: Tensor,
        lambda_d: Tensor,
        schedules: Sequence[Schedule],
        optimizer: Optimizer,
        max_steps: int,
        steps_per_block: int,
        diagnostics_every: int,
        loss_and_gradient: LossAndGradient = losses.loss_and_gradient,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        members = len(network.theta)
        if members > 1 and not optimizer.elementwise:
            raise ValueError(f"optimizer: {type(optimizer).__name__} takes a stack of one member, got {members}")
        self.network, self.schedules, self.optimizer = network, alike(schedules), optimizer
        self.max_steps, self.steps_per_block, self.diagnostics_every = max_steps, steps_per_block, diagnostics_every
        self.register_buffer("scale", scale.to(network.theta))
        self.register_buffer("lambda_d", lambda_d.to(torch.float64))
        self.register_buffer("switched_on", torch.tensor([schedule.first_switch() for schedule in schedules]))
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("best", network.theta.detach().clone())
        self.register_buffer("best_loss", torch.full((members,), torch.inf, dtype=torch.float64))
        self.figures: dict[str, Tensor] = {}
        self.loss_and_gradient = loss_and_gradient

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The torch optimiser of the stack's weights."""
        return self.optimizer.build([self.network.theta])

    def lambda_at(self, first: int, count: int) -> Tensor:
        """lambda_d at the steps first, ..., first + count - 1, of shape (count, M)."""
        steps = torch.arange(first, first + count, device=self.device)
        factors = self.lambda_d.new_empty(count, len(self.lambda_d))
        for schedule, members in self.schedules.items():
            factors[:, members] = schedule.factor(steps, self.switched_on[members])
        return factors * self.lambda_d

    def training_step(self, block: Block, block_index: int) -> None:
        """Take the steps of one block, then look at the training errors."""
        first = int(self.step)
        count = min(self.steps_per_block, self.max_steps - first)
        lambdas = self.lambda_at(first - 1, count + 1)
        # With another weight it is another function: what L-BFGS knows of its curvature then holds no more.
        changes, lambdas = lambdas.diff(dim=0).any(1).tolist(), lambdas[1:]
        weights = lambdas.to(self.scale)
        # lambda_d is known for the whole block: the derivative is computed only at the steps where it counts.
        with_derivative = (lambdas > 0).any(1).tolist()
        optimizer = self.optimizers(use_pl_optimizer=False)
        assert isinstance(optimizer, torch.optim.Optimizer)
        rate = self.optimizer.lr
        for k, batch in enumerate(block.batches(first, count)):
            rate = self.optimizer.lr * learning_rate_factor(self.optimizer.lr_schedule, first + k, self.max_steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            if changes[k] and not self.optimizer.elementwise:
                optimizer.state.clear()
            self._optimise(optimizer, batch, weights[k] if with_derivative[k] else None)
        self.step += count
        # The trainer counts the steps of its own wrapper of the optimiser; here it is told how many there were.
        self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.increment_by(count)
        self.figures = self.errors("train", block.points, lambdas[-1])
        self.figures |= {"lambda_d": lambdas[-1], "lr": torch.full_like(self.lambda_d, rate)}
        look = (first + count) // self.diagnostics_every > first // self.diagnostics_every
        gradients = losses.term_gradients(self.network, block.points, self.scale) if look else None
        self.figures |= (
            gradient_diagnostics(*gradients) if gradients else dict.fromkeys(DIAGNOSTICS, self.lambda_d * torch.nan)
        )

    def validation_step(self, points: Points, batch_index: int) -> None:
        """The validation errors, with the full lambda_d; members that have never been better keep their weights."""
        errors = self.errors("val", points, self.lambda_d)
        self.figures |= errors
        loss = errors["val/loss"].to(self.best_loss)
        better = loss < self.best_loss
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.best.copy_(torch.where(better[:, None], self.network.theta, self.best))

    @torch.no_grad()
    def predict(self, points: Points) -> tuple[Tensor, Tensor]:
        """The values u, (M, N), and gradients u', (M, N, D), at a set of points."""
        parts = [self.network.value_and_derivative(x) for x in points.x.split(_AT_ONCE, dim=1)]
        u, du = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return u, du

    @torch.no_grad()
    def errors(self, split: str, points: Points, lambda_d: Tensor) -> dict[str, Tensor]:
        """The loss and all errors on a set of points, by metric key, each of shape (M,)."""
        u, du = self.predict(points)
        loss = losses.weigh(*losses.terms(u, du, points, self.scale), lambda_d.to(u))
        figures = metrics.errors(u, du, points).flatten(0, 1).unbind()
        return {f"{split}/loss": loss} | dict(zip(metrics.keys(split, points.regions), figures, strict=True))

    def _optimise(self, optimizer: torch.optim.Optimizer, batch: Points, lambda_d: Tensor | None) -> None:
        theta = self.network.theta

        def closure() -> Tensor:
            loss, gradient = self.loss_and_gradient(self.network, batch, self.scale, lambda_d)
            theta.grad = gradient if self.optimizer.clip_norm is None else clip(gradient, self.optimizer.clip_norm)
            return loss.sum()  # a tensor: a float would make every step wait for the device

        optimizer.step(closure)  # pyright: ignore


def gradient_diagnostics(gradient_f: Tensor, gradient_df: Tensor) -> dict[str, Tensor]:
    """How the two terms pull at the weights: the norms of their gradients, before lambda_d, and their cosine.

    Args:
        gradient_f: the gradient of MSE_f, (M, P).
        gradient_df: the gradient of MSE_df, (M, P).

    Returns:
        `grad_norm/f`, `grad_norm/df` and `grad_cosine`, each of shape (M,).
    """
    cosine = torch.nn.functional.cosine_similarity(gradient_f, gradient_df, dim=1)
    return dict(zip(DIAGNOSTICS, (gradient_f.norm(dim=1), gradient_df.norm(dim=1), cosine), strict=True))
