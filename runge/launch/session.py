"""Runs and sweeps started from Python: Hydra is set up as by the command, and the process is left as it was."""

import io
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runge.configuration import CONFIGURATIONS
from runge.errors import ConfigurationError, RunError
from runge.launch.command import check_override, explain, quote_expression, train, with_sweeper
from runge.launch.composition import register_resolvers
from runge.records.files import printable

Directory = str | os.PathLike[str] | None


def run(overrides: Sequence[str], directory: Directory = None) -> Path:
    """Train one run, as `python train.py` does with these overrides, and return its directory.

    Raises:
        ConfigurationError: an override is not allowed; nothing was trained.
        RunError: the training diverged, or its files could not be written.
        KeyboardInterrupt: it was interrupted; the message says how to continue.
    """
    with _session() as session, ExitStack() as quiet:

        def attempt(configuration: DictConfig) -> Any:
            try:
                return train(configuration)
            except Exception:
                quiet.enter_context(redirect_stderr(io.StringIO()))  # on which Hydra writes before it raises
                raise

        job = session.run("config", attempt, _quoted(overrides, "hydra.run.dir", directory))
        assert job.hydra_cfg is not None
        return Path(job.hydra_cfg.hydra.runtime.output_dir)


def sweep(overrides: Sequence[str], directory: Directory = None) -> tuple[Path, str]:
    """Train the runs of a sweep, as `python train.py -m` does with these overrides.

    Returns:
        The sweep's directory, and the reason why its first unfinished run has not finished, or an empty text.

    Raises:
        ConfigurationError: an override is not allowed; nothing was trained.
        KeyboardInterrupt: it was interrupted; the message says how to continue.
    """
    with _session() as session:
        typed = ["hydra.mode=MULTIRUN", *_quoted(overrides, "hydra.sweep.dir", directory)]  # as the command line has it
        composed = session.compose_config("config", typed, RunMode.MULTIRUN, with_log_configuration=False)
        typed = _quoted(typed, "hydra.sweep.dir", where := Path(composed.hydra.sweep.dir))
        try:
            session.multirun("config", train, typed)
        except RunError as error:
            return where, str(error)
        return where, ""


@contextmanager
def _session() -> Iterator[Hydra]:
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
    quoted = with_sweeper([quote_expression(override) for override in overrides])
    for override in quoted:
        check_override(override)
    if directory is None:
        return quoted
    # In Hydra's grammar a backslash is one of the text, except before a quote.
    path = re.sub(r"(\\*)('|$)", lambda end: 2 * end[1] + end[2].replace("'", "\\'"), os.path.abspath(directory))
    return [*quoted, f"{key}='{path}'"]
