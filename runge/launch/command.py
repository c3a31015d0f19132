"""Run a command: report a mistake in one message, and stop on SIGTERM."""

import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from runge.configuration import CONFIGURATIONS
from runge.errors import ConfigurationError, RunError
from runge.machine import collect_rarely, skip_last_collection
from runge.records.files import printable

_FULL = "HYDRA_FULL_ERROR"


def run(main: Callable[..., Any]) -> None:
    """Run a `hydra.main` function; if it fails, exit with 1 and one message.

    A traceback is shown if `HYDRA_FULL_ERROR` is set, and for errors that are not a user's mistake.
    """
    collect_rarely()
    full = bool(os.environ.get(_FULL))
    sys.argv[1:] = [quote_expression(argument) for argument in sys.argv[1:]]
    os.environ[_FULL] = "1"  # with it Hydra passes exceptions on instead of printing them
    logging.raiseExceptions = False  # a log that cannot be written is not worth a traceback
    interrupted = []

    def interrupt(number: int, frame: object) -> None:
        interrupted.append(number)
        raise KeyboardInterrupt

    ending = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, interrupt) for number in ending}
    try:
        for argument in sys.argv[1:]:
            refuse_empty_group(argument)
        main()
    except (KeyboardInterrupt, SystemExit) as end:
        sys.exit("error: interrupted" if isinstance(end, KeyboardInterrupt) else end.code)
    except Exception as error:
        if interrupted:  # importing a library in C turns it into another error
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
        for number, handler in before.items():
            signal.signal(number, handler)
        skip_last_collection()


def refuse_empty_group(argument: str) -> None:
    """Refuse `GROUP=null`, because Hydra's message for it does not name the group.

    Raises:
        ConfigurationError: a group is set to nothing.
    """
    key, equals, value = argument.partition("=")
    options = sorted(path.stem for path in (CONFIGURATIONS / key).glob("*.yaml")) if equals and key else []
    if options and key != "experiment" and value in ("", "null"):
        none = ", or [] for none" if key == "logger" else ""
        raise ConfigurationError(f"{key}: must be one of {', '.join(options)}{none}; got {value or 'nothing'}")


def quote_expression(argument: str) -> str:
    """Quote the formulas of a `target.expr` override, which Hydra's grammar would take for its own functions.

    Formulas hold no comma, so commas separate the formulas of a sweep.

    Example:
        >>> quote_expression("target.expr=exp(-x)*sin(8*x)")
        "target.expr='exp(-x)*sin(8*x)'"
        >>> quote_expression("target.expr=sin(x),cos(x)")
        "target.expr='sin(x)','cos(x)'"
    """
    key, equals, value = argument.partition("=")
    if key.lstrip("+") != "target.expr" or not value or value[0] in "'\"" or value.startswith("choice("):
        return argument
    return key + equals + ",".join(f"'{formula}'" for formula in value.split(","))


def explain(error: Exception) -> str | None:
    """Return the message for a user's mistake, or None for any other error."""
    if isinstance(error, ConfigurationError | RunError):
        return str(error)
    if isinstance(error, OmegaConfBaseException):
        # OmegaConf wraps a resolver's error and keeps only its text.
        return str(error).splitlines()[0].rpartition("raised while resolving interpolation: ")[2]
    if isinstance(error, HydraException):
        return _explain_composition(error)
    if isinstance(error, OSError) and error.filename is not None:
        rule = "hydra.run.dir, hydra.sweep.dir: must be a directory that can be written to"
        return f"{rule}; {error.filename}: {error.strerror}"
    return None


def _explain_composition(error: HydraException) -> str:
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.parent_node is not None:
        allowed = ", ".join(map(str, cause.parent_node.keys()))
        section = str(cause.full_key).rpartition(".")[0]
        return f"{cause.full_key}: there is no such key; {section or 'the top level'} has {allowed}"
    detail = f"; {str(cause).splitlines()[0]}" if isinstance(cause, OmegaConfBaseException) else ""
    return str(error).partition("\n\nConfig search path")[0] + detail
