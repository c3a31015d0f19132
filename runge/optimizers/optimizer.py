"""The interface of all optimisers: a problem, and a step that reduces its loss."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from runge.configuration.validation import checked
from runge.sobolev.losses import LossAndGradient
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

__all__ = ["LINEAR_ALGEBRA", "Course", "Needs", "Optimizer", "OptimizerState", "Problem"]

Needs = dict[str, tuple[Any, ...]]
"""The allowed values of keys in other sections of the configuration, by key."""

LINEAR_ALGEBRA: Needs = {
    "trainer.loop": ("blocks",),
    "trainer.precision": (64,),
    "trainer.compile": ("auto", "off"),
    "model.derivative": ("forward",),
    "data.batch_size": (None,),
}
"""The needs of optimisers that solve linear systems from the network's own tape."""


@dataclass(frozen=True)
class Problem:
    """The loss of a stack's weights on some points."""

    network: StackedMLP  # whose `theta` is optimised
    points: Points  # the training points, or a mini-batch of them
    scale: Tensor  # the derivative's scale c, (M,)
    lambda_d: Tensor | None  # the weight of MSE_df, (M,); None: MSE_f alone
    function: LossAndGradient  # `losses.loss_and_gradient`, or its compiled form, a `runge.sobolev.kernel.Kernel`

    def take(self, members: Tensor) -> "Problem":
        """Return the problem of some members, with a copy of their weights."""
        lambda_d = None if self.lambda_d is None else self.lambda_d[members]
        network, points = self.network.take(members), self.points.take(members)
        return Problem(network, points, self.scale[members], lambda_d, self.function)

    def on(self, points: Tensor) -> "Problem":
        """Return the problem on some points of all members, given their indices, (K,), with the same network."""
        index = points.to(self.points.x.device).expand(len(self.points.x), -1)
        return replace(self, points=self.points.minibatch(index))

    def loss_and_gradient(self) -> tuple[Tensor, Tensor]:
        """Return the loss of each member, (M,), and its gradient, (M, W)."""
        return self.function(self.network, self.points, self.scale, self.lambda_d)


@dataclass(frozen=True)
class Course:
    """The problems of K consecutive steps, which differ in lambda_d and in the mini-batch; else as in `Problem`."""

    network: StackedMLP
    points: Points  # all training points
    batch: Tensor | None  # those of each step's mini-batch, (K, M, B); None: all
    scale: Tensor
    lambda_d: Tensor  # at each step, (K, M)
    with_derivative: Sequence[bool]  # at each step: whether lambda_d is above 0 for any member
    progress: Sequence[float]  # the share of the run's steps that are taken before each step
    function: LossAndGradient

    def problem(self, k: int) -> Problem:
        """Return the problem of the step k; where lambda_d is 0 for all members, without derivatives."""
        points = self.points if self.batch is None else self.points.minibatch(self.batch[k])
        lambda_d = self.lambda_d[k] if self.with_derivative[k] else None
        return Problem(self.network, points, self.scale, lambda_d, self.function)


class OptimizerState(torch.optim.Optimizer):
    """The state, which a checkpoint holds, of an optimiser that takes its steps itself."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        super().__init__(parameters, {"lr": 1.0})  # for monitors of the learning rate


@checked
class Optimizer(ABC):
    """An optimisation method.

    Raises:
        ValueError: a parameter is outside its range.
    """

    keeps_apart: ClassVar[bool] = True  # the members of a stack do not affect each other
    by_gradient: ClassVar[bool] = True  # its steps use `Problem.loss_and_gradient`
    one_thread: ClassVar[bool] = False  # its linear algebra takes one thread, however many torch has
    last_layer_alone: ClassVar[bool] = False  # it fits no other weights
    demands: ClassVar[Needs] = {}  # the allowed values of keys in other sections

    def weights(self, network: StackedMLP) -> list[Parameter]:
        """Return the parameters for `build`: the weights of all members, (M, W)."""
        return [network.theta]

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return a torch optimiser of the parameters."""
        return OptimizerState(parameters)

    def configure(self, network: nn.Module, steps: int) -> Any:
        """Return what `configure_optimizers` of a module whose batches are single steps returns, given their number.

        Raises:
            ValueError: it takes its steps itself, in blocks alone.
        """
        raise ValueError(f"optimizer: {type(self).__name__} takes its steps itself; use SobolevRegression")

    @abstractmethod
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Take a step with the result of `build`; `progress` is the share of the steps already taken, in [0, 1)."""

    def steps(self, optimizer: torch.optim.Optimizer, course: Course, first: int, end: int) -> int:
        """Take one step of a course, or, if `reset` does nothing, several before `end`; return how many."""
        self.step(optimizer, course.problem(first), course.progress[first])
        return 1

    def finish(self, problem: Problem) -> None:  # noqa: B027
        """Finish up after the last step, or once no step helps; does nothing by default."""

    def takes_second(self) -> bool:
        """Return whether the loss may have labels of second derivatives; true for those that use the gradient."""
        return self.by_gradient

    def products(self, errors: int, weights: int, width: int) -> float:
        """Estimate the multiplications in 64 bit of one step, besides those of the gradient; 0 by default."""
        return 0.0

    @abstractmethod
    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the figures to log at a step, by name, each (M,)."""

    def carried(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> dict[str, Tensor]:
        """Return the state that a run which continues with the weights needs, by name, each (M,); empty by default."""
        return {}

    def reset(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: B027
        """Discard state that a change of the loss (lambda_d or the points) invalidates; does nothing by default."""

    def at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> bool:
        """Return whether all members are at rest: no step would improve them; false by default."""
        return False

    def members_at_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter) -> Tensor:
        """Return which members are at rest, (M,); none by default."""
        return torch.zeros_like(parameter[:, 0], dtype=torch.bool)

    def put_to_rest(self, optimizer: torch.optim.Optimizer, parameter: Parameter, members: Tensor) -> None:  # noqa: B027
        """Put members to rest, (M,), which need no more steps; does nothing by default."""
