r"""Compute the two terms of the Sobolev loss and their weighted sum, for each member.

.. math:: L = MSE_f + \lambda_d \, MSE_{df}, \quad MSE_f = \sum_{ip} w_{ip} (u_{ip} - f_{ip})^2, \quad
          MSE_{df} = \sum_{ipd} v_{ipd} \, (u'_{ipd} - f'_{ipd})^2 / c^2

over points i, outputs p and inputs d, with weights w and v (1/N by default for one output) and the derivative's scale
c. A penalty rho takes the place of the squares: rho(u - f), and rho((u' - f') / c) of each component. Throughout, `u`
and `f` are values, (M, N, P), `du` and `df` the Jacobians u' and f', (M, N, P, D), `scale` is c, (M,), and `lambda_d`
is (M,) or, for MSE_f alone, None.

References:
    W. M. Czarnecki et al. (2017). Sobolev training for neural networks. https://arxiv.org/abs/1706.04859
    B. Huge and A. Savine (2020). Differential machine learning. https://arxiv.org/abs/2005.02347
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, cast

import torch
from torch import Tensor

from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

_PASSED_POINTS = 4096
"""The points whose pass through the network `term_gradients` keeps at a time."""

DerivativeScale = Literal["none", "max", "std"]

Penalty = Callable[[Tensor], Tensor]  # a function rho of residuals of any shape, elementwise
LossAndGradient = Callable[[StackedMLP, Points, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def derivative_scale(kind: DerivativeScale, points: Points) -> Tensor:
    r"""Return the derivative's scale c of each member, (M,).

    .. math:: c_{max} = \max_{ip} |f'_{ip}|, \quad
              c_{std} = \sqrt{\operatorname{mean}_{ip} |f'_{ip} - \operatorname{mean}_i f'_{ip}|^2}

    over the training points i that have a derivative, and all outputs p. It is 1 for `none`, if there is no such point,
    and if f' is constant.
    """
    if kind == "none":
        return torch.ones_like(points.f[:, 0, 0])
    mask = (points.weight_df > 0).to(points.df)
    if kind == "max":
        scale = (points.df * mask).norm(dim=-1).amax((1, 2))
    else:
        count = mask.sum(1, keepdim=True).clamp_min(1)
        centred = (points.df - (points.df * mask).sum(1, keepdim=True) / count) * mask
        scale = ((centred.square().sum(1) / count[:, 0]).sum(2).mean(1)).sqrt()
    # A derivative that is constant up to round-off counts as constant.
    noise = torch.finfo(scale.dtype).eps ** 0.5 * points.df.norm(dim=-1).amax((1, 2))
    return torch.where(scale > noise, scale, 1)


def pointwise(u: Tensor, du: Tensor, f: Tensor, df: Tensor, scale: Tensor, lambda_d: Tensor) -> Tensor:
    """Return each point's error in the loss, sqrt(sum (u - f)^2 + lambda_d |u' - f'|^2 / c^2 over outputs), (M, N)."""
    weight = (lambda_d / scale.square())[:, None, None]
    return ((u - f).square() + weight * (du - df).square().sum(-1)).sum(-1).sqrt()


def weigh(mse_f: Tensor, mse_df: Tensor, lambda_d: Tensor) -> Tensor:
    """Return the loss MSE_f + lambda_d MSE_df of each member, (M,)."""
    return mse_f + lambda_d * mse_df


def loss_and_gradient(
    network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss, (M,), and its gradient with respect to each member's weights, (M, W).

    The network's `derivative` selects closed forms or autograd. Without lambda_d no u' is computed. Without a penalty
    it is the square.
    """
    if network.derivative == "autograd":
        with torch.enable_grad():
            if lambda_d is None:
                loss = _value_term(network(points.x), points, penalty)[0]
            else:
                loss = weigh(*terms(*network.value_and_derivative(points.x), points, scale, penalty), lambda_d)
            return loss.detach(), network.gradient(loss)
    with torch.no_grad():
        if lambda_d is None:
            u, _, tape = network.propagate(points.x, with_derivative=False)
            loss, u_bar = _value_term(u, points, penalty)
            return loss, network.adjoint(tape, u_bar, None)
        u, du, tape = network.evaluate(points.x)
        mse_f, u_bar = _value_term(u, points, penalty)
        mse_df, du_bar = _derivative_term(du, points, scale, penalty)
        return weigh(mse_f, mse_df, lambda_d), network.adjoint(tape, u_bar, lambda_d[:, None, None, None] * du_bar)


def least_squares(
    u: Tensor, du: Tensor | None, points: Points, scale: Tensor, lambda_d: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the errors, for each output u - f, u'_1 - f'_1, ..., u'_D - f'_D, and the weights of their squares.

    Both are (M, P (1 + D) N); if `du` or `lambda_d` is None, they are (M, P N), of u - f alone.
    """
    if du is None or lambda_d is None:
        return (u - points.f).mT.flatten(1), points.weight_f.mT.flatten(1)
    errors = torch.cat([(u - points.f)[..., None], du - points.df], dim=-1)
    weight_df = (lambda_d / scale.square())[:, None, None, None] * points.weight_df
    weights = torch.cat([points.weight_f[..., None], weight_df], dim=-1)
    return errors.permute(0, 2, 3, 1).flatten(1), weights.permute(0, 2, 3, 1).flatten(1)


def terms(
    u: Tensor, du: Tensor, points: Points, scale: Tensor, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return MSE_f and MSE_df, each (M,)."""
    return _value_term(u, points, penalty)[0], _derivative_term(du, points, scale, penalty)[0]


def channels(u: Tensor, du: Tensor, points: Points, scale: Tensor, penalty: Penalty | None = None) -> Tensor:
    """Return the weighted mean squared error of each channel, (M, P (1 + D)): for each output u, u'_1, ..., u'_D."""
    if penalty is not None:
        of_u, of_du = penalty(u - points.f), penalty((du - points.df) / scale[:, None, None, None])
        errors = torch.cat([(points.weight_f * of_u)[..., None], points.weight_df * of_du], dim=-1)
        return errors.sum(1).flatten(1)
    errors, weights = least_squares(u, du, points, scale, torch.ones_like(scale))
    return (weights * errors * errors).unflatten(1, (-1, u.shape[1])).sum(2)


@torch.no_grad()
def channel_errors(
    network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None, penalty: Penalty | None = None
) -> Tensor:
    """Return the error of each channel, (M, P, 1 + D); of derivatives 0 without `lambda_d`, and any where it is 0."""
    if lambda_d is None:
        u, du = network(points.x), points.df
    else:
        u, du = network.value_and_derivative(points.x)
    return channels(u, du, points, scale, penalty).unflatten(1, (u.shape[2], -1))


@torch.no_grad()
def channel_gradients(network: StackedMLP, points: Points, scale: Tensor) -> list[Tensor]:
    """Return the gradient of each channel's error with respect to the weights, each (M, W), from one forward pass."""
    if network.derivative == "autograd":
        with torch.enable_grad():
            errors = channels(*network.value_and_derivative(points.x), points, scale).unbind(1)
            return [network.gradient(error) for error in errors]
    u, du, tape = network.propagate(points.x, with_derivative=True)
    u_bar, du_bar = _value_term(u, points)[1], _derivative_term(cast(Tensor, du), points, scale)[1]
    bars = torch.cat([u_bar[..., None], du_bar], dim=-1)
    gradients = []
    for channel in torch.eye(bars.shape[2:].numel()).to(bars).unflatten(1, bars.shape[2:]):
        bar = bars * channel
        gradients.append(network.adjoint(tape, bar[..., 0], bar[..., 1:]))
    return gradients


@torch.no_grad()
def term_gradients(
    network: StackedMLP, points: Points, scale: Tensor, function: LossAndGradient = loss_and_gradient
) -> tuple[Tensor, Tensor]:
    """Return the gradients of MSE_f and of MSE_df with respect to the weights, each (M, W)."""
    gradients, on = [], torch.ones_like(scale)
    for chunk in points.split(_PASSED_POINTS):
        of_df = replace(chunk, weight_f=torch.zeros_like(chunk.weight_f))
        gradients.append((function(network, chunk, scale, None)[1], function(network, of_df, scale, on)[1]))
    gradient_f, gradient_df = (torch.stack(of_chunks).sum(0) for of_chunks in zip(*gradients, strict=True))
    return gradient_f, gradient_df


def diagnostics(gradient_f: Tensor, gradient_df: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the norms of the gradients of MSE_f and MSE_df, (M, W), and their cosine, each (M,)."""
    cosine = torch.nn.functional.cosine_similarity(gradient_f, gradient_df, dim=1)
    return gradient_f.norm(dim=1), gradient_df.norm(dim=1), cosine


def _value_term(u: Tensor, points: Points, penalty: Penalty | None = None) -> tuple[Tensor, Tensor]:
    """Return MSE_f, (M,), and its adjoint d MSE_f / du, (M, N, P)."""
    return _term(u - points.f, points.weight_f, 1.0, penalty)


def _derivative_term(
    du: Tensor, points: Points, scale: Tensor, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return MSE_df, (M,), and its adjoint d MSE_df / du', (M, N, P, D)."""
    return _term(du - points.df, points.weight_df, scale[:, None, None, None], penalty)


def _term(residual: Tensor, weight: Tensor, c: Tensor | float, penalty: Penalty | None) -> tuple[Tensor, Tensor]:
    axes = tuple(range(1, residual.ndim))
    if penalty is None:
        weighted = weight / c**2 * residual
        return (weighted * residual).sum(axes), 2 * weighted
    with torch.enable_grad():
        scaled = (residual / c).detach().requires_grad_()
        (slope,) = torch.autograd.grad(penalty(scaled).sum(), scaled)
    return (weight * penalty(residual / c)).sum(axes), weight * slope / c
