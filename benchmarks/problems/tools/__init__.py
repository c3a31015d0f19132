"""The tools of the table: one adapter each, of at most 40 lines, with one contract.

An adapter is a class. It is made with a seed and with settings, by keyword; without settings it has the documented
defaults of its tool. `GRID` lists further settings, of which the validation may choose. It is imported only when it is
used, so that a tool that is not installed hinders none of the others. To add or to mend one, write a module here and
enter it in `TOOLS`.
"""

from importlib import import_module
from typing import Any, ClassVar, Protocol

from tables import Array


class Tool(Protocol):
    """A model of rows.

    `fit` takes inputs x (m, D), outputs y (m, P) and their partial derivatives dydx (m, P, D); NaN is a label that is
    not known. A tool that cannot take them raises ValueError. `predict` returns (n, P) for points (n, D), and
    `predict_derivative` (n, P, D); it raises NotImplementedError if the tool has no derivatives.
    """

    GRID: ClassVar[tuple[dict[str, Any], ...]]

    def fit(self, x: Array, y: Array, dydx: Array) -> Any: ...

    def predict(self, x: Array) -> Array: ...

    def predict_derivative(self, x: Array) -> Array: ...


TOOLS = {
    "runge search=best": "runge_best:Best",
    "runge": "runge_default:Default",
    "JENN": "jenn_network:Jenn",
    "SMT GENN": "smt_models:Genn",
    "SMT GEKPLS": "smt_models:Gekpls",
    "SMT KRG": "smt_models:Krg",
    "GPyTorch": "gpytorch_process:Process",
    "DeepXDE": "deepxde_network:DeepXde",
    "PyTorch by hand": "torch_by_hand:ByHand",
    "JAX by hand": "jax_by_hand:ByHand",
    "scikit-learn MLP": "scikit_learn:Network",
    "scikit-learn GP": "scikit_learn:Process",
    "scikit-learn boosting": "scikit_learn:Boosting",
}
"""The modules and classes of the tools, by name."""


def adapter(name: str) -> Any:
    """Return the class of a tool."""
    module, _, attribute = TOOLS[name].partition(":")
    return getattr(import_module(f"tools.{module}"), attribute)
