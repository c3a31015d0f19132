"""The overrides of a command: how they are typed and checked, and what a mistake of theirs is called."""

import os
import re
import traceback
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from runge.composing.composition import explain_value
from runge.configuration.command_line import override_of
from runge.configuration.errors import ConfigurationError, RunError, did_you_mean
from runge.configuration.unknown_keys import CONFIGURATIONS, no_such_key
from runge.records.directories import refuse_links

__all__ = ["as_sweep", "check_overrides", "explain", "quoted"]

_FIXED = {
    "hydra.output_subdir": "a run's record is always in its folder .hydra",
    "hydra.job.name": "a run's log is always train.log",
    "hydra": "set its keys, such as hydra.run.dir",
}

_DECIDING = ("data", "optimizer")
"""The groups on whose options those of other groups depend, so that a mapping adds its keys to their option."""


def as_sweep(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that `runge fit FILE OVERRIDES`, or `runge fit target=NAME`, is short for.

    Raises:
        ConfigurationError: neither a file nor a target is named.

    Example:
        >>> as_sweep(["rows.csv", "search.timeout=20"])
        ['-m', 'search=best', 'data=table', 'data.file=rows.csv', 'search.timeout=20']
    """
    file = [x for x in arguments[:1] if os.path.isfile(x) or ("=" not in x and not x.startswith("-"))]
    if not file and not any(x.lstrip("+").startswith(("data", "experiment", "target")) for x in arguments):
        rule = "must be the first argument, or target=NAME must be given"
        raise ConfigurationError(f"FILE: {rule}; got {' '.join(arguments) or 'nothing'}")
    table = ["data=table", override_of("data.file", file[0])] if file else []
    return ["-m", "search=best", *table, *arguments[len(file) :]]


def check_overrides(arguments: Sequence[str]) -> None:
    """Reject overrides that Hydra accepts or explains poorly: groups without an option, keys that name files."""
    for argument in arguments:
        try:
            override = OverridesParser.create().parse_override(argument)
        except HydraException:
            continue  # Hydra reports it
        group, choice = override.key_or_group, override.value()
        if group in _FIXED:
            raise ConfigurationError(f"{group}: must not be set; {_FIXED[group]}")
        if override.is_delete() and str(group).startswith("hydra."):  # Hydra says so after it has made the directory
            raise ConfigurationError(f"{group}: must not be deleted, because it is a key of Hydra's")
        if group == "hydra.run.dir" and isinstance(choice, str):  # before Hydra opens the run's log there
            refuse_links(Path(choice), group)
        options = sorted(path.stem for path in (CONFIGURATIONS / group).glob("*.yaml")) if group else []
        if not options or override.is_delete() or isinstance(choice, dict):
            continue
        if override.is_sweep_override():
            choice = choice.list if isinstance(choice, ChoiceSweep) else []
        names = choice if isinstance(choice, list) else [choice]
        if not all(isinstance(name, str | QuotedString | dict) and name != "" for name in names):
            none = ", or [] for none" if group in ("logger", "experiment") else ""
            value = argument.partition("=")[2] or "nothing"
            raise ConfigurationError(f"{group}: must be one of {', '.join(options)}{none}; got {value}")
        has_class = [isinstance(name, dict) and "_target_" in name for name in names]
        if any(has_class) and not all(has_class) and group not in _DECIDING:
            rule = f"must be either options, {', '.join(options)}, or mappings with _target_, in all values of a sweep"
            raise ConfigurationError(f"{group}: {rule}; got {argument.partition('=')[2]}")


def quoted(arguments: Sequence[str]) -> list[str]:
    """Return arguments as Hydra's grammar reads them."""
    return [_quote_expression(_quote_columns(part)) for argument in arguments for part in _replace_option(argument)]


def _replace_option(argument: str) -> list[str]:
    """Let a mapping with a class replace the option of a group, as a file would: Hydra adds its keys to the option's.

    Example:
        >>> _replace_option("schedule={_target_: mine.Steps, first: 10}")
        ['~schedule', '+schedule={_target_: mine.Steps, first: 10}']
    """
    group = re.match(r"(\w+)=\{[^}]*\b_target_:", argument)
    if group and group[1] not in _DECIDING and any((CONFIGURATIONS / group[1]).glob("*.yaml")):
        return [f"~{group[1]}", f"+{argument}"]
    return [argument]


def _quote_columns(argument: str) -> str:
    """Quote the names of a list of columns if some of them have brackets, as with units.

    Example:
        >>> _quote_columns("data.outputs=[F [kN],Te [K]]")
        "data.outputs=['F [kN]','Te [K]']"
    """
    key, _, value = argument.partition("=")
    names = value[1:-1]
    if key not in ("data.inputs", "data.outputs") or "[" not in names or re.search(r"['\"\\]|\],\[", value):
        return argument
    return f"{key}=[{','.join(repr(name.strip()) for name in names.split(','))}]"


def _quote_expression(argument: str) -> str:
    """Quote the formulas of a `target.expr` override, which Hydra's grammar would take for its own functions.

    Formulas hold no comma, so commas separate the formulas of a sweep, of a list or of a mapping.

    Example:
        >>> _quote_expression("target.expr=sin(x),cos(x)")
        "target.expr='sin(x)','cos(x)'"
        >>> _quote_expression("target.expr={a: x*y, b: sin(x)}")
        "target.expr={a: 'x*y', b: 'sin(x)'}"
    """
    key, equals, value = argument.partition("=")
    if key.lstrip("+") != "target.expr" or not value or value[0] in "'\"" or value.startswith("choice("):
        return argument
    if value[0] in "[{":
        formulas = r"[^][{},:\s][^][{},:]*(?=[][{},])"  # a colon follows the name of an output
        return argument if re.search("['\"]", value) else key + equals + re.sub(formulas, r"'\g<0>'", value)
    return key + equals + ",".join(f"'{formula}'" for formula in value.split(","))


def explain(error: Exception) -> str | None:
    """Return the message for a user's mistake, or None for any other error."""
    if isinstance(error, ConfigurationError | RunError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        return explain_value(error)
    if isinstance(error, HydraException):
        return _explain_composition(error)
    if isinstance(error, OSError) and error.filename is not None:
        rule = "hydra.run.dir, hydra.sweep.dir: must be a directory that can be written to"
        return f"{rule}; {error.filename}: {error.strerror}"
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    if frame.f_globals.get("__name__", "").partition(".")[0] in ("hydra", "omegaconf"):
        return f"Hydra does not accept the command line: {str(error) or type(error).__name__}"
    return None


def _explain_composition(error: HydraException) -> str:
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        question = did_you_mean(str(error.missing_cfg_file).rpartition("/")[2], error.options)
        rule = f"there is no such option; there are {', '.join(error.options)}"
        return f"{error.missing_cfg_file}: {'; '.join(filter(None, [rule, question]))}"
    if isinstance(error, OverrideParseException):
        detail = error.message.removeprefix(f"Error parsing override '{error.override}'\n")
        return f"{error.override!r} cannot be parsed: {detail}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        section, _, name = str(cause.full_key).rpartition(".")
        return str(no_such_key(section, name, [str(key) for key in cause.parent_node]))
    detail = f"; {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else ""
    return str(error).partition("\nConfig search path")[0].rstrip() + detail
