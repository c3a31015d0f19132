"""Settings in a mapping, from keys to Python's objects, as the overrides of a command."""

import functools
import inspect
import os
import pkgutil
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from runge.configuration.command_line import escaped, override_of
from runge.configuration.errors import ConfigurationError

__all__ = ["overrides_of_mapping"]

_ADDED = re.compile(r"(metrics|callbacks|logger)\.|penalty$")
"""The beginning of keys that need not be there before."""


def overrides_of_mapping(settings: Mapping[str, Any] | None, is_sweep: bool = False) -> list[str]:
    """Return the overrides that set keys to objects; None as a mapping: none, and as a value: null.

    Args:
        settings: numbers, texts, paths, lists and mappings, and objects: a dataclass, such as `TwoStage(at_step=500)`,
            a function or a class of a module, or `functools.partial` of one with keywords, for objects of other
            classes.
        is_sweep: true: a list, a tuple or a range has the values of a sweep. A value that is a list is in a list.

    Raises:
        ConfigurationError: an object cannot be written into a configuration.

    Example:
        >>> overrides_of_mapping({"model.activation": ["tanh", "my tanh"], "seed": range(2)}, is_sweep=True)
        ["model.activation=tanh,'my tanh'", 'seed=0,1']
        >>> from runge.schedules import TwoStage
        >>> overrides_of_mapping({"schedule": functools.partial(TwoStage, at_step=500), "tags": ["a", "b"]})
        ['schedule={_target_: runge.schedules.TwoStage, at_step: 500}', 'tags=[a, b]']
    """
    if not isinstance(settings, Mapping | None) or not all(isinstance(key, str) for key in settings or ()):
        raise ConfigurationError(f"settings: must be a mapping from keys to values, got {settings!r:.80}")
    overrides = []
    for key, value in (settings or {}).items():
        value = value.tolist() if hasattr(value, "tolist") else value
        swept = is_sweep and isinstance(value, list | tuple | range)
        if swept and not value:
            raise ConfigurationError(f"{key}: must have at least one value, got none")
        values = [_text(key, one) for one in (value if swept else [value])]
        overrides.append(f"{'++' if _ADDED.match(key) else ''}{key}={','.join(values)}")
    return overrides


def _text(key: str, value: Any) -> str:
    """Return a value in Hydra's grammar."""
    value = value.tolist() if hasattr(value, "tolist") else value  # of NumPy, pandas or torch
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | os.PathLike):
        return _quoted(os.fspath(value))
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{escaped(str(name))}: {_text(key, one)}' for name, one in value.items())}}}"
    if isinstance(value, list | tuple | range):
        return f"[{', '.join(_text(key, one) for one in value)}]"
    return _text(key, dict(_recipe(key, value)))


def _quoted(text: str) -> str:
    is_word = re.fullmatch(r"(?!(true|false|null|nan|inf)$)[a-z_][\w.-]*", text, re.ASCII | re.IGNORECASE)
    return text if is_word else override_of("", text)[1:]


def _recipe(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name of what makes an object, and its arguments."""
    made_by, arguments = value, {}
    if isinstance(value, functools.partial) and not value.args:
        made_by, arguments = value.func, value.keywords
    elif is_dataclass(value) and not isinstance(value, type):
        made_by = type(value)
        arguments = {field.name: getattr(value, field.name) for field in fields(value) if field.init}
    path = f"{getattr(made_by, '__module__', '')}.{getattr(made_by, '__qualname__', '')}"
    try:
        is_named = (inspect.isclass(made_by) or inspect.isroutine(made_by)) and pkgutil.resolve_name(path) is made_by
    except (AttributeError, ImportError, ValueError):
        is_named = False
    if not is_named:
        rule = "must be a function or a class of a module, a dataclass, or functools.partial of a class with keywords"
        raise ConfigurationError(f"{key}: {rule}, because runs record it; got {value!r:.80}")
    yield "_target_", path
    yield from arguments.items()
