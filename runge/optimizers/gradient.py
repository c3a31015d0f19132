"""Optimisers that use the gradient; all except L-BFGS are elementwise, so the members of a stack are independent."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge.optimizers import at_once
from runge.optimizers.optimizer import Course, Needs, Optimizer, Problem
from runge.schedules import LearningRateSchedule, learning_rate_factor
from runge.validation import BelowOne, Count, NonNegative, Positive, checked

__all__ = ["LBFGS", "SGD", "Adam", "AdamW", "Gradient", "clip"]

# The factor of the loss that torch's L-BFGS sees; a power of two adds no round-off. In 32 bit the round-off of the loss
# ends the line search before small curvature matters, and the line search would overflow.
_LOSS_SCALE = {torch.float32: 1.0, torch.float64: 2.0**40}

Betas = Annotated[list[BelowOne], Field(min_length=2, max_length=2)]


@checked
class Gradient(Optimizer):
    """An optimiser of torch, whose steps the compiled kernel takes where it can.

    Attributes:
        lr: the learning rate, in [1e-12, 1e12]; with one that is too large the run diverges, or ends with large errors.
        lr_schedule: `cosine`, to zero at the last step, or `constant`.
        clip_norm: the largest Euclidean norm of a member's gradient, in [1e-12, 1e12]; longer ones are scaled down;
            None: no limit.
    """

    lr: Positive
    lr_schedule: LearningRateSchedule
    clip_norm: Positive | None

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step of torch's optimiser."""
        theta, rate = problem.network.theta, self.lr * learning_rate_factor(self.lr_schedule, progress)
        for group in optimizer.param_groups:
            group["lr"] = rate

        def closure() -> Tensor:
            loss, gradient = problem.loss_and_gradient()
            theta.grad = gradient if self.clip_norm is None else clip(gradient, self.clip_norm)
            return loss.sum()  # a tensor: converting it to a float would synchronise with the GPU

        optimizer.step(closure)  # pyright: ignore

    def steps(
        self,
        optimizer: torch.optim.Optimizer,
        course: Course,
        first: int,
        end: int,
        own_rates: Sequence[float] = (),
    ) -> int:
        """Take steps in the compiled kernel if it can, or else one step of torch's optimiser.

        Members may have learning rates of their own, in place of `lr`.
        """
        if not at_once.can_take(optimizer, course):
            return super().steps(optimizer, course, first, end)
        factors = [learning_rate_factor(self.lr_schedule, progress) for progress in course.progress[first:end]]
        rates = torch.tensor(own_rates or [self.lr] * len(course.scale), dtype=torch.float64)
        rates = torch.tensor(factors, dtype=torch.float64)[:, None] * rates
        return at_once.take(optimizer, course, first, rates, self.clip_norm)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the learning rate."""
        rate = self.lr * learning_rate_factor(self.lr_schedule, progress)
        return {"lr": torch.full_like(parameter[:, 0], rate, dtype=torch.float64)}


@checked
class Adam(Gradient):
    """Adam.

    Attributes:
        betas: the decay rates of the averages of the gradient and of its square, each in [0, 1).

    Example:
        >>> Adam(lr=0.001)
        Adam(lr=0.001, lr_schedule='cosine', clip_norm=None, betas=[0.9, 0.999])

    References:
        D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. https://arxiv.org/abs/1412.6980
    """

    lr: Positive = 0.01
    lr_schedule: LearningRateSchedule = "cosine"
    clip_norm: Positive | None = None
    betas: Betas = Field(default_factory=lambda: [0.9, 0.999])

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a `torch.optim.Adam`."""
        return torch.optim.Adam(parameters, self.lr, (self.betas[0], self.betas[1]), fused=True)


@checked
class AdamW(Gradient):
    """Adam with decoupled weight decay.

    Attributes:
        betas: the decay rates of the averages of the gradient and of its square, each in [0, 1).
        weight_decay: the decay per step in units of the learning rate, in [0, 1 / lr], because a step multiplies the
            weights by 1 - lr weight_decay.

    Example:
        >>> AdamW(lr=0.001, lr_schedule="cosine", clip_norm=1.0, betas=[0.9, 0.999], weight_decay=0.01)
        AdamW(lr=0.001, lr_schedule='cosine', clip_norm=1.0, betas=[0.9, 0.999], weight_decay=0.01)

    References:
        I. Loshchilov, F. Hutter (2019). Decoupled weight decay regularization. https://arxiv.org/abs/1711.05101
    """

    betas: Betas
    weight_decay: NonNegative

    def __post_init__(self) -> None:
        if self.lr * self.weight_decay > 1:
            raise ValueError(f"weight_decay: must be at most 1 / lr, {1 / self.lr:g}; got {self.weight_decay}")

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a `torch.optim.AdamW`."""
        betas = self.betas[0], self.betas[1]
        return torch.optim.AdamW(parameters, self.lr, betas, weight_decay=self.weight_decay, fused=True)


@checked
class SGD(Gradient):
    """Stochastic gradient descent with Nesterov momentum.

    Attributes:
        momentum: the momentum, in [0, 1); 0: plain gradient descent.

    Example:
        >>> SGD(lr=0.1, lr_schedule="constant", clip_norm=None, momentum=0.9)
        SGD(lr=0.1, lr_schedule='constant', clip_norm=None, momentum=0.9)

    References:
        I. Sutskever et al. (2013). On the importance of initialization and momentum in deep learning.
        https://proceedings.mlr.press/v28/sutskever13.html
    """

    momentum: BelowOne

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a `torch.optim.SGD`."""
        return torch.optim.SGD(parameters, self.lr, self.momentum, nesterov=self.momentum > 0, fused=True)


@checked
class LBFGS(Gradient):
    """Limited-memory BFGS with a strong Wolfe line search, one iteration per step, for a single member.

    Attributes:
        history_size: the number of past updates in the curvature estimate, >= 1.
        max_eval: the most evaluations of the loss per step, >= 1.

    Example:
        >>> LBFGS(lr=1.0, lr_schedule="constant", clip_norm=None, history_size=10, max_eval=25)
        LBFGS(lr=1.0, lr_schedule='constant', clip_norm=None, history_size=10, max_eval=25)

    References:
        D. C. Liu, J. Nocedal (1989). On the limited memory BFGS method for large scale optimization.
        https://doi.org/10.1007/BF01589116
    """

    history_size: Count
    max_eval: Count

    keeps_apart: ClassVar[bool] = False
    demands: ClassVar[Needs] = {"data.batch_size": (None,)}  # every step must see the same loss

    def __post_init__(self) -> None:
        if self.clip_norm is not None:
            raise ValueError(f"clip_norm: must be null (the line search needs the full gradient); got {self.clip_norm}")

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a `torch.optim.LBFGS`."""
        limits: Any = {"max_iter": 1, "max_eval": self.max_eval, "tolerance_grad": 0, "tolerance_change": 0}
        limits["history_size"] = self.history_size
        optimizer = torch.optim.LBFGS(parameters, self.lr, line_search_fn="strong_wolfe", **limits)
        (group,) = optimizer.param_groups
        group["loss_scale"] = _LOSS_SCALE[group["params"][0].dtype]
        return optimizer

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step; in 64 bit on the loss times 2^40, which has the same minimisers.

        Torch ignores each pair of a step s and a change of the gradient y with s^T y <= 1e-10. Without the scale, these
        are nearly all pairs once the loss is about 1e-6.
        """
        # A checkpoint of an older version has curvature of the loss itself.
        scale = optimizer.param_groups[0].get("loss_scale", 1.0)

        def scaled(*arguments: Any) -> tuple[Tensor, Tensor]:
            loss, gradient = problem.function(*arguments)
            return scale * loss, scale * gradient

        super().step(optimizer, replace(problem, function=scaled), progress)

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Discard the curvature estimate, which belongs to the previous loss."""
        optimizer.state.clear()


def clip(gradient: Tensor, norm: float) -> Tensor:
    """Return each row g of `gradient`, (M, W), scaled to a Euclidean norm of at most `norm`: g min(1, norm / |g|)."""
    return gradient * (norm / gradient.norm(dim=1, keepdim=True).clamp_min(norm))
