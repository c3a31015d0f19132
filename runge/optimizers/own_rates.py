"""One optimiser for a stack whose members have learning rates of their own."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from runge.optimizers import at_once
from runge.optimizers.gradient import SGD, Adam, AdamW, Gradient
from runge.optimizers.optimizer import Course, Optimizer, Problem
from runge.validation import checked

__all__ = ["OwnRates", "has_own_rate", "of_members"]


def has_own_rate(optimizer: Optimizer) -> bool:
    """Return whether members may differ in the learning rate of an optimiser: its steps are proportional to it."""
    return type(optimizer) in (Adam, AdamW, SGD)


def of_members(optimizers: Sequence[Optimizer]) -> Optimizer:
    """Return the optimiser of a stack whose members' own differ at most in their learning rates.

    Example:
        >>> of_members([Adam(lr=0.01), Adam(lr=0.01)])
        Adam(lr=0.01, lr_schedule='cosine', clip_norm=None, betas=[0.9, 0.999])
        >>> of_members([Adam(lr=0.01), Adam(lr=0.04)]).rates
        [0.01, 0.04]
    """
    first = optimizers[0]
    if not has_own_rate(first) or all(one == first for one in optimizers):
        return first
    methods = cast(Sequence[Gradient], optimizers)
    fastest = max(methods, key=lambda method: method.lr)
    return OwnRates(method=fastest, rates=[method.lr for method in methods])


@checked
class OwnRates(Optimizer):
    r"""An optimiser whose steps are proportional to its learning rate, with a rate for each member.

    All members take the step of the fastest one, of which each keeps its share:

    .. math:: \theta_m \leftarrow \theta_m + \frac{lr_m}{\max_k lr_k} \Delta\theta_m

    The compiled kernel takes each member's own step instead, which is equal up to round-off.

    Attributes:
        method: the optimiser of the member with the highest rate.
        rates: the learning rate of each member.
    """

    method: Gradient
    rates: list[float]

    def _shares(self, like: Tensor) -> Tensor:
        return torch.tensor([rate / self.method.lr for rate in self.rates], dtype=like.dtype, device=like.device)

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser of the method."""
        return self.method.build(parameters)

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step of the fastest member, and keep each member's share of it."""
        theta = problem.network.theta
        before = theta.clone()
        with torch.enable_grad():
            self.method.step(optimizer, problem, progress)
        theta.copy_(before.lerp(theta, self._shares(theta)[:, None]))

    def steps(self, optimizer: torch.optim.Optimizer, course: Course, first: int, end: int) -> int:
        """Take each member's own steps in the compiled kernel if it can, or else one step of all."""
        if not at_once.can_take(optimizer, course):
            return super().steps(optimizer, course, first, end)
        return self.method.steps(optimizer, course, first, end, self.rates)

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Any]:
        """Return the learning rates by name, (M,)."""
        found = self.method.figures(optimizer, parameter, progress)
        return {"lr": found["lr"] * self._shares(found["lr"])}
