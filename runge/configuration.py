"""From a section of a configuration to an object, with every mistake told by its key, its value and what is allowed."""

import functools
import hashlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from runge.errors import ConfigurationError

T = TypeVar("T")

CONFIGURATIONS = Path(__file__).resolve().parent.parent / "conf"
"""Where the groups and the experiments are."""


@functools.cache
def known_settings() -> dict[str, Any]:
    """Every key of every option of every group, flat, with a value that it has in one of them."""
    found: dict[str, Any] = {}
    for path in sorted(CONFIGURATIONS.glob("*/*.yaml")):
        if path.parent.name not in ("experiment", "logger"):
            content, group = yaml.safe_load(path.read_text()), path.parent.name
            content.pop("defaults", None)
            found |= flatten(content) if group in content else flatten(content, group)  # an option may set other keys
    return found


SAME_BITS = ("resume", "logger", "trainer.progress_bar", "trainer.checkpoint_seconds")
"""The keys and sections that change no bit of a run's result."""

SAME_RESULT = (*SAME_BITS, "trainer.compile")
"""The keys that comparisons ignore: those, and one that changes a result by round-off only."""


def digest(configuration: Mapping[str, Any]) -> str:
    """What tells the run of a resolved configuration from any other: a hash of all that has an effect on its result.

    Example:
        >>> digest({"trainer": {"max_steps": 10}}) == digest({"trainer": {"max_steps": 10, "progress_bar": False}})
        True
    """
    configuration = {key: value for key, value in configuration.items() if key not in SAME_BITS}
    trainer = configuration.get("trainer")
    if isinstance(trainer, Mapping):
        kept = {key: value for key, value in trainer.items() if f"trainer.{key}" not in SAME_BITS}
        configuration = {**configuration, "trainer": kept}
    return hashlib.sha256(json.dumps(configuration, sort_keys=True).encode()).hexdigest()


def strangers(values: Any) -> list[str]:
    """The classes that a configuration from a file names, of modules that are not to be imported for its sake.

    To import a module runs it. What is loaded already was asked for by somebody else.
    """
    if isinstance(values, list | tuple):
        return [name for value in values for name in strangers(value)]
    if not isinstance(values, Mapping):
        return []
    named = [str(values["_target_"])] if "_target_" in values else []
    unknown = [name for name in named if name.rpartition(".")[0] not in sys.modules]
    return unknown + [name for value in values.values() for name in strangers(value)]


def section(key: str, values: Any) -> dict[str, Any]:
    """Return a section's content.

    Raises:
        ConfigurationError: it is not a section.
    """
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{key}: must be a section with keys, got {values!r}")
    return {str(name): value for name, value in values.items()}


def build(key: str, values: Any, kind: type[T]) -> T:
    """Make the object that a section describes.

    Args:
        key: the section's key.
        values: its content; `_target_` names the class where it can be swapped.
        kind: the class that is made, or that the class named by `_target_` must derive from.

    Returns:
        The object.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed.
    """
    values = section(key, values)
    swapped = "_target_" in values or inspect.isabstract(kind)
    make = locate(key, values.pop("_target_", None), kind) if swapped else kind
    parameters = inspect.signature(make).parameters
    for name, parameter in parameters.items():
        if name not in values and parameter.default is inspect.Parameter.empty:
            raise ConfigurationError(f"{_join(key, name)}: is missing")
    for name in values:
        if name not in parameters:
            raise ConfigurationError(
                f"{_join(key, name)}: there is no such key; {key} has {', '.join(parameters) or 'none'}"
            )
    for name, value in values.items():  # an object may have objects for its parts, of a class that it names
        if isinstance(value, Mapping) and "_target_" in value:
            part = parameters[name].annotation
            if not inspect.isclass(part) or part is object or part is inspect.Parameter.empty:
                raise ConfigurationError(f"{_join(key, name)}: must be a value, because it is annotated with no class")
            values[name] = build(_join(key, name), value, part)
    with explained(key, parameters):
        return make(**values)


@contextmanager
def explained(key: str, names: Collection[str]) -> Iterator[None]:
    """Raise a ValueError as a ConfigurationError whose message begins with the full key.

    Args:
        key: the section's key.
        names: the keys of the section, with which the message of an error may begin.
    """
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(key, detail) for detail in error.errors())) from error
    except ValueError as error:
        message = str(error)
        prefix = f"{key}." if message.partition(":")[0] in names else ""
        raise ConfigurationError(f"{prefix}{message}") from error


def locate(key: str, path: Any, kind: Any) -> type[Any]:
    """Return the class that a section names, which derives from `kind`.

    Raises:
        ConfigurationError: there is no such class, or it cannot be imported.
    """
    try:
        found = pkgutil.resolve_name(path)
        if not inspect.isclass(found):
            raise TypeError(f"it is {type(found).__name__}")
    except Exception as error:  # whatever the import of a user's module raises
        raise ConfigurationError(
            f"{key}._target_: must name a class that can be imported, got {path!r} ({error})"
        ) from error
    if not issubclass(found, kind) or inspect.isabstract(found):
        raise ConfigurationError(f"{key}._target_: must name a class derived from {kind.__name__}, got {path!r}")
    return found


def _explain(section: str, detail: Any) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if not detail["loc"]:  # an error of the object as a whole: its text names the key
        return _join(section, message)
    key = _join(section, *detail["loc"])
    return f"{key}: {message[0].lower()}{message[1:]}, got {detail['input']!r}"


def _join(*names: Any) -> str:
    return ".".join(str(name) for name in names if name != "")


def flatten(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | int | str | None]:
    """A configuration as flat pairs; classes by their name, lists as text.

    Example:
        >>> flatten({"seed": 0, "target": {"_target_": "runge.targets.Runge", "domain": [-1.0, 1.0]}})
        {'seed': 0, 'target': 'Runge', 'target.domain': '[-1.0, 1.0]'}
    """
    flat: dict[str, bool | float | int | str | None] = {}
    for name, value in configuration.items():
        key = f"{prefix}.{name}".removeprefix(".")
        if isinstance(value, Mapping):
            flat |= flatten(value, key)
        elif name == "_target_":
            flat[prefix] = str(value).rpartition(".")[2]
        else:
            flat[key] = value if value is None or isinstance(value, bool | int | float | str) else str(value)
    return flat
