"""Runs and sweeps from Python: what the command line does, with its overrides, checks, messages, files and bits."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, overload

from hydra.types import RunMode
from omegaconf import DictConfig

from runge.comparison.leaderboard import read_leaderboard
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.words import override_of
from runge.data.memory import FRAME, file_of
from runge.interface.outcomes import Answer, Comparison, Run
from runge.records.directories import RunDirectory
from runge.records.files import discard, write
from runge.sweeps.journal import JOURNAL
from runge.sweeps.session import check_overrides, quoted, session, train

if TYPE_CHECKING:
    import pandas
    from numpy.typing import ArrayLike

__all__ = ["fit", "sweep"]

InMemory = Union["pandas.DataFrame", Mapping[str, "ArrayLike"]]
Directory = str | os.PathLike[str] | None


@overload
def fit(*arguments: str, directory: Directory = None) -> Run: ...
@overload
def fit(data: InMemory, /, *arguments: str, directory: Directory = None) -> Any: ...
def fit(*arguments: Any, directory: Directory = None) -> Run | Answer:
    """Fit a table in memory, as `runge fit FILE` does; or train one run, as `python train.py OVERRIDES` does.

    Calls from several threads wait for each other.

    Args:
        *arguments: first the table, if the data are in memory: a pandas DataFrame whose columns are named as in a file,
            such as y and dy_dx, or a mapping with the arrays of an NPZ file: `x`, (m, D), `y`, (m, P), and `dydx`,
            (m, P, D). NaN: not known. It is written into the directory, and `data.file` names that file. Then the
            command line's overrides, such as `"model.activation=gelu"`. Options of your own are found with
            `"hydra.searchpath=[file:///PATH/TO/conf]"`.
        directory: the directory of the run, or of the sweep; None: `outputs/DATE/TIME`, `outputs/multirun/DATE/TIME`.

    Returns:
        For a table in memory the answer of `search=best` after `search.timeout` seconds (60); with
        `search=none`, or for overrides alone, one run.

    Raises:
        ConfigurationError: an override is not allowed; it is a `ValueError`, and nothing was trained.
        RunError: the training diverged, or its files could not be written.
        KeyboardInterrupt: it was interrupted; the message says how to continue.

    Example:
        >>> from tempfile import mkdtemp
        >>> import numpy
        >>> x = numpy.linspace(0, 1, 20)
        >>> short = "search=none", "trainer.max_steps=20", "model.width=8"
        >>> run = fit({"x": x, "y": x**2, "dydx": 2 * x}, *short, directory=mkdtemp())
        >>> run.function.inputs, run.function.outputs
        (('x',), ('y',))
        >>> fit("model.width=0")
        Traceback (most recent call last):
        runge.configuration.errors.ConfigurationError: model.width: should be greater than or equal to 1, got 0
    """
    in_memory = bool(arguments) and not isinstance(arguments[0], str)
    searched = [one for one in arguments if isinstance(one, str) and one.startswith("search=")]
    if searched and searched[-1] not in ("search=best", "search=none"):
        raise ConfigurationError(f"search: must be best or none in fit, got {searched[-1][7:]}; sweep takes it")
    if searched != ["search=none"] and (in_memory or searched):
        data, overrides = (arguments[:1], arguments[1:]) if in_memory else ((), arguments)
        answer = sweep(*data, *([] if searched else ["search=best"]), *overrides, directory=directory)
        assert isinstance(answer, Answer)
        return answer

    def attempt(configuration: DictConfig) -> Any:
        try:
            return train(configuration)
        except Exception as error:  # Hydra would write to the error output before it raises
            return error

    with session(RunMode.RUN) as hydra, _typed(hydra, RunMode.RUN, arguments, directory) as (typed, where):
        job = hydra.run("config", attempt, typed)
        if isinstance(job.return_value, Exception):
            raise job.return_value
        return Run(where)


def sweep(*arguments: str | InMemory, directory: Directory = None) -> Comparison:
    """Train the runs of a sweep, as `python train.py -m OVERRIDES` does, and compare them.

    Worker processes train them without importing the calling script: classes of your own must be in a module. A warning
    says if some runs did not finish; they are in the comparison with their status.

    Args:
        *arguments: first the table, as for `fit`, if the data are in memory; then the command line's overrides, such as
            `"model.activation=tanh,gelu"`.
        directory: the sweep's directory; None: `outputs/multirun/DATE/TIME`. If it contains an unfinished sweep with
            the same overrides, that sweep is resumed.

    Returns:
        The comparison of all runs, finished or not; with `search=best` the answer, which is one too.

    Raises:
        ConfigurationError: an override is not allowed; it is a `ValueError`, and nothing was trained.
        RunError: no run finished.
        KeyboardInterrupt: it was interrupted; the message says how to continue.

    Example:
        >>> from tempfile import mkdtemp
        >>> short = "trainer.max_steps=20", "model.width=8", "hydra.launcher.processes=1"
        >>> sorted(sweep("seed=range(3)", *short, directory=mkdtemp()).table["seed"])
        [0, 1, 2]
    """
    failure = ""
    with session(RunMode.MULTIRUN) as hydra, _typed(hydra, RunMode.MULTIRUN, arguments, directory) as (typed, where):
        try:
            hydra.multirun("config", train, typed)
        except RunError as error:
            failure = str(error)
    if not where.is_dir():  # nothing could be trained
        raise RunError(failure)
    compared = Comparison(where) if read_leaderboard([where]) is None else Answer(where)
    finished = [record.status for record in compared.records].count("finished")
    if not finished:
        raise RunError(failure)
    if failure and not isinstance(compared, Answer):  # whose time ends before all runs have
        warnings.warn(f"{finished} of {len(compared.records)} runs finished; {failure}", stacklevel=2)
    return compared


@contextmanager
def _typed(
    hydra: Any, mode: RunMode, arguments: Sequence[Any], directory: Directory
) -> Iterator[tuple[list[str], Path]]:
    """Yield overrides as they would be typed, and the directory; a table in memory is written to it.

    If a mistake is raised, its message names the table and not the file, and a file that is new is removed again.
    """
    in_memory = bool(arguments) and not isinstance(arguments[0], str)
    overrides = list(arguments[1:] if in_memory else arguments)
    for override in overrides:
        if not isinstance(override, str):
            rule = "an override must be a text such as 'model.width=8', and data are the first argument"
            raise ConfigurationError(f"arguments: {rule}; got a {type(override).__name__} after {arguments[0]!r:.60}")
    suffix, text = file_of(arguments[0]) if in_memory else ("", b"")
    key = "hydra.run.dir" if mode == RunMode.RUN else "hydra.sweep.dir"
    typed = [*quoted(overrides), f"hydra.mode={mode.name}"]
    check_overrides(typed)
    typed += [] if directory is None else [override_of(key, os.path.abspath(directory))]
    if in_memory:
        keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
        for forbidden in sorted({"data.file", "resume"} & keys):
            raise ConfigurationError(f"{forbidden}: must not be set where the data are an argument")
        typed = typed if "data" in keys else ["data=table", *typed]
    composed = hydra.compose_config("config", typed, mode, with_log_configuration=False).hydra
    where = Path(os.path.abspath(composed.run.dir if mode == RunMode.RUN else composed.sweep.dir))
    typed.append(override_of(key, str(where)))
    if not in_memory:
        yield typed, where
        return
    path = where / f"data{suffix}"
    if not (begun := path.exists()):
        where.mkdir(parents=True, exist_ok=True)
        write(path, text)
    elif path.read_bytes() != text:
        raise ConfigurationError(f"data: {str(path)!r} holds another table; choose another directory")
    try:
        yield [*typed, override_of("data.file", str(path))], where
    except ConfigurationError as error:
        if not (begun or any(where.rglob("status.json"))):
            path.unlink()
            RunDirectory(where).discard()
            discard(where, {"multirun.yaml", JOURNAL})
        name = FRAME if suffix == ".csv" else "the arrays"
        message = str(error).replace(repr(str(path)), name)
        message = re.sub(rf"{name}: line (\d+)", lambda line: f"{name}: row {int(line[1]) - 1}", message)
        raise ConfigurationError(message) from error
