"""The command `runge`, or `python train.py`: it reports a mistake in one message, and stops on SIGTERM."""

import gc
import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from runge.configuration import CONFIGURATIONS, no_such_key
from runge.errors import ConfigurationError, RunError, command
from runge.launch.compose import explain_value, register_resolvers
from runge.machine import interruption
from runge.runs.files import printable

_FULL = "HYDRA_FULL_ERROR"
_VERBS = {
    "predict": ("runge.predict", "values and derivatives at the rows of a table"),
    "export": ("runge.export.__main__", "value and derivatives for other programs"),
    "draw": ("runge.draw", "the pictures of any runs"),
    "compare": ("runge.compare.__main__", "the table and the report of any runs"),
}
"""The first words of a command that do not train: the module whose `main` takes the others, and what it does."""
_FIXED = {
    "hydra.output_subdir": "a run's record is always in its folder .hydra",
    "hydra.job.name": "a run's log is always train.log",
    "hydra": "set its keys, such as hydra.run.dir",
}


def main() -> None:
    """Run the command: one of the verbs, or a training with the options of `hydra.main`."""
    sys.path.insert(0, os.getcwd())  # as `python -m` does, so that classes of the user's own are found
    arguments = sys.argv[1:]
    if arguments and arguments[0] in _VERBS:
        verb, *others = arguments
        importlib.import_module(_VERBS[verb][0]).main(others, f"{command()} {verb}")
        return
    if "--version" in arguments:
        print(f"runge {_package().__version__}")
        return
    if not {"-h", "--help"}.isdisjoint(arguments):
        print(_usage())  # Hydra adds the groups and keys
    register_resolvers()
    run(hydra.main(version_base="1.3", config_path=str(CONFIGURATIONS), config_name="config")(train))


def _package() -> ModuleType:
    return importlib.import_module("runge")  # it names all that is above, so it is no import of this module


def _usage() -> str:
    """Return the first part of the help."""
    name = command()
    lines = {
        f"{name} [KEY=VALUE ...]": "train one run",
        f"{name} -m KEY=VALUE,VALUE ...": "train a sweep, a run for each value, and compare its runs",
        **{f"{name} {verb} ...": f"{what}; {name} {verb} --help" for verb, (_, what) in _VERBS.items()},
        f"{name} --version": "the version of runge",
    }
    width = max(map(len, lines))
    return "\n".join([str(_package().__doc__), "", *(f"  {line:{width}}  {what}" for line, what in lines.items())])


def train(configuration: DictConfig) -> Any:
    """Train one run, and return the value of its objective, or a tuple of several, for a sweeper to minimise."""
    from runge.launch import run  # late: a mistake in the command line is reported before Lightning is loaded

    interruption.check()
    return run.run(configuration)


@interruption.handled()
def run(main: Callable[..., Any]) -> None:
    """Run a `hydra.main` function; if it fails, exit with 1 and one message.

    A traceback is shown if `HYDRA_FULL_ERROR` is set, and for errors that are not a user's mistake.
    """
    gc.set_threshold(1_000_000, 10, 10)  # importing and composing make many objects that stay
    full = bool(os.environ.get(_FULL))
    sys.argv[1:] = quoted(sys.argv[1:])
    os.environ[_FULL] = "1"  # with it Hydra passes exceptions on instead of printing them
    logging.raiseExceptions = False  # a log that cannot be written is not worth a traceback
    try:
        check_overrides(sys.argv[1:])
        main()
        interruption.check()
    except (KeyboardInterrupt, SystemExit) as end:
        sys.exit("error: interrupted" if isinstance(end, KeyboardInterrupt) else end.code)
    except BrokenPipeError:  # the process that reads the output, such as `head`, has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if interruption.received is not None:  # importing a library in C turns it into another error
            sys.exit("error: interrupted")
        if full:
            raise
        if (message := explain(error)) is None:
            traceback.print_exc()
        else:
            print(f"error: {printable(message, keep=chr(10))}", file=sys.stderr)
        sys.exit(1)
    finally:
        if not full:
            del os.environ[_FULL]
        gc.freeze()  # the last collection takes half a second once torch is loaded


def check_overrides(arguments: Sequence[str]) -> None:
    """Refuse overrides of which Hydra's message would not say what is wrong, or which it would accept.

    Raises:
        ConfigurationError: a group is set to nothing, to a number or to a boolean; a key of Hydra's is set that names
            a run's files; or an experiment for formulas is chosen for a table.
    """
    for argument in arguments:
        _check_override(argument)
    names = [argument.partition("=")[2] for argument in arguments if argument.startswith("experiment=")]
    for name in re.findall(r"[\w/]+", " ".join(names)) if "data=table" in arguments else ():
        path = CONFIGURATIONS / "experiment" / f"{name}.yaml"
        if path.is_file() and "n_train" in path.read_text():
            rule = "must be absent with data=table, because it is for formulas"
            raise ConfigurationError(f"experiment: {rule} and sets data.n_train; got {name}")


def _check_override(argument: str) -> None:
    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return  # Hydra reports it
    group, choice = override.key_or_group, override.value()
    if group in _FIXED:
        raise ConfigurationError(f"{group}: must not be set; {_FIXED[group]}")
    if override.is_delete() and str(group).startswith("hydra."):  # Hydra says so after it has made the directory
        raise ConfigurationError(f"{group}: must not be deleted, because it is a key of Hydra's")
    options = sorted(path.stem for path in (CONFIGURATIONS / group).glob("*.yaml")) if group else []
    if not options or override.is_delete() or isinstance(choice, dict):
        return
    if override.is_sweep_override():
        choice = choice.list if isinstance(choice, ChoiceSweep) else []
    names = choice if isinstance(choice, list) else [choice]
    if not all(isinstance(name, str | QuotedString) and name != "" for name in names):
        none = ", or [] for none" if group in ("logger", "experiment") else ""
        given = argument.partition("=")[2] or "nothing"
        raise ConfigurationError(f"{group}: must be one of {', '.join(options)}{none}; got {given}")


def quoted(arguments: Sequence[str]) -> list[str]:
    """Return arguments as Hydra's grammar reads them, with the sweeper that `search=NAME` needs.

    Example:
        >>> quoted(["search=target", "seed=1"])
        ['search=target', 'seed=1', 'hydra/sweeper=search']
    """
    given = [argument.partition("=")[2] for argument in arguments if argument.startswith("search=")]
    searches = any(value not in ("", "null", "[]") for value in given)
    chosen = any(argument.startswith("hydra/sweeper=") for argument in arguments)
    return [*map(quote_expression, arguments), *(["hydra/sweeper=search"] if searches and not chosen else [])]


def quote_expression(argument: str) -> str:
    """Quote the formulas of a `target.expr` override, which Hydra's grammar would take for its own functions.

    Formulas hold no comma, so commas separate the formulas of a sweep, of a list or of a mapping.

    Example:
        >>> quote_expression("target.expr=exp(-x)*sin(8*x)")
        "target.expr='exp(-x)*sin(8*x)'"
        >>> quote_expression("target.expr=sin(x),cos(x)")
        "target.expr='sin(x)','cos(x)'"
        >>> quote_expression("target.expr={a: x*y, b: sin(x)}")
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
    if frame.f_globals["__name__"].partition(".")[0] in ("hydra", "omegaconf"):
        return f"Hydra does not accept the command line: {str(error) or type(error).__name__}"
    return None


def _explain_composition(error: HydraException) -> str:
    cause = error.__cause__
    if isinstance(error, MissingConfigException) and error.options:
        return f"{error.missing_cfg_file}: there is no such option; there are {', '.join(error.options)}"
    if isinstance(error, OverrideParseException):
        detail = error.message.removeprefix(f"Error parsing override '{error.override}'\n")
        return f"{error.override!r} cannot be parsed: {detail}"
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        section, _, name = str(cause.full_key).rpartition(".")
        return str(no_such_key(section, name, [str(key) for key in cause.parent_node]))
    detail = f"; {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else ""
    return str(error).partition("\nConfig search path")[0].rstrip() + detail
