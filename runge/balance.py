r"""How lambda_d, the weight of MSE_df in the loss, is set: fixed, from the data, or from the training as it goes.

A policy balances what the loss adds up, MSE_f against MSE_df / c^2. All but two look at the training again and again;
what they find is the weight until the next look. The literature weighs both terms, lambda_f MSE_f + lambda_df MSE_df;
here lambda_f is 1, and lambda_d the ratio lambda_df / lambda_f, which is all that Adam sees of the two.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from runge.schedules import NEVER
from runge.sobolev import losses
from runge.sobolev.jacobian import gram_diagonal
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points
from runge.validation import BelowOne, Count, Positive, Share, checked

MEMORY = 6
"""The numbers that a policy may remember of each member."""

_LEAST, _MOST = 1e-30, 1e30


@dataclass(frozen=True)
class Look:
    """What a policy may see of a stack; each figure is worked out when it is asked for.

    Attributes:
        network: the stack.
        points: the training points.
        scale: the derivative's scale c, (M,).
        chance: a number in [0, 1) for each member, (M,), another one at each look.
    """

    network: StackedMLP
    points: Points
    scale: Tensor
    chance: Tensor

    @cached_property
    def terms(self) -> Tensor:
        """MSE_f and MSE_df, (M, 2)."""
        with torch.no_grad():
            found = losses.terms(*self.network.value_and_derivative(self.points.x), self.points, self.scale)
        return torch.stack(found, dim=1).double()

    @cached_property
    def gradient_norms(self) -> Tensor:
        """The norms of the gradients of MSE_f and MSE_df by the weights, (M, 2)."""
        found = losses.term_gradients(self.network, self.points, self.scale)
        return torch.stack([gradient.double().norm(dim=1) for gradient in found], dim=1)

    @cached_property
    def traces(self) -> Tensor:
        """The traces of J J^T of the weighted errors of f and of f', (M, 2)."""
        with torch.no_grad():
            _, du, tape = self.network.propagate(self.points.x, with_derivative=True)
            assert du is not None
            n, diagonal = du.shape[1], gram_diagonal(self.network, tape)
            errors = torch.zeros_like(self.points.f)
            _, weights = losses.least_squares(errors, du, self.points, self.scale, torch.ones_like(self.scale))
            weighted = (weights * diagonal).double()
        return torch.stack([weighted[:, :n].sum(1), weighted[:, n:].sum(1)], dim=1)


@checked
class Balance(ABC):
    """How lambda_d is set."""

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """lambda_d before the first look: by default that of the configuration.

        Args:
            lambda_d: that of the configuration, (M,).
            points: the training points.
            scale: the derivative's scale c, (M,).
        """
        return lambda_d

    @abstractmethod
    def next_look(self, step: int) -> int:
        """The first step after this one at which the policy looks, or `NEVER`."""

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Look again.

        Args:
            lambda_d: as it is, (M,).
            memory: what is remembered, (M, 6); NaN before the first look.
            look: a figure of `Look` by its name.

        Returns:
            The new lambda_d and memory.
        """
        return lambda_d, memory


@checked
class Fixed(Balance):
    """lambda_d is that of the configuration, at all times."""

    def next_look(self, step: int) -> int:
        """`NEVER`."""
        return NEVER


@checked
class Scale(Balance):
    r"""lambda_d from the data, :math:`Var f / E |f'|^2`: both terms of the loss of u = mean f are then equal.

    Means are those of the loss, weights and scale included. It stays as it is where f' is 0 or f is constant.

    References:
        B. Huge, A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347
    """

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """Var f / E |f' / c|^2."""
        f, df, weight = points.f.double(), points.df.double(), points.weight_f.double()
        mean = (weight * f).sum(1, keepdim=True)
        variance = (weight * (f - mean).square()).sum(1)
        slope = (points.weight_df.double() * df.square().sum(-1)).sum(1) / scale.double().square()
        return _accepted(variance / slope, lambda_d)

    def next_look(self, step: int) -> int:
        """`NEVER`."""
        return NEVER


@checked
class _Looking(Balance):
    """A policy that looks at the training.

    Attributes:
        every: steps between two looks, >= 1; they fall on rows of the history.
    """

    every: Count

    def next_look(self, step: int) -> int:
        """The next multiple of `every`."""
        return (step // self.every + 1) * self.every


@checked
class _Ratio(_Looking):
    """A weight that is the ratio of a figure of f to that of f', as a moving average.

    Attributes:
        smoothing: the weight of the past in the average, in [0, 1).
    """

    smoothing: BelowOne

    figure: ClassVar[str]
    """The figure of `Look` whose two columns are divided."""

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """The average of the ratio, which begins with the first one."""
        past = memory[:, 0]
        of_f, of_df = look(self.figure).unbind(1)
        now = _accepted(of_f / of_df, past)
        average = torch.where(past.isnan(), now, self.smoothing * past + (1 - self.smoothing) * now)
        return _accepted(average, lambda_d), torch.cat([average[:, None], memory[:, 1:]], dim=1)


@checked
class GradNorm(_Ratio):
    r"""Both terms pull equally hard: :math:`\lambda_d = |\nabla_\theta MSE_f| / |\nabla_\theta MSE_{df}|`, averaged.

    It is not the GradNorm of Z. Chen et al. (2018), https://arxiv.org/abs/1711.02257, which trains the weights.

    References:
        S. Wang, S. Sankaran, H. Wang, P. Perdikaris (2023). An expert's guide to training physics-informed neural
        networks. https://arxiv.org/abs/2308.08468
    """

    figure: ClassVar[str] = "gradient_norms"


@checked
class Log(_Ratio):
    r"""The weight that follows from the loss :math:`\tfrac12 \log MSE_f + \tfrac12 \log MSE_{df}`.

    Its gradient is that of MSE_f + lambda_d MSE_df with lambda_d = MSE_f / MSE_df, but for a factor. It is what is left
    of weighting by uncertainty when the variances are at their best values.

    References:
        A. Kendall, Y. Gal, R. Cipolla (2018). Multi-task learning using uncertainty to weigh losses.
        https://arxiv.org/abs/1705.07115
    """

    figure: ClassVar[str] = "terms"


@checked
class NeuralTangentKernel(_Ratio):
    r"""Both terms' errors fall equally fast: :math:`\lambda_d = tr K_f / tr K_{df}` with K = J J^T, averaged.

    J is the Jacobian of a term's weighted errors by the network's weights.

    References:
        S. Wang, X. Yu, P. Perdikaris (2022). When and why PINNs fail to train: a neural tangent kernel perspective.
        https://arxiv.org/abs/2007.14527
    """

    figure: ClassVar[str] = "traces"


@checked
class ReLoBRaLo(_Looking):
    r"""Relative loss balancing with random lookback: the term that has fallen least gets the largest weight.

    With L_i the two terms, at look t and at an earlier one t',

    .. math:: \hat\lambda_i(t, t') = 2\, \mathrm{softmax}_i \frac{L_i(t)}{T L_i(t')}, \quad
              \lambda_i(t) = \alpha\,(\rho\, \lambda_i(t-1) + (1-\rho)\, \hat\lambda_i(t, 0))
              + (1-\alpha)\, \hat\lambda_i(t, t-1),

    where rho is 1 with the probability `lookback`, and else 0; lambda_d is the ratio of the two.

    Attributes:
        temperature: T, > 0.
        alpha: the weight of the past, in [0, 1].
        lookback: the mean of rho, in [0, 1].

    References:
        R. Bischof, M. A. Kraus (2021). Multi-objective loss balancing for physics-informed deep learning.
        https://arxiv.org/abs/2110.09813 (its alpha and rho are those of a look at every step).
    """

    temperature: Positive
    alpha: Share
    lookback: Share

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """The formulas above; at the first look both terms weigh alike."""
        now, (first, last, weights) = look("terms"), memory.split(2, dim=1)
        unknown = first.isnan()
        first, last = torch.where(unknown, now, first), torch.where(unknown, now, last)
        weights = torch.where(unknown, 1, weights)
        past = torch.where((look("chance") < self.lookback)[:, None], weights, self._weights(now, first))
        weights = self.alpha * past + (1 - self.alpha) * self._weights(now, last)
        found = _accepted(weights[:, 1] / weights[:, 0], lambda_d)
        return found, torch.cat([first, now, weights], dim=1)

    def _weights(self, now: Tensor, before: Tensor) -> Tensor:
        return 2 * torch.softmax(now / (self.temperature * before), dim=1)


def _accepted(found: Tensor, before: Tensor) -> Tensor:
    """What was found where that is a weight, positive and finite; else what was known before."""
    return torch.where(found.isfinite() & (found > 0), found.clamp(_LEAST, _MOST), before)
