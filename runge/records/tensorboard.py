"""TensorBoard: scalars, pictures and the table of hyperparameters, many in one go."""

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]: generated
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils.tensorboard.summary import hparams

from runge.configuration import flatten, known_settings
from runge.metrics import keys

_NUMBERS = itertools.count()


class EventFile:
    """A run's event file. `add` collects, `flush` appends; nothing is kept open, so that a thousand runs may have one.

    Args:
        directory: where it lies.
        purge_step: TensorBoard forgets what older files there tell of this step and later ones.
    """

    def __init__(self, directory: Path, purge_step: int) -> None:
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self.path = directory / name
        start = SessionLog(status=SessionLog.START)
        self._waiting = [
            Event(wall_time=time.time(), file_version="brain.Event:2"),
            Event(wall_time=time.time(), step=purge_step, session_log=start),
        ]

    def add(self, summary: Summary, step: int, wall_time: float | None = None) -> None:
        """Add a summary at a step."""
        self._waiting.append(Event(wall_time=wall_time or time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Append what has been added since the last time.

        Raises:
            OSError: it cannot be written; it is kept for the next time.
        """
        records = b"".join(_record(event.SerializeToString()) for event in self._waiting)
        self.path.parent.mkdir(exist_ok=True)
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(records)
        except OSError as error:
            if self.path.exists():  # half a record would make all later ones unreadable
                os.truncate(self.path, before)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._waiting = []


def _record(content: bytes) -> bytes:
    """A record of an event file: its length and its content, each with a checksum.

    References:
        https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def scalars(figures: Mapping[str, float]) -> Summary:
    """Scalars of one step, all in one summary."""
    return Summary(value=[Summary.Value(tag=tag, simple_value=figure) for tag, figure in figures.items()])


def pictures(images: Mapping[str, bytes]) -> Summary:
    """PNG images as they are; `add_image` would take pixels and encode them once more."""
    found = {tag: Summary.Image(encoded_image_string=content, colorspace=3) for tag, content in images.items()}
    return Summary(value=[Summary.Value(tag=tag, image=image) for tag, image in found.items()])


def hyperparameters(
    name: str, configuration: Mapping[str, Any], metrics: Mapping[str, float | int | None] | None
) -> list[Summary]:
    """The run's row of the HPARAMS table.

    Args:
        name: what the run is called there; another one for each run.
        configuration: the run's configuration.
        metrics: final figures, of which those on the test set are shown; None: the run did not finish.

    Returns:
        Summaries for the step at which the run ended.
    """
    settings = _without_null(flatten(configuration))
    tested = {key: value for key, value in (metrics or {}).items() if key.startswith("test/") and value is not None}
    _, start, end = hparams(settings, tested)
    # torch leaves the name empty, for which the table shows the path, and takes every run for finished.
    with _content(start) as content:
        content.session_start_info.group_name = name
    if metrics is None:
        with _content(end) as content:
            content.session_end_info.status = STATUS_FAILURE
        return [start, end]
    columns = _columns(tuple((key, type(value)) for key, value in settings.items()), tuple(tested))
    return [scalars(tested), columns, start, end]


@lru_cache
def _columns(settings: tuple[tuple[str, type], ...], metrics: tuple[str, ...]) -> Summary:
    """The table's columns. TensorBoard takes them from whichever run it meets first: each names them all."""
    regions = keys("test", ("left", "middle", "right", "peak"))
    names = _without_null(known_settings()) | {key: kind() for key, kind in settings}
    return hparams(names, dict.fromkeys((*metrics, *regions), 0.0))[0]


def _without_null(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: "null" if value is None else value for key, value in settings.items()}


@contextmanager
def _content(summary: Summary) -> Iterator[HParamsPluginData]:
    """What a summary of the HPARAMS plugin says, to be changed."""
    (value,) = summary.value
    content = HParamsPluginData.FromString(value.metadata.plugin_data.content)
    yield content
    value.metadata.plugin_data.content = content.SerializeToString()
