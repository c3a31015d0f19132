r"""The two terms of the Sobolev loss, kept apart until `weigh` adds them up.

.. math:: L = MSE_f + \lambda_d \, MSE_{df}, \quad MSE_f = \sum_i w_i (u_i - f_i)^2, \quad
          MSE_{df} = \sum_i v_i \, |u'_i - f'_i|^2 / c^2

with weights w and v (1/N each, where nothing else is asked for) and the derivative's scale c. Everything is per member.
"""

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from runge.sobolev.points import Points

if TYPE_CHECKING:
    from runge.sobolev.network import StackedMLP

DerivativeScale = Literal["none", "max", "std"]


def derivative_scale(kind: DerivativeScale, points: Points) -> Tensor:
    r"""What f' and u' are divided by inside the loss, over the training points that carry a derivative.

    Args:
        kind: `none`: 1; `max`: max |f'|; `std`: the root of the mean square of f' - mean f'.
        points: the training set.

    Returns:
        c, of shape (M,). It is 1 for a member whose f' does not vary, or that has no derivative.
    """
    given = (points.weight_df > 0).to(points.df)[..., None]
    if kind == "none":
        return torch.ones_like(points.f[:, 0])
    if kind == "max":
        scale = (points.df * given).norm(dim=-1).amax(-1)
    else:
        count = given.sum(1, keepdim=True).clamp_min(1)
        centred = (points.df - (points.df * given).sum(1, keepdim=True) / count) * given
        scale = (centred.square().sum((1, 2)) / count[:, 0, 0]).sqrt()
    # A derivative that is constant but for round-off counts as one that does not vary.
    noise = torch.finfo(scale.dtype).eps ** 0.5 * points.df.norm(dim=-1).amax(-1)
    return torch.where(scale > noise, scale, 1)


def pointwise(u: Tensor, du: Tensor, f: Tensor, df: Tensor, scale: Tensor, lambda_d: Tensor) -> Tensor:
    """The error at each point as the loss sees it, the root of (u - f)^2 + lambda_d |u' - f'|^2 / c^2.

    Args:
        u: values, (M, N).
        du: gradients, (M, N, D).
        f: the function's values, (M, N).
        df: the function's gradients, (M, N, D).
        scale: the derivative's scale c, (M,).
        lambda_d: the weight of MSE_df, (M,).

    Returns:
        The errors, (M, N).
    """
    weight = (lambda_d / scale.square())[:, None]
    return ((u - f).square() + weight * (du - df).square().sum(-1)).sqrt()


def weigh(mse_f: Tensor, mse_df: Tensor, lambda_d: Tensor) -> Tensor:
    """The loss MSE_f + lambda_d MSE_df of each member, (M,)."""
    return mse_f + lambda_d * mse_df


def loss_and_gradient(
    network: "StackedMLP", points: Points, scale: Tensor, lambda_d: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient with respect to each member's weights.

    Args:
        network: the stack; its `derivative` says whether u' and the gradient come in closed form or from autograd.
        points: the training points, or a mini-batch of them.
        scale: the derivative's scale c, (M,).
        lambda_d: the weight of MSE_df, (M,); None: MSE_f alone, and no derivative is computed.

    Returns:
        The loss, (M,), and its gradient, (M, P).
    """
    if network.derivative == "autograd":
        return _by_autograd(network, points, scale, lambda_d)
    with torch.no_grad():
        u, du, tape = network.propagate(points.x, with_derivative=lambda_d is not None)
        loss, u_bar = _value_term(u, points)
        du_bar = None
        if du is not None and lambda_d is not None:
            mse_df, du_bar = _derivative_term(du, points, scale)
            loss, du_bar = weigh(loss, mse_df, lambda_d), lambda_d[:, None, None] * du_bar
        return loss, network.adjoint(tape, u_bar, du_bar)


def least_squares(
    u: Tensor, du: Tensor | None, points: Points, scale: Tensor, lambda_d: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The loss as a weighted sum of squares.

    Args:
        u: values, (M, N).
        du: gradients, (M, N, D), or None, and `lambda_d` with it.
        points: the training points.
        scale: the derivative's scale c, (M,).
        lambda_d: the weight of MSE_df, (M,).

    Returns:
        The errors u - f, u'_1 - f'_1, ..., u'_D - f'_D, (M, (1 + D) N), and what their squares count, likewise.
    """
    if du is None or lambda_d is None:
        return u - points.f, points.weight_f
    errors = torch.cat([u - points.f, (du - points.df).mT.flatten(1)], dim=1)
    weight_df = (lambda_d / scale.square())[:, None] * points.weight_df
    return errors, torch.cat([points.weight_f, weight_df.repeat(1, du.shape[2])], dim=1)


def terms(u: Tensor, du: Tensor, points: Points, scale: Tensor) -> tuple[Tensor, Tensor]:
    """MSE_f and MSE_df, each (M,), from values (M, N), gradients (M, N, D) and the derivative's scale c, (M,)."""
    return _value_term(u, points)[0], _derivative_term(du, points, scale)[0]


@torch.no_grad()
def term_gradients(network: "StackedMLP", points: Points, scale: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of MSE_f and of MSE_df by themselves, each of shape (M, P), from one forward pass."""
    u, du, tape = network.propagate(points.x, with_derivative=True)
    assert du is not None
    u_bar, du_bar = _value_term(u, points)[1], _derivative_term(du, points, scale)[1]
    return network.adjoint(tape, u_bar, torch.zeros_like(du_bar)), network.adjoint(
        tape, torch.zeros_like(u_bar), du_bar
    )


def _value_term(u: Tensor, points: Points) -> tuple[Tensor, Tensor]:
    """MSE_f, (M,), and its adjoint d MSE_f / du, (M, N)."""
    residual = u - points.f
    weighted = points.weight_f * residual
    return (weighted * residual).sum(-1), 2 * weighted


def _derivative_term(du: Tensor, points: Points, scale: Tensor) -> tuple[Tensor, Tensor]:
    """MSE_df, (M,), and its adjoint d MSE_df / du', (M, N, D)."""
    residual = du - points.df
    weighted = (points.weight_df / scale.square()[:, None])[..., None] * residual
    return (weighted * residual).sum((1, 2)), 2 * weighted


def _by_autograd(
    network: "StackedMLP", points: Points, scale: Tensor, lambda_d: Tensor | None
) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        if lambda_d is None:
            loss = _value_term(network(points.x), points)[0]
        else:
            loss = weigh(*terms(*network.value_and_derivative(points.x), points, scale), lambda_d)
        return loss.detach(), torch.autograd.grad(loss.sum(), network.theta)[0]


def errors(u: Tensor, du: Tensor, points: Points) -> Tensor:
    r"""The errors of each member, unscaled and unweighted.

    With e = |u - f| or |u' - f'| (the Euclidean norm) over the points of a region at which f or f' is given:
    mse = mean e^2, max = max e, rel_l2 = sqrt(sum e^2 / sum |f|^2).

    Args:
        u: values, (M, N).
        du: gradients, (M, N, D).
        points: the points with their masks.

    Returns:
        Errors of shape (6, 1 + R, M), in the order of `QUANTITIES`, the whole before the regions. NaN where a region
        has no point, or a relative error nothing to relate to.
    """
    value = _errors((u - points.f).square(), points.f.square(), points.masks * (points.weight_f > 0)[:, None])
    squares = (du - points.df).square().sum(-1), points.df.square().sum(-1)
    derivative = _errors(*squares, points.masks * (points.weight_df > 0)[:, None])
    return torch.stack([value, derivative], dim=1).flatten(0, 1).mT


def _errors(square: Tensor, reference: Tensor, masks: Tensor) -> Tensor:
    """Mean square, largest and relative error, as (3, M, 1 + R), of squares (M, N) under masks (M, 1 + R, N)."""
    total = (masks * square[:, None]).sum(-1)
    count = masks.sum(-1)
    largest = torch.where(masks > 0, square[:, None], 0).amax(-1).sqrt() / (count > 0)
    related = (masks * reference[:, None]).sum(-1)
    relative = torch.where(related > 0, total / related, torch.nan).sqrt()
    return torch.stack([total / count, largest, relative])
