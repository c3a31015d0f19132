"""Policies that set lambda_d, the weight of MSE_df in the loss: fixed, from the data, or from the training.

A policy balances the two terms of the loss, MSE_f and MSE_df / c^2. All except two inspect the training periodically
and hold the weight constant in between. The literature weighs both terms, lambda_f MSE_f + lambda_df MSE_df; here
lambda_f is 1 and lambda_d the ratio lambda_df / lambda_f, the only thing that matters to Adam.
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

__all__ = ["MEMORY", "Balance", "Fixed", "GradNorm", "Log", "Look", "NeuralTangentKernel", "ReLoBRaLo", "Scale"]

MEMORY = 6
"""The numbers that a policy may remember of each member."""

_LEAST, _MOST = 1e-30, 1e30


@dataclass(frozen=True)
class Look:
    """The view that a policy has of a stack; each figure is computed lazily.

    Attributes:
        network: the stack.
        points: the training points.
        scale: the derivative's scale c, (M,).
        chance: a random number in [0, 1) for each member, (M,), a new one at each look.
    """

    network: StackedMLP
    points: Points
    scale: Tensor
    chance: Tensor

    @cached_property
    def terms(self) -> Tensor:
        """Compute MSE_f and MSE_df, (M, 2)."""
        with torch.no_grad():
            both = losses.terms(*self.network.value_and_derivative(self.points.x), self.points, self.scale)
        return torch.stack(both, dim=1).double()

    @cached_property
    def gradient_norms(self) -> Tensor:
        """Compute the norms of the gradients of MSE_f and MSE_df with respect to the weights, (M, 2)."""
        gradients = losses.term_gradients(self.network, self.points, self.scale)
        return torch.stack([gradient.double().norm(dim=1) for gradient in gradients], dim=1)

    @cached_property
    def traces(self) -> Tensor:
        """Compute the traces of J J^T of the weighted errors of f and of f', (M, 2)."""
        with torch.no_grad():
            _, du, tape = self.network.propagate(self.points.x, with_derivative=True)
            assert du is not None
            errors = torch.zeros_like(self.points.f)
            _, weights = losses.least_squares(errors, du, self.points, self.scale, torch.ones_like(self.scale))
            weighted = (weights * gram_diagonal(self.network, tape)).double()
        return torch.stack([part.sum(1) for part in weighted.tensor_split([du.shape[1]], dim=1)], dim=1)


@checked
class Balance(ABC):
    """A policy that sets lambda_d."""

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """Return lambda_d before the first look, (M,), by default the configuration's; `scale` is c, (M,)."""
        return lambda_d

    @abstractmethod
    def next_look(self, step: int) -> int:
        """Return the first step after this one at which the policy looks, or `NEVER`."""

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the new lambda_d, (M,), and the numbers to remember, (M, 6), which are NaN before the first look.

        `look` returns the figure of `Look` with a given name.
        """
        return lambda_d, memory


@checked
class Fixed(Balance):
    """A constant lambda_d, that of the configuration.

    Example:
        >>> Fixed().next_look(0) == NEVER
        True
    """

    def next_look(self, step: int) -> int:
        """Return `NEVER`."""
        return NEVER


@checked
class Scale(Balance):
    r"""A lambda_d from the data, :math:`Var f / E |f'|^2`, which makes both terms of the loss of u = mean f equal.

    Means are those of the loss, weights and scale included. Where f' is 0 or f is constant, lambda_d stays as it is.

    References:
        B. Huge, A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347

    Example:
        >>> Scale().next_look(0) == NEVER
        True
    """

    def start(self, lambda_d: Tensor, points: Points, scale: Tensor) -> Tensor:
        """Return Var f / E |f' / c|^2."""
        f, df, weight = points.f.double(), points.df.double(), points.weight_f.double()
        variance = (weight * (f - (weight * f).sum(1, keepdim=True)).square()).sum(1)
        slope = (points.weight_df.double() * df.square().sum(-1)).sum(1) / scale.double().square()
        return _positive_or(variance / slope, lambda_d)

    def next_look(self, step: int) -> int:
        """Return `NEVER`."""
        return NEVER


@checked
class _Periodic(Balance):
    """A policy that inspects the training periodically.

    Attributes:
        every: steps between two looks, >= 1; they fall on rows of the history.
    """

    every: Count

    def next_look(self, step: int) -> int:
        """Return the next multiple of `every`."""
        return (step // self.every + 1) * self.every


@checked
class _Ratio(_Periodic):
    """A moving average of the ratio of a figure of f to that of f'.

    Attributes:
        smoothing: the weight of the past in the average, in [0, 1).
    """

    smoothing: BelowOne

    figure: ClassVar[str]  # of `Look`, with two columns

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Return the average of the ratio, which starts with the first one, and the memory."""
        past, (of_f, of_df) = memory[:, 0], look(self.figure).unbind(1)
        now = _positive_or(of_f / of_df, past)
        average = torch.where(past.isnan(), now, self.smoothing * past + (1 - self.smoothing) * now)
        return _positive_or(average, lambda_d), torch.cat([average[:, None], memory[:, 1:]], dim=1)


@checked
class GradNorm(_Ratio):
    r"""A balance of gradient norms, :math:`\lambda_d = |\nabla_\theta MSE_f| / |\nabla_\theta MSE_{df}|`, averaged.

    It is not the GradNorm of Z. Chen et al. (2018), https://arxiv.org/abs/1711.02257, which trains the weights.

    References:
        S. Wang, S. Sankaran, H. Wang, P. Perdikaris (2023). An expert's guide to training physics-informed neural
        networks. https://arxiv.org/abs/2308.08468

    Example:
        >>> GradNorm(every=100, smoothing=0.9).next_look(250)
        300
    """

    figure: ClassVar[str] = "gradient_norms"


@checked
class Log(_Ratio):
    r"""The weight that follows from the loss :math:`\tfrac12 \log MSE_f + \tfrac12 \log MSE_{df}`.

    Its gradient is proportional to that of MSE_f + lambda_d MSE_df with lambda_d = MSE_f / MSE_df. Weighting by
    uncertainty reduces to this loss when the variances have their optimal values.

    References:
        A. Kendall, Y. Gal, R. Cipolla (2018). Multi-task learning using uncertainty to weigh losses.
        https://arxiv.org/abs/1705.07115

    Example:
        >>> start, look = torch.full((1, MEMORY), torch.nan), {"terms": torch.tensor([[3.0, 6.0]])}
        >>> Log(every=100, smoothing=0.9).update(torch.ones(1), start, look.get)[0]
        tensor([0.5000])
    """

    figure: ClassVar[str] = "terms"


@checked
class NeuralTangentKernel(_Ratio):
    r"""A balance of the rates at which both errors fall, :math:`\lambda_d = tr K_f / tr K_{df}`, averaged.

    K = J J^T, where J is the Jacobian of a term's weighted errors with respect to the network's weights.

    References:
        S. Wang, X. Yu, P. Perdikaris (2022). When and why PINNs fail to train: a neural tangent kernel perspective.
        https://arxiv.org/abs/2007.14527

    Example:
        >>> NeuralTangentKernel(every=100, smoothing=0.9).next_look(99)
        100
    """

    figure: ClassVar[str] = "traces"


@checked
class ReLoBRaLo(_Periodic):
    r"""Relative loss balancing with random lookback: the term that has fallen least gets the largest weight.

    With L_i the two terms, at look t and at an earlier one t',

    .. math:: \hat\lambda_i(t, t') = 2\, \mathrm{softmax}_i \frac{L_i(t)}{T L_i(t')}, \quad
              \lambda_i(t) = \alpha\,(\rho\, \lambda_i(t-1) + (1-\rho)\, \hat\lambda_i(t, 0))
              + (1-\alpha)\, \hat\lambda_i(t, t-1),

    where rho is 1 with probability `lookback` and 0 otherwise; lambda_d is the ratio of the two weights.

    Attributes:
        temperature: T, in [1e-12, 1e12]; large: both weights are 1.
        alpha: the weight of the past, in [0, 1].
        lookback: the mean of rho, in [0, 1].

    References:
        R. Bischof, M. A. Kraus (2021). Multi-objective loss balancing for physics-informed deep learning.
        https://arxiv.org/abs/2110.09813 (its alpha and rho are those of a look at every step).

    Example:
        >>> ReLoBRaLo(every=100, temperature=0.1, alpha=0.9, lookback=0.99).next_look(0)
        100
    """

    temperature: Positive
    alpha: Share
    lookback: Share

    def update(self, lambda_d: Tensor, memory: Tensor, look: Callable[[str], Tensor]) -> tuple[Tensor, Tensor]:
        """Apply the formulas above; both terms weigh the same at the first look."""
        now, (first, last, weights) = look("terms"), memory.split(2, dim=1)
        is_first = first.isnan()
        first, last = torch.where(is_first, now, first), torch.where(is_first, now, last)
        weights = torch.where(is_first, 1, weights)
        past = torch.where((look("chance") < self.lookback)[:, None], weights, self._weights(now, first))
        weights = self.alpha * past + (1 - self.alpha) * self._weights(now, last)
        return _positive_or(weights[:, 1] / weights[:, 0], lambda_d), torch.cat([first, now, weights], dim=1)

    def _weights(self, now: Tensor, before: Tensor) -> Tensor:
        return 2 * torch.softmax(now / (self.temperature * before), dim=1)


def _positive_or(weight: Tensor, fallback: Tensor) -> Tensor:
    """Return `weight`, clamped, where it is positive and finite, and else `fallback`."""
    return torch.where(weight.isfinite() & (weight > 0), weight.clamp(_LEAST, _MOST), fallback)
