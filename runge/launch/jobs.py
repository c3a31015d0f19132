"""The jobs of a sweep: what is known of each, and what Hydra must see of it when it begins and ends."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, configure_log, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.configuration import digest
from runge.errors import ConfigurationError, RunError
from runge.metrics import VAL_LOSS
from runge.records.directories import RunDirectory

if TYPE_CHECKING:
    from runge.records.checkpoints import Saved
    from runge.training.member import Member

log = logging.getLogger(__name__)


@contextmanager
def name_overrides(overrides: Sequence[str]) -> Iterator[None]:
    """Tell of a mistake by the overrides of the job that has it."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{error} (in the run {' '.join(overrides)})") from error


@dataclass
class Job:
    """One run of a sweep.

    Attributes:
        config: its composed configuration.
        overrides: what of it was asked for.
        directory: where it goes.
        member: what its configuration says.
        outcome: what it returned, where it has ended before.
        saved: its checkpoints, by their steps.
    """

    config: DictConfig
    overrides: list[str]
    directory: str
    member: "Member"
    outcome: "float | RunError | None"
    saved: "dict[int, Saved]"


def foreign_run(directory: RunDirectory) -> ConfigurationError:
    """What there is to say where a sweep finds a run that it would not have made."""
    return ConfigurationError(
        f"hydra.sweep.dir: a sweep goes on as it was begun, but {str(directory.path)!r} holds a run of another one"
    )


def ended_before(given: dict[str, Any], directory: RunDirectory) -> float | RunError | None:
    """What a run of a sweep has returned that has ended already; None for one that has not, or not yet begun.

    Args:
        given: its configuration.
        directory: where it lies.

    Returns:
        The validation loss, or an error where it diverged: it would do so again.

    Raises:
        ConfigurationError: the directory holds another run, or does not tell which.
    """
    state = directory.read_state()
    if state is None:
        return None
    if state.configuration not in ("", digest(given)):
        raise foreign_run(directory)
    if directory.metrics.exists():
        try:
            if (loss := directory.read_metrics().get(VAL_LOSS)) is not None:
                return loss
            raise ConfigurationError(f"{directory.metrics} is damaged (it has no {VAL_LOSS})")
        except ConfigurationError as error:
            log.warning("%s: the run is finished once more, from its last checkpoint", error)
            directory.metrics.unlink()
    return RunError(f"diverged: {state.message}") if state.status == "diverged" else None


def replay(callbacks: Callbacks, job: Job, outcome: float | RunError) -> JobReturn:
    """Return what a job returned when it ended."""

    def task(_: DictConfig) -> float:
        if isinstance(outcome, RunError):
            raise outcome
        return outcome

    return as_job(callbacks, job.config, task)


def as_job(callbacks: Callbacks, config: DictConfig, task: Callable[[DictConfig], Any]) -> JobReturn:
    """Run a task as a job of Hydra's, that logs to its file."""

    def logged(task_config: DictConfig) -> Any:
        RunDirectory(HydraConfig.get().runtime.output_dir).begin()
        log_to_file(config)
        return task(task_config)

    return run_job(
        # The loader has done its work, and could not travel to a worker.
        hydra_context=HydraContext(config_loader=None, callbacks=callbacks),  # pyright: ignore[reportArgumentType]
        task_function=logged,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        configure_logging=False,
    )


def log_to_file(config: DictConfig) -> None:
    """Configure logging as a job does, but for the console, which belongs to the sweep."""
    logging_config = OmegaConf.to_container(config.hydra.job_logging, resolve=True)
    assert isinstance(logging_config, dict)
    for logger in filter(None, (logging_config.get("root"), *(logging_config.get("loggers") or {}).values())):
        logger["handlers"] = [name for name in logger.get("handlers", []) if name != "console"]
    configure_log(OmegaConf.create(logging_config), config.hydra.verbose)


class Held(Callbacks):
    """Callbacks of which the end of a job is held back, until it has been trained."""

    def __init__(self, callbacks: Callbacks) -> None:
        self.callbacks = callbacks.callbacks

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Wait."""
