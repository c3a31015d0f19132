"""A Python file that computes the function by CasADi's operations, and a file with the `casadi.Function`."""

import io
import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from runge.exports.card import card
from runge.exports.sources import TEMPLATES, activations, folded
from runge.function.function import Function

__all__ = ["casadi_source"]

_ACTIVATIONS = {
    "tanh": ["return casadi.tanh(z)"],
    "relu": ["return casadi.if_else(z <= 0, 0, z)  # 0 has the slope 0, and NaN stays"],
    "gelu": ["return z * (1 + casadi.erf(z / 2**0.5)) / 2"],
    "sigmoid": ["return (1 + casadi.tanh(z / 2)) / 2"],
    "silu": ["return z * (1 + casadi.tanh(z / 2)) / 2"],
    "softplus": [
        "large = z > 40  # log(1 + exp(z)) is z to the last bit, and exp(z) may overflow",
        "return casadi.if_else(large, z, casadi.log1p(casadi.exp(casadi.if_else(large, 0, z))))",
    ],
    "sin": ["return casadi.sin(z)"],
}
"""The lines that compute s(z), of which CasADi's derivatives of every order are finite and right at every z."""


def casadi_source(function: Function, interval: float | None, hessian: bool, name: str) -> dict[str, bytes]:
    """Return the weights, the `casadi.Function`, and the module that makes it; both compute the mean in float64.

    The graph is of matrices, MX: of a network 5-64-64-4 with its Jacobian the file is 40 times smaller than with a
    graph of scalars, SX, and is evaluated in a quarter of its time. The module's `value` takes symbols of either kind.

    Raises:
        ConfigurationError: the activation has no formula in CasADi.
        ImportError: the package casadi is missing.
    """
    names = activations(function, "casadi", _ACTIVATIONS)
    try:
        import casadi  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        need = f"casadi needs the package {error.name}; install it with pip install -e '.[interop]'"
        raise ImportError(need) from error
    arrays, calls = list[np.ndarray](), list[str]()
    share = 1 / function.members
    for name, network in zip(names, function.networks, strict=True):
        *layers, last, bias = folded(network)
        calls.append(f"networks(x, {name}, *WEIGHTS[{len(arrays)}:{len(arrays) + len(layers) + 2}])")
        arrays += [*layers, share * last, share * bias]
    buffer = io.BytesIO()
    np.savez(buffer, *arrays)
    source = TEMPLATES.get_template("casadi.py.jinja").render(
        card=card(function, interval),
        activations={name: _ACTIVATIONS[name] for name in names},
        inputs=len(function.inputs),
        outputs=len(function.outputs),
        calls=calls,
        hessian=hessian,
    )
    with TemporaryDirectory() as folder:
        module, weights, saved = (Path(folder, name) for name in ("u.py", "u.npz", "u.casadi"))
        module.write_bytes(source.encode())
        weights.write_bytes(buffer.getvalue())
        runpy.run_path(str(module))["function"]().save(str(saved))
        return {".npz": buffer.getvalue(), ".casadi": saved.read_bytes(), ".py": source.encode()}
