"""The LightningModule of a stack."""

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from runge import metrics
from runge.data.seed import Seed
from runge.optimizers import Adam, Course, Optimizer
from runge.schedules import NEVER, due, first_positive
from runge.sobolev import losses
from runge.sobolev.accuracy import Metric, Reference, errors, own_errors
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.sobolev.units import Units
from runge.training.datamodule import Block

_BEGINNING = {"step": 0, "ended": False, "waiting_since": 0, "stopped_at": NEVER, "switched_on": NEVER}


class SobolevRegression(pl.LightningModule):
    """The LightningModule that fits values and derivatives with a stack of MLPs.

    A `training_step` takes a block of many optimiser steps, so that Lightning's cost per batch vanishes; with a
    `SobolevDataModule` a block is an epoch. It is left early if `pause` returns True; the next call takes the rest. If
    `is_over` returns True, the block and the fit end with the present step. Each fit begins at step 0 from the present
    weights, unless it resumes a checkpoint.

    The weight of MSE_df is the constant lambda_d, unless a callback sets `factors`, by which lambda_d is multiplied at
    the `next_steps`, (K, M), each in [0, 1], as `DerivativeLoss` does. `factor` is that of the last step, (M,), and
    `switched_on` the first step with a positive one.

    The errors are logged under the keys of `runge.metrics`, of a stack the median over its members; `figures` has those
    of each member, (M,), at the end of a block. `val/loss` and `test/loss` use the full lambda_d throughout, so that
    they are comparable before and after the switch; `train/loss` is what is minimised. `network` has the present
    weights, and `best` each member's weights with the lowest validation loss so far, after `best_step` steps: once
    lambda_d is on, only those after steps with lambda_d count, because noise in f' would prefer those from before.
    Relative errors on a split are relative to the standard deviations over its points and those `beside` them.

    Args:
        domain: the box, (lower, upper) or (D, 2), or one per member, (M, D, 2).
        seed: the seed of the weights, or one per member; their number is that of the members.
        lambda_d: the full weight of MSE_df, or one per member, by which runs are judged.
        scale: the derivative's scale c inside the loss, or one per member.
        optimizer: the optimiser's settings; None: `Adam`.
        max_steps: optimiser steps of the run; None: those of the trainer's `max_steps`, or of all blocks of its epochs.
        stop_at: the last step, whose weights `best` has then; None: `max_steps`, and those with the lowest loss.
        steps_per_block: the most optimiser steps of a `training_step`.
        diagnostics_every: steps between two evaluations of the gradients of both terms.
        penalty: what takes the place of the squares in the loss, as in `runge.sobolev.losses`.
        loss_and_gradient: `losses.loss_and_gradient`, or its compiled form, which has no penalty; None: the former.
        compiled: the package's own kernel, for the errors and the gradients of both terms; None: torch's operations.
        own_metrics: further errors by name, each a `Metric`.
        log_figures: true: log the figures by `self.log`.
        outputs: the number of outputs P.
        units: the user's units; None: those of the data.
        dtype: the precision, that of the data; the trainer's own must remain 32-true.
        **model: the shape of the network, the keys of `runge.sobolev.network.Model`.

    Raises:
        ValueError: the optimiser does not keep members apart; the trainer has a precision, or no limit of steps.
    """

    lambda_d: Tensor
    lambda_now: Tensor
    channels: Tensor
    factor: Tensor
    switched_on: Tensor
    scale: Tensor
    step: Tensor
    rests_from: Tensor
    ended: Tensor
    best_loss: Tensor
    best_step: Tensor
    waiting_since: Tensor
    stopped_at: Tensor

    def __init__(
        self,
        domain: Tensor | Sequence[float],
        *,
        seed: int | Sequence[int] = 0,
        lambda_d: float | Tensor = 0.1,
        scale: float | Tensor = 1.0,
        optimizer: Optimizer | None = None,
        max_steps: int | None = None,
        stop_at: int | None = None,
        steps_per_block: int = 100,
        diagnostics_every: int = 200,
        penalty: losses.Penalty | None = None,
        loss_and_gradient: losses.LossAndGradient | None = None,
        compiled: losses.LossAndGradient | None = None,
        own_metrics: Mapping[str, Metric] = MappingProxyType({}),
        log_figures: bool = True,
        outputs: int = 1,
        units: Units | None = None,
        dtype: torch.dtype = torch.float32,
        **model: Any,
    ) -> None:
        generators = [seed.generator("weights") for seed in Seed.of_members(seed)]
        members, box = len(generators), torch.atleast_2d(torch.as_tensor(domain, dtype=torch.float64))
        super().__init__()
        self.automatic_optimization = False
        box = box.expand(members, *box.shape[-2:])
        self.network = StackedMLP(Model(**model), box, generators, dtype, outputs, units)
        self.optimizer = optimizer or Adam()
        if members > 1 and not self.optimizer.keeps_apart:
            name = type(self.optimizer).__name__
            raise ValueError(f"optimizer: {name} trains one network at a time, got {members} members")
        self.steps_per_block, self.diagnostics_every = steps_per_block, diagnostics_every
        self._asked, self.stop_at = max_steps, stop_at
        self._log_figures = log_figures
        lambdas = torch.as_tensor(lambda_d, dtype=torch.float64).expand(members)
        channels, scales = lambdas.new_ones(members, outputs, 1 + box.shape[-2]), torch.as_tensor(scale, dtype=dtype)
        weights = {"lambda_d": lambdas, "lambda_now": lambdas, "factor": channels[:, 0, 0], "channels": channels}
        best = {"best_loss": torch.full_like(lambdas, torch.inf), "best_step": torch.zeros(members, dtype=torch.int64)}
        for name, start in {**weights, **best, "scale": scales.expand(members), "rests_from": torch.tensor(0)}.items():
            self.register_buffer(name, start.clone())
        for name, start in _BEGINNING.items():
            self.register_buffer(name, torch.full(() if name in ("step", "ended") else (members,), start))
        self.best = copy.deepcopy(self.network).requires_grad_(False)
        self.figures: dict[str, Tensor] = {}
        self.factors: Tensor | None = None
        self.compiled = compiled or losses.loss_and_gradient
        self.predict = getattr(compiled, "predict", StackedMLP.predict)
        self._penalty, self._own_metrics = penalty, own_metrics
        self._made: dict[str, tuple[Points, Any]] = {}
        self.beside: Mapping[str, Sequence[Points]] = {}
        self.loss_and_gradient = loss_and_gradient or partial(losses.loss_and_gradient, penalty=penalty)
        self.pause: Callable[[], bool] = lambda: False
        self.is_over: Callable[[], bool] = lambda: False
        self.block_ended, self.block_start = False, 0

    def setup(self, stage: str) -> None:
        """Plan a fit from its first step; a checkpoint is loaded after this."""
        if stage != "fit":
            return
        if (precision := self.trainer.precision) != "32-true":
            rule = "must be 32-true, because module and data have their own, such as dtype=torch.float64"
            raise ValueError(f"precision of the Trainer: {rule}; got {precision}")
        self.max_steps = self._asked or self._steps_of_trainer()
        self.last = min(self.max_steps, self.stop_at or self.max_steps)
        for name, start in _BEGINNING.items():
            self.get_buffer(name).fill_(start)
        self.block_ended, self.factors = False, None
        self._made.clear()

    def _steps_of_trainer(self) -> int:
        """Return the steps that the trainer asks for, by its `max_steps` or by its epochs of blocks."""
        blocks, most = self.trainer.estimated_stepping_batches, self.trainer.max_steps  # -1: no limit
        if not 0 <= blocks < math.inf:
            raise ValueError("max_steps: must be given to the module or to the Trainer if max_epochs is -1")
        steps = int(blocks) * self.steps_per_block
        return steps if most < 0 else min(steps, most)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the torch optimiser of the weights, and one of nothing, whose steps the trainer counts: the blocks."""
        nothing = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))])
        return [self.optimizer.build(self.optimizer.weights(self.network)), nothing]

    @property
    def stopped(self) -> Tensor:
        """The mask of the members that have stopped, (M,), whose best weights and last step no longer change."""
        return self.stopped_at < NEVER

    def last_step(self, member: int) -> int:
        """Return the last step of a member so far."""
        return min(int(self.step), int(self.stopped_at[member]))

    def reset_optimizer(self) -> None:
        """Reset what the optimiser knows of the loss, because it has changed."""
        self._made.pop("reweighted", None)
        self.optimizer.reset(self.trainer.optimizers[0])

    def set_lambda_d(self, lambda_d: Tensor) -> None:
        """Train with this weight of MSE_df, (M,), from now on; a member whose full lambda_d is 0 keeps 0."""
        self.lambda_now.copy_(torch.where(self.lambda_d > 0, lambda_d.to(self.lambda_now), 0))

    def next_steps(self) -> tuple[int, int]:
        """Return the first step, counted from 0, and the number of steps of the next block, or the rest of a block."""
        first = int(self.step)
        return first, min(self.steps_per_block - first % self.steps_per_block, self.last - first)

    def on_train_start(self) -> None:
        """Take no step if a checkpoint is that of the last one."""
        self.trainer.should_stop |= int(self.step) >= self.last

    def training_step(self, block: Block, block_index: int) -> None:
        """Take the steps of one block, or the rest of them; at its end, measure the training errors."""
        first, count = self.next_steps()
        self.block_start = first - first % self.steps_per_block
        taken = self._take_steps(block, first, count)
        self.step += taken
        count = min(count, self.last - first)
        cast(list[LightningOptimizer], self.optimizers())[1].step()
        self.trainer.should_stop |= int(self.step) >= self.last
        self.block_ended = taken == count
        if self.block_ended:
            self._measure(self._once("sample", block.points, block.sample), first + count)

    def _take_steps(self, block: Block, first: int, count: int) -> int:
        """Take up to `count` steps from step `first` on; return how many were taken."""
        factors = self.factor.new_ones(count, len(self.factor)) if self.factors is None else self.factors
        factors = torch.cat([self.factor[None] if first else factors[:1], factors])
        lambdas = factors * self.lambda_now
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
        k, optimizer = 0, self.trainer.optimizers[0]
        while k < count and not (k and self.pause()):
            if changes[k]:
                self.optimizer.reset(optimizer)
            rested = self.optimizer.at_rest(optimizer, course.network.theta)
            k += self.optimizer.steps(optimizer, course, k, count)
            if over := self.is_over():
                count, self.last = k, first + k
                self.ended.fill_(True)
            last = over or first + k == self.max_steps
            if not rested and (last or self.optimizer.at_rest(optimizer, course.network.theta)):
                self.optimizer.finish(course.problem(k - 1))
        if k == count:
            course.network.fix_constants(course.points)
        self.factor.copy_(factors[k])
        self.switched_on.copy_(first_positive(factors[1 : k + 1], first, self.switched_on))
        self.factors = None
        return k

    def _measure(self, points: Points, step: int) -> None:
        """Record the figures at the end of a block, after `step` steps."""
        lambda_d = self.factor * self.lambda_now
        self.figures = self.measure("train", points, lambda_d) | {metrics.LAMBDA_D: lambda_d}
        progress = (step - 1) / self.max_steps
        self.figures |= self.optimizer.figures(self.trainer.optimizers[0], self.network.theta, progress)
        diagnostics: dict[str, Tensor] = {}
        if due(self.diagnostics_every, self.block_start, step):
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
        if not fitting:
            return
        self.figures |= figures
        loss, before = figures[metrics.VAL_LOSS].to(self.best_loss), self.best_step <= self.switched_on
        outdated = before & (self.step > self.switched_on) & (self.lambda_d > 0)
        # It is 0 where no label is in the loss: the last weights are kept.
        better = loss < self.best_loss.masked_fill(outdated, torch.inf)
        better = (better | (loss == 0) | (self.stop_at is not None)) & ~self.stopped
        self.best_loss.copy_(torch.where(better, loss, self.best_loss))
        self.best_step.masked_fill_(better, int(self.step))
        self.waiting_since.masked_fill_(better, int(self.step))
        for best, now in zip(self.best.state_dict().values(), self.network.state_dict().values(), strict=True):
            best.copy_(torch.where(better.view(-1, *[1] * (now.ndim - 1)), now, best))

    def test_step(self, points: Points, batch_index: int) -> None:
        """Compute the test errors with the full lambda_d."""
        self._log(self.measure("test", points, self.lambda_d))

    def _log(self, figures: Mapping[str, Tensor]) -> None:
        if self._log_figures:
            medians = {key: figure.nanmedian() for key, figure in figures.items()}
            medians["step"] = self.step.double()  # that of Lightning's loggers, which would count blocks
            self.log_dict(medians, on_step=False, on_epoch=True, batch_size=1)

    @torch.no_grad()
    def measure(self, split: str, points: Points, lambda_d: Tensor) -> dict[str, Tensor]:
        """Return the loss and all errors on a set of points, by metric key, each of shape (M,)."""
        u, du = self.predict(self.network, points.x)
        figures = {"loss": losses.weigh(*losses.terms(u, du, points, self.scale, self._penalty), lambda_d.to(u))}
        beside = [extra.to(points.x.device) for extra in self.beside.get(split, ())]
        reference = self._once(split, points, partial(Reference.of, points, self.network.units, beside))
        figures |= errors(u, du, points, reference)
        figures |= own_errors(self._own_metrics, u, du, points, self.network.units)
        return {metrics.key(split, name): figure for name, figure in figures.items()}

    def _once(self, name: str, points: Points, make: Callable[[], Any]) -> Any:
        """Return `make()`, and keep it under a name as long as the points are the same."""
        if name not in self._made or self._made[name][0] is not points:
            self._made[name] = points, make()
        return self._made[name][1]
