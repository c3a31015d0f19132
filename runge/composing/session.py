"""Commands from Python, which leave Hydra and logging of the calling program as they were."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hydra.types import RunMode
from omegaconf import DictConfig

from runge.composing.composition import initialised
from runge.composing.jobs import OF_RUNS, end_log
from runge.composing.overrides import check_overrides, explain, quoted
from runge.configuration.command_line import override_of
from runge.configuration.errors import ConfigurationError, RunError
from runge.records.directories import refuse_links
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
        typed += ["hydra.hydra_logging.root=null", "hydra.job_logging.root=null"]  # see `is_of_program`
        check_overrides(typed)
        typed += [] if directory is None else [override_of(key, os.path.abspath(directory))]
        composed = hydra.compose_config("config", typed, mode, with_log_configuration=False).hydra
        check_search(composed.runtime.choices.get("search"))
        where = Path(os.path.abspath(composed.sweep.dir if is_sweep else composed.run.dir))
        if not is_sweep:  # the launcher does so in the directory of a sweep
            refuse_links(where, key)
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
    """Yield Hydra, set up for one thread at a time, and restore its state and that of logging.

    Nothing is printed. Messages are logged under `runge`, from the level of this logger on; those of a sweep's runs
    only in their files. What the command would print as a user's mistake is raised as ConfigurationError.
    """
    ours = logging.getLogger("runge")
    with initialised() as hydra:
        level, propagates, program = ours.level, ours.propagate, _ToProgram(ours.getEffectiveLevel())
        program.addFilter(lambda record: not is_sweep or record.name not in OF_RUNS)
        ours.setLevel(logging.INFO)  # the logs of the runs begin there
        ours.propagate = False
        ours.addHandler(program)
        try:
            yield hydra
        except SystemExit as end:  # by which an interrupted run ends
            raise KeyboardInterrupt(str(end.code).removeprefix("error: ")) from end
        except (ConfigurationError, RunError):
            raise
        except Exception as error:
            if (message := explain(error)) is None:
                raise
            raise ConfigurationError(printable(message, keep="\n")) from error
        finally:
            end_log()
            ours.removeHandler(program)
            ours.propagate = propagates
            ours.setLevel(level)


class _ToProgram(logging.Handler):
    """A handler that passes messages on to the handlers of the program, which need not have the level of the logs."""

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a message on."""
        logging.getLogger().handle(record)
