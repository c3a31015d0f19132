"""The value and the Jacobian as a C function without dependencies."""

import ctypes
import math
import os
import textwrap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from sympy.printing import c, cxx

from runge.errors import ConfigurationError
from runge.export.card import card
from runge.export.sources import TEMPLATES, activations
from runge.export.weights import folded, shares
from runge.function import Function
from runge.records.files import printable

__all__ = ["c_source"]

_LANES = 8  # sizes of layers are multiples of it


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
        "1 - s * s",
        "-2 * s * (1 - s * s)",
        ("double e = NAME_exp(2 * y[o], 1), s = copysign(e / (2 + e), z[o]);",),
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
_RESERVED |= {"INFINITY", "NAN", "linux", "signbit", "unix"}  # macros


def c_source(
    function: Function, interval: float | None = None, hessian: bool = False, name: str = "function.c"
) -> dict[str, bytes]:
    r"""Return a header, and a file in C99 with one function, the mean over members, which computes in double precision.

    .. code-block:: c

        void NAME(const double x[D], double u[P], double du[P][D]);

    Each layer propagates its values; derivatives follow in forward mode, with the tangents z_d = dz/dx_d, or in reverse
    mode, with the adjoints g = du/dz, whichever are fewer. The Hessian, `d2u[P][D][D]`, takes both: the second
    derivatives of z and h = s(z), which obey h_de = s'' z_d z_e + s' z_de and z_de = W h_de, are linear in the terms
    s'' z_d z_e of all layers, so that with the adjoints a = du/dh

    .. math:: u_{de} = \sum_{layers} \sum_{neurons} a\, s''(z)\, z_d z_e.

    That is 1 + D + P products with each matrix of weights, instead of 1 + D + D (D + 1) / 2 in forward mode alone.

    Args:
        function: a trained function.
        interval: not used; C has the mean alone.
        hessian: whether the function has the argument `d2u`.
        name: the name of the file, with or without its suffix; its stem is that of the function.

    Raises:
        ConfigurationError: the stem is no name of a function, or the activation has no formula in C.
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
    weights = shares(function)
    for i, network in enumerate(function.networks):
        members = len(network.amplitude)
        share, weights = np.tile(weights[:members], len(network.stages))[:, None, None], weights[members:]
        centre, scale, *layers = folded(network)
        *layers, last, bias = [*layers[:-2], *(share * part for part in layers[-2:])]
        constant += bias.sum((0, 1))
        used = last.any((1, 2)) | (np.arange(len(last)) == 0)  # a stage that did not help has weights of 0
        first, *inner = (part[used] for part in layers[::2])
        group = f"{name}_{i + 1}" if len(function.networks) > 1 else name
        width = -(-first.shape[2] // _LANES) * _LANES
        shape = f"{inputs} inputs, {len(inner) + 1} x {first.shape[2]} neurons, {names[i]}, {outputs} outputs"
        groups.append(
            {
                "name": group,
                "about": f"{used.sum()} networks, {shape}",
                "activation": _formula(names[i], name),
                "count": used.sum(),
                "depth": len(inner) + 1,
                "width": width,
                "centre": _text(centre[used, 0]),
                "first": _text(first * scale[used].swapaxes(1, 2)),
                "bias": _text(np.stack([part[used, 0] for part in layers[1::2]], axis=1)),
                "inner": _text(np.stack(inner, axis=1)) if inner else "",
                "last": _text(last[used].swapaxes(1, 2)),
            }
        )
    arguments = f"const double x[{inputs}], double u[{outputs}], double du[{outputs}][{inputs}]"
    arguments += f", double d2u[{outputs}][{inputs}][{inputs}]" * hessian
    columns = 1 + inputs * tangents
    numbers = max(
        group["width"] * (columns * (group["depth"] + 1) + (1 + hessian) * group["depth"] + 1 + 3 * adjoints)
        for group in groups
    )
    context = {
        "name": name,
        "title": f"The value, the Jacobian{' and the Hessian' * hessian} of a function fitted by runge",
        "facts": _facts(card(function)),
        "stack": -(-8 * numbers // 1000) + 1,
        "prototype": f"void {name}({arguments})",
        "groups": groups,
        "constant": _text(constant),
        "exponential": any(group["activation"].bound for group in groups),
        "D": inputs,
        "P": outputs,
        "tangents": tangents,
        "adjoints": adjoints,
        "hessian": hessian,
    }
    suffixes = (".h", ".c")
    return {suffix: TEMPLATES.get_template(f"source{suffix}.jinja").render(context).encode() for suffix in suffixes}


def _taken(name: str) -> bool:
    """Return whether a name is a word of C or C++, or that of a function in this system's library, such as `time`."""
    library = ctypes.CDLL(None) if os.name == "posix" else None
    return name in _RESERVED or name.endswith("_t") or hasattr(library, name)


def _formula(activation: str, name: str) -> _Formula:
    formula = _ACTIVATIONS[activation]
    return formula._replace(lines=tuple(line.replace("NAME", name) for line in formula.lines))


def _facts(about: Mapping[str, Any]) -> str:
    """Return lines on the inputs and the outputs of a card, for a comment in C."""
    lines = list[str]()
    for variable, columns in (("x", about["inputs"]), ("u", about["outputs"])):
        for i, column in enumerate(columns):
            known = [f"{column['low']:.6g} to {column['high']:.6g}"] if "low" in column else []
            known += [f"{name} {column[name]:.6g}" for name in ("mean", "std") if name in column]
            lines.append(f"   {variable}[{i}]  {column['name']}{': ' * bool(known)}{', '.join(known)}")
    return printable("\n".join(lines), keep="\n").replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def _text(values: np.ndarray) -> str:
    """Return an initialiser; a number has the shortest text that gives the same double."""
    if values.ndim > 1:
        return "{" + ",".join(_text(part) for part in values) + "}"
    lines = textwrap.fill(", ".join(_number(x) for x in values.tolist()), 120, break_on_hyphens=False)
    return "{\n" + lines.replace(", ", ",") + "}"


def _number(value: float) -> str:
    single = np.float32(value)
    text = f"{single}f" if float(single) == value and len(str(single)) < len(repr(value)) - 1 else repr(value)
    return text.removeprefix("0") if text.startswith("0.") else text.replace("-0.", "-.", 1)
