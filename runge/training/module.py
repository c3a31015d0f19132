"""The LightningModule of a stack."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from runge import metrics
from runge.data.seed import Seed
from runge.interruption import interruption
from runge.optimizers import Adam, Course, Optimizer
from runge.schedules import due
from runge.sobolev import losses
from runge.sobolev.accuracy import Reference, errors, own_errors
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.training.datamodule import Block
from runge.training.plan import Labels, Plan, SobolevLoss
from runge.training.progress import Progress, advance, keep_best, should_stop

_SAVED_AS = {"settled_from": "rests_from"}
"""Names in a checkpoint that are not those of `Progress`."""


class SobolevRegression(pl.LightningModule):
    """The LightningModule that fits values and derivatives with a stack of MLPs.

    A `training_step` takes a block of many optimiser steps, so that Lightning's cost per batch vanishes; with a
    `SobolevDataModule` a block is an epoch. Each fit begins at step 0 from the present weights, unless it resumes a
    checkpoint. `progress` is its state, and `runge.training.progress.should_stop` lists who may end it.

    It asks the trainer's callbacks for the factors of lambda_d before a block, whether to leave it after each step, and
    to act at its end: `runge.training.callbacks` has these methods, and their order.

    The errors are logged under the keys of `runge.metrics`, of a stack the median over its members; `figures` has those
    of each member, (M,), at the end of a block. `val/loss` and `test/loss` use the full lambda_d throughout, so that
    they are comparable before and after the switch; `train/loss` is what is minimised. `network` has the present
    weights, and `best` each member's weights with the lowest validation loss so far, after `best_step` steps, as
    `runge.training.progress.keep_best` chooses them.

    Args:
        domain: the box, (lower, upper) or (D, 2), or one per member, (M, D, 2).
        seed: the seed of the weights, or one per member; their number is that of the members.
        lambda_d: the full weight of MSE_df, or one per member, by which runs are judged.
        loss: the other settings of the loss; None: those of `SobolevLoss`.
        optimizer: the optimiser's settings; None: `Adam`.
        max_steps: optimiser steps of the run; None: those of the trainer's `max_steps`, or of all blocks of its epochs.
        plan: the blocks of steps, and what is measured; None: that of `Plan`.
        labels: the labels; None: those of `Labels`.
        dtype: the precision, that of the data; the trainer's own must remain 32-true.
        **model: the shape of the network, the keys of `runge.sobolev.network.Model`.

    Raises:
        ValueError: the optimiser does not keep members apart; the trainer has a precision, or no limit of steps.
    """

    lambda_d: Tensor
    scale: Tensor
    step: Tensor
    lambda_now: Tensor
    channels: Tensor
    factor: Tensor
    switched_on: Tensor
    best_loss: Tensor
    best_step: Tensor
    stopped_at: Tensor

    def __init__(
        self,
        domain: Tensor | Sequence[float],
        *,
        seed: int | Sequence[int] = 0,
        lambda_d: float | Tensor = 0.1,
        loss: SobolevLoss | None = None,
        optimizer: Optimizer | None = None,
        max_steps: int | None = None,
        plan: Plan | None = None,
        labels: Labels | None = None,
        dtype: torch.dtype = torch.float32,
        **model: Any,
    ) -> None:
        generators = [seed.generator("weights") for seed in Seed.of_members(seed)]
        members, box = len(generators), torch.atleast_2d(torch.as_tensor(domain, dtype=torch.float64))
        super().__init__()
        self.automatic_optimization = False
        self.optimizer, self.labels = optimizer or Adam(), labels or Labels()
        self.plan, self._asked = plan or Plan(), max_steps
        box = box.expand(members, *box.shape[-2:])
        self.network = StackedMLP(Model(**model), box, generators, dtype, self.labels.outputs, self.labels.units)
        if members > 1 and not self.optimizer.keeps_apart:
            name = type(self.optimizer).__name__
            raise ValueError(f"optimizer: {name} trains one network at a time, got {members} members")
        loss = loss or SobolevLoss()
        self.penalty, self.compiled = loss.penalty, loss.compiled or losses.loss_and_gradient
        self.predict = getattr(loss.compiled, "predict", StackedMLP.predict)
        self.loss_and_gradient = loss.loss_and_gradient or partial(losses.loss_and_gradient, penalty=loss.penalty)
        self.register_buffer("scale", torch.as_tensor(loss.scale, dtype=dtype).expand(members).clone())
        self.register_buffer("lambda_d", torch.as_tensor(lambda_d, dtype=torch.float64).expand(members).clone())
        start = Progress.start(self.lambda_d, self.labels.outputs, box.shape[-2])
        for name, value in start._asdict().items():
            self.register_buffer(_SAVED_AS.get(name, name), value)
        self.best = copy.deepcopy(self.network).requires_grad_(False)
        self.figures: dict[str, Tensor] = {}
        self._made: dict[str, tuple[Points, Any]] = {}
        self.block_ended, self.block_start = False, 0

    def setup(self, stage: str) -> None:
        """Plan a fit from its first step; a checkpoint is loaded after this."""
        if stage != "fit":
            return
        if (precision := self.trainer.precision) != "32-true":
            rule = "must be 32-true, because module and data have their own, such as dtype=torch.float64"
            raise ValueError(f"precision of the Trainer: {rule}; got {precision}")
        self.max_steps = self._asked or self._steps_of_trainer()
        self.last = min(self.max_steps, self.plan.stop_at or self.max_steps)
        self.set_progress(self.progress.restarted())
        self.block_ended = False
        self._made.clear()

    def _steps_of_trainer(self) -> int:
        """Return the steps that the trainer asks for, by its `max_steps` or by its epochs of blocks."""
        blocks, most = self.trainer.estimated_stepping_batches, self.trainer.max_steps  # -1: no limit
        if not 0 <= blocks < math.inf:
            raise ValueError("max_steps: must be given to the module or to the Trainer if max_epochs is -1")
        steps = int(blocks) * self.plan.steps_per_block
        return steps if most < 0 else min(steps, most)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the torch optimiser of the weights, and one of nothing, whose steps the trainer counts: the blocks."""
        nothing = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))])
        return [self.optimizer.build(self.optimizer.weights(self.network)), nothing]

    @property
    def progress(self) -> Progress:
        """The state of the fit. Its tensors are buffers, which change as the fit continues."""
        return Progress(*(self.get_buffer(_SAVED_AS.get(name, name)) for name in Progress._fields))

    def set_progress(self, progress: Progress) -> None:
        """Continue from this state."""
        for name, value in progress._asdict().items():
            self.get_buffer(_SAVED_AS.get(name, name)).copy_(value)

    @property
    def is_over(self) -> bool:
        """True if the fit has taken its last step, or has ended before."""
        return should_stop(self.progress, self.last)

    def ask_to_stop(self) -> bool:
        """Ask the trainer to stop if `should_stop` returns True; return whether it stops, also if others ask."""
        self.trainer.should_stop |= should_stop(self.progress, self.last, interruption.requested)
        return self.trainer.should_stop

    def last_step(self, member: int) -> int:
        """Return the last step of a member so far."""
        return min(int(self.step), int(self.stopped_at[member]))

    def reset_optimizer(self) -> None:
        """Reset what the optimiser knows of the loss, because it has changed."""
        self._made.pop("reweighted", None)
        self.optimizer.reset(self.trainer.optimizers[0])

    def set_lambda_d(self, lambda_d: Tensor, channels: Tensor | None = None) -> None:
        """Train with this weight of MSE_df, (M,), from now on; a member whose full lambda_d is 0 keeps 0.

        `channels` are the weights of the channels without lambda_d, (M, P, 1 + D); None: they stay.
        """
        lambda_now = torch.where(self.lambda_d > 0, lambda_d.to(self.lambda_now), 0)
        channels = self.channels if channels is None else channels
        self.set_progress(self.progress._replace(lambda_now=lambda_now, channels=channels))

    def settle(self, step: int) -> None:
        """Expect the points and the weights of the loss to change until this step."""
        progress = self.progress
        self.set_progress(progress._replace(settled_from=progress.settled_from.clamp_min(step)))

    def on_train_start(self) -> None:
        """Take no step if the fit was over when the checkpoint was saved; at a signal, at least one is taken."""
        self.trainer.should_stop |= self.is_over

    def training_step(self, block: Block, block_index: int) -> None:
        """Take the steps of one block, or the rest of them; at its end, measure the training errors."""
        first, size = int(self.step), self.plan.steps_per_block
        self.block_start = first - first % size
        count = min(self.block_start + size, self.last) - first
        factors, over = self._take_steps(block, first, self._factors(first, count))
        self.set_progress(advance(self.progress, factors, over))
        cast(list[LightningOptimizer], self.optimizers())[1].step()
        self.ask_to_stop()
        self.block_ended = over or len(factors) == count
        if self.block_ended:
            self._measure(self._once("sample", block.points, block.sample), int(self.step))

    def _factors(self, first: int, count: int) -> Tensor:
        """Return the factors of lambda_d at a number of steps from step `first` on, (count, M)."""
        steps = torch.arange(first, first + count, device=self.device)
        factors = self.factor.new_ones(count, len(self.factor))
        for at_block_start in self._hooks("at_block_start"):
            factors = factors * at_block_start(self, steps)
        return factors

    def _take_steps(self, block: Block, first: int, factors: Tensor) -> tuple[Tensor, bool]:
        """Take steps from step `first` on, with these factors of lambda_d, (K, M).

        Returns:
            the factors at the steps that were taken, and whether the last of them ends the fit.
        """
        count, before = len(factors), self.factor[None] if first else factors[:1]
        lambdas = torch.cat([before, factors]) * self.lambda_now
        # A changed weight changes the loss, so the optimiser's memory of it may be wrong.
        changes, lambdas = lambdas.diff(dim=0).any(1).tolist(), lambdas[1:]
        points, channels = block.points, self.channels.to(block.points.f)
        course = Course(
            self.network,
            self._once("reweighted", points, lambda: points.reweighted(channels)),
            block.batches(first, count),
            self.scale,
            lambdas.to(self.scale),
            (lambdas > 0).any(1).tolist(),  # where lambda_d is 0 for all members, no derivative is computed
            [(first + k) / self.max_steps for k in range(count)],
            self.loss_and_gradient,
        )
        k, over, left = 0, False, False
        optimizer, hooks = self.trainer.optimizers[0], self._hooks("after_step")
        while k < count and not over and not left:
            if changes[k]:
                self.optimizer.reset(optimizer)
            rested = self.optimizer.at_rest(optimizer, course.network.theta)
            k += self.optimizer.steps(optimizer, course, k, count)
            answers = [after_step() for after_step in hooks]
            over, left = "end" in answers, "pause" in answers or interruption.requested
            last = over or first + k == self.max_steps
            if not rested and (last or self.optimizer.at_rest(optimizer, course.network.theta)):
                self.optimizer.finish(course.problem(k - 1))
        if over or k == count:
            course.network.fix_constants(course.points)
        return factors[:k], over

    def _hooks(self, name: str) -> list[Callable[..., Any]]:
        """Return this method of each of the trainer's callbacks that has it, in their order."""
        callbacks = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        return [getattr(callback, name) for callback in callbacks if hasattr(callback, name)]

    def _measure(self, points: Points, step: int) -> None:
        """Record the figures at the end of a block, after `step` steps."""
        lambda_d = self.factor * self.lambda_now
        self.figures = self.measure("train", points, lambda_d) | {metrics.LAMBDA_D: lambda_d}
        before = (step - 1) / self.max_steps
        self.figures |= self.optimizer.figures(self.trainer.optimizers[0], self.network.theta, before)
        diagnostics: dict[str, Tensor] = {}
        if due(self.plan.diagnostics_every, self.block_start, step):
            gradients = losses.term_gradients(self.network, points, self.scale, self.compiled)
            diagnostics = losses.diagnostics(*gradients)
        self._log(self.figures | diagnostics)
        self.figures |= diagnostics or dict.fromkeys(metrics.DIAGNOSTICS, torch.full_like(self.lambda_d, torch.nan))

    def validation_step(self, points: Points, batch_index: int) -> None:
        """Compute the validation errors with the full lambda_d; after a block, keep the weights that improved."""
        fitting = self.trainer.state.fn == "fit"
        if fitting and not self.block_ended:
            return
        figures = self.measure("val", points, self.lambda_d)
        self._log(figures)
        if fitting:
            self.figures |= figures
            self._keep_best(figures[metrics.VAL_LOSS])

    def _keep_best(self, loss: Tensor) -> None:
        """Keep the weights of the members that have improved, given their validation losses, (M,)."""
        progress, better = keep_best(self.progress, loss, self.lambda_d, always=self.plan.stop_at is not None)
        self.set_progress(progress)
        for best, now in zip(self.best.state_dict().values(), self.network.state_dict().values(), strict=True):
            best.copy_(torch.where(better.view(-1, *[1] * (now.ndim - 1)), now, best))

    def on_validation_epoch_end(self) -> None:
        """Let the callbacks act at the end of a block."""
        if self.trainer.state.fn == "fit" and self.block_ended:
            for at_block_end in self._hooks("at_block_end"):
                at_block_end(self)
            self.ask_to_stop()

    def test_step(self, points: Points, batch_index: int) -> None:
        """Compute the test errors with the full lambda_d."""
        self._log(self.measure("test", points, self.lambda_d))

    def _log(self, figures: Mapping[str, Tensor]) -> None:
        if self.plan.log_figures:
            medians = {key: figure.nanmedian() for key, figure in figures.items()}
            medians["step"] = self.step.double()  # that of Lightning's loggers, which would count blocks
            self.log_dict(medians, on_step=False, on_epoch=True, batch_size=1)

    @torch.no_grad()
    def measure(self, split: str, points: Points, lambda_d: Tensor) -> dict[str, Tensor]:
        """Return the loss and all errors on a set of points, by metric key, each of shape (M,)."""
        u, du = self.predict(self.network, points.x)
        figures = {"loss": losses.weigh(*losses.terms(u, du, points, self.scale, self.penalty), lambda_d.to(u))}
        beside = [extra.to(points.x.device) for extra in self.labels.beside.get(split, ())]
        reference = self._once(split, points, partial(Reference.of, points, self.network.units, beside))
        figures |= errors(u, du, points, reference)
        figures |= own_errors(self.plan.own_metrics, u, du, points, self.network.units)
        return {metrics.key(split, name): figure for name, figure in figures.items()}

    def _once(self, name: str, points: Points, make: Callable[[], Any]) -> Any:
        """Return `make()`, and keep it under a name as long as the points are the same."""
        if name not in self._made or self._made[name][0] is not points:
            self._made[name] = points, make()
        return self._made[name][1]
