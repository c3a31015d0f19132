"""What all optimisers have in common: a problem, and a step that makes its loss smaller."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn import Parameter

from runge.sobolev.compilation import LossAndGradient
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.validation import checked

Needs = dict[str, tuple[Any, ...]]
"""What values a key of another section may have, by the key."""


@dataclass(frozen=True)
class Problem:
    """The loss of a stack's weights on some points.

    Attributes:
        network: the stack, whose `theta` is looked for.
        points: the training points, or a mini-batch of them.
        scale: the derivative's scale c, (M,).
        lambda_d: the weight of MSE_df, (M,); None: MSE_f alone counts.
        function: `losses.loss_and_gradient`, or what `runge.sobolev.compilation` makes of it.
    """

    network: StackedMLP
    points: Points
    scale: Tensor
    lambda_d: Tensor | None
    function: LossAndGradient

    def take(self, members: Tensor) -> "Problem":
        """That of some members, with weights of their own."""
        lambda_d = None if self.lambda_d is None else self.lambda_d[members]
        network, points = self.network.take(members), self.points.take(members)
        return Problem(network, points, self.scale[members], lambda_d, self.function)

    def loss_and_gradient(self) -> tuple[Tensor, Tensor]:
        """The loss of each member, (M,), and its gradient, (M, P)."""
        return self.function(self.network, self.points, self.scale, self.lambda_d)


class Phase(NamedTuple):
    """A part of a run, or of a residual stage, with a method of its own.

    Attributes:
        first: its first step.
        steps: its steps.
        method: how they are taken.
    """

    first: int
    steps: int
    method: "Method"


@checked
class Optimizer(ABC):
    """What a person chooses: a method, or several of them in turn."""

    @abstractmethod
    def phases(self, steps: int) -> list[Phase]:
        """The methods by which so many steps are taken, one after the other."""

    @property
    def independent(self) -> bool:
        """Whether the members of a stack do not feel each other, so that they may be trained in one."""
        return all(phase.method.keeps_apart for phase in self.phases(2**62))

    def needs(self) -> dict[str, Needs]:
        """Return what each of the methods needs of the other sections, by the method's name."""
        return {type(phase.method).__name__: phase.method.demands for phase in self.phases(2**62)}


@checked
class Method(Optimizer):
    """One way to take steps."""

    keeps_apart: ClassVar[bool] = True
    by_gradient: ClassVar[bool] = True
    demands: ClassVar[Needs] = {}

    def phases(self, steps: int) -> list[Phase]:
        """Itself."""
        return [Phase(0, steps, self)]

    @abstractmethod
    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Make the torch optimiser of these parameters, each of shape (M, P), of which one is trained at a time."""

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step.

        Args:
            optimizer: what `build` has made.
            problem: what is to be solved.
            progress: the share of the steps that have been taken, in [0, 1).
        """

    def finish(self, problem: Problem) -> None:
        """Do what is best done after the last step, and again where no step helps any more: by default nothing."""

    @abstractmethod
    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """What is logged of it at a step: figures by name, each of shape (M,)."""

    def reset(self, optimizer: torch.optim.Optimizer) -> None:
        """Forget what no longer holds, since lambda_d has changed: by default nothing."""

    def at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
        """Whether no member can be improved any more, as far as the optimiser can see."""
        return False
