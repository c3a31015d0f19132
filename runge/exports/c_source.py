"""The value and the Jacobian as a C function without dependencies."""

import ctypes
import json
import math
import os
import re
import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sympy.printing import c, cxx

from runge.configuration.errors import ConfigurationError
from runge.exports.card import card
from runge.exports.sources import TEMPLATES, activations, folded, logs_of
from runge.function.function import Function
from runge.records.files import printable

__all__ = ["c_source"]

_LANES = 8
"""The number of which the sizes of layers are multiples."""


class _Formula(NamedTuple):
    """The lines of C that compute s(z[o]) and its first two derivatives; y[o] is the smaller of a size and a bound."""

    value: str
    first: str
    second: str
    lines: tuple[str, ...] = ()
    size: str = "fabs(z[o])"
    bound: int = 0


_BELOW_1 = "double e = NAME_exp(y[o], 0), p = (z[o] < 0 ? e : 1) / (1 + e);"
_SIGMOID = {"lines": (_BELOW_1, "double q = (z[o] < 0 ? 1 : e) / (1 + e);"), "bound": 700}
_DENSITY = f"double q = {1 / math.sqrt(2 * math.pi)!r} * NAME_exp(y[o], 0);"
_ACTIVATIONS = {
    "tanh": _Formula(
        "s",
        "t",
        "-2 * s * t",
        (
            "double e = NAME_exp(2 * y[o], 1), s = copysign(e / (2 + e), z[o]);",
            "double q = NAME_exp(2 * y[o], 0), t = 4 * q / ((1 + q) * (1 + q));",  # 1 - s * s has the round-off of 1
        ),
        bound=350,
    ),
    "relu": _Formula("z[o] < 0 ? 0 : z[o]", "z[o] > 0", "0"),
    "gelu": _Formula(
        "z[o] * p",
        "p + z[o] * q",
        "2 * q * (1 - y[o])",
        (f"double p = 0.5 * erfc({-math.sqrt(0.5)!r} * z[o]);", _DENSITY),
        size="0.5 * z[o] * z[o]",
        bound=700,
    ),
    "sigmoid": _Formula("p", "p * q", "p * q * (q - p)", **_SIGMOID),
    "silu": _Formula("z[o] * p", "p + z[o] * p * q", "p * q * (2 + z[o] * (q - p))", **_SIGMOID),
    "softplus": _Formula("(z[o] < 0 ? 0 : z[o]) + log1p(e)", "p", "p * (1 - p)", (_BELOW_1,), bound=700),
    "sin": _Formula("sin(z[o])", "cos(z[o])", "-h[o]"),
}
"""The formulas by name, stable for all z: exp is taken of negative numbers alone."""

_RESERVED = {*c.reserved_words, *c.reserved_words_c99, *cxx.reserved["C++17"], *dir(math), "catch", "main", "register"}
_RESERVED |= {"HUGE_VAL", "INFINITY", "NAN", "NULL", "fpclassify", "isgreater", "isgreaterequal", "isless"}  # macros
_RESERVED |= {"islessequal", "islessgreater", "isnormal", "isunordered", "linux", "signbit", "unix"}


def c_source(function: Function, interval: float | None, hessian: bool, name: str) -> dict[str, bytes]:
    r"""Return a header, and a file in C99 with one function, the mean over members, which computes in double precision.

    .. code-block:: c

        void NAME(const double x[D], double u[P], double du[P][D]);

    Each layer propagates its values; derivatives follow in forward mode, with the tangents z_d = dz/dx_d, or if D > 2 P
    in reverse mode, with the adjoints a = du/dh, which are fewer. The Hessian, `d2u[P][D][D]`, takes both. The second
    derivatives of the layers, h_de = s'' z_d z_e + s' z_de with z_de = W h_de, are linear in their terms s'' z_d z_e,
    and a term contributes to u by the adjoint of its neuron:

    .. math:: u_{de} = \sum_{\text{neurons}} a\, s''(z)\, z_d\, z_e.

    That is 1 + D + P products with each matrix of weights, instead of 1 + D + D (D + 1) / 2 in forward mode alone.

    Args:
        function: a trained function.
        interval: not used: C has the mean alone.
        hessian: whether the function has the argument `d2u`.
        name: the name of the file, with or without its suffix; without it, the name of the function.

    Raises:
        ConfigurationError: the name is none of a function, or an activation has no formula in C.
    """
    name = name.removesuffix(".c")
    if not (name.isidentifier() and name.isascii()) or name.startswith("_") or _taken(name):
        rule = (
            "must be a C identifier (letters, digits and _, and a letter first), and no word of C, C++ or their library"
        )
        raise ConfigurationError(f"path, --out: the file's name is that of the function: it {rule}; got {name!r}")
    names = activations(function, "c", _ACTIVATIONS)
    inputs, outputs = len(function.inputs), len(function.outputs)
    adjoints = hessian or inputs > 2 * outputs
    tangents = hessian or not adjoints
    constant, groups = np.zeros(outputs), list[dict[str, Any]]()
    share = 1 / function.members
    for activation, network in zip(names, function.networks, strict=True):
        *layers, last, bias = folded(network)
        constant += (share * bias).sum((0, 1))
        groups.append(_group(activation, *layers, share * last))
        logs = logs_of(network)[:, 0].astype(int)
        groups[-1]["logs"] = _text(logs) if logs.any() else ""
    for i, group in enumerate(groups):
        group["name"] = f"{name}_{i + 1}" if len(groups) > 1 else name
    columns, facts = 1 + inputs * tangents, card(function)
    numbers = max(
        group["width"] * (columns * (group["depth"] + 1) + (1 + hessian) * group["depth"] + 1 + 3 * adjoints)
        for group in groups
    )
    arguments = f"const double x[{inputs}], double u[{outputs}], double du[{outputs}][{inputs}]"
    arguments += f", double d2u[{outputs}][{inputs}][{inputs}]" * hessian
    context = {
        "name": name,
        "title": f"its value{', Jacobian and Hessian' if hessian else ' and Jacobian'}",
        "facts": _facts(facts),
        "card": [json.dumps(line).replace("?", r"\?") for line in json.dumps(facts, indent=2).splitlines()],
        "stack": -(-8 * numbers // 1000) + 1,
        "prototype": f"void {name}({arguments})",
        "groups": groups,
        "constant": _text(constant),
        "exponential": any(group["formula"].bound for group in groups),
        "D": inputs,
        "P": outputs,
        "tangents": tangents,
        "adjoints": adjoints,
        "hessian": hessian,
    }
    suffixes = (".h", ".c")
    texts = {suffix: TEMPLATES.get_template(f"source{suffix}.jinja").render(context) for suffix in suffixes}
    return {suffix: f"{text}\n".encode() for suffix, text in texts.items()}


def _group(activation: str, centre: np.ndarray, scale: np.ndarray, *layers: np.ndarray) -> dict[str, Any]:
    """Return what the template needs of networks of one shape."""
    (first, *inner), last = layers[:-1:2], layers[-1]
    width, count = first.shape[2], len(first)
    layers_of = f"{count} network{'s' * (count > 1)}, {first.shape[1]}{f'-{width}' * (1 + len(inner))}-{last.shape[2]}"
    return {
        "about": f"{layers_of}, {activation}",
        "formula": _ACTIVATIONS[activation],
        "count": count,
        "depth": 1 + len(inner),
        "width": -(-width // _LANES) * _LANES,
        "centre": _text(centre[:, 0]),
        "first": _text(first * scale.swapaxes(1, 2)),
        "bias": _text(np.concatenate(layers[1:-1:2], axis=1)),
        "inner": _text(np.stack(inner, axis=1)) if inner else "",
        "last": _text(last.swapaxes(1, 2)),
    }


def _taken(name: str) -> bool:
    """Return whether a name is a word of C or C++, or that of a function in this system's library, such as `time`."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    return name in _RESERVED or name.endswith("_t") or hasattr(library, name)


def _facts(facts: Mapping[str, Any]) -> str:
    """Return lines on the inputs and the outputs of a card, for a comment in C."""
    lines = list[str]()
    for variable, columns in (("x", facts["inputs"]), ("u", facts["outputs"])):
        for i, column in enumerate(columns):
            limits = f": {column['low']:.6g} to {column['high']:.6g}" if "low" in column else ""
            # No name ends the comment, or its line by a backslash or a trigraph.
            name = re.sub(r"\*(?=/)|/(?=\*)|\?(?=\?)", r"\g<0> ", printable(column["name"].replace("\\", r"\x5c")))
            lines.append(f"   {variable}[{i}]  {name}{limits}")
    return "\n".join(lines)


def _text(values: np.ndarray) -> str:
    """Return an initialiser; a number has the shortest text that gives the same double."""
    if values.ndim > 1:
        return "{" + ",".join(_text(block) for block in values) + "}"
    lines = textwrap.fill(", ".join(_number(x) for x in values.tolist()), 120, break_on_hyphens=False)
    return "{\n" + lines.replace(", ", ",") + "}"


def _number(value: float) -> str:
    text = repr(value)
    return text.replace("-0.", "-.", 1) if text.startswith("-") else text.removeprefix("0") if value else "0"
