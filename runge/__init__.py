"""Fit a function and its derivative with small neural networks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runge.function import Function, load
    from runge.records.reading import history, runs

__all__ = ["Function", "history", "load", "runs"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported late, so that parts of the package can be used without torch
        module = "runge.function" if name in ("Function", "load") else "runge.records.reading"
        return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'runge' has no attribute {name!r}")
