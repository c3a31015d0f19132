"""Fit a function and its derivative with small neural networks."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runge import extend as extend
    from runge.configuration.errors import ConfigurationError as ConfigurationError
    from runge.configuration.errors import RunError as RunError
    from runge.function.function import Function as Function
    from runge.function.loading import load as load
    from runge.interface.calls import fit as fit
    from runge.interface.calls import sweep as sweep
    from runge.interface.calls import train as train
    from runge.interface.label_check import check as check
    from runge.interface.outcomes import Answer as Answer
    from runge.interface.outcomes import Comparison as Comparison
    from runge.interface.regressor import SobolevRegressor as SobolevRegressor
    from runge.interface.trained import Run as Run
    from runge.interface.verbs import compare as compare
    from runge.interface.verbs import draw as draw
    from runge.interface.verbs import export as export
    from runge.interface.verbs import predict as predict
    from runge.interface.verbs import suggest as suggest
    from runge.records.reading import history as history
    from runge.records.reading import runs as runs
    from runge.schedules.derivative_loss import DerivativeLoss as DerivativeLoss
    from runge.training.datamodule import SobolevDataModule as SobolevDataModule
    from runge.training.module import SobolevRegression as SobolevRegression
    from runge.training.plain import PlainRegression as PlainRegression

_NAMES = {
    "runge.configuration.errors": ["ConfigurationError", "RunError"],
    "runge.interface.label_check": ["check"],
    "runge.function.function": ["Function"],
    "runge.function.loading": ["load"],
    "runge.interface.calls": ["fit", "sweep", "train"],
    "runge.interface.outcomes": ["Answer", "Comparison"],
    "runge.interface.regressor": ["SobolevRegressor"],
    "runge.interface.trained": ["Run"],
    "runge.interface.verbs": ["compare", "draw", "export", "predict", "suggest"],
    "runge.records.reading": ["history", "runs"],
    "runge.schedules.derivative_loss": ["DerivativeLoss"],
    "runge.training.datamodule": ["SobolevDataModule"],
    "runge.training.module": ["SobolevRegression"],
    "runge.training.plain": ["PlainRegression"],
}
_LATE = {"DerivativeLoss", "PlainRegression", "SobolevDataModule", "SobolevRegression", "SobolevRegressor", "extend"}
"""The names that `from runge import *` leaves out, because Lightning or scikit-learn takes long to load."""

_MODULES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted({*_MODULES} - _LATE)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.3.0"


def __getattr__(name: str) -> Any:
    if name in _MODULES:  # imported late, so that parts of the package can be used without torch
        return getattr(importlib.import_module(_MODULES[name]), name)
    if name == "extend":
        return importlib.import_module("runge.extend")
    raise AttributeError(f"module 'runge' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*_MODULES, "extend", "__version__"]
