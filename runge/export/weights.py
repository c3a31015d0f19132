"""Compute the weights of a trained network, with its units folded into them, and of members."""

import copy

import numpy as np

from runge.function.function import Function
from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units

__all__ = ["folded", "shares"]


def shares(function: Function) -> np.ndarray:
    """Return the weight of each member in the mean, (M,), which sum to 1."""
    if function.weights is None:
        return np.full(function.members, 1 / function.members)
    return function.weights.numpy(force=True)


def folded(network: StackedMLP) -> list[np.ndarray]:
    """Return the centre and the scale of a stack's inputs, and W and b of each layer, all for the units of the data."""
    network = copy.deepcopy(network).double().cpu().requires_grad_(False)
    units = network.units or Units.identity(network.members, network.dimension, network.outputs)
    x_mean, x_std, y_mean, y_std = (statistic[:, None] for statistic in units.buffers())
    *hidden, (last, bias) = network.layers()
    layers = [*hidden, (last * y_std, bias * y_std + y_mean)]
    # The layers' input is scale (x - x_mean) / x_std + shift; a difference keeps the digits of a large x.
    centre = x_mean - x_std * network.shift / network.scale
    arrays = [centre, network.scale / x_std, *(array for layer in layers for array in layer)]
    return [array.numpy() for array in arrays]
