"""Runs and sweeps from Python: what the command line does, with its overrides, checks, messages, files and bits."""

import atexit
import os
import re
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union

from runge.composing.overrides import as_sweep
from runge.composing.session import Command, session
from runge.composing.task import train_composed
from runge.configuration.command_line import key_of, override_of
from runge.configuration.errors import ConfigurationError, RunError, python_words
from runge.data.memory import FRAME, file_of
from runge.interface.mappings import overrides_of_mapping
from runge.interface.outcomes import Answer, Comparison
from runge.interface.trained import Run
from runge.interface.verbs import compare
from runge.records.directories import RunDirectory, discard_sweep
from runge.records.files import write

if TYPE_CHECKING:
    import pandas
    from numpy.typing import ArrayLike

__all__ = ["fit", "sweep", "train"]

InMemory = Union["pandas.DataFrame", Mapping[str, "ArrayLike"]]
Directory = str | os.PathLike[str] | None
Verb = Literal["fit", "train", "sweep"]


@python_words()
def fit(
    data: str | os.PathLike[str] | InMemory,
    *overrides: str,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    group: str | None = None,
    timeout: float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    directory: Directory = None,
) -> Answer:
    """Find the best fit of a table or a formula, as `runge fit` does.

    Candidates of all methods are compared by their errors in rows left out of their training; the best ones are trained
    on all rows. Calls from several threads wait for each other.

    Args:
        data: the table, or the first override that names a formula.

            - In memory: a pandas DataFrame whose columns are named as in a file, such as y and dy_dx, or a mapping with
              the arrays of an NPZ file: `x`, (m, D), `y`, (m, P), and `dydx`, (m, P, D). NaN: not known. It is written
              into the directory, and `data.file` names that file.
            - The path of a file.
            - For a formula a text such as `"target=NAME"`.
        *overrides: settings that all candidates have, as in the command, such as `"model.activation=gelu"`. Options of
            your own are found with `"hydra.searchpath=[file:///PATH/TO/conf]"`.
        inputs: the columns of the inputs, `data.inputs`; None: those with respect to which there are derivatives.
        outputs: the columns of the outputs, `data.outputs`; None: those of which there are derivatives.
        group: the column of groups whose rows stay together, `data.group`.
        timeout: seconds, `search.timeout`; None: 60.
        seed: the seed, >= 0; None: 0.
        settings: further settings as a mapping, such as `{"model.activation": "gelu"}`. Their values may be objects: a
            dataclass, a function of a module, or `functools.partial` of a class with keywords.
        directory: the directory of the answer; None: a temporary one, which is there until the process ends, see
            `Answer.save`. A search with the same arguments that was interrupted there continues.

    Returns:
        The answer, and the comparison of its candidates.

    Raises:
        ConfigurationError: an override is not allowed; it is a `ValueError`, and nothing was trained.
        RunError: no candidate has finished.
        KeyboardInterrupt: it was interrupted; the message says how to continue.

    Example:
        >>> from tempfile import mkdtemp
        >>> import numpy
        >>> x = numpy.linspace(0, 1, 20)
        >>> one = "~search.tables", '+search.tables={one: ["optimizer.lr=0.01"]}'
        >>> short = {"trainer.max_steps": 4, "model.width": 8, "data.folds": 2, "search.compare": False}
        >>> answer = fit({"x": x, "y": x**2, "dydx": 2 * x}, *one, settings=short)
        >>> answer.function.inputs, answer.function.outputs
        (('x',), ('y',))
    """
    _check_texts([data, *overrides])
    keywords = {"data.inputs": inputs, "data.outputs": outputs, "data.group": group}
    keywords |= {"search.timeout": timeout, "seed": seed}
    mapped = overrides_of_mapping(settings)
    keywords = {key: value for key, value in keywords.items() if value is not None and key not in (settings or {})}
    texts = [text for text in (data, *overrides, *overrides_of_mapping(keywords), *mapped) if isinstance(text, str)]
    others = [text for text in texts if not text.startswith("search=")]
    for search in {*texts} - {*others}:
        _check_search("fit", search.removeprefix("search="))
    if isinstance(data, str):
        _, *arguments = as_sweep(others)
    elif isinstance(data, os.PathLike):
        arguments = ["search=best", "data=table", override_of("data.file", os.fspath(data)), *others]
    else:
        arguments = [data, "search=best", *others]
    where, failure = _trained("fit", arguments, directory)
    try:
        return Answer(where)
    except FileNotFoundError as error:
        raise RunError(failure or "no candidate has finished") from error


@python_words()
def train(*arguments: str | InMemory, settings: Mapping[str, Any] | None = None, directory: Directory = None) -> Run:
    """Train one run, as `runge train OVERRIDES` does.

    Calls from several threads wait for each other.

    Args:
        *arguments: first the table, as for `fit`, if the data are in memory; then the command line's overrides, such as
            `"model.activation=gelu"`.
        settings: further settings as a mapping, as for `fit`.
        directory: the directory of the run; None: a temporary one, as for `fit`.

    Raises:
        ConfigurationError: an override is not allowed; it is a `ValueError`, and nothing was trained.
        RunError: the training diverged, or its files could not be written.
        KeyboardInterrupt: it was interrupted; the message says how to continue.

    Example:
        >>> import numpy
        >>> x = numpy.linspace(0, 1, 20)
        >>> run = train({"x": x, "y": x**2, "dydx": 2 * x}, settings={"trainer.max_steps": 4, "model.width": 8})
        >>> run.function.inputs, run.function.outputs
        (('x',), ('y',))
        >>> train("model.width=0")
        Traceback (most recent call last):
        runge.ConfigurationError: model.width: should be greater than or equal to 1, got 0
    """
    with _commanded("train", [*arguments, *overrides_of_mapping(settings)], directory) as command:
        command.run(_train_job)
    return Run(command.directory)


@python_words()
def sweep(
    *arguments: str | InMemory, settings: Mapping[str, Any] | None = None, directory: Directory = None
) -> Comparison:
    """Train the runs of a sweep, as `runge train -m OVERRIDES` does, and compare them.

    Worker processes train them without importing the calling script: classes of your own must be in a module. A warning
    says if some runs did not finish; they are in the comparison with their status.

    Args:
        *arguments: first the table, as for `fit`, if the data are in memory; then the command line's overrides, such as
            `"model.activation=tanh,gelu"`, or `"search=optuna"` with intervals.
        settings: further settings as a mapping, as for `fit`; a list has the values of the sweep, such as
            `{"model.activation": ["tanh", "gelu"]}`.
        directory: the sweep's directory; None: a temporary one, as for `fit`. If it contains an unfinished sweep with
            the same overrides, that sweep is resumed.

    Returns:
        The comparison of all runs, finished or not.

    Raises:
        ConfigurationError: an override is not allowed; it is a `ValueError`, and nothing was trained.
        RunError: no run finished.
        KeyboardInterrupt: it was interrupted; the message says how to continue.

    Example:
        >>> short = "trainer.max_steps=4", "model.width=8", "search.compare=false", "hydra.launcher.processes=1"
        >>> sorted(sweep(*short, settings={"seed": range(3)}).table["seed"])
        [0, 1, 2]
    """
    where, failure = _trained("sweep", [*arguments, *overrides_of_mapping(settings, is_sweep=True)], directory)
    compared = compare(where)
    statuses = compared.table["status"].tolist()
    if not (finished := statuses.count("finished")):
        raise RunError(failure)
    if failure:
        warnings.warn(f"{finished} of {len(statuses)} runs finished; {failure}", stacklevel=3)
    return compared


def _trained(verb: Verb, arguments: Sequence[Any], directory: Directory) -> tuple[Path, str]:
    """Train the runs of a sweep; return its directory, and what has failed in words.

    Raises:
        RunError: nothing could be trained.
    """
    failure = ""
    with _commanded(verb, arguments, directory) as command:
        try:
            command.run(_train_job)
        except RunError as error:
            failure = str(error)
    if not command.directory.is_dir():
        raise RunError(failure)
    return command.directory, failure


def _train_job(configuration: Any) -> Any:
    """Train one run that Hydra has composed."""
    from runge.pictures.drawing import draw_into  # late: a mistake in an argument is reported before

    return train_composed(configuration, draw_into)


def _check_texts(arguments: Sequence[Any]) -> None:
    """Raise ConfigurationError if an argument after the first one, which may be a table, is not an override."""
    if arguments and isinstance(arguments[0], Mapping) and "x" not in arguments[0]:
        got = ", ".join(map(repr, arguments[0]))
        raise ConfigurationError(f"data: arrays must have an 'x', and settings are settings={{...}}; got {got}")
    for override in arguments[1:]:
        if not isinstance(override, str):
            rule = "an override must be a text, settings={...} a mapping, and data are the first argument"
            raise ConfigurationError(f"arguments: {rule}; got a {type(override).__name__} after {arguments[0]!r:.60}")


def _check_search(verb: Verb, search: str | None) -> None:
    """Raise ConfigurationError for a search whose outcome is that of another function."""
    rules = {
        "fit": ("best", search == "best"),
        "train": ("none", search in (None, "none")),
        "sweep": ("none or optuna", search != "best"),
    }
    rule, allowed = rules[verb]
    if not allowed:
        how = "train one run with runge.train, a sweep with runge.sweep, and find the best fit with runge.fit"
        raise ConfigurationError(f"search: must be {rule} in {verb}, got {search}; {how}")


def _temporary() -> Path:
    """Make a directory for what is kept nowhere else, which is removed when the process ends."""
    path = tempfile.mkdtemp(prefix="runge-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


@contextmanager
def _commanded(verb: Verb, arguments: Sequence[Any], directory: Directory) -> Iterator[Command]:
    """Yield the command that would be typed; a table in memory is written to its directory.

    If a mistake is raised, its message names the table and not the file, and a file that is new is removed again.
    """
    _check_texts(arguments)
    is_sweep, in_memory = verb != "train", bool(arguments) and not isinstance(arguments[0], str)
    suffix, text = file_of(arguments[0]) if in_memory else ("", b"")
    overrides = list(arguments[1:] if in_memory else arguments)
    keys = {key_of(override) for override in overrides}
    if in_memory:
        for forbidden in sorted({"data.file", "resume"} & keys):
            raise ConfigurationError(f"{forbidden}: must not be set where the data are an argument")
        overrides = overrides if "data" in keys else ["data=table", *overrides]
    if directory is None and not {"resume", "hydra.run.dir", "hydra.sweep.dir"} & keys:
        directory = _temporary() / verb
    with session(is_sweep) as hydra:
        command = Command.of(hydra, overrides, directory, is_sweep, partial(_check_search, verb))
        if not in_memory:
            yield command
            return
        path = command.directory / f"data{suffix}"
        if not (begun := path.exists()):
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, text)
        elif path.read_bytes() != text:
            raise ConfigurationError(f"data: {str(path)!r} holds another table; choose another directory")
        try:
            yield command._replace(overrides=[*command.overrides, override_of("data.file", str(path))])
        except ConfigurationError as error:
            if not (begun or any(path.parent.rglob("status.json"))):
                path.unlink()
                RunDirectory(path.parent).discard()
                discard_sweep(path.parent)
            name = FRAME if suffix == ".csv" else "the arrays"
            message = str(error).replace(repr(str(path)), name)
            message = re.sub(rf"{name}: line (\d+)", lambda line: f"{name}: row {int(line[1]) - 1}", message)
            raise ConfigurationError(message) from error
