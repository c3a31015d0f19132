"""The command `runge`, or `python train.py`: it reports a mistake in one message, and stops on SIGTERM."""

import atexit
import gc
import importlib
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import hydra

from runge.commands.plumbing import ending_quietly
from runge.configuration.errors import ConfigurationError, did_you_mean
from runge.configuration.objects import CONFIGURATIONS
from runge.configuration.words import command, override_of
from runge.interruption import interruption
from runge.records.files import printable
from runge.sweeps.compose import register_resolvers
from runge.sweeps.session import check_overrides, explain, quoted, train

_VERBS = {"predict": "runge.commands.predict", "export": "runge.commands.export", "draw": "runge.commands.draw"}
_VERBS |= {"compare": "runge.commands.compare", "check": "runge.commands.check", "suggest": "runge.commands.suggest"}
"""The first words of a command that do not train: the module whose `main` takes the others."""

_FIT = """\
usage: {0} fit FILE [KEY=VALUE ...]
       {0} fit target=NAME [KEY=VALUE ...]

Fit a table, or a formula, with nothing to choose: candidates of all methods are compared within a time limit by their
errors in rows that they have not seen, and the best ones are trained on all rows. It is short for
{0} -m search=best data=table data.file=FILE.

  search.timeout=60    the seconds that it may take
  hydra.sweep.dir=DIR  the directory of the answer and the report; a command that was stopped resumes there
  KEY=VALUE            any setting of a run, which all candidates then have; {0} --help lists them
"""


@ending_quietly()
def main() -> None:
    """Run the command: one of the verbs, or a training with the options of `hydra.main`."""
    gc.set_threshold(1_000_000, 10, 10)  # importing and composing make many objects that stay
    atexit.register(gc.freeze)  # the last collection takes half a second once torch is loaded
    sys.path.insert(0, os.getcwd())  # as `python -m` does, so that classes of the user's own are found
    verb, *others = sys.argv[1:] or [""]
    if verb == "fit":
        if not others or {"-h", "--help"} & {*others}:
            print(_FIT.format(command()), end="")
            sys.exit(0 if others else 2)
        try:
            sys.argv[1:] = as_sweep(others)
        except ConfigurationError as error:
            sys.exit(f"error: {error}")
    if verb in _VERBS:
        importlib.import_module(_VERBS[verb]).main(others, f"{command()} {verb}")
    elif verb.isalpha() and verb != "fit" and (question := did_you_mean(verb, words := ("fit", *_VERBS))):
        rule = f"must be KEY=VALUE, or one of {', '.join(words)}"
        sys.exit(f"error: the first word {rule}; got {verb!r}; {question}")
    elif "--version" in sys.argv:
        print(f"runge {sys.modules['runge'].__version__}")
    else:
        register_resolvers()
        _report_mistakes(hydra.main(version_base="1.3", config_path=str(CONFIGURATIONS), config_name="config")(train))


def as_sweep(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that `runge fit FILE OVERRIDES`, or `runge fit target=NAME`, is short for.

    Raises:
        ConfigurationError: neither a file nor a target is named.

    Example:
        >>> as_sweep(["rows.csv", "search.timeout=20"])
        ['-m', 'search=best', 'data=table', 'data.file=rows.csv', 'search.timeout=20']
    """
    file = [one for one in arguments[:1] if os.path.isfile(one) or ("=" not in one and not one.startswith("-"))]
    if not file and not any(one.lstrip("+").startswith(("data", "experiment", "target")) for one in arguments):
        rule = "must be the first argument, or target=NAME must be given"
        raise ConfigurationError(f"FILE: {rule}; got {' '.join(arguments)}")
    table = ["data=table", override_of("data.file", file[0])] if file else []
    return ["-m", "search=best", *table, *arguments[len(file) :]]


@interruption.handled()
def _report_mistakes(main: Callable[[], Any]) -> None:
    """Run a `hydra.main` function; if it fails, exit with 1 and one message.

    A traceback is shown if `HYDRA_FULL_ERROR` is 1, and for errors that are not a user's mistake.
    """
    full = os.environ.get("HYDRA_FULL_ERROR") == "1"
    sys.argv[1:] = quoted(sys.argv[1:])
    os.environ["HYDRA_FULL_ERROR"] = "1"  # with it Hydra passes exceptions on instead of printing them
    logging.raiseExceptions = False  # a log that cannot be written is not worth a traceback
    try:
        check_overrides(sys.argv[1:])
        main()
        interruption.check()
    except BrokenPipeError:
        raise
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
            del os.environ["HYDRA_FULL_ERROR"]
