"""From a section of a configuration to an object, with every mistake told by its key, its value and what is allowed."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from hydra.utils import get_class
from pydantic import ValidationError

from runge.command import ConfigurationError

T = TypeVar("T")


def section(key: str, values: Any) -> dict[str, Any]:
    """A section's content, to be taken apart.

    Raises:
        ConfigurationError: it is no section.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{key}: must be a section with keys, got {values!r}")
    return {str(name): value for name, value in values.items()}


def build(key: str, values: Any, kind: type[T] | Callable[..., T], **given: Any) -> T:
    """Make the object that a section describes.

    Args:
        key: the section's key.
        values: its content; `_target_` names the class where it can be swapped.
        kind: the class that is made, or that the class named by `_target_` must derive from.
        **given: arguments that do not come from the configuration.

    Returns:
        The object.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed.
    """
    values = section(key, values)
    make = _locate(key, values.pop("_target_"), kind) if "_target_" in values else kind
    allowed = [name for name in inspect.signature(make).parameters if name not in given]
    for name in values:
        if name not in allowed:
            raise ConfigurationError(
                f"{_join(key, name)}: there is no such key; {key} has {', '.join(allowed) or 'none'}"
            )
    try:
        return make(**values, **given)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(key, detail) for detail in error.errors())) from error
    except ValueError as error:
        message = str(error)
        prefix = f"{key}." if message.partition(":")[0] in allowed else ""
        raise ConfigurationError(f"{prefix}{message}") from error


def _locate(key: str, path: Any, kind: Any) -> Callable[..., Any]:
    try:
        found = get_class(path)
    except Exception as error:  # whatever the import of a user's module raises
        raise ConfigurationError(
            f"{key}._target_: must name a class that can be imported, got {path!r} ({error})"
        ) from error
    if not issubclass(found, kind):
        names = ", ".join(base.__name__ for base in getattr(kind, "__args__", (kind,)))
        raise ConfigurationError(f"{key}._target_: must name a class derived from {names}, got {path!r}")
    return found


def _explain(section: str, detail: Any) -> str:
    key = _join(section, *detail["loc"])
    message = detail["msg"].removeprefix("Input ")
    if detail["type"].startswith("missing"):
        return f"{key}: is missing"
    return f"{key}: {message[0].lower()}{message[1:]}, got {detail['input']!r}"


def _join(*names: Any) -> str:
    return ".".join(str(name) for name in names if name != "")
