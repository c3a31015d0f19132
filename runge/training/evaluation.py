"""A trained network on its test points, and along each input, in the user's units."""

from typing import NamedTuple

import torch
from torch import Tensor

from runge.runs.profiles import Profile
from runge.sobolev.points import Points
from runge.sobolev.stages import ResidualStages
from runge.sobolev.units import Units
from runge.training.datamodule import PointsDataModule, SobolevDataModule

_PROFILE = 101
"""The points of a profile."""


class Fit(NamedTuple):
    """A member's fit, in the user's units.

    Attributes:
        points: the test points.
        u: the values there, (N, P).
        du: the Jacobians there, (N, P, D).
        nodes: the training points, (K, D), in float64 on the CPU.
        profiles: a profile along each input; empty for a function of one input, whose test points are close to each
            other.
    """

    points: Points
    u: Tensor
    du: Tensor
    nodes: Tensor
    profiles: list[Profile]


def evaluate(network: ResidualStages, data: PointsDataModule) -> list[Fit]:
    """Return the fit of each member."""
    test, nodes, units = data.dataset.test, data.in_units(data.dataset.train), network.units
    u, du = network.predict(test.x)
    if units is not None:
        (u, du), test = units.restore(u, du), units.restore_points(test)
    members, _, dimension = test.x.shape
    along: list[list[Profile]] = [[]] * members
    if dimension > 1 or not isinstance(data, SobolevDataModule):
        along = profiles(network, data.dataset.train.x)
    each = [test.take(torch.tensor([i], device=u.device)) for i in range(members)]
    return [Fit(*parts) for parts in zip(each, u, du, nodes, along, strict=True)]


def profiles(network: ResidualStages, nodes: Tensor) -> list[list[Profile]]:
    """Return each member's profiles, which go through the median of its training points.

    Along an input the points are evenly spaced between the smallest and the largest training point.

    Args:
        network: the trained network.
        nodes: the training points, (M, N, D), in the network's units.

    Returns:
        For each member and each input, in the user's units: the input, (k,), u, (k, P), and du/dx_d, (k, P).
    """
    members, _, dimension = nodes.shape
    low, high = nodes.aminmax(dim=1)
    steps = torch.linspace(0, 1, _PROFILE, dtype=nodes.dtype, device=nodes.device)[:, None]
    x = nodes.median(1).values[:, None, None].repeat(1, dimension, _PROFILE, 1)
    x.diagonal(dim1=1, dim2=3).copy_(low[:, None] + (high - low)[:, None] * steps)
    units = network.units or Units.identity(members, dimension, network.outputs).to(x.device)
    u, du = units.restore(*network.predict(x.flatten(1, 2)))
    t = units.restore_inputs(x.flatten(1, 2)).view(x.shape).diagonal(dim1=1, dim2=3)
    u, du = u.unflatten(1, (dimension, _PROFILE)), du.unflatten(1, (dimension, _PROFILE))
    parts = [part.double().cpu().numpy() for part in (t, u, du)]
    return [[(t[:, d], u[d], du[d, ..., d]) for d in range(dimension)] for t, u, du in zip(*parts, strict=True)]


def labels(points: Points) -> tuple[Tensor, Tensor]:
    """Return the values, (N, P), and the Jacobians, (N, P, D), of one member; NaN where they are not known."""
    known = points.weight_f[0] > 0, points.weight_df[0] > 0
    f, df = (torch.where(where, part[0], torch.nan) for where, part in zip(known, (points.f, points.df), strict=True))
    return f, df
