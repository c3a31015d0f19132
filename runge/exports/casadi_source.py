"""A Python file that computes the function by CasADi's operations, and a file with the `casadi.Function`."""

import runpy
from pathlib import Path
from tempfile import TemporaryDirectory

from runge.exports.card import card
from runge.exports.sources import python_source
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
    share, facts = 1 / function.members, card(function, interval)
    source, weights = python_source(function, "casadi", _ACTIVATIONS, share, card=facts, hessian=hessian)
    try:
        import casadi  # noqa: F401  # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        need = f"casadi needs the package {error.name}; install it with pip install -e '.[interop]'"
        raise ImportError(need) from error
    with TemporaryDirectory() as folder:
        module, saved = Path(folder, "u.py"), Path(folder, "u.casadi")
        module.write_bytes(source)
        module.with_suffix(".npz").write_bytes(weights)
        runpy.run_path(str(module))["function"]().save(str(saved))
        return {".npz": weights, ".casadi": saved.read_bytes(), ".py": source}
