"""Fit a function and its derivative with small neural networks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runge.commands.check import check
    from runge.function.function import Function
    from runge.function.loading import load
    from runge.interface.calls import fit, sweep, train
    from runge.interface.outcomes import Answer, Comparison, Run
    from runge.interface.regressor import SobolevRegressor as SobolevRegressor
    from runge.interface.verbs import compare, draw, export, predict, suggest
    from runge.records.reading import history, runs

_NAMES = {
    "runge.commands.check": ["check"],
    "runge.function.function": ["Function"],
    "runge.function.loading": ["load"],
    "runge.interface.calls": ["fit", "sweep", "train"],
    "runge.interface.outcomes": ["Answer", "Comparison", "Run"],
    "runge.interface.regressor": ["SobolevRegressor"],
    "runge.interface.verbs": ["compare", "draw", "export", "predict", "suggest"],
    "runge.records.reading": ["history", "runs"],
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = [
    "Answer",
    "Comparison",
    "Function",
    "Run",
    "check",
    "compare",
    "draw",
    "export",
    "fit",
    "history",
    "load",
    "predict",
    "runs",
    "suggest",
    "sweep",
    "train",
]
__version__ = "0.3.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # imported late, so that parts of the package can be used without torch
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'runge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "SobolevRegressor", "__version__"]  # without scikit-learn `from runge import *` must work
