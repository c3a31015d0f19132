"""Runs and sweeps started from Python: Hydra is set up as by the command, and the process is left as it was."""

import io
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runge.configuration import CONFIGURATIONS
from runge.data.in_memory import file_of
from runge.errors import ConfigurationError, RunError
from runge.launch.cli import check_overrides, explain, quoted, train
from runge.launch.compose import register_resolvers
from runge.runs.directories import RunDirectory
from runge.runs.files import discard, printable, write

Directory = str | os.PathLike[str] | None

LOCK = threading.RLock()
"""Hydra has one state per process: a thread waits until the run of another one has ended."""


def run(overrides: Sequence[str], directory: Directory = None, data: Any = None) -> Path:
    """Train one run, as `python train.py` does with these overrides, and return its directory.

    Args:
        overrides: the command line's overrides.
        directory: the run's directory; None: a new one.
        data: a table in memory, as `file_of` takes it, which is written into that directory; None: there is none.

    Raises:
        ConfigurationError: an override is not allowed; nothing was trained.
        RunError: the training diverged, or its files could not be written.
        KeyboardInterrupt: it was interrupted; the message says how to continue.
    """
    content = None if data is None else file_of(data)
    with LOCK, _session() as session, ExitStack() as quiet:

        def attempt(configuration: DictConfig) -> Any:
            try:
                return train(configuration)
            except Exception:
                quiet.enter_context(redirect_stderr(io.StringIO()))  # on which Hydra writes before it raises
                raise

        typed = _quoted(overrides, "hydra.run.dir", directory)
        if content is not None:
            typed = _of_table(typed)
            where = session.compose_config("config", typed, RunMode.RUN, with_log_configuration=False).hydra.run.dir
            typed = quiet.enter_context(_written(content, where, [*typed, _path("hydra.run.dir", where)]))
        job = session.run("config", attempt, typed)
        assert job.hydra_cfg is not None
        return Path(job.hydra_cfg.hydra.runtime.output_dir)


def sweep(overrides: Sequence[str], directory: Directory = None, data: Any = None) -> tuple[Path, str]:
    """Train the runs of a sweep, as `python train.py -m` does with these overrides; the arguments are those of `run`.

    Returns:
        The sweep's directory, and the reason why its first unfinished run has not finished, or an empty text.

    Raises:
        ConfigurationError: an override is not allowed; nothing was trained.
        KeyboardInterrupt: it was interrupted; the message says how to continue.
    """
    content = None if data is None else file_of(data)
    with LOCK, _session() as session, ExitStack() as written:
        typed = ["hydra.mode=MULTIRUN", *_quoted(overrides, "hydra.sweep.dir", directory)]  # as the command line has it
        if content is not None:
            typed = _of_table(typed)
        composed = session.compose_config("config", typed, RunMode.MULTIRUN, with_log_configuration=False)
        typed = _quoted(typed, "hydra.sweep.dir", where := Path(composed.hydra.sweep.dir))
        if content is not None:
            typed = written.enter_context(_written(content, str(where), typed))
        try:
            session.multirun("config", train, typed)
        except RunError as error:
            return where, str(error)
        return where, ""


def _of_table(typed: list[str]) -> list[str]:
    """Return overrides that train on a table in memory."""
    keys = [override.lstrip("+~").partition("=")[0] for override in typed]
    if given := [key for key in ("data.file", "resume") if key in keys]:
        rule = "must not be set where the data are an argument"
        then = "a run resumes with its own table" if given[0] == "resume" else "it will name their file"
        raise ConfigurationError(f"{given[0]}: {rule}; {then}")
    return typed if "data" in keys else ["data=table", *typed]


@contextmanager
def _written(content: tuple[str, bytes], directory: str, typed: list[str]) -> Iterator[list[str]]:
    """Write a table into the directory of a run or a sweep, and add its file to the overrides.

    If a mistake is raised, its message names the table and not the file, and a file that is new is removed again.
    """
    suffix, text = content
    path = Path(os.path.abspath(directory)) / f"data{suffix}"
    if not (begun := path.exists()):
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, text)
    elif path.read_bytes() != text:
        raise ConfigurationError(f"data: {str(path)!r} holds another table; choose another directory")
    try:
        yield [*typed, _path("data.file", path)]
    except ConfigurationError as error:
        if not (begun or any(path.parent.rglob("status.json"))):
            path.unlink()
            run = RunDirectory(path.parent)
            discard(run.path, {run.hydra.name, run.hydra_part.name, run.log.name, "multirun.yaml"})
        name = "the DataFrame" if suffix == ".csv" else "the arrays"
        message = str(error).replace(repr(str(path)), name)
        message = re.sub(rf"{name}: line (\d+)", lambda line: f"{name}: row {int(line[1]) - 1}", message)
        raise ConfigurationError(message) from error


@contextmanager
def _session() -> Iterator[Any]:
    """Set up Hydra, raise its complaints as `ConfigurationError`, and restore logging, threads and Hydra's state.

    Nothing is printed but warnings and progress, which are on the error output.
    """
    import torch  # late, as everywhere in this wing

    register_resolvers()
    root, threads, config = logging.getLogger(), torch.get_num_threads(), HydraConfig.instance().cfg
    handlers, level = root.handlers[:], root.level
    ours, shown = logging.getLogger("runge"), logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    ours.addHandler(shown)
    try:
        with redirect_stdout(io.StringIO()), hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
            session = GlobalHydra.instance().hydra
            assert session is not None
            yield session
    except SystemExit as end:  # by which an interrupted run ends
        raise KeyboardInterrupt(str(end.code).removeprefix("error: ")) from end
    except (ConfigurationError, RunError):
        raise
    except Exception as error:
        if (message := explain(error)) is None:
            raise
        raise ConfigurationError(printable(message, keep="\n")) from error
    finally:
        ours.removeHandler(shown)
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], HydraConfig.instance().cfg = handlers, config
        root.setLevel(level)
        torch.set_num_threads(threads)


def _quoted(overrides: Sequence[str], key: str, directory: Directory) -> list[str]:
    """Return overrides as Hydra's grammar reads them, with the key set to a directory if there is one."""
    typed = quoted(overrides)
    check_overrides(typed)
    return typed if directory is None else [*typed, _path(key, directory)]


def _path(key: str, path: str | os.PathLike[str]) -> str:
    """Return the override that sets a key to a path, as an absolute one."""
    # In Hydra's grammar a backslash is one of the text, except before a quote.
    text = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), os.path.abspath(path))
    return f"{key}='{text}'"
