"""The value and the Jacobian as a Python file that needs NumPy alone, and its weights."""

import copy
import io
from typing import Any

import numpy as np
import torch

from runge.errors import ConfigurationError
from runge.export.program import about
from runge.function import Function
from runge.sobolev.units import Units

__all__ = ["numpy_source"]

_SIGMOID = "p = (1 + np.tanh(z / 2)) / 2"  # exp(-z) would overflow
_ACTIVATIONS: dict[str, list[str]] = {
    "tanh": ["h = np.tanh(z)", "s1 = 1 - h * h"],
    "relu": ["h = np.maximum(z, 0)", "s1 = (z > 0) * 1.0"],
    "gelu": [
        "p = np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2)) / 2",
        "h = z * p",
        "s1 = p + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)",
    ],
    "sigmoid": [_SIGMOID, "h = p", "s1 = p * (1 - p)"],
    "silu": [_SIGMOID, "h = z * p", "s1 = p + h * (1 - p)"],
    "softplus": [_SIGMOID, "h = np.logaddexp(0, z)", "s1 = p"],
    "sin": ["h = np.sin(z)", "s1 = np.cos(z)"],
}
"""The lines that compute h = s(z) and s1 = s'(z)."""

_SOURCE = '''"""The value and the Jacobian of a fitted function; needs NumPy, and the .npz file of the same name."""

import math
from pathlib import Path

import numpy as np

ABOUT = {about}
WEIGHTS = dict(np.load(Path(__file__).with_suffix(".npz")))


def value_and_derivative(x):
    """Return u, {shape_u}, and du, {shape_du}, in float64, at N points x, (N, {inputs}).{also}"""
    centre, scale, *weights, last, bias = WEIGHTS.values()
    h, g = (np.asarray(x, float) - centre) * scale, (np.eye({inputs}) * scale)[:, :, None]
    for w, b in zip(weights[::2], weights[1::2]):
        z, dz = h @ w + b, g @ w[:, None]
        {activation}
        g = s1[:, None] * dz
    {results}
'''
_ONE = "return (h @ last + bias).sum(0){first}, (g @ last[:, None]).sum(0).transpose(1, 2, 0){first}"
_SEVERAL = """parts = h @ last + bias, (g @ last[:, None]).transpose(0, 2, 3, 1)
    u, du = (part.reshape(-1, {members}, *part.shape[1:]).sum(0) for part in parts)
    return u.mean(0){first}, du.mean(0){first}, u.std(0, ddof=1){first}, du.std(0, ddof=1){first}"""


def numpy_source(function: Function) -> dict[str, bytes]:
    """Return the weights, and a module with the function `value_and_derivative`, which computes in float64.

    Raises:
        ConfigurationError: the activation has no formula in NumPy.
    """
    network = copy.deepcopy(function.network).double().cpu().requires_grad_(False)
    stages = [network.stage(k) for k in range(len(network.stages))]
    if (name := stages[0].activation_name) not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise ConfigurationError(f"model.activation: numpy supports {known}, got {name!r}; onnx and torch support all")
    layers = [
        [torch.cat(parts) for parts in zip(*layer, strict=True)]
        for layer in zip(*(stage.layers() for stage in stages), strict=True)
    ]
    units = network.units or Units.identity(function.members, network.dimension, network.outputs)
    # The networks in the order of their stages, each with those of all members.
    amplitude = network.amplitude.T.flatten()[:, None, None]
    x_mean, x_std, y_std = (part.repeat(len(stages), 1)[:, None] for part in (units.x_mean, units.x_std, units.y_std))
    layers[-1] = [torch.where(amplitude != 0, part * amplitude * y_std, 0) for part in layers[-1]]
    layers[-1][1][: function.members, 0] += units.y_mean
    scale, shift = (torch.cat([getattr(stage, name) for stage in stages]) for name in ("scale", "shift"))
    # The layers' input is scale (x - x_mean) / x_std + shift; a difference keeps the digits of a large x.
    arrays: dict[str, Any] = {"centre": x_mean - x_std * shift / scale, "scale": scale / x_std}
    arrays |= {f"{kind}{i}": part for i, layer in enumerate(layers) for kind, part in zip("wb", layer, strict=True)}
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    d, p, several = network.dimension, network.outputs, function.members > 1
    shapes = (f"(N, {p})", f"(N, {p}, {d})", "") if p > 1 else ("(N,)", f"(N, {d})", "[:, 0]")
    shape_u, shape_du, first = shapes
    source = _SOURCE.format(
        about=about(function),
        inputs=d,
        activation="\n        ".join(_ACTIVATIONS[name]),
        shape_u=shape_u,
        shape_du=shape_du,
        also="\n\n    They are means over members; their standard deviations follow.\n    " if several else "",
        results=(_SEVERAL if several else _ONE).format(members=function.members, first=first),
    )
    return {".npz": buffer.getvalue(), ".py": source.encode()}
