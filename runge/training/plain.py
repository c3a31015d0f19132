"""The plain LightningModule: one network, one optimiser step per batch, and Lightning's automatic optimisation."""

import copy
import math
import warnings
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from runge.optimizers import Adam, Optimizer, clip
from runge.process.interruption import interruption
from runge.sobolev import losses
from runge.sobolev.any_network import AnyNetwork
from runge.sobolev.jet import jet
from runge.sobolev.likelihood import Likelihood
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.training.base import SobolevModule
from runge.training.datamodule import Block
from runge.training.module import make_stack
from runge.training.plan import Labels, Plan, SobolevLoss
from runge.training.progress import Progress, advance


class PlainRegression(SobolevModule):
    r"""The LightningModule that fits values and derivatives with any network, step by step.

    A batch is the training points of one optimiser step, all of them or a mini-batch. The loss is

    .. math:: L = MSE_f + \lambda_d \, MSE_{df} + \sum_k w_k T_k

    with the errors of `runge.sobolev.losses` and terms T_k of one's own; u' is computed by automatic differentiation,
    as `runge.sobolev.any_network.AnyNetwork` does. Everything that a subclass overrides, that a callback does in a hook
    of a step, and that the Trainer can do with a step (clip, accumulate, mixed precision) works as in any
    LightningModule. `runge.training.module.SobolevRegression` takes the same steps faster, many in a batch, and trains
    a stack of networks.

    A block of steps ends with each validation of the Trainer. A checkpoint holds the hyperparameters except the
    objects: `load_from_checkpoint(path, network=...)` takes these again.

    Args:
        domain: the box that is mapped to [-1, 1]^D, (lower, upper) or (D, 2).
        network: maps points in [-1, 1]^D, (N, D), to values, (N, P); None: the MLP of `model`, as a sequence of layers.
        seed: the seed of the weights of that MLP.
        lambda_d: the full weight of MSE_df.
        loss: the other settings of the loss, with further terms; None: those of `SobolevLoss`.
        optimizer: the optimiser's settings; None: `Adam`. A subclass may override `configure_optimizers` instead.
        max_steps: optimiser steps, on which the learning rate depends; None: those that the trainer will take.
        plan: what is measured; None: that of `Plan`.
        labels: the labels; None: those of `Labels`.
        dtype: the precision, that of the data.
        **model: the shape of the MLP, the keys of `runge.sobolev.network.Model`.

    Raises:
        ValueError: the optimiser takes its steps itself; the loss is compiled; the trainer has a precision that is not
            mixed, or no limit of steps.

    Example:
        >>> module = PlainRegression([0.0, 2.0], width=8)  # or any network of your own in place of the keys of `Model`
        >>> module(torch.zeros(5, 1)).shape
        torch.Size([5, 1])
    """

    network: AnyNetwork  # pyright: ignore[reportIncompatibleVariableOverride]
    precisions = ("32-true", "bf16-mixed", "16-mixed")

    def __init__(
        self,
        domain: Tensor | Sequence[float],
        network: nn.Module | None = None,
        *,
        seed: int = 0,
        lambda_d: float | Tensor = 0.1,
        loss: SobolevLoss | None = None,
        optimizer: Optimizer | None = None,
        max_steps: int | None = None,
        plan: Plan | None = None,
        labels: Labels | None = None,
        dtype: torch.dtype = torch.float32,
        **model: Any,
    ) -> None:
        labels, loss = labels or Labels(), loss or SobolevLoss()
        if loss.compiled:
            rule = "must be None, because only SobolevRegression has a compiled step"
            raise ValueError(f"loss.compiled: {rule}; got {type(loss.compiled).__name__}")
        if network is None:
            fitted = AnyNetwork.of_layers(make_stack(domain, seed, labels, dtype, Model(**model)))
        else:
            box = torch.atleast_2d(torch.as_tensor(domain, dtype=torch.float64)).reshape(1, -1, 2)
            fitted = AnyNetwork(network, box, dtype, labels.outputs, labels.units)
        super().__init__(fitted, lambda_d, loss, optimizer or Adam(), max_steps, plan, labels)
        self.save_arguments(domain=domain, seed=seed, lambda_d=lambda_d, **model)
        self.terms, self.objective = loss.terms, loss.loss_and_gradient
        self._progress = Progress.start(self.lambda_d, fitted.outputs, fitted.dimension)
        self._best = copy.deepcopy(fitted.state_dict())
        self._rate = math.nan

    def setup(self, stage: str) -> None:
        """Plan a fit from its first step, without the steps that `torch.compile` has put in the place of these."""
        compiled = [
            vars(self).pop(name) for name in ("training_step", "validation_step", "test_step") if name in vars(self)
        ]
        if compiled:
            warnings.warn("only forward is compiled, because torch.compile takes no derivative of u'", stacklevel=2)
        super().setup(stage)

    def forward(self, x: Tensor) -> Tensor:
        """Return the values u(x), (N, P), at points x, (N, D), in the units of the data."""
        return jet(self.network, x[None], 0)[0][0]

    def training_step(self, block: Block, batch_index: int) -> Tensor:
        """Return the loss of one step."""
        points = self.once(
            "reweighted", block.points, lambda: block.points.reweighted(self.channels.to(block.points.f))
        )
        batch = block.batches(self.trainer.fit_loop.total_batch_idx, 1)
        chosen = points if batch is None else points.minibatch(batch[0])
        loss = self.sobolev_loss(chosen, self._factors[0] * self.lambda_now)
        for weight, term in self.terms:
            loss = loss + weight * term(self, chosen)
        return loss

    def sobolev_loss(self, points: Points, lambda_d: Tensor) -> Tensor:
        """Return MSE_f + lambda_d MSE_df, (), or what the balance takes in its place."""
        u, du = self.network.value_and_derivative(points.x) if lambda_d else (self.network(points.x), points.df)
        if isinstance(self.objective, Likelihood):
            mse = losses.channels(u, du, points, self.scale, self.penalty).unflatten(1, (u.shape[2], -1))
            weights, likelihood = self.objective.weights(mse.detach().double(), points, lambda_d if lambda_d else None)
            weighted = (weights * mse).sum()
            return weighted + (likelihood.sum() - weighted).detach()  # the value of the likelihood, with its gradient
        return losses.weigh(*losses.terms(u, du, points, self.scale, self.penalty), lambda_d.to(u)).sum()

    def configure_optimizers(self) -> Any:
        """Return the torch optimiser of the settings, and the schedule of its rate."""
        return self.optimizer.configure(self.network.module, self.max_steps)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *limits: Any, **named: Any) -> None:
        """Clip the gradient to the settings' `clip_norm`; without one, do what the Trainer asks for."""
        if (norm := getattr(self.optimizer, "clip_norm", None)) is None:
            self.clip_gradients(optimizer, *limits, **named)
            return
        slopes = [parameter.grad for parameter in self.network.module.parameters() if parameter.grad is not None]
        flat = torch.cat([slope.flatten() for slope in slopes])[None]
        nn.utils.vector_to_parameters(clip(flat, norm)[0], slopes)

    def on_train_start(self) -> None:
        """Begin, or continue, a block."""
        self.set_progress(Progress(*(tensor.to(self.device) for tensor in self.progress)))
        self.block_start = int(self.step) - int(self.step) % self.plan.steps_per_block
        super().on_train_start()

    def on_train_batch_start(self, batch: Block, batch_idx: int) -> None:
        """Ask the callbacks for the factor of lambda_d at this step."""
        self._block, self._factors = batch, self.factors_at(self.step.view(1))

    def optimizer_step(self, *arguments: Any, **named: Any) -> None:
        """Take a step, which does not follow each batch if gradients are accumulated, and count it."""
        self._rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        super().optimizer_step(*arguments, **named)
        self.set_progress(advance(self.progress, self._factors))

    def on_train_batch_end(self, outputs: Any, batch: Block, batch_idx: int) -> None:
        """Ask the callbacks whether this was the last step, and whether it is time to save."""
        answers = [after_step() for after_step in self.methods("after_step")]
        if "end" in answers:
            self.set_progress(self.progress._replace(ended=torch.ones_like(self.progress.ended)))
        self.ask_to_stop()
        if "pause" in answers or (interruption.requested and not self.is_over):
            for at_pause in self.methods("at_pause"):
                at_pause(self)

    @torch.inference_mode(False)  # it forbids the gradients of the terms
    def on_validation_epoch_start(self) -> None:
        """End a block: measure the training errors. At a signal there is none, because the rest of it follows."""
        step, is_signal = int(self.step), interruption.requested and not self.is_over
        is_first = self.trainer.sanity_checking or step == self.block_start
        self.block_ended = not (is_first or (is_signal and step % self.plan.steps_per_block))
        if self.trainer.state.fn == "fit" and self.block_ended:
            points = self._block.points
            self.network.fix_constants(points)
            rates = {"lr": torch.full_like(self.lambda_d, self._rate)}
            self.measure_training(self.once("sample", points, self._block.sample), step, rates)

    def on_validation_epoch_end(self) -> None:
        """Let the callbacks act at the end of a block; the next step begins another."""
        super().on_validation_epoch_end()
        self.block_start = int(self.step) if self.block_ended else self.block_start

    @property
    def progress(self) -> Progress:
        """The state of the fit; no buffers, because an average of the weights would average these too."""
        return self._progress

    def set_progress(self, progress: Progress) -> None:
        """Continue from this state."""
        self._progress = progress

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        """Move the state with the weights; its precision stays."""
        super()._apply(fn, recurse)
        self._progress = Progress(*(tensor.to(self.lambda_d.device) for tensor in self._progress))
        return self

    def __getattr__(self, name: str) -> Any:
        """Return a field of the state."""
        return getattr(self._progress, name) if name in Progress._fields else super().__getattr__(name)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the state of the fit, and the best weights, for a checkpoint."""
        return {"progress": self._progress._asdict(), "best": self._best}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Continue from the state of a checkpoint."""
        self._progress, self._best = Progress(**state["progress"]), dict(state["best"])

    @property
    def best(self) -> StackedMLP:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The network with its best weights."""
        network = copy.deepcopy(self.network).requires_grad_(False)
        network.load_state_dict(self._best)
        return network

    def keep(self, better: Tensor) -> None:
        """Keep the present weights, if they are the best ones."""
        if better.any():
            self._best = copy.deepcopy(self.network.state_dict())
