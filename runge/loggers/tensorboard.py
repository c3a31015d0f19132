"""TensorBoard."""

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]: generated
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import hparams

from runge.configuration import flatten
from runge.validation import checked_call

_NUMBERS = itertools.count()


class TensorBoard(Logger):
    """A logger that writes TensorBoard's event files: curves, pictures, and a row of the HPARAMS table.

    Each row of figures is one event. Lightning's `TensorBoardLogger` makes an event for each figure: those of 64 runs
    take 3.8 s of a core with it, and 0.34 s with this one. It also has a thread and an open file for each run of a
    stack.

    Args:
        save_dir: the run's directory.
        start_step: the step from which the run resumes; 0 for a new one.
    """

    name, version = "tensorboard", ""  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @checked_call
    def __init__(self, save_dir: str, start_step: int) -> None:
        file = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._path, self._waiting = Path(save_dir) / "tensorboard" / file, []
        self._add(file_version="brain.Event:2")
        # TensorBoard discards what older files have of later steps.
        self._add(session_log=SessionLog(status=SessionLog.START), step=start_step + 1)

    def _add(self, **content: Any) -> None:
        self._waiting.append(Event(wall_time=time.time(), **content))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Collect the run's row of the HPARAMS table, whose columns TensorBoard takes from all runs that it reads."""
        settings = {key: "null" if value is None else value for key, value in flatten(params).items()}
        _, row, _ = hparams(settings, {})
        self._add(summary=row)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step, with the current time."""
        values = [Summary.Value(tag=tag, simple_value=figure) for tag, figure in metrics.items()]
        self._add(summary=Summary(value=values), step=step)

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Collect pictures, given by the paths of PNG files."""
        for path in images:  # as they are; torch's `add_image` would decode and encode them again
            image = Summary.Image(encoded_image_string=Path(path).read_bytes(), colorspace=3)
            self._add(summary=Summary(value=[Summary.Value(tag=key, image=image)]), step=step)

    def save(self) -> None:
        """Append what was collected to the event file; it is kept if that fails."""
        content = BytesIO()
        records = RecordWriter(content)
        for event in self._waiting:
            records.write(event.SerializeToString())
        self._path.parent.mkdir(exist_ok=True)
        before = self._path.stat().st_size if self._path.exists() else 0
        try:
            with self._path.open("ab") as file:
                file.write(content.getvalue())
        except OSError as error:
            if self._path.exists():  # an incomplete record would make all later ones unreadable
                os.truncate(self._path, before)
            raise OSError(error.errno, error.strerror, str(self._path)) from error
        self._waiting = []

    def finalize(self, status: str) -> None:
        """Append what was collected, and that the run has finished if it has."""
        if status == "success":
            self._add(summary=hparams({}, {})[2])
        self.save()
