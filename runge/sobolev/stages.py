r"""Residual stages: a sum of networks, each of which is fitted to what those before it have left.

.. math:: u = \sum_k a_k u_k, \quad a_k = \sqrt{MSE_f + \lambda_d\, MSE_{df}} \text{ of what is left},

so that every network sees a function of size 1. What is left oscillates quickly; the slopes of a later network's first
layer are raised to an eighth of its frequency, but within what that many neurons can tell apart and leave no gaps.

References:
    Y. Wang, C.-Y. Lai (2023). Multi-stage neural networks: function approximator of machine precision.
    https://arxiv.org/abs/2307.08934
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from runge.sobolev import losses
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

_NEURONS_A_SLOPE = 10
"""With slopes raised by width / 10, the transitions of the first layer's tanh are about as wide as they are apart."""

_FREQUENCIES_A_SLOPE = 8


class ResidualStages(nn.Module):
    """The sum of K stacked networks; with one stage, that network.

    A stage whose amplitude is 0 has not begun, or did not help.

    Args:
        model: the number of stages K, and the shape of each network.
        domains: each member's box, (M, D, 2).
        generators: each member's source of randomness.
        dtype: float32 or float64.
    """

    amplitude: Tensor

    def __init__(
        self, model: Model, domains: Tensor, generators: Sequence[torch.Generator], dtype: torch.dtype
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(StackedMLP(model, domains, generators, dtype) for _ in range(model.stages))
        first = torch.arange(model.stages) == 0
        self.register_buffer("amplitude", first.to(dtype).repeat(len(generators), 1))

    def stage(self, k: int) -> StackedMLP:
        """The network of a stage."""
        stage = self.stages[k]
        assert isinstance(stage, StackedMLP)
        return stage

    @property
    def dimension(self) -> int:
        """The inputs D."""
        return self.stage(0).dimension

    def parameters_in_use(self) -> Tensor:
        """The number of parameters of the stages that help, (M,)."""
        return (self.amplitude != 0).sum(1) * self.stage(0).theta.shape[1]

    def forward(self, x: Tensor) -> Tensor:
        """The values u at x of shape (M, N, D), of shape (M, N)."""
        return self._sum([(stage(x),) for stage in self._in_use()])[0]

    def value_and_derivative(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The values and gradients at x, (M, N) and (M, N, D), as `StackedMLP.value_and_derivative`."""
        u, du = self._sum([stage.value_and_derivative(x) for stage in self._in_use()])
        return u, du

    @torch.no_grad()
    def begin(self, k: int, points: Points, scale: Tensor, lambda_d: Tensor) -> None:
        """Begin stage k: set its amplitude and its slopes by what is left. Where stage k - 1 did not help, nor will it.

        Args:
            k: the stage, from 1 on.
            points: the training points.
            scale: the derivative's scale c, (M,).
            lambda_d: the full weight of MSE_df, (M,).
        """
        network, (u, du) = self.stage(k), self.value_and_derivative(points.x)
        left = losses.weigh(*losses.terms(u, du, points, scale), lambda_d.to(u)).sqrt()
        seen = replace(points, df=points.df / network.scale)  # by what the network sees as its inputs
        mse_f, mse_df = losses.terms(u, du / network.scale, seen, torch.ones_like(scale))
        neurons = len(network.layers()[0][1][0, 0]) ** (1 / network.dimension)  # along each input
        slope = (mse_df / mse_f).sqrt().nan_to_num(1) / _FREQUENCIES_A_SLOPE
        least = max(1, neurons / _NEURONS_A_SLOPE)
        slope = slope.clamp(least, 2 * least)
        weight, bias = network.layers()[0]
        weight.mul_(slope[:, None, None])
        bias.mul_(slope[:, None, None])
        self.amplitude[:, k] = torch.where(self.amplitude[:, k - 1] != 0, left.nan_to_num(0, 0, 0), 0)

    @torch.no_grad()
    def left(self, k: int, points: Points) -> Points:
        """What stage k is to fit: what those before it have left, over its amplitude."""
        if k == 0:
            return points
        amplitude = self.amplitude[:, k, None]
        unit = torch.where(amplitude != 0, amplitude, 1)
        parts = [self.stage(i).value_and_derivative(points.x) for i in range(k)]
        u, du = self._sum(parts)
        return replace(points, f=(points.f - u) / unit, df=(points.df - du) / unit[..., None])

    def _in_use(self) -> list[StackedMLP]:
        used = self.amplitude.any(0).tolist()
        return [self.stage(k) for k in range(1 + max((k for k, on in enumerate(used) if on), default=0))]

    def _sum(self, parts: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
        """The sum over stages of the amplitude times each of their results."""
        if len(parts) == 1:  # its amplitude is 1
            return list(parts[0])
        found: list[Tensor] = []
        for results in zip(*parts, strict=True):
            total = results[0]
            for k, result in enumerate(results[1:], start=1):
                amplitude = self.amplitude[:, k].view(-1, *[1] * (result.ndim - 1))
                total = total + torch.where(amplitude != 0, amplitude * result, 0)  # a member may have diverged here
            found.append(total)
        return found
