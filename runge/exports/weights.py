"""The weights of a trained network, with its units folded into them."""

import copy

import numpy as np

from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units

__all__ = ["folded"]


def folded(network: StackedMLP) -> list[np.ndarray]:
    """Return the centre and the scale of a stack's inputs, and W and b of each layer, all for the units of the data."""
    network = copy.deepcopy(network).double().cpu().requires_grad_(False)
    units = network.units or Units.identity(network.members, network.dimension, network.outputs)
    x_mean, x_std, y_mean, y_std = (part[:, None] for part in units.buffers())
    *hidden, (last, bias) = network.layers()
    layers = [*hidden, (last * y_std, bias * y_std + y_mean)]
    # The layers' input is scale (x - x_mean) / x_std + shift; a difference keeps the digits of a large x.
    centre = x_mean - x_std * network.shift / network.scale
    return [part.numpy() for part in (centre, network.scale / x_std, *(part for layer in layers for part in layer))]
