"""A step of Levenberg-Marquardt before its damping is chosen: the errors, their system, and the loss of a change."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from runge.optimizers.levenberg_marquardt import limits
from runge.optimizers.levenberg_marquardt.deflated import IterativeSpace
from runge.optimizers.levenberg_marquardt.elimination import HiddenSpace, eliminate
from runge.optimizers.levenberg_marquardt.explicit import ExplicitSpace
from runge.optimizers.levenberg_marquardt.linearised import Linearised, errors_and_weights
from runge.optimizers.levenberg_marquardt.systems import ErrorSpace, System, WeightSpace
from runge.optimizers.optimizer import Problem

__all__ = ["Trial", "system_of"]


def system_of(at: Linearised, weights: Tensor, state: Mapping[str, Tensor]) -> System:
    """Return the system of errors with some weights, (M, R): in the smaller space, or iterative if both are large."""
    residuals, columns = weights.shape[1], at.network.theta.shape[1]
    if at.second:
        return ExplicitSpace.of(at, weights)
    if min(residuals, columns) > limits.LARGEST_FACTORISED:
        return IterativeSpace.of(at, weights, state["columns"])
    if residuals <= columns:
        return ErrorSpace.of(at, weights)
    return WeightSpace.of(at, weights, state["single"])


class Trial(NamedTuple):
    """The members that try a step: where they start, and the system that gives the step for a damping."""

    problem: Problem  # whose network has the weights that are tried
    system: System
    start: Tensor  # the weights before the step, (M, W)
    errors: Tensor  # e at the start, (M, R)
    weights: Tensor  # W, (M, R)
    loss: Tensor  # at the start, (M,)
    ridge: Tensor | None = None  # of an eliminated last layer, (M,)

    @classmethod
    def without_last_layer(cls, problem: Problem, ridge: Tensor) -> "Trial":
        """Eliminate the last layer, and return the trial of a step in the other weights."""
        at = eliminate(problem, ridge)
        system, ones = HiddenSpace.of(problem, at), torch.ones_like(at.errors)
        return cls(problem, system, problem.network.theta.clone(), at.errors, ones, at.errors.square().sum(1), ridge)

    def take(self, members: Tensor) -> "Trial":
        """Return the trial of some members."""
        tensors = [None if tensor is None else tensor[members] for tensor in self[2:]]
        return Trial(self.problem.take(members), self.system.take(members), *tensors)  # pyright: ignore[reportArgumentType]

    def errors_at(self, theta: Tensor) -> Tensor:
        """Set the network's weights, (M, W), of which an eliminated last layer is solved, and return the errors."""
        self.problem.network.theta.copy_(theta)
        return errors_and_weights(self.problem)[0] if self.ridge is None else eliminate(self.problem, self.ridge).errors

    def loss_of(self, errors: Tensor) -> Tensor:
        """Return the weighted sum of squares of some errors, (M,)."""
        return (self.weights * errors.square()).sum(1)
