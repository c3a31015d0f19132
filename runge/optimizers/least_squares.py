"""A network whose hidden layers stay as drawn, and whose last layer is solved exactly."""

from collections.abc import Iterable
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Parameter

from runge.optimizers.last_layer import solve_last_layer
from runge.optimizers.optimizer import Needs, Optimizer, Problem
from runge.validation import Positive, checked

__all__ = ["LeastSquares"]

Slopes = Annotated[list[Positive], Field(min_length=2, max_length=2)]


@checked
class LeastSquares(Optimizer):
    r"""Fixed features: hidden layers as drawn, and a last layer that minimises the loss exactly.

    Each of the K steps is another fit: step k gives the first layer the mean slope

    .. math:: s_k = s_0 (s_1 / s_0)^{(k - 1) / K},

    and solves the last layer, in which u and u' are linear (`solve_last_layer`). The kinks of the first layer stay
    where they are, because W and b are multiplied by the same factor. As for all methods, the weights with the lowest
    validation loss are kept, which chooses the slope. No step depends on the ones before.

    Attributes:
        slopes: the bounds s_0 and s_1 of the mean slope, each in [1e-12, 1e12]: the mean over the neurons of the norm
            of their weights, in coordinates in which the domain is [-1, 1]^D.

    Example:
        >>> LeastSquares(slopes=[3.0, 48.0]).slope(0.5)
        12.0

    References:
        G. Fabiani (2024). Random projection neural networks of best approximation.
        https://arxiv.org/abs/2402.11397
    """

    by_gradient: ClassVar[bool] = False
    demands: ClassVar[Needs] = {
        "trainer.precision": (64,),
        "trainer.compile": ("auto", "off"),
        "model.derivative": ("forward",),
        "data.batch_size": (None,),
    }

    slopes: Slopes

    def build(self, parameters: Iterable[Parameter]) -> torch.optim.Optimizer:
        """Return an optimiser without state, which is never asked to step."""
        return torch.optim.SGD(parameters, 1.0)  # for monitors of the learning rate

    def numbers(self, residuals: int, weights: int, neurons: int) -> int:
        """Estimate the numbers of the matrix, its weighted copy and its QR decomposition."""
        return 4 * residuals * neurons

    @torch.no_grad()
    def step(self, optimizer: torch.optim.Optimizer, problem: Problem, progress: float) -> None:
        """Give the first layer its slope, and solve the last layer."""
        layers = problem.network.layers()
        mean = layers[0][0].norm(dim=1).mean(1)
        for part in layers[0]:
            part.mul_((self.slope(progress) / mean)[:, None, None])
        for part in layers[-1]:
            part.zero_()
        solve_last_layer(problem)

    def slope(self, progress: float) -> float:
        """Return the mean slope of the first layer at a step, given the share of the steps already taken."""
        first, end = self.slopes
        return first * (end / first) ** progress

    def figures(self, optimizer: torch.optim.Optimizer, parameter: Parameter, progress: float) -> dict[str, Tensor]:
        """Return the slope of the step."""
        return {"slope": torch.full_like(parameter[:, 0], self.slope(progress))}
