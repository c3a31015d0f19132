"""The command `runge VERB`, or `python train.py`: it reports a mistake in one message, and stops on SIGTERM."""

import atexit
import gc
import importlib
import logging
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import hydra
from hydra.core.utils import env_override
from omegaconf import DictConfig
from rich.console import Console

from runge.commands.endings import ending
from runge.commands.options import TRAINING, as_overrides
from runge.composing.composition import register_resolvers
from runge.composing.overrides import check_overrides, explain, quoted
from runge.composing.task import train_composed
from runge.configuration.command_line import command, in_shell
from runge.configuration.errors import ConfigurationError, RunError, did_you_mean
from runge.configuration.objects import CONFIGURATIONS
from runge.process.interruption import ENDING, interruption

_VERBS = {
    "fit": "find the best fit of a table or a formula in a minute, without settings",
    "train": "train one run",
    "sweep": "train a run for each combination of values, and compare the runs",
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

example:

  $ {0} check examples/wing.csv
  ...
  Checked 11 of 14 columns of derivatives. No contradiction was found.
  ...
  $ {0} fit examples/wing.csv --out DIR
  ...
  report: DIR/comparison.html
  $ {0} predict DIR examples/new.csv
  ...
  20 rows: examples/new_predicted.csv
"""

_NAMES_OWN = re.compile(r"_target_|activation=.*\w\.|pkg://|^(-cd|-cp|--config-|hydra\.searchpath)")
"""Arguments that name a class, a function or a folder of configurations of the user's own."""


@ending()
def main(default: str = "") -> None:
    """Run the command: a verb with its arguments.

    Args:
        default: the verb of a command that begins with none; empty: there must be one.
    """
    gc.set_threshold(1_000_000, 10, 10)  # importing and composing make many objects that stay
    atexit.register(gc.freeze)  # the last collection takes half a second once torch is loaded
    words = sys.argv[1:]
    verb, arguments = (words[0], words[1:]) if words and words[0] in _VERBS else (default, words)
    if "--version" in arguments and verb in ("", *TRAINING):
        print(f"runge {sys.modules['runge'].__version__}")
    elif not verb and {*arguments} <= {"-h", "--help"}:
        lines = [f"  {verb:9}{summary}" for verb, summary in _VERBS.items()]
        print(_HELP.format(command("").rstrip(), "\n".join(lines)), end="")
    elif arguments == words and (mistake := _without_verb(words, default)):
        raise ConfigurationError(mistake)
    elif verb in TRAINING:
        sys.argv[1:], options = as_overrides(verb, arguments)
        if names_own := any(map(_NAMES_OWN.search, sys.argv)):  # of a class, which may be in the working directory
            sys.path.append(os.getcwd())
        register_resolvers()
        # A sweep calls the launcher of `hydra_plugins`, which trains stacks, and not `train`.
        run = hydra.main(version_base="1.3", config_path=str(CONFIGURATIONS), config_name="config")(train)
        # For the jobs of clusters, which begin with `python -m`, Python would put the working directory first.
        with env_override({} if names_own else {"PYTHONSAFEPATH": "1"}):
            _report_mistakes(run, options)
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
    question = did_you_mean(first, list(_VERBS)) if first.isalpha() and first != "seed" else ""  # a key
    if default and not question:
        return ""
    if not question and (first.startswith("-") or "=" in first or os.path.isfile(first)):
        verb = "fit" if os.path.isfile(first) else "train"
        question = f"did you mean: {command(verb)} {' '.join(map(in_shell, words))}"
    rule = f"the first word must be one of {', '.join(_VERBS)}; got {first!r}"
    return "; ".join(filter(None, [rule, question]))


@interruption.handled(*ENDING)
def _report_mistakes(main: Callable[[], Any], options: Mapping[str, str]) -> None:
    """Run a `hydra.main` function, and raise what is a user's mistake as ConfigurationError, for `ending`.

    Its message names the options that were given, by the keys that they set.
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
        if isinstance(error, RunError) or (message := explain(error)) is None:
            raise
        for key, option in options.items():
            message = re.sub(rf"^{re.escape(key)}\b", option, message)
        raise ConfigurationError(message) from error
    finally:
        if not full:
            del os.environ["HYDRA_FULL_ERROR"]
