"""TensorBoard."""

import itertools
import math
import os
import re
import socket
import time
import unicodedata
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # pyright: ignore[reportAttributeAccessIssue]: generated
from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import custom_scalars, hparams

from runge.configuration.objects import REMARKS, SAME_BITS, flatten
from runge.configuration.validation import checked_call
from runge.records.metrics import LAMBDA_D, key

_ERRORS = [key(split, quantity) for split in ("test", "train", "val") for quantity in ("mse_df", "mse_f")]

LOGARITHMS = {**{error: f"errors/log10 {error}" for error in _ERRORS}, LAMBDA_D: "log10 lambda_d"}
"""The tags of the logarithms of figures. HPARAMS begins with the first five of all tags, which TensorBoard sorts."""

_SHOWN = "^(errors/log10 (train|val)/|log10 lambda_d)"
_LAYOUT = {"Errors of a run": {"log10 of the errors; lambda_d from where it is on": ("Multiline", [_SHOWN])}}

_MAIN = ("seed", "loss.lambda_d", "model.activation", "model.width", "optimizer.lr", *REMARKS)
"""The keys that each row of HPARAMS has, so that the rows of several sweeps can be compared."""

_LONGEST = 60
"""The most characters of a directory's name, because a path may have 260 in Windows."""

_NUMBERS = itertools.count()


def settings(overrides: Sequence[str]) -> dict[str, str]:
    """Return the keys and values of overrides that affect a run's result, without quotes.

    Example:
        >>> settings(["model.activation=tanh", "+seed=3", "logger=csv", "~sampling"])
        {'model.activation': 'tanh', 'seed': '3'}
    """
    pairs = (override.lstrip("+~").partition("=")[::2] for override in overrides if "=" in override)
    return {name: value.strip("'\"") for name, value in pairs if not name.startswith(SAME_BITS)}


def label(run: str, values: Mapping[str, str]) -> str:
    """Return a name for a run, at most 60 characters that are safe in the name of a file.

    Example:
        >>> label("10", {"model.activation": "tanh", "seed": "3", "data.file": "/data/wing.csv"})
        '10 tanh seed 3 wing.csv'
    """
    words = [run]
    for name, value in values.items():
        speaks = re.match(r"(?!(true|false|null)\b)[^\W\d_]", value, re.IGNORECASE)
        word = value if speaks else f"{name.rpartition('.')[2]} {value}"
        words.append(Path(value).name if name == "data.file" else word)
    text = unicodedata.normalize("NFC", " ".join(words))  # an accent of its own is no letter
    return re.sub(r"[^\w.+-]+", " ", text)[:_LONGEST].strip(" .") or "run"


class TensorBoard(Logger):
    """A logger that writes TensorBoard's event files: curves, pictures, and a row of the HPARAMS table.

    The files are in `tensorboard/NUMBER SETTINGS/`, because TensorBoard calls a run by its path. A run that is resumed
    continues in its directory. The columns of HPARAMS are the options of the groups, a few main settings, and those
    that differ in a sweep. TensorBoard takes them from all runs that it reads; an `Experiment` summary would hide those
    of all sweeps but one.

    Each row of figures is one event. Lightning's `TensorBoardLogger` makes an event for each figure: those of 64 runs
    take 3.8 s of a core with it, and 0.34 s with this one. It also has a thread and an open file for each run of a
    stack.

    Args:
        save_dir: the run's directory.
        start_step: the step from which the run resumes; 0 for a new one.
        varied: the overrides in which the run differs from others of its sweep.
        options: the option of each group of its configuration, such as `two_stage_ramp` of `schedule`.
    """

    name, version = "tensorboard", ""  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    @checked_call
    def __init__(self, save_dir: str, start_step: int, varied: list[str], options: dict[str, str]) -> None:
        self._settings, self._options, self._run = settings(varied), options, Path(save_dir).resolve()
        begun = sorted((self._run / "tensorboard").rglob("events.*"))
        self._new = not any(file.stat().st_size for file in begun)
        named = self._run / "tensorboard" / label(self._run.name, self._settings)
        place = begun[0].parent if begun else named
        file = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}.{next(_NUMBERS)}"
        self._path, self._waiting = place / file, []
        self._add(file_version="brain.Event:2")
        # TensorBoard discards what older files have of later steps.
        self._add(session_log=SessionLog(status=SessionLog.START), step=start_step + 1)

    def _add(self, **content: Any) -> None:
        self._waiting.append(Event(wall_time=time.time(), **content))

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Collect a new run's row of the HPARAMS table, and the layout of its custom scalars."""
        if self._new:
            resolved = flatten(params)
            sections = [name for name, content in params.items() if isinstance(content, Mapping)]
            values = {name: self._options.get(name, resolved.get(name)) for name in (*sections, *_MAIN)}
            values |= {
                name: resolved[name] if isinstance(resolved.get(name), int | float) else text
                for name, text in self._settings.items()
            }
            values = {name: value for name, value in values.items() if value not in (None, "[]")}
            above = Path(*self._run.parent.parts[-2:]).as_posix()
            self._add(summary=hparams_pb(values, trial_id=f"{self._path.parent.name} ({above})"))
            self._add(summary=custom_scalars(_LAYOUT))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Collect the figures of one step and logarithms of some of them, with the current time."""
        logarithms = {LOGARITHMS[tag]: math.log10(x) for tag, x in metrics.items() if tag in LOGARITHMS and x > 0}
        values = [Summary.Value(tag=tag, simple_value=x) for tag, x in {**logarithms, **metrics}.items()]
        self._add(summary=Summary(value=values), step=step)

    def log_image(self, key: str, images: Sequence[str], step: int | None = None) -> None:
        """Collect pictures, given by the paths of PNG files."""
        for path in images:  # as they are; torch's `add_image` would decode and encode them again
            image = Summary.Image(encoded_image_string=Path(path).read_bytes(), colorspace=3)
            self._add(summary=Summary(value=[Summary.Value(tag=key, image=image)]), step=step)

    def save(self) -> None:
        """Append the collected events to the event file; they are kept if that fails."""
        content = BytesIO()
        records = RecordWriter(content)
        for event in self._waiting:
            records.write(event.SerializeToString())
        for directory in (self._run / "tensorboard", self._path.parent):  # but not that of the run, which may be gone
            directory.mkdir(exist_ok=True)
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
        """Append the collected events, and the end of the run if it has finished."""
        if status == "success":
            self._add(summary=hparams({}, {})[2])
        self.save()
