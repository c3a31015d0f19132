"""Optimisers that see the gradient.

All take `lr`, the learning rate, > 0; `lr_schedule`, `cosine` (to zero at the last step) or `constant`; and
`clip_norm`, the largest Euclidean norm of a member's gradient (a longer one is scaled down), > 0, or None for no limit.
Adam, AdamW and SGD work elementwise, which keeps the members of a stack independent; L-BFGS does not, and takes a stack
of one.
"""

from collections.abc import Iterable
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge.optimizers.optimizer import Method, Needs, Problem
from runge.schedules import LearningRateSchedule, learning_rate_factor
from runge.validation import BelowOne, Count, NonNegative, Positive, checked

Betas = Annotated[list[BelowOne], Field(min_length=2, max_length=2)]


@checked
class _Gradient(Method):
    lr: Positive
    lr_schedule: LearningRateSchedule
    clip_norm: Positive | None

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step with torch's optimiser."""
        theta, rate = problem.network.theta, self._rate(progress)
        for group in optimizer.param_groups:
            group["lr"] = rate

        def closure() -> Tensor:
            loss, gradient = problem.loss_and_gradient()
            theta.grad = gradient if self.clip_norm is None else clip(gradient, self.clip_norm)
            return loss.sum()  # a tensor: a float would make every step wait for the device

        optimizer.step(closure)  # pyright: ignore

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """The learning rate."""
        return {"lr": torch.full_like(parameter[:, 0], self._rate(progress), dtype=torch.float64)}

    def _rate(self, progress: float) -> float:
        return self.lr * learning_rate_factor(self.lr_schedule, progress)


@checked
class Adam(_Gradient):
    """Adam.

    Attributes:
        betas: the decay of the averages of the gradient and of its square, each in [0, 1).

    References:
        D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. https://arxiv.org/abs/1412.6980
    """

    betas: Betas

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make `torch.optim.Adam`."""
        return torch.optim.Adam(parameters, self.lr, (self.betas[0], self.betas[1]), fused=True)


@checked
class AdamW(_Gradient):
    """Adam with decoupled weight decay.

    Attributes:
        betas: the decay of the averages of the gradient and of its square, each in [0, 1).
        weight_decay: the decay, in units of the learning rate, >= 0.

    References:
        I. Loshchilov, F. Hutter (2019). Decoupled weight decay regularization. https://arxiv.org/abs/1711.05101
    """

    betas: Betas
    weight_decay: NonNegative

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make `torch.optim.AdamW`."""
        betas = self.betas[0], self.betas[1]
        return torch.optim.AdamW(parameters, self.lr, betas, weight_decay=self.weight_decay, fused=True)


@checked
class SGD(_Gradient):
    """Stochastic gradient descent with Nesterov's momentum.

    Attributes:
        momentum: in [0, 1); 0 is plain gradient descent.

    References:
        I. Sutskever et al. (2013). On the importance of initialization and momentum in deep learning.
        https://proceedings.mlr.press/v28/sutskever13.html
    """

    momentum: BelowOne

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make `torch.optim.SGD`."""
        return torch.optim.SGD(parameters, self.lr, self.momentum, nesterov=self.momentum > 0, fused=True)


@checked
class LBFGS(_Gradient):
    """Limited-memory BFGS with a line search for the strong Wolfe conditions; one iteration a step, one member.

    Attributes:
        history_size: how many past updates make up the curvature estimate, >= 1.
        max_eval: the most evaluations of the loss in one step, >= 1.

    References:
        D. C. Liu, J. Nocedal (1989). On the limited memory BFGS method for large scale optimization.
        https://doi.org/10.1007/BF01589116
    """

    history_size: Count
    max_eval: Count

    keeps_apart: ClassVar[bool] = False
    demands: ClassVar[Needs] = {"data.batch_size": (None,)}  # the loss must be one function

    def __post_init__(self) -> None:
        if self.clip_norm is not None:
            raise ValueError(
                f"clip_norm: must be null, for the line search needs the whole gradient; got {self.clip_norm}"
            )

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make `torch.optim.LBFGS`."""
        return torch.optim.LBFGS(
            parameters,
            self.lr,
            max_iter=1,
            max_eval=self.max_eval,
            history_size=self.history_size,
            tolerance_grad=0,
            tolerance_change=0,
            line_search_fn="strong_wolfe",
        )

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Forget the curvature, which is that of another function."""
        optimizer.state.clear()


def clip(gradient: Tensor, norm: float) -> Tensor:
    """Scale each member's gradient down to a norm.

    Args:
        gradient: of shape (M, P).
        norm: the largest Euclidean norm.

    Returns:
        Each row times min(1, norm / its norm).
    """
    return gradient * (norm / gradient.norm(dim=1, keepdim=True).clamp_min(norm))
