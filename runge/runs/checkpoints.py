"""Checkpoints on disk, and the steps from which a run or a whole stack can resume."""

import errno
import io
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from runge.configuration import digest
from runge.errors import ConfigurationError
from runge.runs.directories import RunDirectory


class CheckpointFile(NamedTuple):
    """A checkpoint of a run on disk.

    Attributes:
        step: the number of steps taken.
        path: the file.
        stack: the directories of all runs of its stack, in order.
        threads: the number of threads that took the steps.
        configuration: the digest of the run's configuration.
    """

    step: int
    path: Path
    stack: tuple[str, ...]
    threads: int
    configuration: str


def checkpoint_files(directory: RunDirectory) -> dict[int, CheckpointFile]:
    """Return the checkpoints from which a run can resume, by their steps.

    Raises:
        ConfigurationError: `last.ckpt` is damaged.
    """
    files: dict[int, CheckpointFile] = {}
    for path in filter(Path.exists, (directory.next, directory.last)):
        try:
            content = read_checkpoint(path)
        except ConfigurationError:
            if path == directory.last:
                raise
            continue  # it was being written when the run ended
        file = _describe(directory, path, content)
        files[file.step] = file
    return files


def _describe(directory: RunDirectory, path: Path, content: Mapping[str, Any]) -> CheckpointFile:
    try:
        stack = tuple(os.path.normpath(directory.path / other) for other in content["stack"]["members"])
        step, threads = int(content["state_dict"]["step"]), int(content["stack"]["threads"])
        return CheckpointFile(step, path, stack, threads, digest(content["configuration"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} does not hold a run's state ({type(error).__name__}: {error})") from error


def last_step(stack: Sequence[Mapping[int, CheckpointFile]]) -> int:
    """Return the step from which a stack resumes: the last one with complete checkpoints, or 0.

    A member whose directory could not be written to may lack that step.
    """
    complete = {one.step for member in stack for one in member.values() if not one.path.name.startswith(".")}
    return max(complete.union(set.intersection(*map(set, stack))), default=0)


def resume_from(directories: Sequence[RunDirectory]) -> list[CheckpointFile]:
    """Return the checkpoints from which all members of a stack resume; none if they start from the beginning.

    Raises:
        ConfigurationError: a checkpoint is damaged.
    """
    stack = [checkpoint_files(directory) for directory in directories]
    step = last_step(stack)
    return [member[step] for member in stack] if all(step in member for member in stack) else []


def cut(state: Any, member: int) -> Any:
    """Return one member's part of a stack's state: its row of every tensor, whose first dimension is the members'."""
    if isinstance(state, Tensor):
        return state[member : member + 1].clone() if state.ndim else state
    if isinstance(state, Mapping):
        return {key: cut(value, member) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(cut(value, member) for value in state)
    return state


def join(states: Sequence[Any]) -> Any:
    """Return the state of a stack of members that have taken the same number of steps: the inverse of `cut`."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states)) if first.ndim else first
    if isinstance(first, Mapping):
        return {key: join([state[key] for state in states]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(join(parts) for parts in zip(*states, strict=True))
    return first


def serialise(checkpoint: Mapping[str, Any]) -> bytes:
    """Return the content of a checkpoint file."""
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint. Only tensors and plain data are unpickled.

    Raises:
        ConfigurationError: the file is damaged, or is not a checkpoint.
        OSError: the file cannot be read at the moment, but may be intact.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not verify checksums
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {name} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not (isinstance(checkpoint, dict) and {"state_dict", "configuration"} <= checkpoint.keys()):
            raise TypeError("it is not a checkpoint of a run")
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can make the loaders raise anything
        # EINVAL: an offset in the file points before its beginning
        if isinstance(error, OSError) and error.errno not in (errno.EISDIR, errno.EINVAL):
            raise
        reason = f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
        raise ConfigurationError(f"{path} cannot be read ({reason})") from error
    return checkpoint
