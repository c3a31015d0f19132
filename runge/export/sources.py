"""Load the templates of the formats that are source text, and check that they have a formula of an activation."""

from collections.abc import Collection
from functools import partial
from pprint import pformat

from jinja2 import Environment, PackageLoader, StrictUndefined

from runge.configuration.errors import ConfigurationError
from runge.function.function import Function

__all__ = ["TEMPLATES", "activations"]

TEMPLATES = Environment(
    loader=PackageLoader("runge.export"), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
)
"""The templates, without the letters that Jinja's own lines would leave; `literal` writes data as Python."""
TEMPLATES.filters["literal"] = partial(pformat, width=120, sort_dicts=False)


def activations(function: Function, to: str, supported: Collection[str]) -> list[str]:
    """Return the name of the activation of each stack.

    Raises:
        ConfigurationError: the format has no formula of one of them.
    """
    names = [network.activation_name for network in function.networks]
    if unknown := [name for name in names if name not in supported]:
        rule = f"model.activation: {to} supports {', '.join(supported)}, got {unknown[0]!r}"
        raise ConfigurationError(f"{rule}; onnx and torch support all")
    return names
