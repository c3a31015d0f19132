"""Fit a function and its derivative with small neural networks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runge.function import Function, load

__all__ = ["Function", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Late, so that a part of the package can be imported without torch.
    if name in __all__:
        from runge import function

        return getattr(function, name)
    raise AttributeError(f"module 'runge' has no attribute {name!r}")
