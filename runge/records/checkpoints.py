"""Checkpoints that lie on the disk: which steps a run, or all of a stack, can go on from."""

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
from runge.records.directories import RunDirectory


class Saved(NamedTuple):
    """What of a run is on the disk.

    Attributes:
        step: the steps that it had taken.
        path: the file.
        stack: the directories of the stack in which it was trained, in their order.
        threads: how many threads took its steps.
        configuration: what tells its configuration from others.
    """

    step: int
    path: Path
    stack: tuple[str, ...]
    threads: int
    configuration: str


def saved(directory: RunDirectory) -> dict[int, Saved]:
    """The checkpoints of a run that can be gone on from, by their steps.

    Raises:
        ConfigurationError: `last.ckpt` is damaged.
    """
    found: dict[int, Saved] = {}
    for path in (directory.next, directory.last):
        try:
            checkpoint = read_checkpoint(path) if path.exists() else None
        except ConfigurationError:
            if path == directory.last:
                raise
            continue  # it was being written when the run ended
        if checkpoint is not None:
            one = _saved(directory, path, checkpoint)
            found[one.step] = one
    return found


def _saved(directory: RunDirectory, path: Path, checkpoint: Mapping[str, Any]) -> Saved:
    try:
        stack = tuple(os.path.normpath(directory.path / other) for other in checkpoint["stack"]["members"])
        step, threads = int(checkpoint["state_dict"]["step"]), int(checkpoint["stack"]["threads"])
        return Saved(step, path, stack, threads, digest(checkpoint["configuration"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path} does not hold a run's state ({type(error).__name__}: {error})") from error


def last_step(found: Sequence[Mapping[int, Saved]]) -> int:
    """The step from which a stack goes on: the last one whose checkpoints were complete, or 0.

    Args:
        found: what is `saved` of each member. One that was left out, since its directory could not be written to, need
            not have that step.
    """
    complete = {one.step for member in found for one in member.values() if not one.path.name.startswith(".")}
    shared = set.intersection(*(set(member) for member in found))
    return max(complete | shared, default=0)


def resume_from(directories: Sequence[RunDirectory]) -> list[Saved]:
    """The checkpoints from which all members of a stack go on, or none where they begin.

    Raises:
        ConfigurationError: one is damaged.
    """
    found = [saved(directory) for directory in directories]
    step = last_step(found)
    return [member[step] for member in found] if all(step in member for member in found) else []


Checkpoint = dict[str, Any]


def cut(state: Any, member: int) -> Any:
    """One member's part of a stack's state: of every tensor, which carries the members in front, its row."""
    if isinstance(state, Tensor):
        return state[member : member + 1].clone() if state.ndim else state
    if isinstance(state, Mapping):
        return {key: cut(value, member) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(cut(value, member) for value in state)
    return state


def join(states: Sequence[Any]) -> Any:
    """The state of a stack of these members, who must have taken equally many steps: the inverse of `cut`."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states)) if first.ndim else first
    if isinstance(first, Mapping):
        return {key: join([state[key] for state in states]) for key in first}
    if isinstance(first, list | tuple):
        return type(first)(join(parts) for parts in zip(*states, strict=True))
    return first


def _serialised(checkpoint: Checkpoint) -> bytes:
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint, of which nothing is unpickled but tensors and plain data.

    Raises:
        ConfigurationError: it is damaged, or no checkpoint.
        OSError: it cannot be read now.
    """
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums of what it reads
            if (name := archive.testzip()) is not None:
                raise zipfile.BadZipFile(f"the checksum of {name} is wrong")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        if not (isinstance(checkpoint, dict) and {"state_dict", "configuration"} <= checkpoint.keys()):
            raise TypeError("it is no checkpoint of a run")
    except (OSError, MemoryError) as error:  # the file may well be whole
        if isinstance(error, IsADirectoryError):
            raise ConfigurationError(f"{path} cannot be read (it is a directory)") from error
        if isinstance(error, OSError) and error.errno == errno.EINVAL:  # an offset in it points before its beginning
            raise ConfigurationError(f"{path} cannot be read ({error})") from error
        raise
    except Exception as error:  # whatever a damaged file makes of the loaders
        what = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
        raise ConfigurationError(f"{path} cannot be read ({what})") from error
    return checkpoint
