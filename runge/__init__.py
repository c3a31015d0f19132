"""Fit a function and its derivative with small neural networks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runge.function.function import Function
    from runge.function.loading import load
    from runge.interface.calls import fit, sweep
    from runge.interface.outcomes import Answer, Comparison, Run
    from runge.interface.regressor import SobolevRegressor as SobolevRegressor
    from runge.records.reading import history, runs

__all__ = ["Answer", "Comparison", "Function", "Run", "fit", "history", "load", "runs", "sweep"]
__version__ = "0.3.0"

_MODULES = {
    "Function": "runge.function.function",
    "load": "runge.function.loading",
    "SobolevRegressor": "runge.interface.regressor",
}
_MODULES |= dict.fromkeys(("history", "runs"), "runge.records.reading")
_MODULES |= dict.fromkeys(("Answer", "Comparison", "Run"), "runge.interface.outcomes")


def __getattr__(name: str) -> Any:
    if name in __dir__():  # imported late, so that parts of the package can be used without torch
        return getattr(importlib.import_module(_MODULES.get(name, "runge.interface.calls")), name)
    raise AttributeError(f"module 'runge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "SobolevRegressor", "__version__"]  # without scikit-learn `from runge import *` must work
