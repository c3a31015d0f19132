"""The weights of a trained network, with its units and its stages' amplitudes folded into them, and of members."""

import copy

import numpy as np
import torch

from runge.function import Function
from runge.sobolev.stages import ResidualStages
from runge.sobolev.units import Units

__all__ = ["folded", "shares"]


def shares(function: Function) -> np.ndarray:
    """Return the weight of each member in the mean, (M,), which sum to 1."""
    if function.weights is None:
        return np.full(function.members, 1 / function.members)
    return function.weights.numpy(force=True)


def folded(network: ResidualStages) -> list[np.ndarray]:
    """Return the centre and the scale of a stack's inputs, and W and b of each layer: its members, stage by stage."""
    network = copy.deepcopy(network).double().cpu().requires_grad_(False)
    stages, members = [network.stage(k) for k in range(len(network.stages))], len(network.amplitude)
    layers = [
        [torch.cat(parts) for parts in zip(*layer, strict=True)]
        for layer in zip(*(stage.layers() for stage in stages), strict=True)
    ]
    units = network.units or Units.identity(members, network.dimension, network.outputs)
    amplitude = network.amplitude.T.flatten()[:, None, None]
    x_mean, x_std, y_std = (part.repeat(len(stages), 1)[:, None] for part in (units.x_mean, units.x_std, units.y_std))
    layers[-1] = [torch.where(amplitude != 0, part * amplitude * y_std, 0) for part in layers[-1]]
    layers[-1][1][:members, 0] += units.y_mean
    scale, shift = (torch.cat([getattr(stage, name) for stage in stages]) for name in ("scale", "shift"))
    # The layers' input is scale (x - x_mean) / x_std + shift; a difference keeps the digits of a large x.
    centre = x_mean - x_std * shift / scale
    return [part.numpy() for part in (centre, scale / x_std, *(part for layer in layers for part in layer))]
