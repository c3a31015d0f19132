"""Write the value and the Jacobian as a Python file that needs only NumPy, and its weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from runge.exports.card import card
from runge.exports.sources import python_source
from runge.function.function import Function

__all__ = ["numpy_source"]

_SIGMOID = "p = (1 + np.tanh(z / 2)) / 2"  # exp(-z) would overflow
_ACTIVATIONS: dict[str, list[str]] = {
    "tanh": ["h = np.tanh(z)", "e = np.exp(-2 * np.abs(z))", "s1 = 4 * e / (1 + e) ** 2", "s2 = -2 * h * s1"],
    "relu": ["h = np.maximum(z, 0)", "s1 = (z > 0) * 1.0", "s2 = 0 * z"],
    "gelu": [
        "p = np.vectorize(math.erfc, otypes=[float])(-z / math.sqrt(2)) / 2",
        "q = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)",
        "h = z * p",
        "s1 = p + z * q",
        "s2 = q * (2 - z * z)",
    ],
    "sigmoid": [_SIGMOID, "h = p", "e = np.exp(-np.abs(z))", "s1 = e / (1 + e) ** 2", "s2 = s1 * (1 - 2 * p)"],
    "silu": [_SIGMOID, "h = z * p", "s1 = p + h * (1 - p)", "s2 = p * (1 - p) * (2 + z * (1 - 2 * p))"],
    "softplus": [_SIGMOID, "h = np.logaddexp(0, z)", "s1 = p", "s2 = p * (1 - p)"],
    "sin": ["h = np.sin(z)", "s1 = np.cos(z)", "s2 = -h"],
}
"""The lines that compute h = s(z), s1 = s'(z) and s2 = s''(z)."""


def numpy_source(function: Function, interval: float | None, hessian: bool, name: str) -> dict[str, bytes]:
    """Return the weights, and a module with the function `value_and_derivative`, which computes in float64.

    Raises:
        ConfigurationError: the activation has no formula in NumPy.
    """
    d, p = len(function.inputs), len(function.outputs)
    source, weights = python_source(
        function,
        "numpy",
        _ACTIVATIONS,
        1.0,
        card=card(function, interval),
        members=function.members,
        shapes=[str(("N", *[p] * (p > 1), *[d] * order)).replace("'", "") for order in range(3)],
        hessian=hessian,
        interval=interval,
        **_ends(function, interval),
    )
    return {".npz": weights, ".py": source}


def _ends(function: Function, interval: float | None) -> dict[str, Any]:
    """Return the facts for the ends of intervals: groups of members, and the factors and floors of u and of du."""
    if interval is None:
        return {}
    calibration, (p, d) = function.calibration, (len(function.outputs), len(function.inputs))
    shapes = [() if p == 1 else (p,), (d,) if p == 1 else (p, d)]

    def split(numbers: Sequence[float] | np.ndarray) -> list[Any]:
        """Return the numbers of all channels as two lists, of u and of du."""
        pair = zip(np.split(np.array(numbers), [p]), shapes, strict=True)
        return [of_kind.reshape(shape).tolist() for of_kind, shape in pair]

    factors, floors = split(calibration.factors(interval)), split(calibration.floors)
    return {"groups": function.groups if calibration.local else [], "factors": factors, "floors": floors}
