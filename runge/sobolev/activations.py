"""Activation functions s with their first two derivatives.

The forward pass of u' needs s', and its adjoint s''. `activations.hpp` repeats the formulas under the same names.

At the kink of relu the slope is 0, as in torch: here, in the kernel and in a loaded function, with either way to
compute u'. At a point on a kink, u' jumps with the last bit of x.

torch computes gelu, sigmoid, silu and softplus of the last few elements of a tensor in another way than of the others,
so that the last bit of s depends on an element's place: a member in a stack equals the run alone to round-off, which
large weights of opposite signs, such as those of an exact last layer, amplify.
"""

import functools
import inspect
import math
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from runge.configuration.errors import did_you_mean
from runge.configuration.objects import loaded


@dataclass(frozen=True)
class Activation:
    """An elementwise function s and its first two derivatives."""

    value: Callable[[Tensor], Tensor]  # z -> s(z)
    first: Callable[[Tensor, Tensor], Tensor]  # (z, s) -> s'(z), where s = s(z)
    second: Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, s, s1) -> s''(z), where s1 = s'(z)


def _tanh_first(z: Tensor, s: Tensor) -> Tensor:
    e = torch.exp(-2 * z.abs())  # 1 - s^2 has the round-off of 1, however small it is
    return 4 * e / (1 + e) ** 2


def _normal_density(z: Tensor) -> Tensor:
    return torch.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _silu_first(z: Tensor, s: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(z)
    return sigmoid + s * (1 - sigmoid)


def _silu_second(z: Tensor, s: Tensor, s1: Tensor) -> Tensor:
    sigmoid = torch.sigmoid(z)
    return sigmoid * (1 - sigmoid) * (2 + z * (1 - 2 * sigmoid))


ACTIVATIONS: dict[str, Activation] = {
    "tanh": Activation(torch.tanh, _tanh_first, lambda z, s, s1: -2 * s * s1),
    "relu": Activation(torch.relu, lambda z, s: (z > 0).to(z), lambda z, s, s1: torch.zeros_like(z)),
    "gelu": Activation(
        functional.gelu,
        lambda z, s: torch.special.ndtr(z) + z * _normal_density(z),
        lambda z, s, s1: _normal_density(z) * (2 - z * z),
    ),
    "sigmoid": Activation(torch.sigmoid, lambda z, s: s * torch.sigmoid(-z), lambda z, s, s1: s1 * (1 - 2 * s)),
    "silu": Activation(functional.silu, _silu_first, _silu_second),
    "softplus": Activation(
        # Threshold 40, not torch's 20: log(1 + exp(-20)) = 2e-9 is far above round-off in float64.
        lambda z: functional.softplus(z, threshold=40),
        lambda z, s: torch.sigmoid(z),
        lambda z, s, s1: s1 * torch.sigmoid(-z),
    ),
    "sin": Activation(torch.sin, lambda z, s: torch.cos(z), lambda z, s, s1: -s),
}
"""The activations by name: tanh, relu, gelu (exact, by erf), sigmoid, silu, softplus, sin."""


def activation(name: str) -> Activation:
    """Return the activation of this name in `ACTIVATIONS`, or the one at a dotted path, whose module is imported.

    Raises:
        ValueError: there is none, or its derivatives are not the derivatives of its value.
    """
    return ACTIVATIONS[name] if name in ACTIVATIONS else _imported(name)


def module_at(name: str) -> Callable[[], nn.Module] | None:
    """Return the class of torch modules at a dotted path, such as `torch.nn.Mish`; None: the name is no such path.

    Raises:
        ValueError: it has parameters without a default, or is not elementwise.
    """
    try:
        kind = _named(name) if "." in name else None
    except Exception:  # what is wrong is said by `activation`
        return None
    if not (inspect.isclass(kind) and issubclass(kind, nn.Module)):
        return None
    z = torch.linspace(-1, 1, 6).view(3, 2)
    try:
        shape = kind()(z).shape
    except Exception as error:  # a user's class may raise anything
        raise ValueError(f"must be elementwise, and made without arguments ({error})") from error
    if shape != z.shape:
        raise ValueError(f"must be elementwise; {kind.__name__} returns the shape {tuple(shape)} for {tuple(z.shape)}")
    return kind


def _named(path: str) -> Any:
    """Return what a dotted path names, whose module is imported; None: it is no such path."""
    named = loaded(path)
    return pkgutil.resolve_name(path) if named is None and "." in path and ":" not in path else named


@functools.cache
def _imported(path: str) -> Activation:
    question = did_you_mean(path, {name: name for name in ACTIVATIONS} | {"swish": "silu"})
    allowed = f"must be one of {', '.join(ACTIVATIONS)}, or the dotted path of an Activation or of a torch.nn.Module"
    allowed += f" ({question})" if question else ""
    try:
        activation = _named(path)
        if inspect.isclass(activation) and issubclass(activation, Activation):
            activation = activation()  # pyright: ignore[reportCallIssue]
    except Exception as error:  # a user's module may raise anything
        raise ValueError(f"{allowed} ({error})") from error
    if not isinstance(activation, Activation):
        raise ValueError(allowed)
    if wrong := [derivative for derivative, right in _compare(activation).items() if not right]:
        raise ValueError(f"must have the derivatives of its value; autograd does not agree with {' and '.join(wrong)}")
    return activation


@torch.enable_grad()
def _compare(activation: Activation) -> dict[str, bool]:
    """Return for both derivatives of an activation whether autograd agrees, at points other than 0, a likely kink."""
    z = torch.linspace(-3.05, 2.95, 121, dtype=torch.float64, requires_grad=True)
    s = activation.value(z)
    s1 = activation.first(z, s)
    right = {}
    for derivative, y, expected in (("first", s, s1), ("second", s1, activation.second(z, s, s1))):
        # A constant y does not depend on z, and y + 0 z does.
        (slope,) = torch.autograd.grad((y + 0 * z).sum(), z, retain_graph=True)
        right[derivative] = torch.allclose(slope, expected, rtol=1e-5, atol=1e-7)
    return right
