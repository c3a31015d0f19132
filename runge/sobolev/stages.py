r"""Residual stages: a sum of networks, each fitted to the residual of the sum of those before it.

.. math:: u = \sum_k a_k u_k, \quad a_k = \sqrt{MSE_f + \lambda_d\, MSE_{df}} \text{ of the residual},

so that every network fits a function of size 1. The first-layer slopes of a later network are raised to an eighth of
the residual's frequency, within bounds that the number of neurons can resolve without gaps.

References:
    Y. Wang, C.-Y. Lai (2023). Multi-stage neural networks: function approximator of machine precision.
    https://arxiv.org/abs/2307.08934
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from runge.sobolev import losses
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points
from runge.sobolev.units import Units

_NEURONS_A_SLOPE = 10  # with slopes raised by width / 10, tanh transitions are about as wide as their spacing
_FREQUENCIES_A_SLOPE = 8
_AT_ONCE = 512  # points at which `predict` evaluates at once, so that the memory does not grow with the test grid

Predict = Callable[[StackedMLP, Tensor], tuple[Tensor, Tensor]]
"""`StackedMLP.value_and_derivative`, or its compiled form, which has no gradients."""


class ResidualStages(nn.Module):
    """The sum of K stacked networks; a stage whose amplitude is 0 has not begun, or did not help.

    The networks may work in standardised `units`, which are not applied here.
    """

    amplitude: Tensor

    def __init__(
        self,
        model: Model,
        domains: Tensor,
        generators: Sequence[torch.Generator],
        dtype: torch.dtype,
        outputs: int = 1,
        units: Units | None = None,
    ) -> None:
        super().__init__()
        networks = (StackedMLP(model, domains, generators, dtype, outputs) for _ in range(model.stages))
        self.stages, self.units, self.dimension, self.outputs = (
            nn.ModuleList(networks),
            units,
            domains.shape[1],
            outputs,
        )
        self.register_buffer("amplitude", torch.eye(1, model.stages, dtype=dtype).repeat(len(generators), 1))

    def stage(self, k: int) -> StackedMLP:
        """Return the network of stage k."""
        return cast(StackedMLP, self.stages[k])

    def parameters_in_use(self) -> Tensor:
        """Return the number of parameters of the stages that help, (M,)."""
        return (self.amplitude != 0).sum(1) * self.stage(0).theta.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """Return the values u, (M, N, P), at points x, (M, N, D)."""
        return self.total([(stage(x),) for stage in self.in_use()])[0]

    def value_and_derivative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), as `StackedMLP.value_and_derivative` does."""
        u, du = self.total([stage.value_and_derivative(x) for stage in self.in_use()])
        return u, du

    @torch.inference_mode(False)  # it forbids the derivative by autograd
    @torch.no_grad()
    def predict(self, x: Tensor, of_stage: Predict = StackedMLP.value_and_derivative) -> tuple[Tensor, Tensor]:
        """Return u and u' as `value_and_derivative` does, without gradients and with less memory for many points."""
        parts = [self.total([of_stage(stage, some) for stage in self.in_use()]) for some in x.split(_AT_ONCE, dim=1)]
        u, du = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        return u, du

    @torch.no_grad()
    def begin_stage(self, k: int, points: Points, scale: Tensor, lambda_d: Tensor) -> None:
        """Begin stage k >= 1: set its amplitude, 0 where stage k - 1 did not help, and its slopes by the residual.

        The derivative's scale c and lambda_d, the full weight of MSE_df, are (M,).
        """
        network, (u, du) = self.stage(k), self.value_and_derivative(points.x)
        inner = network.scale[:, None]  # derivatives by the inputs in [-1, 1]
        amplitude = losses.weigh(*losses.terms(u, du, points, scale), lambda_d.to(u)).sqrt()
        mse_f, mse_df = losses.terms(u, du / inner, replace(points, df=points.df / inner), torch.ones_like(scale))
        neurons = network.shapes[0][1] ** (1 / network.dimension)  # along each input
        least = max(1, neurons / _NEURONS_A_SLOPE)
        slope = ((mse_df / mse_f).sqrt().nan_to_num(1) / _FREQUENCIES_A_SLOPE).clamp(least, 2 * least)
        for part in network.layers()[0]:
            part.mul_(slope[:, None, None])
        self.amplitude[:, k] = torch.where(self.amplitude[:, k - 1] != 0, amplitude.nan_to_num(0, 0, 0), 0)

    @torch.no_grad()
    def residual(self, k: int, points: Points) -> Points:
        """Return the points with the targets of stage k: the residual divided by its amplitude."""
        if k == 0:
            return points
        amplitude = self.amplitude[:, k, None, None]
        unit = torch.where(amplitude != 0, amplitude, 1)
        u, du = self.total([self.stage(i).value_and_derivative(points.x) for i in range(k)])
        return replace(points, f=(points.f - u) / unit, df=(points.df - du) / unit[..., None])

    def drop_unused(self) -> None:
        """Remove the last stages that have not begun, or did not help."""
        count = len(self.in_use())
        self.stages, self.amplitude = self.stages[:count], self.amplitude[:, :count].clone()

    def in_use(self) -> list[StackedMLP]:
        """Return the networks up to the last that helps any member."""
        count = len(self.stages)
        if not torch.compiler.is_compiling():  # a traced program cannot depend on values
            count = 1 + max((k for k, on in enumerate(self.amplitude.any(0).tolist()) if on), default=0)
        return [self.stage(k) for k in range(count)]

    def total(self, parts: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """Return the sum over the stages in use of the amplitude times each of their results."""
        totals = list(parts[0])  # whose amplitude is 1
        for k, results in enumerate(parts[1:], start=1):
            for i, result in enumerate(results):
                amplitude = self.amplitude[:, k].view(-1, *[1] * (result.ndim - 1))
                totals[i] = totals[i] + torch.where(amplitude != 0, amplitude * result, 0)  # the result may be NaN
        return totals
