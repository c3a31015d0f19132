"""The LightningModule of a stack, whose batches are blocks of many steps."""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from runge.data.seed import Seed
from runge.optimizers import Adam, Course, Optimizer
from runge.process.interruption import interruption
from runge.sobolev import losses
from runge.sobolev.network import Model, StackedMLP
from runge.training.base import SobolevModule
from runge.training.datamodule import Block
from runge.training.own_parts import check_blocks, check_callbacks
from runge.training.plan import Labels, Plan, SobolevLoss
from runge.training.progress import Progress, advance

_SAVED_AS = {"settled_from": "rests_from"}
"""Names in a checkpoint that are not those of `Progress`."""


class SobolevRegression(SobolevModule):
    """The LightningModule that fits values and derivatives with a stack of MLPs.

    A `training_step` takes a block of many optimiser steps, so that Lightning's cost per batch vanishes; with a
    `SobolevDataModule` a block is an epoch. Each fit begins at step 0 from the present weights, unless it resumes a
    checkpoint. Lightning sees the blocks and not the steps: `runge.training.plain.PlainRegression` is the module whose
    steps a subclass, a callback or the Trainer may change.

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
        TypeError: a subclass or a callback has a method that only acts on single steps, or the module is compiled.
        ValueError: the optimiser does not keep members apart; the loss has further terms; the trainer has a precision,
            or no limit of steps.
    """

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
        optimizer, labels, loss = optimizer or Adam(), labels or Labels(), loss or SobolevLoss()
        network = make_stack(domain, seed, labels, dtype, Model(**model))
        if network.members > 1 and not optimizer.keeps_apart:
            name = type(optimizer).__name__
            raise ValueError(f"optimizer: {name} trains one network at a time, got {network.members} members")
        if loss.terms:
            raise ValueError(f"loss.terms: must be empty, because only PlainRegression has them; got {len(loss.terms)}")
        super().__init__(network, lambda_d, loss, optimizer, max_steps, plan, labels)
        self.save_arguments(domain=domain, seed=seed, lambda_d=lambda_d, **model)
        check_blocks(self, SobolevRegression)
        self.automatic_optimization = False
        self.loss_and_gradient = loss.loss_and_gradient or partial(losses.loss_and_gradient, penalty=loss.penalty)
        for name, value in Progress.start(self.lambda_d, network.outputs, network.dimension)._asdict().items():
            self.register_buffer(_SAVED_AS.get(name, name), value)
        self.best = copy.deepcopy(self.network).requires_grad_(False)

    def setup(self, stage: str) -> None:
        """Plan a fit from its first step; a checkpoint is loaded after this."""
        if stage == "fit":
            check_blocks(self, SobolevRegression)
            check_callbacks(self.trainer.callbacks)  # pyright: ignore[reportAttributeAccessIssue]
        super().setup(stage)

    def steps_of_trainer(self) -> int:
        """Return the steps that the trainer asks for, by its `max_steps` or by its epochs of blocks."""
        steps, most = super().steps_of_trainer() * self.plan.steps_per_block, self.trainer.max_steps  # -1: no limit
        return steps if most < 0 else min(steps, most)

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """Build the torch optimiser of the weights, and one of nothing, whose steps the trainer counts: the blocks."""
        nothing = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))])
        optimizer = self.optimizer.build(self.optimizer.weights(self.network))
        if self.begun:
            optimizer.state[self.network.theta] = {name: x.to(self.network.theta) for name, x in self.begun.items()}
        return [optimizer, nothing]

    @property
    def progress(self) -> Progress:
        """The state of the fit. Its tensors are buffers, which change as the fit continues."""
        return Progress(*(self.get_buffer(_SAVED_AS.get(name, name)) for name in Progress._fields))

    def set_progress(self, progress: Progress) -> None:
        """Continue from this state."""
        for name, value in progress._asdict().items():
            self.get_buffer(_SAVED_AS.get(name, name)).copy_(value)

    def keep(self, better: Tensor) -> None:
        """Keep the present weights of some members, (M,), as their best ones."""
        for best, now in zip(self.best.state_dict().values(), self.network.state_dict().values(), strict=True):
            best.copy_(torch.where(better.view(-1, *[1] * (now.ndim - 1)), now, best))

    def training_step(self, block: Block, block_index: int) -> None:
        """Take the steps of one block, or the rest of them; at its end, measure the training errors."""
        first, size = int(self.step), self.plan.steps_per_block
        self.block_start = first - first % size
        count = min(self.block_start + size, self.last) - first
        steps = torch.arange(first, first + count, device=self.device)
        factors, over = self._take_steps(block, first, self.factors_at(steps))
        self.set_progress(advance(self.progress, factors, over))
        cast(list[LightningOptimizer], self.optimizers())[1].step()
        self.ask_to_stop()
        self.block_ended = over or len(factors) == count
        if self.block_ended:
            step = int(self.step)
            before = (step - 1) / self.max_steps
            rates = self.optimizer.figures(self.trainer.optimizers[0], self.network.theta, before)
            self.measure_training(self.once("sample", block.points, block.sample), step, rates)

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
            self.once("reweighted", points, lambda: points.reweighted(channels)),
            block.batches(first, count),
            self.scale,
            lambdas.to(self.scale),
            (lambdas > 0).any(1).tolist(),  # where lambda_d is 0 for all members, no derivative is computed
            [(first + k) / self.max_steps for k in range(count)],
            self.loss_and_gradient,
        )
        k, over, left = 0, False, False
        optimizer, hooks = self.trainer.optimizers[0], self.methods("after_step")
        while k < count and not over and not left:
            if changes[k]:
                self.optimizer.reset(optimizer)
            rested = self.optimizer.at_rest(optimizer, course.network.theta)
            k += self.optimizer.steps(optimizer, course, k, count)
            answers = [after_step() for after_step in hooks]
            over, left = "end" in answers, "pause" in answers or interruption.requested
            last = over or first + k == self.max_steps
            if not rested and (last or self.optimizer.at_rest(optimizer, course.network.theta)):
                before = self.network.theta.detach().clone()
                self.optimizer.finish(course.problem(k - 1))
                self.unfinished = None if torch.equal(before, self.network.theta) else before
                self.carried = self.optimizer.carried(optimizer, self.network.theta)
        if over or k == count:
            course.network.fix_constants(course.points)
        return factors[:k], over


def make_stack(
    domain: Tensor | Sequence[float], seed: int | Sequence[int], labels: Labels, dtype: torch.dtype, model: Model
) -> StackedMLP:
    """Make the networks of a module, with the weights of their seeds."""
    generators = [seed.generator("weights") for seed in Seed.of_members(seed)]
    members, box = len(generators), torch.atleast_2d(torch.as_tensor(domain, dtype=torch.float64))
    box = box.expand(members, *box.shape[-2:])
    return StackedMLP(model, box, generators, dtype, labels.outputs, labels.units)
