"""What surrounds a command: a directory of its own, and a user's mistake told in one message."""

import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from runge.runs import RunDirectory, claim

_FULL = "HYDRA_FULL_ERROR"


class ConfigurationError(ValueError):
    """A mistake in the configuration; the message names the key, the value and what is allowed."""


class RunError(RuntimeError):
    """A run that ended without a result; the message says why, and what to do."""


def register_resolvers() -> None:
    """Register `${directory:RESUME,PATH}`: the run to resume, else PATH made anew, numbered where it exists already."""
    OmegaConf.register_new_resolver("directory", _directory, use_cache=True, replace=True)


def _directory(resume: Any, path: str) -> str:
    if resume is None:
        return claim(path)
    run = RunDirectory(str(resume))
    if run.metrics.exists():
        raise ConfigurationError(f"resume: must be a run that is not finished, got {str(resume)!r}, which is")
    if not run.last.is_file():
        raise ConfigurationError(
            f"resume: must be a run's directory with a checkpoint, got {str(resume)!r}; there is no {run.last}"
        )
    return str(run.path)


def run(main: Callable[..., Any]) -> None:
    """Run a `hydra.main` function; exit with 1 and one message where it fails.

    The traceback is shown only where `HYDRA_FULL_ERROR` is set, and for what is not a user's mistake.
    """
    full = bool(os.environ.get(_FULL))
    sys.argv[1:] = [quote_expression(argument) for argument in sys.argv[1:]]
    os.environ[_FULL] = "1"  # Hydra then hands every exception on instead of printing it in its own way.
    try:
        main()
    except Exception as error:
        if full:
            raise
        message = explain(error)
        if message is None:
            traceback.print_exc()
        else:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(1)
    finally:
        if not full:
            del os.environ[_FULL]


def quote_expression(argument: str) -> str:
    """Quote the formulas of a `target.expr` override, which Hydra's grammar would take for calls of its own.

    A formula holds no comma, so that commas part those of a sweep.

    Example:
        >>> quote_expression("target.expr=exp(-x)*sin(8*x)")
        "target.expr='exp(-x)*sin(8*x)'"
        >>> quote_expression("target.expr=sin(x),cos(x)")
        "target.expr='sin(x)','cos(x)'"
    """
    key, equals, value = argument.partition("=")
    if key != "target.expr" or not value or value[0] in "'\"":
        return argument
    return key + equals + ",".join(f"'{formula}'" for formula in value.split(","))


def explain(error: Exception) -> str | None:
    """The message for a user's mistake, or None where the error is not one."""
    if isinstance(error, ConfigurationError | RunError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        # A resolver's error comes wrapped, with no more of it than its text.
        return str(error).splitlines()[0].rpartition("raised while resolving interpolation: ")[2]
    if isinstance(error, HydraException):
        return _explain_composition(error)
    if isinstance(error, OSError) and error.filename is not None:
        where = f"{error.filename}: {error.strerror}"
        return f"hydra.run.dir, hydra.sweep.dir: must be a directory that can be written to; {where}"
    return None


def _explain_composition(error: HydraException) -> str:
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        allowed = ", ".join(map(str, cause.parent_node.keys()))
        section = str(cause.full_key).rpartition(".")[0]
        what = f"there is no such key; {section or 'the top level'} has {allowed}"
        return f"{cause.full_key}: {what}"
    detail = f"; {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else ""
    return str(error).partition("\n\nConfig search path")[0] + detail
