"""Values with their first and second derivatives, in the units of the data, and their statistics over members."""

import torch
from torch import Tensor

from runge.sobolev.network import StackedMLP

__all__ = ["jet", "mean_over", "pairs", "second_order", "std_over"]


def jet(network: StackedMLP, x: Tensor, order: int = 1, along: Tensor | None = None) -> list[Tensor]:
    """Return u, (M, N, P), u', (M, N, P, D), and u'', (M, N, P, D, D), up to an order, at points x, (1 or M, N, D).

    Args:
        network: M networks, whose units are restored.
        x: the points, in the units of the data.
        order: the order of the last derivative, 0, 1 or 2.
        along: directions v, of the shape of x; the second derivatives are then u'' v, (M, N, P, D).
    """
    units, like = network.units, network.theta
    z, v = x, along
    if units is not None:
        z = units.standardise_inputs(x)
        v = None if along is None else along / units.lengths(x)
    z = z.to(like)
    if order < 2:
        results = [network(z)] if order == 0 else [*network.value_and_derivative(z)]
    else:
        results = [*second_order(network, z, None if v is None else v.to(like))]
    if units is None:
        return results
    unit_f, unit_df = units.of_outputs(x)  # not rounded to float32, nor is the sum: the mean may be large
    results[0] = units.y_mean[:, None] + unit_f * results[0]
    if order > 0:
        results[1] = unit_df * results[1]
    if order > 1:
        by_output = unit_df if along is not None else unit_df[..., None] / units.lengths(x)[:, :, None, None]
        results[2] = by_output * results[2]
        if units.logs is not None:
            bends = units.bends(results[1], x)
            results[2] = results[2] + (bends.diag_embed() if along is None else bends * along[:, :, None])
    return results


def second_order(network: StackedMLP, x: Tensor, along: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Return u, (M, N, P), u', (M, N, P, D), and u'', (M, N, P, D, D), or u'' v along v, at x, as `pairs` does."""
    u, du, d2u = pairs(network, x, along)
    if along is not None:
        return u, du, d2u
    first, second = torch.triu_indices(network.dimension, network.dimension, device=x.device)
    place = torch.zeros(network.dimension, network.dimension, dtype=torch.long, device=x.device)
    place[first, second] = place[second, first] = torch.arange(len(first), device=x.device)
    return u, du, d2u[..., place]


def pairs(network: StackedMLP, x: Tensor, along: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    r"""Return u, (M, N, P), u', (M, N, P, D), and u'', (M, N, P, D (D + 1) / 2), or u'' v along v, (M, N, P, D).

    Points x and directions v are (1 or M, N, D). Second derivatives are carried forward with the tangents z'_d of
    `StackedMLP`, for each pair d <= e:

    .. math:: h''_{de} = s''(z)\, z'_d\, z'_e + s'(z)\, z''_{de}, \quad z''_{de} = W h''_{de},

    with z'' = 0 in the first layer. Along v, z'_e is replaced by sum_e v_e z'_e, and there are D of them. relu has
    s'' = 0, also at its kink.
    """
    u, du, tape = network.propagate(x, with_derivative=True)
    assert du is not None
    first, second = torch.triu_indices(network.dimension, network.dimension, device=x.device)
    d2z: Tensor | None = None
    for (z, h, s1), dz, (weight, _) in zip(tape.hidden, tape.tangents, tape.layers[1:], strict=True):
        if along is None:
            products = dz[:, first] * dz[:, second]
        else:
            products = dz * (dz * along.mT[..., None]).sum(1, keepdim=True)
        d2h = network.activation.second(z, h, s1)[:, None] * products
        if d2z is not None:
            d2h = d2h + s1[:, None] * d2z
        d2z = torch.bmm(d2h.flatten(1, 2), weight).unflatten(1, d2h.shape[1:3])
    assert d2z is not None
    return u, du, d2z.permute(0, 2, 3, 1)


def mean_over(members: Tensor) -> Tensor:
    """Return the mean over members, (1, ...), of (M, ...); of one its very bits."""
    return members if len(members) == 1 else members.mean(0, keepdim=True)


def std_over(members: Tensor) -> Tensor:
    r"""Return the standard deviation over members, (1, ...), of (M, ...).

    .. math:: \sqrt{\sum_m (u_m - \bar u)^2 / (M - 1)}

    Raises:
        ValueError: there is one member.
    """
    if len(members) == 1:
        raise ValueError("a standard deviation needs several members: load a sweep over seeds, or an answer of several")
    return ((members - mean_over(members)).square().sum(0, keepdim=True) / (len(members) - 1)).sqrt()
