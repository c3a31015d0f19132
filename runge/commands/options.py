"""The options of `runge fit`, `train` and `sweep`, which are short for overrides of the configuration."""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from runge.composing.overrides import as_sweep
from runge.configuration.command_line import command, key_of, override_of
from runge.configuration.errors import ConfigurationError, did_you_mean
from runge.records.directories import JOURNAL, MULTIRUN

__all__ = ["TRAINING", "as_overrides"]

TRAINING = ("fit", "train", "sweep")
"""The verbs that train."""

_SWEEP = {"-m", "--multirun", "hydra.mode=MULTIRUN"}
"""The arguments with which `train` trains a sweep."""

_OF_HYDRA = (
    r"--(help|hydra-help|cfg|resolve|package|run|multirun|shell-completion|config-.*|experimental-rerun|info)(=|$)"
)
"""The long options that Hydra has."""

_USAGE = "%(prog)s FILE|target=NAME [--timeout SECONDS] [--out DIR] [--group COLUMN] [KEY=VALUE ...]"

_FIT = """\
Fit a table or a formula without choosing settings: candidates of all methods are compared within a time limit by their
errors on held-out rows, and the best one is trained on all rows. It is short for {0} -m search=best data=table
data.file=FILE. KEY=VALUE is any setting of a run, which all candidates then have; {0} --help lists them."""

_EXAMPLE = """\
example:

  $ {0} examples/wing.csv --out DIR
  ...
  Networks trained without the rows of a fold (2 of 5 folds, 40 rows) had errors
  of 2.3e-05 [2.2e-06, 7.9e-05] for the values (CD: 4.6e-05 [6.4e-06, 1.1e-04])
  and 2.6e-04 [2.4e-05, 9.2e-04] for the derivatives (CD: 4.7e-04 ...
  ...
      runge predict DIR NEW_FILE
      runge export DIR --to c
  report: DIR/comparison.html"""


def as_overrides(verb: str, arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the arguments of `python train.py` that those of a verb are short for; `fit --help` ends the process.

    The options that were given follow, by the keys that they set.

    Raises:
        ConfigurationError: there is no such option; `fit` has neither a file nor a target; an option and its key have
            different values; or the directory of `--out` holds something else than a sweep.

    Example:
        >>> as_overrides("sweep", ["--out", "runs", "seed=0,1"])
        (['-m', "hydra.sweep.dir='runs'", 'seed=0,1'], {'hydra.sweep.dir': '--out'})
    """
    # The help of the other verbs is Hydra's.
    parser = argparse.ArgumentParser(
        command(verb),
        _USAGE,
        _FIT.format(command()),
        _EXAMPLE.format(command(verb)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        add_help=verb == "fit",
        allow_abbrev=False,
    )
    of_out = "the new directory of the answer and the report; a command that was stopped resumes there"
    parser.add_argument("--out", metavar="DIR", help=of_out)
    if verb == "fit":
        parser.add_argument("--timeout", metavar="SECONDS", type=float, help="time limit (60)")
        of_group = "a column; rows with the same value, such as those of one specimen, stay together"
        parser.add_argument("--group", metavar="COLUMN", help=of_group)
    options, rest = parser.parse_known_args(arguments)
    for word in rest:
        if word.startswith("--") and not re.match(_OF_HYDRA, word):
            question = did_you_mean(word, ["--timeout", "--group", "--out"])
            rule = "there is no such option, and a setting is given as KEY=VALUE"
            raise ConfigurationError(f"{word}: {'; '.join(filter(None, [rule, question]))}")
    sweep = verb != "train" or not _SWEEP.isdisjoint(rest)
    overrides = as_sweep(rest) if verb == "fit" else ["-m", *rest] if verb == "sweep" else rest
    # Hydra's parser takes overrides from one place between its own options only.
    place = next((i for i, word in enumerate(overrides) if re.match(r"[^-].*=|[~+]", word)), len(overrides))
    keys = {"timeout": "search.timeout", "group": "data.group", "out": "hydra.sweep.dir" if sweep else "hydra.run.dir"}
    for name, value in vars(options).items():
        override = override_of(keys[name], value) if isinstance(value, str) else f"{keys[name]}={value}"
        same = {override, f"{keys[name]}={value}"}
        if both := [other for other in rest if key_of(other) == keys[name] and other not in same]:
            rule = f"must not be given together with {both[0]}, because it sets the same key"
            raise ConfigurationError(f"--{name}: {rule}; got {value}")
        overrides.insert(place, override)
    if "out" in options:
        _check_directory(Path(options.out), sweep)
    return overrides, {keys[name]: f"--{name}" for name in vars(options)}


def _check_directory(out: Path, sweep: bool) -> None:
    """Raise ConfigurationError if a directory holds anything but a sweep, which may be resumed there."""
    names = {entry.name for entry in out.iterdir() if not entry.name.startswith(".")} if out.is_dir() else set[str]()
    if names and not (sweep and names & {JOURNAL, MULTIRUN}):
        again = "the directory of the sweep to resume" if sweep else "resume=DIR to continue a run"
        rule = f"must be a new or an empty directory, or {again}"
        raise ConfigurationError(f"--out: {rule}; got {str(out)!r}, which holds {', '.join(sorted(names)[:3])}")
