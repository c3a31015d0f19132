"""Checkpoints: a run's best weights, and the state of a stack, one file from which it resumes."""

import errno
import hashlib
import io
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory
from runge.records.files import check_extent, printable, read_bytes

STACKS = ".stacks"
"""The folder of a sweep's directory with the states of the stacks that are being trained."""


class SavedStack(NamedTuple):
    """The state of a stack on disk.

    Attributes:
        state: the content of its file, which is `.stacks/DIGEST.ckpt` in the directory of a sweep, or
            `checkpoints/last.ckpt` of a run trained alone.
        step: the number of steps taken.
        runs: the directories of its runs.
        threads: the number of threads that took the steps.
        digests: the digests of the runs' configurations.
    """

    state: dict[str, Any]
    step: int
    runs: tuple[str, ...]
    threads: int
    digests: tuple[str, ...]


def state_path(directories: Sequence[RunDirectory], sweep: Path | None = None) -> Path:
    """Return the file for the state of a stack of runs; None: the sweep's directory is that above the first run's."""
    if len(directories) == 1:
        return directories[0].last
    sweep = sweep or directories[0].path.parent
    names = "\n".join(os.path.relpath(run.path, sweep) for run in directories)
    return sweep / STACKS / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}.ckpt"


def read_state(path: Path) -> SavedStack:
    """Read the state of a stack.

    Raises:
        ConfigurationError: the file is damaged.
        OSError: it cannot be read at the moment.
    """
    state = read_checkpoint(path, "stack")
    try:
        stack, step = state["stack"], steps_taken(state)
        runs = tuple(os.path.normpath(path.parent.parent / name) for name in stack["runs"])
        return SavedStack(state, step, runs, int(stack["threads"]), tuple(map(str, stack["digests"])))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} does not hold a run's state ({type(error).__name__}: {error})") from error


def steps_taken(state: Mapping[str, Any]) -> int:
    """Return the number of optimiser steps of a stack's state; without one of its own it is that of Lightning."""
    weights = state["state_dict"]
    return int(weights["step"] if "step" in weights else state["global_step"])


def join(states: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Return the weights of a stack of members with these weights."""
    states = list(states)
    return {key: torch.cat([weights[key] for weights in states]) if x.ndim else x for key, x in states[0].items()}


def serialise(checkpoint: Mapping[str, Any]) -> bytes:
    """Return the content of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path, section: Literal["configuration", "stack"] = "configuration") -> dict[str, Any]:
    """Read a checkpoint with weights and a section. Only tensors and plain data are unpickled, no larger than the file.

    Raises:
        ConfigurationError: the file is damaged, or is not a checkpoint.
        OSError: the file cannot be read at the moment, but may be intact.
    """
    try:
        content = read_bytes(path, 2**36, path.parent.parent)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:  # torch does not verify checksums
            members = archive.infolist()
            if any(member.compress_type != zipfile.ZIP_STORED for member in members):
                raise zipfile.BadZipFile("it has compressed members")
            if sum(member.file_size for member in members) > len(content):
                raise zipfile.BadZipFile("its members overlap")
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {name} is wrong")
        checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        check_extent([checkpoint], len(content))
        if not (isinstance(checkpoint, dict) and {"state_dict", section} <= checkpoint.keys()):
            raise TypeError("it is not a checkpoint of a run")
    except (MemoryError, ConfigurationError):
        raise
    except Exception as error:  # a damaged file can make the loaders raise anything
        # EINVAL: an offset in the file points before its beginning
        if isinstance(error, OSError) and error.errno not in (errno.EISDIR, errno.EINVAL):
            raise
        reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise ConfigurationError(f"{path} cannot be read ({printable(reason)})") from error
    return checkpoint
