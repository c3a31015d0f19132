"""TensorBoard's event files: scalars, images and the table of hyperparameters, in one summary for each step."""

import itertools
import os
import socket
import struct
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import google_crc32c
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]: generated
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData  # pyright: ignore[reportAttributeAccessIssue]
from torch.utils.tensorboard.summary import hparams

from runge.configuration import known_settings
from runge.metrics import keys

_NUMBERS = itertools.count()


class EventFile:
    """A run's event file.

    `add` collects summaries and `flush` appends them. No file is kept open, so that a thousand runs can have one each.

    Args:
        directory: the directory of the file, which `flush` makes.
        purge_step: TensorBoard discards events of this step and later ones from older files of the directory.
    """

    def __init__(self, directory: Path, purge_step: int) -> None:
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self.path = directory / name
        start = SessionLog(status=SessionLog.START)
        self._waiting = [
            Event(wall_time=time.time(), file_version="brain.Event:2"),
            Event(wall_time=time.time(), step=purge_step, session_log=start),
        ]

    def add(self, summary: Summary, step: int) -> None:
        """Collect the summary of a step, with the current time."""
        self._waiting.append(Event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        """Append what was added since the last call.

        Raises:
            OSError: the file cannot be written; what was added is kept for the next call.
        """
        records = b"".join(_record(event.SerializeToString()) for event in self._waiting)
        self.path.parent.mkdir(exist_ok=True)
        before = self.path.stat().st_size if self.path.exists() else 0
        try:
            with self.path.open("ab") as file:
                file.write(records)
        except OSError as error:
            if self.path.exists():  # an incomplete record would make all later ones unreadable
                os.truncate(self.path, before)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        self._waiting = []


def _record(content: bytes) -> bytes:
    """Return a record of an event file: its length and its content, each with a checksum.

    References:
        https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
    """
    length = struct.pack("<Q", len(content))
    return length + _checksum(length) + content + _checksum(content)


def _checksum(content: bytes) -> bytes:
    crc = google_crc32c.value(content)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)


def scalars(figures: Mapping[str, float]) -> Summary:
    """Return one summary with all scalars of a step."""
    return Summary(value=[Summary.Value(tag=tag, simple_value=figure) for tag, figure in figures.items()])


def image(tag: str, png: bytes) -> Summary:
    """Return the summary of a PNG image, unchanged; torch's `add_image` would decode and encode it again."""
    return Summary(value=[Summary.Value(tag=tag, image=Summary.Image(encoded_image_string=png, colorspace=3))])


def hyperparameters(
    name: str, settings: Mapping[str, Any], metrics: Mapping[str, float] | None, first: Sequence[str] = ()
) -> list[Summary]:
    """Return the run's row of the HPARAMS table, as summaries for the step at which the run ended.

    Each row needs its own name. The metrics must be logged as scalars too; None: the run did not finish. The settings
    that `first` names come first.
    """
    settings = _without_null(settings)
    _, start, end = hparams(settings, metrics or {})
    # torch leaves the name empty, in which case the table shows the path, and marks every run as finished.
    _amend(start, HParamsPluginData(session_start_info={"group_name": name}))
    if metrics is None:
        _amend(end, HParamsPluginData(session_end_info={"status": STATUS_FAILURE}))
        return [start, end]
    types = tuple((key, type(value)) for key, value in settings.items())
    return [_columns(types, tuple(metrics), tuple(first)), start, end]


@lru_cache
def _columns(settings: tuple[tuple[str, type], ...], metrics: tuple[str, ...], first: tuple[str, ...]) -> Summary:
    """Return the table's columns. TensorBoard takes them from the first run it reads, so every run names them all.

    Columns that are said to differ come first, and the others in the order of the alphabet.
    """
    regions = keys("test", ("left", "middle", "right", "peak"))
    names = _without_null(known_settings()) | {key: kind() for key, kind in settings}
    summary = hparams(names, dict.fromkeys((*metrics, *regions), 0.0))[0]
    plugin = summary.value[0].metadata.plugin_data
    content = HParamsPluginData.FromString(plugin.content)
    for info in content.experiment.hparam_infos:
        info.differs = info.name in first
    plugin.content = content.SerializeToString()
    return summary


def _without_null(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: "null" if value is None else value for key, value in settings.items()}


def _amend(summary: Summary, content: HParamsPluginData) -> None:
    """Merge more content into a summary of the HPARAMS plugin: joined encodings are the encoding of the merged message.

    References:
        https://protobuf.dev/programming-guides/encoding/#last-one-wins
    """
    summary.value[0].metadata.plugin_data.content += content.SerializeToString()
