"""Policies that set lambda_d, the weight of MSE_df in the loss: fixed, from the data, or from the training.

A policy balances the channels of the loss: the mean squared errors of each of P outputs and of each of its D partial
derivatives, P (1 + D) in all; for one output in one dimension these are MSE_f and MSE_df / c^2. Every few steps it
looks at the stack and sets their weights, which are constant between two looks. The ratio of the mean weight of the
derivatives to that of the values is lambda_d.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from runge.configuration.validation import BelowOne, Count, Positive, Share, checked
from runge.schedules import NEVER
from runge.sobolev import losses
from runge.sobolev.likelihood import Likelihood, label_counts, variances
from runge.sobolev.losses import Penalty
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

__all__ = ["REMEMBERED", "Balance", "Fixed", "GradNorm", "Log", "Look", "ReLoBRaLo", "Scale"]
__all__ += ["joined", "separated"]

REMEMBERED = 3
"""The numbers that a policy may remember of each channel."""

_LEAST_WEIGHT = 1e-30
_LARGEST_WEIGHT = 1e30
"""The bounds of weights: their products with losses up to 1e8 are numbers in 32 bits."""


@dataclass(frozen=True)
class Look:
    """The view that a policy has of a stack at a step; each metric of the channels is computed on demand."""

    network: StackedMLP
    points: Points
    scale: Tensor  # the derivative's scale c, (M,)
    chance: Tensor  # a random number in [0, 1) for each member, a new one at each look

    @cached_property
    def terms(self) -> Tensor:
        """Compute the weighted mean squared error of each channel, (M, C)."""
        with torch.no_grad():
            u, du = self.network.value_and_derivative(self.points.x)
        return losses.channels(u, du, self.points, self.scale).double()

    @cached_property
    def variances(self) -> Tensor:
        """Compute the variance of each channel's errors over its number of labels, in units of the mean, (M, C)."""
        terms = self.terms.view(len(self.terms), self.network.outputs, -1)
        return variances(self.points, terms).flatten(1) / label_counts(self.points)

    @cached_property
    def gradient_norms(self) -> Tensor:
        """Compute the norm of the gradient of each channel's error with respect to the weights, (M, C)."""
        gradients = losses.channel_gradients(self.network, self.points, self.scale)
        return torch.stack([gradient.double().norm(dim=1) for gradient in gradients], dim=1)


@checked
class Balance(ABC):
    """A policy that sets lambda_d."""

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """Return lambda_d before the first look, (M,), by default the configuration's; `scale` is c, (M,)."""
        return lambda_d

    def objective(self, loss_and_gradient: losses.LossAndGradient, penalty: Penalty | None) -> losses.LossAndGradient:
        """Return the loss that a gradient method minimises, by default the weighted sum, which has the penalty."""
        return loss_and_gradient

    @abstractmethod
    def next_look(self, step: int) -> int:
        """Return the first step after this one at which the policy looks, or `NEVER`."""

    def update(self, weights: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the new weights of the channels, (M, P, 1 + D), in any unit, and the numbers to remember, (M, 3, C).

        These are NaN before the first look. `look` returns the figure of `Look` with a given name.
        """
        return weights, memory


@checked
class Fixed(Balance):
    """The constant lambda_d of the configuration."""

    def next_look(self, step: int) -> int:
        """Return `NEVER`."""
        return NEVER


@checked
class Scale(Fixed):
    r"""A lambda_d from the data, :math:`Var f / E |f'|^2`, with which values and derivatives weigh the same.

    The best constant, u = mean f, has two equal terms in its loss. The means are weighted as in the loss, and f' is
    divided by its scale. Where f' is 0 or f is constant, lambda_d stays as it is.

    References:
        B. Huge, A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347
    """

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """Return Var f / E |f' / c|^2."""
        f, df = points.f.double(), points.df.double()
        weight = points.weight_f.double()
        mean = (weight * f).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        variance = (weight * (f - mean).square()).sum((1, 2))
        slope = (points.weight_df.double() * df.square()).sum((1, 2, 3)) / scale.double().square()
        return _positive_or(variance / slope, lambda_d)


@checked
class _Periodic(Balance):
    """A policy that looks at every multiple of some number of steps; these fall on rows of the history.

    Attributes:
        every: steps between two updates of the weights, >= 1.
    """

    every: Count

    def next_look(self, step: int) -> int:
        """Return the next multiple of `every`."""
        return (step // self.every + 1) * self.every


@checked
class _Ratio(_Periodic):
    """A moving average of one over a figure of each channel, in units of the mean of the figures of the values.

    Attributes:
        smoothing: the weight of the past in the average, in [0, 1).
    """

    smoothing: BelowOne
    figure: ClassVar[str]  # of `Look`

    def update(self, weights: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the average of the ratios, which starts with the first ones, and the memory."""
        past, channels = memory[:, 0], look(self.figure)
        now = _positive_or(channels.view_as(weights)[:, :, 0].mean(1, keepdim=True) / channels, past)
        average = torch.where(past.isnan(), now, self.smoothing * past + (1 - self.smoothing) * now)
        return _positive_or(average.view_as(weights), weights), torch.cat([average[:, None], memory[:, 1:]], dim=1)


@checked
class GradNorm(_Ratio):
    r"""A balance of gradient norms, :math:`\lambda_d = |\nabla_\theta MSE_f| / |\nabla_\theta MSE_{df}|`, averaged.

    At a minimum of the loss its two gradients cancel and their ratio is lambda_d, whatever that is: the early steps
    decide on the balance. It is not the GradNorm of Z. Chen et al. (2018), https://arxiv.org/abs/1711.02257, which
    trains the weights.

    References:
        S. Wang, S. Sankaran, H. Wang, P. Perdikaris (2023). An expert's guide to training physics-informed neural
        networks. https://arxiv.org/abs/2308.08468
    """

    figure: ClassVar[str] = "gradient_norms"


@checked
class Log(_Ratio):
    r"""The loss :math:`\tfrac12 \sum_c n_c \log MSE_c` over all channels c, of n_c known labels each.

    A gradient method minimises the loss itself (`runge.sobolev.likelihood`). Least squares takes the weights of the
    last look: one over each channel's MSE, times n_c, for one output in one dimension lambda_d = MSE_f / MSE_df.
    """

    figure: ClassVar[str] = "variances"

    def objective(self, loss_and_gradient: losses.LossAndGradient, penalty: Penalty | None) -> losses.LossAndGradient:
        """Return the likelihood."""
        return Likelihood(loss_and_gradient, penalty)


@checked
class ReLoBRaLo(_Periodic):
    r"""Relative loss balancing with random lookback: the term that has fallen least gets the largest weight.

    With L_i the C channels that have labels, at look t and at an earlier one t',

    .. math:: \hat\lambda_i(t, t') = C\, \mathrm{softmax}_i \frac{L_i(t)}{T L_i(t')}, \quad
              \lambda_i(t) = \alpha\,(\rho\, \lambda_i(t-1) + (1-\rho)\, \hat\lambda_i(t, 0))
              + (1-\alpha)\, \hat\lambda_i(t, t-1),

    where rho is 1 with probability `lookback` and 0 otherwise.

    Attributes:
        temperature: the temperature T of the softmax, in [1e-12, 1e12]; large: all weights are 1.
        alpha: the weight of the past, in [0, 1].
        lookback: the probability that rho is 1, in [0, 1].

    References:
        R. Bischof, M. A. Kraus (2021). Multi-objective loss balancing for physics-informed deep learning.
        https://arxiv.org/abs/2110.09813 (its alpha and rho are those of a look at every step).
    """

    temperature: Positive
    alpha: Share
    lookback: Share

    def update(self, weights: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Apply the formulas above; all channels weigh the same at the first look."""
        now, (first, last, previous) = look("terms"), memory.unbind(1)
        is_first = first.isnan()
        first, last = torch.where(is_first, now, first), torch.where(is_first, now, last)
        previous = torch.where(is_first, 1, previous)
        past = torch.where((look("chance") < self.lookback)[:, None], previous, self._weights(now, first))
        previous = self.alpha * past + (1 - self.alpha) * self._weights(now, last)
        return _positive_or(previous.view_as(weights), weights), torch.stack([first, now, previous], dim=1)

    def _weights(self, now: Tensor, before: Tensor) -> Tensor:
        has_labels = before > 0  # the term of a derivative without labels is 0
        ratios = torch.where(has_labels, now / (self.temperature * before), -torch.inf)
        return has_labels.sum(1, keepdim=True) * torch.softmax(ratios, dim=1)


def joined(channels: Tensor, lambda_d: Tensor) -> Tensor:
    """Return the weights of the channels with lambda_d, (M, P, 1 + D), given those without, and lambda_d, (M,)."""
    return torch.cat([channels[..., :1], lambda_d[:, None, None] * channels[..., 1:]], dim=2)


def separated(weights: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Return the weights of the channels without lambda_d, (M, P, 1 + D), and lambda_d, (M,), given their product.

    lambda_d is the mean of the weights of the derivatives over that of the values. Where it is 0, the derivatives keep
    their weights of `before`, (M, P, 1 + D).
    """
    lambda_d = weights[..., 1:].mean((1, 2)) / weights[..., :1].mean((1, 2))
    unit = lambda_d[:, None, None]
    relative = torch.where(unit > 0, weights[..., 1:] / unit, before[..., 1:])
    return torch.cat([weights[..., :1], relative], dim=2), lambda_d


def _positive_or(weight: Tensor, fallback: Tensor) -> Tensor:
    """Return `weight`, clamped, where it is positive and finite, and else `fallback`."""
    return torch.where(weight.isfinite() & (weight > 0), weight.clamp(_LEAST_WEIGHT, _LARGEST_WEIGHT), fallback)
