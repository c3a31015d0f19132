"""The value and the Jacobian as a Python file that needs NumPy alone, and its weights."""

import io

import numpy as np

from runge.errors import ConfigurationError
from runge.export.program import about
from runge.export.weights import folded
from runge.function import Function

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

_FORMULA = """def {name}(z):
    {lines}
    return h, s1


"""

_SOURCE = '''"""The value and the Jacobian of a fitted function; needs NumPy, and the .npz file of the same name."""

import math
from pathlib import Path

import numpy as np

ABOUT = {about}
WEIGHTS = [*np.load(Path(__file__).with_suffix(".npz")).values()]


{formulas}def networks(x, activation, stages, centre, scale, *layers):
    """Return the values, (M, N, P), and the Jacobians, (M, N, P, {inputs}), of M networks of one shape."""
    *weights, last, bias = layers
    h, g = (np.asarray(x, float) - centre) * scale, (np.eye({inputs}) * scale)[:, :, None]
    for w, b in zip(weights[::2], weights[1::2]):
        z, dz = h @ w + b, g @ w[:, None]
        h, s1 = activation(z)
        g = s1[:, None] * dz
    parts = h @ last + bias, (g @ last[:, None]).transpose(0, 2, 3, 1)
    return [sum(np.split(part, stages)) for part in parts]


{intervals}def value_and_derivative(x):
    """Return u, {shape_u}, and du, {shape_du}, in float64, at N points x, (N, {inputs}).{also}"""
    {results}
'''
_ONE = "means, stds = [u[0], du[0]], []"
_EQUAL = "means, stds = [u.mean(0), du.mean(0)], [u.std(0, ddof=1), du.std(0, ddof=1)]"
_WEIGHTED = """w = np.array({weights})
    means = [np.tensordot(w, part, 1) for part in (u, du)]
    squares = [np.tensordot(w, (part - mean) ** 2, 1) for part, mean in zip((u, du), means)]
    stds = [np.sqrt(part / (1 - w @ w)) for part in squares]"""

_HALF_WIDTH = '''def half_width(part, factor, floor):
    """Return half the widths of intervals, given what the members return."""
    w, total, sums = np.array({weights}), 0.0, 0.0
    for group in {groups}:  # members of the same rows
        share, one = w[group].sum(), part[group]
        squares = np.tensordot(w[group], (one - np.tensordot(w[group], one, 1) / share) ** 2, 1)
        total, sums = total + share * squares / (share - (w[group] ** 2).sum() / share), sums + share
    return np.broadcast_to(factor * np.sqrt(total / max(sums, 1e-300) + floor**2), part.shape[1:])


'''
_ENDS = """halves = [half_width(part, factor, floor) for part, factor, floor in zip((u, du), {factors}, {floors})]
    return *means, *stds, *(end for mean, half in zip(means, halves) for end in (mean - half, mean + half))"""


def numpy_source(function: Function, interval: float | None = None) -> dict[str, bytes]:
    """Return the weights, and a module with the function `value_and_derivative`, which computes in float64.

    Raises:
        ConfigurationError: the activation has no formula in NumPy.
    """
    names = [network.stage(0).activation_name for network in function.networks]
    if unknown := [name for name in names if name not in _ACTIVATIONS]:
        known = ", ".join(_ACTIVATIONS)
        rule = f"model.activation: numpy supports {known}, got {unknown[0]!r}"
        raise ConfigurationError(f"{rule}; onnx and torch support all")
    arrays, calls = list[np.ndarray](), list[str]()
    for name, network in zip(names, function.networks, strict=True):
        parts = folded(network)
        place = f"*WEIGHTS[{len(arrays)}:{len(arrays) + len(parts)}]"
        calls.append(f"networks(x, {name}, {len(network.stages)}, {place})")
        arrays += parts
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    d, p = len(function.inputs), len(function.outputs)
    shape_u, shape_du = (f"(N, {p})", f"(N, {p}, {d})") if p > 1 else ("(N,)", f"(N, {d})")
    if len(calls) == 1:
        lines = [f"u, du = {calls[0]}"]
    else:
        lines = ["groups = [", *[f"    {call}," for call in calls], "]"]
        lines.append("u, du = (np.concatenate(parts) for parts in zip(*groups))")
    if p == 1:
        lines.append("u, du = u[:, :, 0], du[:, :, 0]")
    several = function.members > 1
    weights = [1.0] * function.members if function.weights is None else function.weights.tolist()
    results = (_ONE if not several else _EQUAL if function.weights is None else _WEIGHTED).format(weights=weights)
    lines += [results, "return *means, *stds" if interval is None else _ends(function, interval)]
    groups = function.groups if interval is not None and function.calibration.local else []
    also = ["means over members; their standard deviations follow"] * several
    also += [f"the lower and upper ends of intervals of level {interval} follow, of u and of du"] * (
        interval is not None
    )
    source = _SOURCE.format(
        about=about(function, interval),
        formulas="".join(
            _FORMULA.format(name=name, lines="\n    ".join(_ACTIVATIONS[name])) for name in dict.fromkeys(names)
        ),
        inputs=d,
        shape_u=shape_u,
        shape_du=shape_du,
        also="".join(f"\n\n    {sentence[0].upper()}{sentence[1:]}." for sentence in also) + "\n    " * bool(also),
        intervals="" if interval is None else _HALF_WIDTH.format(weights=weights, groups=groups),
        results="\n    ".join(lines),
    )
    return {".npz": buffer.getvalue(), ".py": source.encode()}


def _ends(function: Function, interval: float) -> str:
    """Return the lines that add the ends of intervals."""
    p, d = len(function.outputs), len(function.inputs)
    found, shapes = function.calibration, [() if p == 1 else (p,), (d,) if p == 1 else (p, d)]
    texts = [
        ", ".join(
            f"np.array({part.reshape(shape).tolist()})"
            for part, shape in zip(np.split(np.asarray(numbers), [p]), shapes, strict=True)
        )
        for numbers in (found.factors(interval), found.floors)
    ]
    return _ENDS.format(factors=f"[{texts[0]}]", floors=f"[{texts[1]}]")
