r"""The two terms of the Sobolev loss and their weighted sum, for each member.

.. math:: L = MSE_f + \lambda_d \, MSE_{df}, \quad MSE_f = \sum_i w_i (u_i - f_i)^2, \quad
          MSE_{df} = \sum_i v_i \, |u'_i - f'_i|^2 / c^2

with weights w and v (1/N by default) and the derivative's scale c. A penalty rho takes the place of the squares:
rho(u_i - f_i), and rho((u'_i - f'_i) / c) of each component. Throughout, `u` and `f` are values, (M, N), `du` and
`df` the gradients u' and f', (M, N, D), `scale` is c, (M,), and `lambda_d` is (M,) or, for MSE_f alone, None.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from runge.metrics import DIAGNOSTICS
from runge.sobolev.points import Points

if TYPE_CHECKING:
    from runge.sobolev.network import StackedMLP

DerivativeScale = Literal["none", "max", "std"]

Penalty = Callable[[Tensor], Tensor]
"""A function rho of residuals of any shape, elementwise."""


def derivative_scale(kind: DerivativeScale, points: Points) -> Tensor:
    r"""Return the derivative's scale c, (M,), over the training points that have a derivative.

    It is 1 for a member whose f' is constant, or that has no derivative.

    Args:
        kind: `none`: 1; `max`: max |f'|; `std`: the root of the mean square of f' - mean f'.
        points: the training set.
    """
    if kind == "none":
        return torch.ones_like(points.f[:, 0])
    mask = (points.weight_df > 0).to(points.df)[..., None]
    if kind == "max":
        scale = (points.df * mask).norm(dim=-1).amax(-1)
    else:
        count = mask.sum(1, keepdim=True).clamp_min(1)
        centred = (points.df - (points.df * mask).sum(1, keepdim=True) / count) * mask
        scale = (centred.square().sum((1, 2)) / count[:, 0, 0]).sqrt()
    # A derivative that is constant up to round-off counts as constant.
    noise = torch.finfo(scale.dtype).eps ** 0.5 * points.df.norm(dim=-1).amax(-1)
    return torch.where(scale > noise, scale, 1)


def pointwise(u: Tensor, du: Tensor, f: Tensor, df: Tensor, scale: Tensor, lambda_d: Tensor) -> Tensor:
    """Return each point's error in the loss, sqrt((u - f)^2 + lambda_d |u' - f'|^2 / c^2), (M, N)."""
    weight = (lambda_d / scale.square())[:, None]
    return ((u - f).square() + weight * (du - df).square().sum(-1)).sqrt()


def weigh(mse_f: Tensor, mse_df: Tensor, lambda_d: Tensor) -> Tensor:
    """Return the loss MSE_f + lambda_d MSE_df of each member, (M,)."""
    return mse_f + lambda_d * mse_df


def loss_and_gradient(
    network: "StackedMLP", points: Points, scale: Tensor, lambda_d: Tensor | None, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return the loss and its gradient with respect to each member's weights.

    Args:
        network: the stack; its `derivative` selects closed forms or autograd for u' and the gradient.
        points: the training points, or a mini-batch of them.
        scale: the derivative's scale c, (M,).
        lambda_d: the weight of MSE_df, (M,); None: MSE_f alone, without computing u'.
        penalty: rho; None: the square.

    Returns:
        The loss, (M,), and its gradient, (M, P).
    """
    if network.derivative == "autograd":
        return _autograd(network, points, scale, lambda_d, penalty)
    with torch.no_grad():
        u, du, tape = network.propagate(points.x, with_derivative=lambda_d is not None)
        loss, u_bar = _value_term(u, points, penalty)
        du_bar = None
        if du is not None and lambda_d is not None:
            mse_df, du_bar = _derivative_term(du, points, scale, penalty)
            loss, du_bar = weigh(loss, mse_df, lambda_d), lambda_d[:, None, None] * du_bar
        return loss, network.adjoint(tape, u_bar, du_bar)


def least_squares(
    u: Tensor, du: Tensor | None, points: Points, scale: Tensor, lambda_d: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the errors u - f, u'_1 - f'_1, ..., u'_D - f'_D and the weights of their squares in the loss.

    Both are (M, (1 + D) N); if `du` or `lambda_d` is None, they are (M, N), of u - f alone.
    """
    if du is None or lambda_d is None:
        return u - points.f, points.weight_f
    errors = torch.cat([u - points.f, (du - points.df).mT.flatten(1)], dim=1)
    weight_df = (lambda_d / scale.square())[:, None] * points.weight_df
    return errors, torch.cat([points.weight_f, weight_df.repeat(1, du.shape[2])], dim=1)


def terms(
    u: Tensor, du: Tensor, points: Points, scale: Tensor, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return MSE_f and MSE_df, each (M,)."""
    return _value_term(u, points, penalty)[0], _derivative_term(du, points, scale, penalty)[0]


@torch.no_grad()
def term_gradients(network: "StackedMLP", points: Points, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of MSE_f and of MSE_df with respect to the weights, each (M, P), from one forward pass."""
    u, du, tape = network.propagate(points.x, with_derivative=True)
    assert du is not None
    u_bar, du_bar = _value_term(u, points)[1], _derivative_term(du, points, scale)[1]
    gradient_df = network.adjoint(tape, torch.zeros_like(u_bar), du_bar)
    return network.adjoint(tape, u_bar, torch.zeros_like(du_bar)), gradient_df


def diagnostics(gradient_f: Tensor, gradient_df: Tensor) -> dict[str, Tensor]:
    """Return the norms of the gradients of both terms, without lambda_d, and their cosine.

    Args:
        gradient_f: the gradient of MSE_f, (M, P).
        gradient_df: the gradient of MSE_df, (M, P).

    Returns:
        The figures named by `runge.metrics.DIAGNOSTICS`, each of shape (M,).
    """
    cosine = torch.nn.functional.cosine_similarity(gradient_f, gradient_df, dim=1)
    return dict(zip(DIAGNOSTICS, (gradient_f.norm(dim=1), gradient_df.norm(dim=1), cosine), strict=True))


def _value_term(u: Tensor, points: Points, penalty: Penalty | None = None) -> tuple[Tensor, Tensor]:
    """Return MSE_f, (M,), and its adjoint d MSE_f / du, (M, N)."""
    residual = u - points.f
    if penalty is not None:
        return (points.weight_f * penalty(residual)).sum(-1), points.weight_f * _slope(penalty, residual)
    weighted = points.weight_f * residual
    return (weighted * residual).sum(-1), 2 * weighted


@torch.enable_grad()
def _slope(penalty: Penalty, residual: Tensor) -> Tensor:
    residual = residual.detach().requires_grad_()
    return torch.autograd.grad(penalty(residual).sum(), residual)[0]


def _derivative_term(
    du: Tensor, points: Points, scale: Tensor, penalty: Penalty | None = None
) -> tuple[Tensor, Tensor]:
    """Return MSE_df, (M,), and its adjoint d MSE_df / du', (M, N, D)."""
    residual = du - points.df
    if penalty is not None:
        c, weight = scale[:, None, None], points.weight_df[..., None]
        return (weight * penalty(residual / c)).sum((1, 2)), weight * _slope(penalty, residual / c) / c
    weighted = (points.weight_df / scale.square()[:, None])[..., None] * residual
    return (weighted * residual).sum((1, 2)), 2 * weighted


def _autograd(
    network: "StackedMLP", points: Points, scale: Tensor, lambda_d: Tensor | None, penalty: Penalty | None
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        if lambda_d is None:
            loss = _value_term(network(points.x), points, penalty)[0]
        else:
            loss = weigh(*terms(*network.value_and_derivative(points.x), points, scale, penalty), lambda_d)
        return loss.detach(), torch.autograd.grad(loss.sum(), network.theta)[0]


def errors(u: Tensor, du: Tensor, points: Points) -> Tensor:
    r"""Return the errors of each member, unscaled and unweighted.

    With e = |u - f| or |u' - f'| (the Euclidean norm) over the points of a region at which f or f' is given:
    mse = mean e^2, max = max e, rel_l2 = sqrt(sum e^2 / sum |f|^2).

    Returns:
        Errors of shape (6, 1 + R, M), in the order of `QUANTITIES`, the whole set before the regions. NaN where a
        region has no point, or where the reference of a relative error is 0.
    """
    value = _errors((u - points.f).square(), points.f.square(), points.masks * (points.weight_f > 0)[:, None])
    squares = (du - points.df).square().sum(-1), points.df.square().sum(-1)
    derivative = _errors(*squares, points.masks * (points.weight_df > 0)[:, None])
    return torch.stack([value, derivative], dim=1).flatten(0, 1).mT


def _errors(square: Tensor, reference: Tensor, masks: Tensor) -> Tensor:
    """Return the mean square, largest and relative error, (3, M, 1 + R), from squares (M, N), masks (M, 1 + R, N)."""
    total = (masks * square[:, None]).sum(-1)
    count = masks.sum(-1)
    largest = torch.where(masks > 0, square[:, None], 0).amax(-1).sqrt() / (count > 0)
    related = (masks * reference[:, None]).sum(-1)
    relative = torch.where(related > 0, total / related, torch.nan).sqrt()
    return torch.stack([total / count, largest, relative])
