"""Commands from Python, which leave Hydra, logging and threads of the calling program as they were."""

import io
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from runge.composing.composition import LOCK, register_resolvers
from runge.composing.jobs import OF_RUNS, set_handlers
from runge.composing.overrides import check_overrides, explain, quoted
from runge.configuration.command_line import override_of
from runge.configuration.errors import ConfigurationError, RunError
from runge.configuration.objects import CONFIGURATIONS
from runge.records.files import printable

__all__ = ["Command", "session"]


class Command(NamedTuple):
    """A command, as it would be typed.

    Attributes:
        hydra: what composes it.
        overrides: its overrides.
        directory: the directory of the run, or of the sweep.
        is_sweep: whether it has `-m`.
    """

    hydra: Any
    overrides: list[str]
    directory: Path
    is_sweep: bool

    @classmethod
    def of(
        cls,
        hydra: Any,
        overrides: Sequence[str],
        directory: str | os.PathLike[str] | None,
        is_sweep: bool,
        check_search: Callable[[str | None], object],
    ) -> "Command":
        """Check overrides, and find the directory.

        Args:
            hydra: that of a `session`.
            overrides: the overrides.
            directory: the directory of the run or the sweep; None: that of the configuration.
            is_sweep: whether it is a sweep.
            check_search: refuses options of the group `search`, before a directory is made.

        Raises:
            ConfigurationError: an override is not allowed.
        """
        mode = RunMode.MULTIRUN if is_sweep else RunMode.RUN
        key = "hydra.sweep.dir" if is_sweep else "hydra.run.dir"
        typed = [*quoted(overrides), f"hydra.mode={mode.name}"]
        typed += ["hydra.hydra_logging.root=null", "hydra.job_logging.root=null"]  # else Hydra closes its handlers
        check_overrides(typed)
        typed += [] if directory is None else [override_of(key, os.path.abspath(directory))]
        composed = hydra.compose_config("config", typed, mode, with_log_configuration=False).hydra
        check_search(composed.runtime.choices.get("search"))
        where = Path(os.path.abspath(composed.sweep.dir if is_sweep else composed.run.dir))
        return cls(hydra, [*typed, override_of(key, str(where))], where, is_sweep)

    def run(self, task: Callable[[DictConfig], Any]) -> None:
        """Train the run by a task function of Hydra, or the runs of the sweep by its launcher.

        Raises:
            ConfigurationError: a value is not allowed.
            RunError: the run, or one of the sweep's, has failed.
        """
        if self.is_sweep:
            self.hydra.multirun("config", task, self.overrides)
            return
        returned = self.hydra.run("config", partial(_return_error, task), self.overrides).return_value
        if isinstance(returned, Exception):
            raise returned


def _return_error(task: Callable[[DictConfig], Any], configuration: DictConfig) -> Any:
    try:
        return task(configuration)
    except Exception as error:  # Hydra would write to the error output before it raises
        return error


@contextmanager
def session(is_sweep: bool) -> Iterator[Any]:
    """Yield Hydra, set up for one thread at a time, and restore logging, threads and Hydra's state.

    Nothing is printed but warnings and progress, which are on the error output, and those of a sweep's runs only in
    their logs. What the command would print as a user's mistake is raised as ConfigurationError.
    """
    import torch  # late: a mistake in an argument is reported before

    register_resolvers()
    root, ours, shown = logging.getLogger(), logging.getLogger("runge"), logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    shown.addFilter(lambda record: not is_sweep or record.name not in OF_RUNS)
    with LOCK:
        threads, config = torch.get_num_threads(), HydraConfig.instance().cfg
        handlers, level = root.handlers[:], root.level
        for handler in handlers:
            root.removeHandler(handler)
        root.setLevel(logging.INFO)
        ours.addHandler(shown)
        try:
            with redirect_stdout(io.StringIO()), hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
                yield GlobalHydra.instance().hydra
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
            set_handlers(*handlers)
            root.setLevel(level)
            HydraConfig.instance().cfg = config
            torch.set_num_threads(threads)
