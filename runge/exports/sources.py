"""Templates, names of activations, and weights in the user's units, for the formats that are source text."""

import copy
import io
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pprint import pformat
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from runge.configuration.errors import ConfigurationError
from runge.function.function import Function
from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units

__all__ = ["TEMPLATES", "activations", "folded", "logs_of", "python_source"]

TEMPLATES = Environment(
    loader=PackageLoader("runge.exports"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
"""The templates, without the letters that Jinja's own lines would leave; `literal` writes data as Python."""
TEMPLATES.filters["literal"] = partial(pformat, width=120, sort_dicts=False)


def activations(function: Function, to: str, supported: Collection[str]) -> list[str]:
    """Return the name of the activation of each stack.

    Raises:
        ConfigurationError: the format has no formula of one of them.
    """
    names = [network.activation_name for network in function.networks]
    if unknown := [name for name in names if name not in supported]:
        rule = f"model.activation: {to} supports {', '.join(supported)}, got {unknown[0]!r}"
        raise ConfigurationError(f"{rule}; onnx supports all")
    return names


def python_source(
    function: Function, to: str, formulas: Mapping[str, Sequence[str]], share: float, **context: Any
) -> tuple[bytes, bytes]:
    """Return a module in Python, from the template of a format, and its weights as an NPZ file.

    Args:
        function: the function.
        to: the name of the format.
        formulas: the lines of each activation.
        share: the factor of each network's last layer.
        **context: what else the template needs.

    Raises:
        ConfigurationError: the format has no formula of an activation.
    """
    names = activations(function, to, formulas)
    has_logs = any(logs_of(network).any() for network in function.networks)
    arrays, calls = list[np.ndarray](), list[str]()
    for name, network in zip(names, function.networks, strict=True):
        *layers, last, bias = [logs_of(network)] * has_logs + folded(network)
        calls.append(f"networks(x, {name}, *WEIGHTS[{len(arrays)}:{len(arrays) + len(layers) + 2}])")
        arrays += [*layers, share * last, share * bias]
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    context |= {"activations": {name: formulas[name] for name in names}, "calls": calls}
    context |= {"inputs": len(function.inputs), "outputs": len(function.outputs), "has_logs": has_logs}
    return TEMPLATES.get_template(f"{to}.py.jinja").render(context).encode(), buffer.getvalue()


def logs_of(network: StackedMLP) -> np.ndarray:
    """Return whether each network of a stack sees the logarithm of an input, (M, 1, D)."""
    logs = None if network.units is None else network.units.logs
    return np.zeros((network.members, 1, network.dimension), bool) if logs is None else logs[:, None].cpu().numpy()


def folded(network: StackedMLP) -> list[np.ndarray]:
    """Return the centre and the scale of a stack's inputs, and W and b of each layer, all for the units of the data.

    The inputs are logarithms where `logs_of` says so.
    """
    network = copy.deepcopy(network).double().cpu().requires_grad_(False)
    units = network.units or Units.identity(network.members, network.dimension, network.outputs)
    x_mean, x_std, y_mean, y_std = (part[:, None] for part in (units.x_mean, units.x_std, units.y_mean, units.y_std))
    *hidden, (last, bias) = network.layers()
    layers = [*hidden, (last * y_std, bias * y_std + y_mean)]
    # The layers' input is scale (x - x_mean) / x_std + shift; a difference keeps the digits of a large x.
    centre = x_mean - x_std * network.shift / network.scale
    return [array.numpy() for array in (centre, network.scale / x_std, *(array for layer in layers for array in layer))]
