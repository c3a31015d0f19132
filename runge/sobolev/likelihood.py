r"""Compute the loss whose minimum is the most likely network, if errors of a channel are normal with one variance.

A channel c is an output, or one of its partial derivatives, with n_c known labels. With the variances at their best
values, the MSE_c, it is, up to constants and over the mean number of labels,

.. math:: L = \tfrac12 \sum_c \nu_c \log MSE_c, \qquad \nabla L = \sum_c \frac{\nu_c}{2\,MSE_c} \nabla MSE_c,
          \qquad \nu_c = C n_c / \sum_k n_k.

No weight of a whole channel changes the gradient.

A partial derivative that is 0, by an input on which an output does not depend, is an exception: a network can fit it
exactly and at once, where its log has no bound, and would then fit nothing else. It has no error of its own size.
Therefore its variance s^2 is the mean MSE of the other channels, and its part of L is the weighted sum
:math:`\nu_c MSE_c / (2 s^2)`.

References:
    A. Kendall, Y. Gal, R. Cipolla (2018). Multi-task learning using uncertainty to weigh losses.
    https://arxiv.org/abs/1705.07115
"""

import torch
from torch import Tensor

from runge.sobolev.losses import LossAndGradient, Penalty, channel_errors
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

_NO_EFFECT = 1e-6
"""The size of a change of an output that counts as 0, relative to the largest one by an input."""


def label_counts(points: Points) -> Tensor:
    """Return n_c over its mean, (M, C): 1 for all channels where every label is known."""
    count = _labels(points).sum(1).flatten(1)
    return count / count.double().mean(1, keepdim=True).clamp_min(1)


def _labels(points: Points) -> Tensor:
    return torch.cat([(points.weight_f > 0)[..., None], points.weight_df > 0], dim=-1)


def variances(points: Points, mse: Tensor) -> Tensor:
    """Return the variance of each channel's errors, (M, P, 1 + D): its MSE, as given, or for one that is 0 the others'.

    It counts as 0 if, over the points, it changes the output by less than a millionth of what another one does.
    """
    is_known = _labels(points).any(1)
    lower, upper = points.x.aminmax(dim=1, keepdim=True)
    sizes = torch.where(points.weight_df > 0, points.df.abs(), 0).amax(1) * (upper - lower)
    is_zero = torch.zeros_like(is_known)
    is_zero[..., 1:] = sizes <= _NO_EFFECT * sizes.amax(2, keepdim=True)
    is_used = is_known & ~is_zero
    mean = torch.where(is_used, mse, 0).sum((1, 2)) / is_used.sum((1, 2)).clamp_min(1)
    return torch.where(is_zero & is_used.any(2).any(1)[:, None, None], mean[:, None, None], mse)


class Likelihood:
    """The loss L and its gradient, of a weighted sum whose weights follow from the errors at each call.

    lambda_d above 0 switches the derivatives on. The means of a penalty take the place of the MSE_c.
    """

    def __init__(self, loss_and_gradient: LossAndGradient, penalty: Penalty | None = None) -> None:
        self.loss_and_gradient, self.penalty = loss_and_gradient, penalty

    @torch.no_grad()
    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return L, (M,), and its gradient, (M, W), as `losses.loss_and_gradient` does those of the weighted sum."""
        mse = channel_errors(network, points, scale, lambda_d, self.penalty).double()
        weights, loss = self.weights(mse, points, lambda_d)
        on = None if lambda_d is None else (lambda_d > 0).to(lambda_d)
        _, gradient = self.loss_and_gradient(network, points.reweighted(weights.to(points.f)), scale, on)
        return loss.to(gradient), gradient

    def weights(self, mse: Tensor, points: Points, lambda_d: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the weights of the channels whose sum has the gradient of L, (M, P, 1 + D), and L, (M,)."""
        nu = label_counts(points).view_as(mse)
        nu[..., 1:] *= 0 if lambda_d is None else (lambda_d > 0)[:, None, None]
        variance = variances(points, mse)
        fitted = (nu == 0) | (variance == 0)  # without labels, or without an error that is left
        weights = torch.where(fitted, 0, nu / (2 * variance))
        terms = torch.where(variance == mse, torch.where(fitted, 1, mse).log() * nu / 2, weights * mse)
        return weights, terms.sum((1, 2))
