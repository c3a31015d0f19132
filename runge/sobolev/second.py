r"""Compute the third term of the loss, on second derivatives with known labels.

.. math:: L = MSE_f + \lambda_d\, MSE_{df} + \lambda_{dd}\, MSE_{ddf}, \quad
          MSE_{ddf} = \sum_{ipk} w_{ipk}\, (u''_{ipk} - f''_{ipk})^2

over points i, outputs p and pairs k of inputs d <= e. The weights of the points hold lambda_dd. The term counts
whenever lambda_d is above 0. Its gradient is by autograd, through the second derivatives of `runge.sobolev.jet`, while
the first two terms keep their closed forms, or the kernel.
"""

import torch
from torch import Tensor, nn

from runge.sobolev.jet import pairs
from runge.sobolev.losses import LossAndGradient
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

__all__ = ["second_adjoint", "second_errors", "second_jacobian", "with_second"]

_DIFFERENTIATED_POINTS = 32
"""The points whose second derivatives are differentiated at a time."""


def second_errors(network: StackedMLP, points: Points) -> tuple[Tensor, Tensor]:
    """Return the errors u'' - f'' and the weights of their squares, each (M, P K N), for outputs, pairs and points.

    The points must have labels of second derivatives.
    """
    assert points.d2f is not None
    assert points.weight_d2f is not None
    errors = pairs(network, points.x)[2] - points.d2f
    return errors.permute(0, 2, 3, 1).flatten(1), points.weight_d2f.permute(0, 2, 3, 1).flatten(1)


class _Second(nn.Module):
    """The second derivatives of a network, as a module whose weights `functional_call` replaces."""

    def __init__(self, network: StackedMLP) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Return u'', (M, N, P, K), at x, (M, N, D)."""
        return pairs(self.network, x)[2]


def second_jacobian(network: StackedMLP, x: Tensor) -> Tensor:
    """Return the Jacobian of u'' at x, (M, N, D), with respect to the weights, (M, P K N, W), by reverse mode."""
    second = _Second(network)

    def at(theta: Tensor, scale: Tensor, shift: Tensor, point: Tensor) -> Tensor:
        tensors = {"network.theta": theta[None], "network.scale": scale[None], "network.shift": shift[None]}
        return torch.func.functional_call(second, tensors, point[None, None])[0, 0]

    of_points = torch.func.vmap(torch.func.jacrev(at), in_dims=(None, None, None, 0), chunk_size=_DIFFERENTIATED_POINTS)
    rows = torch.func.vmap(of_points)(network.theta.detach(), network.scale, network.shift, x)
    return rows.permute(0, 2, 3, 1, 4).flatten(1, 3)


def second_adjoint(network: StackedMLP, x: Tensor, errors: Tensor) -> Tensor:
    """Return the product J^T e, (M, W), of the Jacobian J of u'' at x, (M, N, D), and errors e, (M, P K N)."""
    with torch.enable_grad():
        second = pairs(network, x)[2].permute(0, 2, 3, 1).flatten(1)
        return torch.autograd.grad(second, network.theta, errors)[0]


def with_second(function: LossAndGradient) -> LossAndGradient:
    """Return a loss and its gradient with the third term, for points that have labels of second derivatives."""

    def loss_and_gradient(
        network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        loss, gradient = function(network, points, scale, lambda_d)
        if lambda_d is None or points.d2f is None:
            return loss, gradient
        with torch.enable_grad():
            errors, weights = second_errors(network, points)
            term = torch.where(lambda_d > 0, (weights * errors.square()).sum(1), 0)
            (more,) = torch.autograd.grad(term.sum(), network.theta)
        return loss + term.detach(), gradient + more

    return loss_and_gradient
