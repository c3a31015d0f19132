"""TensorBoard."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from runge.configuration import flatten
from runge.metrics import on_test
from runge.runs.stores import keys_of
from runge.runs.tensorboard import EventFile, hyperparameters, image, scalars
from runge.validation import checked_call


class TensorBoard(Logger):
    """A logger that writes TensorBoard's event files: curves, pictures, and a row of the HPARAMS table.

    See `runge.loggers` for its calls.

    Args:
        save_dir: the run's directory.
        run_name: the run's overrides and the end of its path.
        start_step: the step from which the run resumes; 0 for a new one.
        overrides: the run's overrides, whose keys come first in the HPARAMS table.

    Example:
        >>> TensorBoard(save_dir="outputs/1", run_name="seed=1 (outputs/1)", start_step=0, overrides=["seed=1"])
        TensorBoard('outputs/1')
    """

    @checked_call
    def __init__(self, save_dir: str, run_name: str, start_step: int, overrides: list[str]) -> None:
        self._directory, self._name, self._given = save_dir, run_name, keys_of(overrides)
        self._file = EventFile(Path(save_dir) / "tensorboard", purge_step=start_step + 1)
        self._settings: dict[str, Any] = {}
        self._tested: dict[str, float] = {}
        self._step = start_step

    def __repr__(self) -> str:
        return f"TensorBoard({self._directory!r})"

    @property
    def name(self) -> str:
        """The run's name in the HPARAMS table."""
        return self._name

    @property
    def version(self) -> str:
        """An empty string, because a run has one directory."""
        return ""

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Keep the settings for the run's row of the HPARAMS table."""
        self._settings = flatten(vars(params) if isinstance(params, Namespace) else params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step, with the current time."""
        self._step = self._step if step is None else step
        self._file.add(scalars(metrics), self._step)
        self._tested |= on_test(metrics)

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Collect pictures, given by the paths of PNG files."""
        for path in images:
            self._file.add(image(key, Path(path).read_bytes()), self._step if step is None else step)

    def save(self) -> None:
        """Append what was collected to the event file."""
        self._file.flush()

    def finalize(self, status: str) -> None:
        """Append the run's row of the HPARAMS table and everything that was collected."""
        tested = self._tested if status == "success" else None
        for summary in hyperparameters(self._name, self._settings, tested, self._given):
            self._file.add(summary, self._step)
        self._file.flush()
