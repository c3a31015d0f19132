"""Runs and sweeps started from Python: Hydra is set up as by the command, and the process is left as it was."""

import io
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runge.configuration import CONFIGURATIONS
from runge.data.table import file_of
from runge.errors import ConfigurationError, RunError
from runge.launch.cli import check_overrides, explain, quoted, train
from runge.launch.compose import register_resolvers
from runge.runs.directories import RunDirectory
from runge.runs.files import discard, printable, write

Directory = str | os.PathLike[str] | None

LOCK = threading.RLock()
"""Hydra has one state per process: a thread waits until the run of another one has ended."""


def run(overrides: Sequence[str], directory: Directory = None, data: Any = None) -> Path:
    """Train one run as `runge.fit` does, on a table in memory if there is one, and return its directory."""

    def attempt(configuration: DictConfig) -> Any:
        try:
            return train(configuration)
        except Exception as error:  # Hydra would write to the error output before it raises
            return error

    with LOCK, _session() as session, _typed(session, RunMode.RUN, overrides, directory, data) as (typed, _):
        job = session.run("config", attempt, typed)
        if isinstance(job.return_value, Exception):
            raise job.return_value
        return Path(job.hydra_cfg.hydra.runtime.output_dir)


def sweep(overrides: Sequence[str], directory: Directory = None, data: Any = None) -> tuple[Path, str]:
    """Train a sweep as `runge.sweep` does; return its directory, and why a run has not finished, or an empty text."""
    with LOCK, _session() as session, _typed(session, RunMode.MULTIRUN, overrides, directory, data) as (typed, where):
        try:
            session.multirun("config", train, typed)
        except RunError as error:
            return where, str(error)
        return where, ""


@contextmanager
def _typed(
    session: Any, mode: RunMode, overrides: Sequence[str], directory: Directory, data: Any
) -> Iterator[tuple[list[str], Path]]:
    """Yield overrides as they would be typed, and the directory of a sweep or of a run with a table in memory."""
    single = mode == RunMode.RUN
    key, content = "hydra.run.dir" if single else "hydra.sweep.dir", None if data is None else file_of(data)
    typed = quoted(overrides)
    check_overrides(typed)
    typed = [
        *typed,
        *([] if single else ["hydra.mode=MULTIRUN"]),
        *([] if directory is None else [_path(key, directory)]),
    ]
    if single and content is None:
        yield typed, Path()
        return
    typed = typed if content is None else _of_table(typed)
    composed = session.compose_config("config", typed, mode, with_log_configuration=False).hydra
    where = composed.run.dir if single else composed.sweep.dir
    typed = [*typed, _path(key, where)]
    with nullcontext(typed) if content is None else _written(content, where, typed) as typed:
        yield typed, Path(where)


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


def _path(key: str, path: str | os.PathLike[str]) -> str:
    """Return the override that sets a key to a path, as an absolute one."""
    # In Hydra's grammar a backslash is one of the text, except before a quote.
    text = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), os.path.abspath(path))
    return f"{key}='{text}'"
