"""Objects made from the sections of a configuration; a message names the wrong key, its value and the rule."""

import functools
import hashlib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic import ValidationError

from runge.configuration.errors import ConfigurationError
from runge.configuration.unknown_keys import CONFIGURATIONS, join, no_such_key

T = TypeVar("T")

REMARKS = ("tags", "note")
"""The keys that only a person reads."""

SAME_BITS = (
    *("resume", "logger", "pictures", "objective", "trainer.progress_bar", "trainer.checkpoint_seconds"),
    *REMARKS,
)
"""The keys and sections that change no bit of a run's result, so that a run may be resumed with others."""

SAME_RESULT = (*SAME_BITS, "trainer.compile")
"""The keys that comparisons ignore: `SAME_BITS`, and one that changes a result by round-off only."""

SEEDS = ("seed", "data.seed", "data.fold")
"""The keys in which the runs of one function may differ."""

OF_STEPS = (
    "balance.every",
    "resampling.every",
    "resampling.last_step",
    "schedule.at_step",
    "schedule.latest_step",
    "schedule.ramp_steps",
    "trainer.log_every",
    "trainer.patience",
)
"""The keys whose defaults in `conf/` follow from `trainer.max_steps`, as shares of the steps."""


def digest(configuration: Mapping[str, Any]) -> str:
    """Return a hash of everything in a run's resolved configuration that affects its result.

    Example:
        >>> digest({"trainer": {"max_steps": 10}}) == digest({"trainer": {"max_steps": 10, "progress_bar": False}})
        True
    """
    relevant = {key: value for key, value in configuration.items() if key not in SAME_BITS}
    if "trainer" in relevant:
        relevant["trainer"] = {
            key: value for key, value in relevant["trainer"].items() if f"trainer.{key}" not in SAME_BITS
        }
    if "data" in relevant:  # a file may move; its rows have a checksum of their own
        relevant["data"] = {key: value for key, value in relevant["data"].items() if key != "file"}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def foreign(values: Any) -> list[str]:
    """Return the names in a file that are not allowed: a class of `conf/` is, and what the command itself names.

    So are a loaded activation, and a loaded network whose class is of a module of the user's own.

    A file may be from anybody: nothing that it names is imported or called unless it is one of these.

    Example:
        >>> foreign({"model": {"activation": "mine.gaussian"}, "target": {"_target_": "runge.targets.Runge"}})
        ['mine.gaussian']
    """
    if isinstance(values, list | tuple):
        return [name for value in values for name in foreign(value)]
    if not isinstance(values, Mapping):
        return []
    target, activation = str(values.get("_target_", "")), str(values.get("activation"))
    names = [target] if target not in _own_classes() | _NAMED and not _is_own_network(target) else []
    if "." in activation and loaded(activation) is None:  # a loaded one has to be an activation
        names.append(activation)
    return names + foreign(list(values.values()))


def _is_own_network(path: str) -> bool:
    """Return whether a loaded module that is not of torch, of Lightning or of this package has such a torch module."""
    named, networks = loaded(path), sys.modules.get("torch.nn")
    is_foreign = path.partition(".")[0] not in ("torch", "lightning", "runge")
    return is_foreign and inspect.isclass(named) and networks is not None and issubclass(named, networks.Module)


def loaded(path: str) -> Any:
    """Return what a dotted path names in a loaded module, without importing anything; None: there is nothing."""
    module, _, name = path.rpartition(".")
    return vars(sys.modules[module]).get(name) if module in sys.modules else None


_NAMED = set[str]()
"""The names that have been imported, which the command has, or the program that calls `runge`."""


@functools.cache
def _own_classes() -> frozenset[str]:
    """Return the classes that the options of the groups name, except loggers, which may write anywhere; and ''."""
    texts = [
        path.read_text(encoding="utf-8") for path in CONFIGURATIONS.glob("*/*.yaml") if path.parent.name != "logger"
    ]
    return frozenset({"", *re.findall(r"^ *_target_: *([\w.]+)$", "\n".join(texts), re.MULTILINE)})


def section(key: str, values: Any) -> dict[str, Any]:
    """Return the content of a section; raise a ConfigurationError if it is none."""
    if not isinstance(values, Mapping):
        raise ConfigurationError(f"{key}: must be a section with keys, got {values!r}")
    return {str(name): value for name, value in values.items()}


Adapt = Callable[[Any], Callable[..., Any] | None]


def build(key: str, values: Any, kind: type[T], adapt: Adapt = lambda _: None) -> T:
    """Make the object that a section describes, or return it if it is one, as it may be from Python.

    Args:
        key: the section's key.
        values: its content; `_target_` names the class if there is a choice.
        kind: the class of the object, or a base class of the class named by `_target_`.
        adapt: returns what makes such an object from the parameters of another class, or None.

    Raises:
        ConfigurationError: a key is unknown or missing, or a value is not allowed.
    """
    if isinstance(values, kind):
        return values
    make, values = class_and_arguments(key, values, kind, adapt)
    with explained(key, inspect.signature(make).parameters):
        return make(**values)


def build_of_file(key: str, values: Any, kind: type[T]) -> T:
    """Make the object that a section of a file describes.

    Raises:
        ConfigurationError: as `build`; or it names what a file must not name (`foreign`).
    """
    if names := foreign(values):
        raise ConfigurationError(f"{key}: refers to {', '.join(names)}, which files may not import or call, for safety")
    return build(key, values, kind)


def class_and_arguments(
    key: str, values: Any, kind: type[T], adapt: Adapt = lambda _: None
) -> tuple[Callable[..., T], Any]:
    """Return the class that a section names and its arguments, all keys checked, as the first half of `build`."""
    values = section(key, values)
    named = "_target_" in values or inspect.isabstract(kind)
    make = locate(key, values.pop("_target_", None), kind, adapt) if named else kind
    for name, parameter in _checked(key, values, make).items():
        optional = parameter.default is not parameter.empty or parameter.kind == parameter.VAR_KEYWORD
        if name not in values and not optional:
            raise ConfigurationError(f"{join(key, name)}: is missing")
    return make, values


def function(key: str, values: Any) -> Callable[..., Any]:
    """Return the function that the `_target_` of a section names, with the section's other keys as arguments."""
    values = section(key, values)
    path = values.pop("_target_", None)
    named = _import(key, path)
    if inspect.isclass(named) or not callable(named):
        raise ConfigurationError(f"{key}._target_: must name a function, got {path!r}")
    _checked(key, values, named)
    return functools.partial(named, **values)


def _checked(key: str, names: Iterable[str], make: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class or a function, all of these names among them."""
    try:
        allowed = inspect.signature(make).parameters
    except ValueError as error:  # a function that is not written in Python
        raise ConfigurationError(
            f"{key}._target_: must have known parameters ({error}); wrap it in a function"
        ) from error
    takes_any = any(parameter.kind == parameter.VAR_KEYWORD for parameter in allowed.values())
    for name in names:
        if name not in allowed and not takes_any:
            raise no_such_key(key, name, allowed)
    return allowed


@contextmanager
def explained(key: str, names: Collection[str]) -> Iterator[None]:
    """Raise a ValueError, whose message may begin with one of `names`, as a ConfigurationError with the full key."""
    try:
        yield
    except ValidationError as error:
        raise ConfigurationError("\n".join(_explain(key, detail) for detail in error.errors())) from error
    except ValueError as error:
        prefix = f"{key}." if str(error).partition(":")[0] in names else ""
        raise ConfigurationError(f"{prefix}{error}") from error


def locate(key: str, path: Any, kind: Any, adapt: Adapt = lambda _: None) -> Callable[..., Any]:
    """Return the class, derived from `kind`, at a dotted path, or raise a ConfigurationError if there is none."""
    named = _import(key, path)
    if (adapted := adapt(named)) is not None:
        return adapted
    if not inspect.isclass(named):
        raise ConfigurationError(f"{key}._target_: must name a class, got {path!r}, which is {type(named).__name__}")
    if not issubclass(named, kind) or inspect.isabstract(named):
        raise ConfigurationError(f"{key}._target_: must name a class derived from {kind.__name__}, got {path!r}")
    return named


def _import(key: str, path: Any) -> Any:
    try:
        if ":" in path:  # which would also import a module
            raise ValueError("a dotted path has no colon")
        named = pkgutil.resolve_name(path)
        _NAMED.add(path)
        return named
    except Exception as error:  # a user's module may raise anything on import
        rule = f"must name what can be imported, got {path!r} ({error})"
        raise ConfigurationError(f"{key}._target_: {rule}") from error


def _explain(key: str, detail: Any) -> str:
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if isinstance(limit := next(iter(detail.get("ctx", {}).values()), None), float):  # 1e+12, not 1000000000000
        message = f"{message.rpartition(' ')[0]} {limit:g}"
    if not detail["loc"]:  # an error of the object as a whole: its text names the key
        return join(key, message)
    return f"{join(key, *detail['loc'])}: {message[0].lower()}{message[1:]}, got {detail['input']!r}"


_LONGEST_KEY = 500
"""The most letters of a key with those of its sections."""


def flatten(configuration: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | int | str | None]:
    """Return a configuration as flat pairs; classes by their name, lists as text.

    Example:
        >>> flatten({"seed": 0, "target": {"_target_": "runge.targets.Runge", "domain": [-1.0, 1.0]}})
        {'seed': 0, 'target': 'Runge', 'target.domain': '[-1.0, 1.0]'}
    """
    flat: dict[str, bool | float | int | str | None] = {}
    for name, value in configuration.items():
        key = join(prefix, name)
        if len(key) > _LONGEST_KEY:  # or nested keys of a file would stand for more text than it has
            raise ValueError(f"{key[:40]}...: a key has more than {_LONGEST_KEY} letters")
        if isinstance(value, Mapping):
            flat |= flatten(value, key)
        elif name == "_target_":
            flat[prefix] = str(value).rpartition(".")[2]
        else:
            flat[key] = value if value is None or isinstance(value, bool | int | float | str) else str(value)
    return flat
