"""The decision of `trainer.accelerator`: the default, `auto`, takes a GPU that has been tested on this machine.

`benchmarks/speed/gpu.py` tests it, and leaves a record in the cache directory, which holds for this GPU with these
versions of torch and of this package.
"""

import json
import sys
from datetime import date
from typing import Literal

import torch

from runge.machine import cache_folder

Accelerator = Literal["auto", "cpu", "gpu"]

TEST = "python benchmarks/speed/gpu.py"
"""The command that tests a GPU."""

_FILE = "gpu.json"


def is_taken(accelerator: Accelerator) -> bool:
    """Return whether a run is trained on the GPU: with `auto` if there is one that has passed its test."""
    return accelerator != "cpu" and torch.cuda.is_available() and (accelerator == "gpu" or passed_on() is not None)


def reason() -> str:
    """Return what `auto` takes, and why, as a sentence for the log; "" if there is no GPU."""
    if not torch.cuda.is_available():
        return ""
    if (day := passed_on()) is None:
        why = f"{TEST} has not passed with this GPU, torch and runge; trainer.accelerator=gpu takes it untested"
        return f"trained on the processor: {why}"
    return f"trained on the GPU, which passed {TEST} on {day}; trainer.accelerator=cpu takes the processor"


def passed_on() -> str | None:
    """Return the day on which this GPU passed its test; None: it has not."""
    days = _days()  # without a record CUDA is not initialised, which takes time and memory
    day = days.get(_key()) if days else None
    return day if isinstance(day, str) else None


def record(passed: bool) -> None:
    """Record that this GPU has passed its test today, or has not.

    Raises:
        OSError: there is no cache directory to which this user, and no other, can write.
    """
    if (folder := cache_folder()) is None:
        raise OSError("there is no cache directory that belongs to this user alone; set RUNGE_CACHE_DIR")
    days = {key: day for key, day in _days().items() if key != _key()}
    (folder / _FILE).write_text(json.dumps(days | ({_key(): f"{date.today()}"} if passed else {}), indent=1) + "\n")


def _days() -> dict[str, object]:
    """Return the days of the record, by GPU and versions; a file that is damaged has none."""
    try:
        content = None if (folder := cache_folder()) is None else json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _key() -> str:
    return f"{torch.cuda.get_device_name()}, torch {torch.__version__}, runge {sys.modules['runge'].__version__}"
