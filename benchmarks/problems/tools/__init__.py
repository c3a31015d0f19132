"""The tools of the table: one adapter each, of at most 40 lines, with one contract.

An adapter is a class. It is made with a seed and with settings, by keyword; without settings it has the documented
defaults of its tool. `GRID` lists further settings, of which the validation may choose. It is imported only when it is
used, so that a tool that is not installed hinders none of the others. To add or to mend one, write a module here and
enter it in `TOOLS`.

`fit` takes inputs x (m, D), outputs y (m, P) and their partial derivatives dydx (m, P, D); NaN is a label that is not
known. A tool that cannot take them raises ValueError. `predict` returns (n, P) for points (n, D), and
`predict_derivative` (n, P, D); it raises NotImplementedError if the tool has no derivatives.
"""

from importlib import import_module
from typing import Any, NamedTuple


class Entry(NamedTuple):
    """A tool of the table.

    Attributes:
        adapter: its module here and its class.
        package: the package on PyPI whose version is recorded.
        family: runge, gradients, own code, or values only.
        all_cores: whether it has all cores to itself, as its documentation says, and not one.
    """

    adapter: str
    package: str
    family: str
    all_cores: bool = False


TOOLS = {
    "runge fit": Entry("runge_fit:Fit", "runge", "runge", all_cores=True),
    "runge": Entry("runge_default:Default", "runge", "runge"),
    "JENN": Entry("jenn_network:Jenn", "jenn", "gradients"),
    "SMT GENN": Entry("smt_models:Genn", "smt", "gradients"),
    "SMT GEKPLS": Entry("smt_models:Gekpls", "smt", "gradients"),
    "SMT KRG": Entry("smt_models:Krg", "smt", "values only"),
    "GPyTorch": Entry("gpytorch_process:Process", "gpytorch", "gradients"),
    "DeepXDE": Entry("deepxde_network:DeepXde", "deepxde", "gradients"),
    "polynomial": Entry("polynomial:Polynomial", "numpy", "own code"),
    "PyTorch by hand": Entry("torch_by_hand:ByHand", "torch", "own code"),
    "JAX by hand": Entry("jax_by_hand:ByHand", "jax", "own code"),
    "scikit-learn MLP": Entry("scikit_learn:Network", "scikit-learn", "values only"),
    "scikit-learn GP": Entry("scikit_learn:Process", "scikit-learn", "values only"),
    "scikit-learn boosting": Entry("scikit_learn:Boosting", "scikit-learn", "values only"),
}
"""The tools, by name."""


def adapter(name: str) -> Any:
    """Return the class of a tool."""
    module, _, attribute = TOOLS[name].adapter.partition(":")
    return getattr(import_module(f"tools.{module}"), attribute)
