"""Optimisers that use the gradient, of which our own are elementwise, so that members are independent."""

import copy
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim.lr_scheduler import LambdaLR

from runge.configuration.validation import BelowOne, NonNegative, Positive, checked
from runge.optimizers.optimizer import Course, Optimizer, Problem
from runge.schedules import LearningRateSchedule, learning_rate_factor
from runge.sobolev.kernel import AdamSteps

__all__ = ["SGD", "Adam", "AdamW", "Gradient", "clip", "has_own_rate", "of_members"]

_EPSILON = 1e-8
"""The number that is added to the root of the second average; `adam.hpp` has the same."""

Betas = Annotated[list[BelowOne], Field(min_length=2, max_length=2)]


@checked
class Gradient(Optimizer):
    """An optimiser that uses the gradient.

    Attributes:
        lr: the learning rate, in [1e-12, 1e12]; with one that is too large the run diverges, or ends with large errors.
        lr_schedule: `cosine`, to zero at the last step, or `constant`.
        clip_norm: the largest Euclidean norm of a member's gradient, in [1e-12, 1e12]; longer ones are scaled down;
            None: no limit.

    Raises:
        ValueError: a parameter is outside its range.
    """

    lr: Positive
    lr_schedule: LearningRateSchedule
    clip_norm: Positive | None
    rates: ClassVar[tuple[float, ...]] = ()  # of the members, in place of `lr`: no key, set by `of_members`

    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step of torch's optimiser."""
        for group in optimizer.param_groups:
            group["lr"] = self.lr * learning_rate_factor(self.lr_schedule, progress)

        def closure() -> Tensor:
            loss, gradient = self.clipped_gradient(problem)
            self.set_gradient(optimizer, problem, gradient)
            return loss.sum()  # not a float, which would synchronise with the GPU

        optimizer.step(closure)  # pyright: ignore

    def configure(self, network: nn.Module, steps: int) -> Any:
        """Return torch's optimiser of the same formula, and the schedule of its rate, which Lightning steps."""
        if self.lr_schedule == "constant":
            return self.of_torch(network)
        optimizer = self.of_torch(network)
        rate = LambdaLR(optimizer, lambda step: learning_rate_factor(self.lr_schedule, step / steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def of_torch(self, network: nn.Module) -> Any:
        """Return torch's optimiser of the same formula; by default what `build` returns."""
        return self.build(network.parameters())

    def set_gradient(self, optimizer: torch.optim.Optimizer, problem: Problem, gradient: Tensor) -> None:
        """Set the gradient, (M, W), of the optimiser's parameters."""
        problem.network.theta.grad = gradient

    def clipped_gradient(self, problem: Problem) -> tuple[Tensor, Tensor]:
        """Return the loss, (M,), and its gradient, (M, W), of at most the norm `clip_norm`."""
        loss, gradient = problem.loss_and_gradient()
        return loss, gradient if self.clip_norm is None else clip(gradient, self.clip_norm)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the learning rates."""
        return {"lr": self.rates_at([progress], len(parameter))[0].to(parameter.device)}

    def rates_at(self, progress: Sequence[float], members: int) -> Tensor:
        """Return the learning rates at K shares of the steps, (K, M), in float64."""
        factors = [[learning_rate_factor(self.lr_schedule, share)] for share in progress]
        rates = self.rates or (self.lr,) * members
        return torch.tensor(factors, dtype=torch.float64) * torch.tensor(rates, dtype=torch.float64)


@checked
class Elementwise(Gradient):
    """An optimiser of our own, with which members may differ in the learning rate."""

    lr: Positive = 0.01
    lr_schedule: LearningRateSchedule = "cosine"
    clip_norm: Positive | None = None

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step."""
        theta, (_, gradient) = problem.network.theta, self.clipped_gradient(problem)
        rates = self.rates_at([progress], len(theta)).to(theta).mT
        self.update(optimizer.state[theta], theta, gradient, rates)

    @abstractmethod
    def update(self, state: dict[str, Any], theta: Tensor, gradient: Tensor, rates: Tensor) -> None:
        """Change the weights and the state, each (M, W), with each member's learning rate, (M, 1)."""


@checked
class Adam(Elementwise):
    r"""Adam, with the averages m of the gradient g and v of its square.

    .. math:: m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \quad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \quad
              \theta \leftarrow \theta - \frac{lr}{1 - \beta_1^t} \frac{m}{\sqrt{v / (1 - \beta_2^t)} + 10^{-8}}

    Attributes:
        betas: the decay rates of both averages, each in [0, 1).

    Raises:
        ValueError: a parameter is outside its range.

    References:
        D. P. Kingma, J. Ba (2015). Adam: a method for stochastic optimization. https://arxiv.org/abs/1412.6980
    """

    betas: Betas = Field(default_factory=lambda: [0.9, 0.999])
    weight_decay: ClassVar[float] = 0.0

    def of_torch(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return torch's AdamW, which is Adam without weight decay."""
        parameters = network.parameters()
        return torch.optim.AdamW(parameters, self.lr, (self.betas[0], self.betas[1]), _EPSILON, self.weight_decay)

    def _averages(self, state: dict[str, Any], theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the number of steps taken, (), and both averages, (M, W)."""
        if not state:
            state |= {"step": torch.zeros((), dtype=torch.float32)}  # torch restores the state of this name on the CPU
            state |= {name: torch.zeros_like(theta) for name in ("mean", "square")}
        return state["step"], state["mean"], state["square"]

    def update(self, state: dict[str, Any], theta: Tensor, gradient: Tensor, rates: Tensor) -> None:
        """Take a step of Adam."""
        step, mean, square = self._averages(state, theta)
        step += 1
        unbiased_1, unbiased_2 = (1 - beta ** int(step) for beta in self.betas)
        mean.lerp_(gradient, 1 - self.betas[0])
        square.mul_(self.betas[1]).addcmul_(gradient, gradient, value=1 - self.betas[1])
        if self.weight_decay:
            theta.mul_(1 - rates * self.weight_decay)
        size = square.sqrt().div_(math.sqrt(unbiased_2)).add_(_EPSILON)
        theta.addcdiv_(mean * (rates / unbiased_1), size, value=-1)

    def steps(self, optimizer: torch.optim.Optimizer, course: Course, first: int, end: int) -> int:
        """Take many steps in the compiled kernel if the loss is computed by it, and otherwise one."""
        if (take := getattr(course.function, "adam", None)) is None:
            return super().steps(optimizer, course, first, end)
        theta, chosen = course.network.theta, slice(first, end)
        step, mean, square = self._averages(optimizer.state[theta], theta)
        steps = AdamSteps(
            lambda_d=course.lambda_d[chosen],
            batch=None if course.batch is None else course.batch[chosen],
            rates=self.rates_at(course.progress[chosen], len(theta)),
            taken=int(step),
            mean=mean,
            square=square,
            betas=self.betas,
            decay=self.weight_decay,
            longest=math.inf if self.clip_norm is None else self.clip_norm,
        )
        taken = take(course.network, course.points, course.scale, steps)
        step += taken
        return taken


@checked
class AdamW(Adam):
    r"""Adam with decoupled weight decay: before each step, :math:`\theta \leftarrow (1 - lr\, weight\_decay)\, \theta`.

    Attributes:
        weight_decay: the decay per step in units of the learning rate, in [0, 1 / lr].

    Raises:
        ValueError: a parameter is outside its range.

    References:
        I. Loshchilov, F. Hutter (2019). Decoupled weight decay regularization. https://arxiv.org/abs/1711.05101
    """

    weight_decay: NonNegative = 0.01  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        if self.lr * self.weight_decay > 1:
            raise ValueError(f"weight_decay: must be at most 1 / lr, {1 / self.lr:g}; got {self.weight_decay}")


@checked
class SGD(Elementwise):
    r"""Stochastic gradient descent with Nesterov momentum.

    .. math:: v \leftarrow \mu v + g, \quad \theta \leftarrow \theta - lr\,(g + \mu v)

    Attributes:
        momentum: the momentum mu, in [0, 1); 0: plain gradient descent.

    Raises:
        ValueError: a parameter is outside its range.

    References:
        I. Sutskever et al. (2013). On the importance of initialization and momentum in deep learning.
        https://proceedings.mlr.press/v28/sutskever13.html
    """

    momentum: BelowOne

    def of_torch(self, network: nn.Module) -> torch.optim.Optimizer:
        """Return torch's SGD."""
        return torch.optim.SGD(network.parameters(), self.lr, self.momentum, nesterov=self.momentum > 0)

    def update(self, state: dict[str, Any], theta: Tensor, gradient: Tensor, rates: Tensor) -> None:
        """Take a step of gradient descent."""
        velocity = state.setdefault("velocity", torch.zeros_like(theta))
        velocity.mul_(self.momentum).add_(gradient)
        theta.addcmul_(rates, gradient.add(velocity, alpha=self.momentum), value=-1)


def clip(gradient: Tensor, norm: float) -> Tensor:
    """Return each row g of `gradient`, (M, W), scaled to a Euclidean norm of at most `norm`: g min(1, norm / |g|)."""
    return gradient * (norm / gradient.norm(dim=1, keepdim=True).clamp_min(norm))


def has_own_rate(optimizer: Optimizer) -> bool:
    """Return whether members may differ in the learning rate of an optimiser."""
    return isinstance(optimizer, Elementwise)


def of_members(optimizers: Sequence[Optimizer]) -> Optimizer:
    """Return the optimiser of a stack whose members' own differ at most in their learning rates."""
    first, rates = optimizers[0], [cast(Gradient, optimizer).lr for optimizer in optimizers if has_own_rate(optimizer)]
    if len(set(rates)) > 1:
        object.__setattr__(first := copy.copy(first), "rates", tuple(rates))
    return first
