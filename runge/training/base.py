"""What the LightningModules of this package share: the errors, the state of a fit, and what callbacks ask of it."""

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from runge.optimizers import Optimizer
from runge.process.interruption import interruption
from runge.records import metrics
from runge.schedules import due
from runge.sobolev import losses
from runge.sobolev.accuracy import Reference, errors, own_errors
from runge.sobolev.any_network import AnyNetwork
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.sobolev.units import Units
from runge.training.plan import Labels, Plan, SobolevLoss
from runge.training.progress import Progress, keep_best, should_stop


class SobolevModule(pl.LightningModule):
    """A LightningModule whose errors are measured at the end of each block of optimiser steps.

    It asks the trainer's callbacks for the factors of lambda_d, whether to stop after each step, and to act at the end
    of a block: `runge.training.callbacks` has these methods. `progress` is the state of the fit, whose fields are also
    attributes of the module, and `runge.training.progress.should_stop` lists who may end it.

    The errors are logged under the keys of `runge.records.metrics`, of a stack the median over its members; `figures`
    has those of each member, (M,), at the end of a block. `val/loss` and `test/loss` use the full lambda_d throughout,
    so that they are comparable before and after the switch; `train/loss` uses the present one. `network` has the
    present weights, and `best` each member's weights with the lowest validation loss so far, after `best_step` steps,
    as `runge.training.progress.keep_best` chooses them.

    Args:
        network: the networks.
        lambda_d: the full weight of MSE_df, or one per member, by which runs are judged.
        loss: the other settings of the loss; None: those of `SobolevLoss`.
        optimizer: the optimiser's settings.
        max_steps: optimiser steps of the run; None: those that the trainer will take.
        plan: the blocks of steps, and what is measured; None: that of `Plan`.
        labels: the labels; None: those of `Labels`.
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
    best: StackedMLP
    unfinished: Tensor | None = None  # the weights before `finish`, if it has changed them: more steps go on from these
    carried: Mapping[str, Tensor] = MappingProxyType({})  # the method's state, (M,) each, with which more steps go on
    precisions: tuple[str, ...] = ("32-true",)  # those that the Trainer may have

    def __init__(
        self,
        network: StackedMLP,
        lambda_d: float | Tensor,
        loss: SobolevLoss | None,
        optimizer: Optimizer,
        max_steps: int | None,
        plan: Plan | None,
        labels: Labels,
    ) -> None:
        super().__init__()
        members, dtype = network.members, network.theta.dtype
        self.network, self.optimizer, self.labels = network, optimizer, labels
        self.plan, self._asked = plan or Plan(), max_steps
        loss = loss or SobolevLoss()
        self.penalty, self.compiled = loss.penalty, loss.compiled or losses.loss_and_gradient
        self.predict = getattr(loss.compiled, "predict", StackedMLP.predict)
        self.register_buffer("scale", torch.as_tensor(loss.scale, dtype=dtype).expand(members).clone())
        self.register_buffer("lambda_d", torch.as_tensor(lambda_d, dtype=torch.float64).expand(members).clone())
        self.figures: dict[str, Tensor] = {}
        self._made: dict[str, tuple[Points, Any]] = {}
        self.block_ended, self.block_start = False, 0
        self.begun: Mapping[str, Tensor] = {}

    def save_arguments(self, **arguments: Any) -> None:
        """Save numbers and lists of numbers as hyperparameters; `load_from_checkpoint` takes objects as arguments."""
        tensors = {name: value.tolist() for name, value in arguments.items() if isinstance(value, Tensor)}
        lists = {name: [*value] for name, value in arguments.items() if isinstance(value, list | tuple | range)}
        self.save_hyperparameters(arguments | tensors | lists)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values u, (M, N, P), at points x, (M, N, D), in the units in which the networks are trained."""
        return self.network(x)

    @property
    def progress(self) -> Progress:
        """The state of the fit."""
        raise NotImplementedError

    def set_progress(self, progress: Progress) -> None:
        """Continue from this state."""
        raise NotImplementedError

    def keep(self, better: Tensor) -> None:
        """Keep the present weights of some members, (M,), as their best ones."""
        raise NotImplementedError

    def steps_of_trainer(self) -> int:
        """Return the steps that the trainer asks for, by its `max_steps` or by the batches of its epochs."""
        if not 0 <= (steps := self.trainer.estimated_stepping_batches) < math.inf:
            raise ValueError("max_steps: must be given to the module or to the Trainer if max_epochs is -1")
        return int(steps)

    def setup(self, stage: str) -> None:
        """Plan a fit from its first step; a checkpoint is loaded after this."""
        if stage != "fit":
            return
        if (precision := self.trainer.precision) not in self.precisions:
            rule = f"must be {' or '.join(self.precisions)}, because module and data have their own"
            raise ValueError(f"precision of the Trainer: {rule}, such as dtype=torch.float64; got {precision}")
        self.max_steps = self._asked or self.steps_of_trainer()
        self.last = min(self.max_steps, self.plan.stop_at or self.max_steps)
        self.set_progress(self.progress.restarted())
        self.block_ended = False
        self._made.clear()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the units of the checkpoint if the module was made without, and 64 bits if it has no trainer yet."""
        prefix, state = "network.units.", checkpoint["state_dict"]
        saved = state.get("network.scale", self.network.scale)
        if self._trainer is None and saved.dtype == torch.float64:
            self.double()
        names = [name.removeprefix(prefix) for name in state if name.startswith(prefix)]
        if names and self.network.units is None:
            units = Units(**{name: state[prefix + name] for name in names})
            for network in (self.network, self.best):
                network.register_module("units", units)

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

    def factors_at(self, steps: Tensor) -> Tensor:
        """Return the factors of lambda_d, (K, M), at steps, (K,)."""
        factors = self.factor.new_ones(len(steps), len(self.factor))
        for at_block_start in self.methods("at_block_start"):
            factors = factors * at_block_start(self, steps)
        return factors

    def methods(self, name: str) -> list[Callable[..., Any]]:
        """Return this method of each of the trainer's callbacks that has it, in their order."""
        callbacks = self.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]
        return [getattr(callback, name) for callback in callbacks if hasattr(callback, name)]

    def begin_with(self, weights: Mapping[str, Tensor], carried: Mapping[str, Tensor] = MappingProxyType({})) -> None:
        """Give the members the functions of networks of the same shape, whose units may differ, by their state.

        Args:
            weights: the state of the networks.
            carried: the state of the method at these weights, (M,) each; empty: its initial state.

        Raises:
            RuntimeError: the network has another shape.
            ValueError: it is a network of the user's own, and no MLP.
        """
        self.begun = carried
        network = copy.deepcopy(self.network)
        network.load_state_dict(weights)
        stack = network.stacked() if isinstance(network, AnyNetwork) else None
        source, members = stack or network, self.network.members
        for i in range(members):
            self.network.adopt(i, source if members == 1 else source.take(torch.tensor([i])))

    def measure_training(self, points: Points, step: int, rates: dict[str, Tensor]) -> None:
        """Record the training errors and the learning rates at the end of a block, after `step` steps."""
        lambda_d = self.factor * self.lambda_now
        self.figures = self.measure("train", points, lambda_d) | {metrics.LAMBDA_D: lambda_d} | rates
        is_due = due(self.plan.diagnostics_every, self.block_start, step)
        diagnostics = self.measure_gradients(points) if is_due else {}
        self._log(self.figures | diagnostics)
        self.figures |= diagnostics or dict.fromkeys(metrics.DIAGNOSTICS, torch.full_like(self.lambda_d, torch.nan))

    def measure_gradients(self, points: Points) -> dict[str, Tensor]:
        """Return the norms of the gradients of both terms, and their cosine, each (M,), by metric key."""
        gradients = losses.term_gradients(self.network, points, self.scale, self.compiled)
        return dict(zip(metrics.DIAGNOSTICS, losses.diagnostics(*gradients), strict=True))

    def validation_step(self, points: Points, batch_index: int) -> None:
        """Compute the validation errors with the full lambda_d; after a block, keep the weights that improved."""
        fitting = self.trainer.state.fn == "fit"
        if fitting and not self.block_ended:
            return
        figures = self.measure("val", points, self.lambda_d)
        self._log(figures)
        if fitting:
            self.figures |= figures
            loss, always = figures[metrics.VAL_LOSS], self.plan.stop_at is not None
            progress, better = keep_best(self.progress, loss, self.lambda_d, always)
            self.set_progress(progress)
            self.keep(better)

    def on_validation_epoch_end(self) -> None:
        """Let the callbacks act at the end of a block."""
        if self.trainer.state.fn == "fit" and self.block_ended:
            for at_block_end in self.methods("at_block_end"):
                at_block_end(self)
            self.ask_to_stop()

    def test_step(self, points: Points, batch_index: int) -> None:
        """Compute the test errors with the full lambda_d."""
        self._log(self.measure("test", points, self.lambda_d))

    def _log(self, figures: Mapping[str, Tensor]) -> None:
        if self.plan.log_figures:
            medians = {key: figure.nanmedian() for key, figure in figures.items()}
            medians["step"] = self.step.double()  # that of Lightning's loggers, which may count blocks
            self.log_dict(medians, on_step=False, on_epoch=True, batch_size=1)

    @torch.no_grad()
    def measure(self, split: str, points: Points, lambda_d: Tensor) -> dict[str, Tensor]:
        """Return the loss and all errors on a set of points, by metric key, each of shape (M,)."""
        u, du = self.predict(self.network, points.x)
        figures = {"loss": losses.weigh(*losses.terms(u, du, points, self.scale, self.penalty), lambda_d.to(u))}
        beside = [extra.to(points.x.device) for extra in self.labels.beside.get(split, ())]
        reference = self.once(split, points, partial(Reference.of, points, self.network.units, beside))
        figures |= errors(u, du, points, reference)
        figures |= own_errors(self.plan.own_metrics, u, du, points, self.network.units)
        return {metrics.key(split, name): figure for name, figure in figures.items()}

    def once(self, name: str, points: Points, make: Callable[[], Any]) -> Any:
        """Return `make()`, and keep it under a name as long as the points are the same."""
        if name not in self._made or self._made[name][0] is not points:
            self._made[name] = points, make()
        return self._made[name][1]
