"""The command `runge VERB`, or `python train.py`: it reports a mistake in one message, and stops on SIGTERM."""

import atexit
import gc
import importlib
import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra.core.utils import env_override
from omegaconf import DictConfig
from rich.console import Console

from runge.commands.endings import ending_quietly
from runge.composing.composition import register_resolvers
from runge.composing.overrides import as_sweep, check_overrides, explain, quoted
from runge.composing.task import train_composed
from runge.configuration.command_line import command, in_shell
from runge.configuration.errors import ConfigurationError, did_you_mean
from runge.configuration.objects import CONFIGURATIONS
from runge.interruption import ENDING, interruption
from runge.records.files import printable

_VERBS = {
    "fit": "find the best fit of a table or a formula in a minute, without settings",
    "train": "train one run, or with -m a sweep, and compare its runs",
    "check": "report contradictions between the values and the derivatives of a table",
    "predict": "write values and derivatives at the rows of a table",
    "suggest": "suggest the points to compute next",
    "export": "write value and derivatives for other programs",
    "draw": "draw the pictures of any runs",
    "compare": "compare any runs in a table and a report",
}
"""The first words of a command, and what they do."""

_HELP = """\
usage: {0} VERB ...

Fit a function and its derivative with small neural networks.

{1}

{0} VERB --help shows the options of a verb, {0} --version the version.
"""

_FIT = """\
usage: {0} FILE [KEY=VALUE ...]
       {0} target=NAME [KEY=VALUE ...]

Fit a table or a formula without choosing settings: candidates of all methods are compared within a time limit by their
errors on held-out rows, and the best one is trained on all rows. It is short for
{1} -m search=best data=table data.file=FILE.

  search.timeout=60    the seconds that it may take
  hydra.sweep.dir=DIR  the directory of the answer and the report; a command that was stopped resumes there
  KEY=VALUE            any setting of a run, which all candidates then have; {1} --help lists them
"""


_NAMES_OWN = re.compile(r"_target_|activation=.*\w\.|pkg://|^(-cd|-cp|--config-|hydra\.searchpath)")
"""Arguments that name a class, a function or a folder of configurations of the user's own."""


@ending_quietly()
def main(default: str = "") -> None:
    """Run the command: a verb with its arguments.

    Args:
        default: the verb of a command that begins with none; empty: there must be one.
    """
    gc.set_threshold(1_000_000, 10, 10)  # importing and composing make many objects that stay
    atexit.register(gc.freeze)  # the last collection takes half a second once torch is loaded
    words = sys.argv[1:]
    verb, arguments = (words[0], words[1:]) if words and words[0] in _VERBS else (default, words)
    if "--version" in arguments and verb in ("", "train"):
        print(f"runge {sys.modules['runge'].__version__}")
    elif not verb and {*arguments} <= {"-h", "--help"}:
        lines = [f"  {verb:9}{summary}" for verb, summary in _VERBS.items()]
        print(_HELP.format(command("").rstrip(), "\n".join(lines)), end="")
    elif arguments == words and (mistake := _without_verb(words, default)):
        sys.exit(f"error: {printable(mistake)}")
    elif verb in ("fit", "train"):
        sys.argv[1:] = _fit_arguments(arguments) if verb == "fit" else arguments
        if names_own := any(map(_NAMES_OWN.search, sys.argv)):  # of a class, which may be in the working directory
            sys.path.append(os.getcwd())
        register_resolvers()
        # A sweep calls the launcher of `hydra_plugins`, which trains stacks, and not `train`.
        run = hydra.main(version_base="1.3", config_path=str(CONFIGURATIONS), config_name="config")(train)
        # For the jobs of clusters, which begin with `python -m`, Python would put the working directory first.
        with env_override({} if names_own else {"PYTHONSAFEPATH": "1"}):
            _report_mistakes(run)
    else:
        importlib.import_module(f"runge.commands.{verb}").main(arguments, command(verb))


def train(configuration: DictConfig) -> Any:
    """Train one run, print its errors, and return the values of its objective."""
    from runge.pictures.drawing import draw_into  # late: other verbs do not need it

    return train_composed(configuration, draw_into, _print_errors)


def _print_errors(*errors: Any) -> None:
    """Print the table of a run's errors, the arguments of `error_table`."""
    from runge.comparison.tables import error_table  # late: a mistake is reported before

    Console().print(error_table(*errors))


def _without_verb(words: Sequence[str], default: str) -> str:
    """Return the message for a command that does not begin with a verb; empty if it is one of the default verb."""
    first = words[0] if words else ""
    question = did_you_mean(first, list(_VERBS)) if first.isalpha() else ""
    if default and not question:
        return ""
    if not question and (first.startswith("-") or "=" in first or os.path.isfile(first)):
        verb = "fit" if os.path.isfile(first) else "train"
        question = f"did you mean: {command(verb)} {' '.join(map(in_shell, words))}"
    rule = f"the first word must be one of {', '.join(_VERBS)}; got {first!r}"
    return "; ".join(filter(None, [rule, question]))


def _fit_arguments(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of `runge train` that those of `runge fit` are short for, or end with help or a message."""
    if not arguments or {"-h", "--help"} & {*arguments}:
        print(_FIT.format(command("fit"), command()), end="")
        sys.exit(0 if arguments else 2)
    try:
        return as_sweep(arguments)
    except ConfigurationError as error:
        sys.exit(f"error: {error}")


@interruption.handled(*ENDING)
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
