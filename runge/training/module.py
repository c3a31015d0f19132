"""The LightningModule of a stack, and the base class of its callbacks."""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from runge import metrics
from runge.optimizers import Optimizer, Problem
from runge.schedules import Schedule, alike, due
from runge.sobolev import losses
from runge.sobolev.compilation import LossAndGradient
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.sobolev.stages import ResidualStages
from runge.training.datamodule import Block

_AT_ONCE = 512
"""Points at which errors are evaluated at once, so that the memory does not grow with the test grid."""


class SobolevRegression(pl.LightningModule):
    """The LightningModule that fits values and derivatives with a stack of MLPs, stage after stage.

    One call of `training_step` takes many optimiser steps, so that Lightning's cost per batch vanishes. It leaves its
    block early if `pause` returns True; the next call takes the rest. At the end of a block `figures` holds figures of
    shape (M,) for the callbacks. `val/loss` and `test/loss` use the full lambda_d throughout, so that checkpoints from
    before and after the switch are comparable; `train/loss` is what is minimised. `best` has each member's weights with
    the lowest validation loss so far, from which a later residual stage starts. All stages take the same number of
    steps.

    Args:
        network: the stack.
        scale: the derivative's scale c inside the loss, (M,).
        lambda_d: the full weight of MSE_df, (M,), by which runs are judged.
        lambda_now: the weight with which they are trained, as the balance sets it before the first step, (M,).
        schedules: when each member's lambda_d is on.
        optimizer: the optimiser's settings.
        max_steps: optimiser steps of the run.
        steps_per_block: the most optimiser steps of a `training_step`.
        diagnostics_every: steps between two evaluations of the gradients of both terms.
        rests_from: the step before which no run is at rest, because its points or its weight will change.
        loss_and_gradient: `losses.loss_and_gradient`, or its compiled form.

    Raises:
        ValueError: the optimiser does not keep members apart and the stack has more than one.
    """

    scale: Tensor
    lambda_d: Tensor
    lambda_now: Tensor
    switched_on: Tensor
    step: Tensor
    rests_from: Tensor
    ended: Tensor
    best_loss: Tensor

    def __init__(
        self,
        network: ResidualStages,
        *,
        scale: Tensor,
        lambda_d: Tensor,
        lambda_now: Tensor,
        schedules: Sequence[Schedule],
        optimizer: Optimizer,
        max_steps: int,
        steps_per_block: int,
        diagnostics_every: int,
        rests_from: int = 0,
        loss_and_gradient: LossAndGradient = losses.loss_and_gradient,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        first = network.stage(0).theta
        members = len(first)
        if members > 1 and not optimizer.independent:
            raise ValueError(f"optimizer: {type(optimizer).__name__} takes a stack of one member, got {members}")
        self.network, self.schedules, self.optimizer = network, alike(schedules), optimizer
        self.max_steps, self.steps_per_block, self.diagnostics_every = max_steps, steps_per_block, diagnostics_every
        self.steps_per_stage = -(-max_steps // len(network.stages))
        self.phases = optimizer.phases(self.steps_per_stage)
        self.register_buffer("scale", scale.to(first))
        self.register_buffer("lambda_d", lambda_d.to(torch.float64))
        self.register_buffer("lambda_now", torch.zeros_like(self.lambda_d))
        self.set_lambda_d(lambda_now)
        self.register_buffer("switched_on", torch.tensor([schedule.first_switch() for schedule in schedules]))
        self.register_buffer("step", torch.tensor(0))
        self.register_buffer("rests_from", torch.tensor(rests_from))
        self.register_buffer("ended", torch.tensor(False))
        self.best = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("best_loss", torch.full((members,), torch.inf, dtype=torch.float64))
        self.figures: dict[str, Tensor] = {}
        self.loss_and_gradient = loss_and_gradient
        self.pause: Callable[[], bool] = lambda: False
        self.block_ended, self.block_start = False, 0
        self._problem: tuple[int, Points, Points] | None = None

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take lambda_d from a checkpoint of version 0.1, which had another name for it."""
        state = checkpoint["state_dict"]
        if "balanced" in state:
            state["lambda_now"] = state.pop("balanced")

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the torch optimiser of each phase, for the weights of all stages; only one stage has a gradient."""
        return [phase.method.build(list(self.network.parameters())) for phase in self.phases]

    def at_rest(self) -> bool:
        """Return True if no step would change anything: a stage helped no member, or all methods are at rest.

        lambda_d must be at its full value, because it is reported.
        """
        step = int(self.step)
        if step < int(self.rests_from) or not bool((self.lambda_at(step - 1, 1) == self.lambda_now).all()):
            return False
        stage = (step - 1) // self.steps_per_stage
        if stage and step % self.steps_per_stage == 0 and not self.best.amplitude[:, stage].any():
            return True
        last = step > self.max_steps - self.steps_per_stage
        phase = self._phase((step - 1) % self.steps_per_stage)
        method, optimizer = self.phases[phase].method, self.trainer.optimizers[phase]
        final = phase == len(self.phases) - 1
        return last and final and method.at_rest(optimizer, self.network.stage(stage).theta)

    def lambda_at(self, first: int, count: int) -> Tensor:
        """Return lambda_d at the steps first, ..., first + count - 1, (count, M)."""
        steps = torch.arange(first, first + count, device=self.device)
        factors = self.lambda_d.new_empty(count, len(self.lambda_d))
        for schedule, members in self.schedules.items():
            factors[:, members] = schedule.factor(steps, self.switched_on[members])
        return factors * self.lambda_now

    def set_lambda_d(self, lambda_d: Tensor) -> None:
        """Train with this weight of MSE_df, (M,), from now on; a member whose full lambda_d is 0 keeps 0."""
        self.lambda_now.copy_(torch.where(self.lambda_d > 0, lambda_d.to(self.lambda_now), 0))

    def reset_optimizers(self) -> None:
        """Reset what the optimisers know of the loss, because it has changed."""
        for phase, optimizer in zip(self.phases, self.trainer.optimizers, strict=True):
            phase.method.reset(optimizer)

    def training_step(self, block: Block, block_index: int) -> None:
        """Take the steps of one block, or the rest of them; at its end, measure the training errors."""
        first = int(self.step)
        local = first % self.steps_per_stage
        before = local % self.steps_per_block
        self.block_start = first - before
        count = min(self.steps_per_block - before, self.steps_per_stage - local, self.max_steps - first)
        taken = self._take_steps(block, first, count)
        self.step += taken
        # The trainer counts the steps of its own wrapper of the optimiser, which is not used.
        self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress.increment_by(taken)
        self.block_ended = taken == count
        if self.block_ended:
            self._measure(block.points, first + count)

    def _take_steps(self, block: Block, first: int, count: int) -> int:
        """Take up to `count` steps after the first `first` ones, all in one stage; return how many were taken."""
        stage, local = divmod(first, self.steps_per_stage)
        lambdas = self.lambda_at(first - 1, count + 1)
        # A changed weight changes the loss, so the optimiser's memory of it may be wrong.
        changes, lambdas = lambdas.diff(dim=0).any(1).tolist(), lambdas[1:]
        weights = lambdas.to(self.scale)
        # lambda_d is known for the whole block: where it is 0 for all, no derivative is computed.
        with_derivative = (lambdas > 0).any(1).tolist()
        if stage and not local:
            self._begin_stage(stage, block.points)
        network = self.network.stage(stage)
        batches = Block(self._residual(stage, block.points), block.minibatches).batches(first, count)
        for k, batch in enumerate(batches):
            i = self._phase(local + k)
            phase, optimizer = self.phases[i], self.trainer.optimizers[i]
            if changes[k]:
                phase.method.reset(optimizer)
            weight = weights[k] if with_derivative[k] else None
            problem = Problem(network, batch, self.scale, weight, self.loss_and_gradient)
            phase.method.step(optimizer, problem, self._progress(i, local + k))
            last = local + k + 1 in (phase.first + phase.steps, self.max_steps - first + local)
            if last or phase.method.at_rest(optimizer, network.theta):
                phase.method.finish(problem)
            if self.pause():
                return k + 1
        return count

    def _measure(self, points: Points, step: int) -> None:
        """Record the figures at the end of a block, after `step` steps."""
        stage, local = divmod(step - 1, self.steps_per_stage)
        lambda_d = self.lambda_at(step - 1, 1)[0]
        self.figures = self.errors("train", points, lambda_d) | {metrics.LAMBDA_D: lambda_d}
        theta, now = self.network.stage(stage).theta, self._phase(local)
        for i, (phase, optimizer) in enumerate(zip(self.phases, self.trainer.optimizers, strict=True)):
            for key, figure in phase.method.figures(optimizer, theta, self._progress(i, local)).items():
                self.figures[key] = figure if i == now else torch.full_like(figure, torch.nan)
        if due(self.diagnostics_every, self.block_start, step):
            self.figures |= gradient_diagnostics(*self.term_gradients(points, stage))
        else:
            self.figures |= dict.fromkeys(metrics.DIAGNOSTICS, torch.full_like(self.lambda_d, torch.nan))

    def validation_step(self, points: Points, batch_index: int) -> None:
        """Compute the validation errors with the full lambda_d, and keep the weights of members that improved."""
        if not self.block_ended:
            return
        errors = self.errors("val", points, self.lambda_d)
        self.figures |= errors
        loss = errors[metrics.VAL_LOSS].to(self.best_loss)
        better = loss < self.best_loss
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        for best, now in zip(self.best.state_dict().values(), self.network.state_dict().values(), strict=True):
            best.copy_(torch.where(better.view(-1, *[1] * (now.ndim - 1)), now, best))

    def term_gradients(self, points: Points, stage: int) -> tuple[Tensor, Tensor]:
        """Return the gradients of MSE_f and of MSE_df by a stage's weights, for its targets, both (M, P)."""
        return losses.term_gradients(*self.stage_problem(points, stage), self.scale)

    def stage_problem(self, points: Points, stage: int) -> tuple[StackedMLP, Points]:
        """Return the network of a stage, and the points with the residual that it fits."""
        return self.network.stage(stage), self.network.residual(stage, points)

    def stage(self) -> int:
        """Return the stage of the last step."""
        return min(int(self.step) - 1, self.max_steps - 1) // self.steps_per_stage

    @torch.no_grad()
    def predict(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values u, (M, N), and gradients u', (M, N, D), at points of shape (M, N, D)."""
        parts = [self.network.value_and_derivative(some) for some in x.split(_AT_ONCE, dim=1)]
        u, du = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return u, du

    @torch.no_grad()
    def errors(self, split: str, points: Points, lambda_d: Tensor) -> dict[str, Tensor]:
        """Return the loss and all errors on a set of points, by metric key, each of shape (M,)."""
        u, du = self.predict(points.x)
        loss = losses.weigh(*losses.terms(u, du, points, self.scale), lambda_d.to(u))
        figures = losses.errors(u, du, points).flatten(0, 1).unbind()
        return {metrics.key(split, "loss"): loss} | dict(zip(metrics.keys(split, points.regions), figures, strict=True))

    def _begin_stage(self, stage: int, points: Points) -> None:
        """Begin a later stage from the best weights so far."""
        self.network.load_state_dict(self.best.state_dict())
        self.network.begin_stage(stage, points, self.scale, self.lambda_d)
        self.network.zero_grad()  # a parameter without a gradient does not move
        self.reset_optimizers()

    def _residual(self, stage: int, points: Points) -> Points:
        """Return the points with the residual that a stage fits, computed once: earlier stages do not change."""
        if self._problem is None or self._problem[0] != stage or self._problem[1] is not points:
            self._problem = stage, points, self.network.residual(stage, points)
        return self._problem[2]

    def _phase(self, step: int) -> int:
        """Return the index of the phase that a step of a stage belongs to."""
        return max(i for i, phase in enumerate(self.phases) if phase.first <= step)

    def _progress(self, phase: int, step: int) -> float:
        return (step - self.phases[phase].first) / self.phases[phase].steps


def gradient_diagnostics(gradient_f: Tensor, gradient_df: Tensor) -> dict[str, Tensor]:
    """Return the norms of the gradients of both terms, without lambda_d, and their cosine.

    Args:
        gradient_f: the gradient of MSE_f, (M, P).
        gradient_df: the gradient of MSE_df, (M, P).

    Returns:
        The figures named by `runge.metrics.DIAGNOSTICS`, each of shape (M,).
    """
    cosine = torch.nn.functional.cosine_similarity(gradient_f, gradient_df, dim=1)
    return dict(zip(metrics.DIAGNOSTICS, (gradient_f.norm(dim=1), gradient_df.norm(dim=1), cosine), strict=True))


class BlockCallback(Callback):
    """A callback that acts at the end of each block of the fit, after the validation."""

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Call `at_block_end`, unless the block was left early or this is not the fit."""
        if trainer.state.fn == "fit" and isinstance(pl_module, SobolevRegression) and pl_module.block_ended:
            self.at_block_end(pl_module)

    def at_block_end(self, module: SobolevRegression) -> None:
        """Act on the module, whose `figures` hold the errors of this step."""
