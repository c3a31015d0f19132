"""A stack's state, cut into one ordinary checkpoint for each member, and put together again.

All members' new checkpoints are on the disk before the first of them takes the place of an old one. So at any moment
there is a step at which all of them can be had, whether the file has its final name already or not.
"""

import errno
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from runge.function import read_checkpoint
from runge.records.checkpoints import Saved
from runge.records.directories import RunDirectory
from runge.records.files import write, write_through

Checkpoint = dict[str, Any]

_OF_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
"""What keeps a file from being written that is no fault of its directory."""


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


class MemberFiles(CheckpointIO):
    """Saves a stack as each member's own `last.ckpt` and `best.ckpt`, and loads it from the former.

    A directory that is gone, or cannot be written to, is left out and does not hold up the others. Where the disk is
    full, or fails, the older checkpoints of all of them stay.

    Args:
        directories: the members' run directories.
        configurations: the members' configurations, enough to rebuild the runs.
        start: the members' checkpoints that are loaded; empty where they begin.
    """

    def __init__(
        self,
        directories: Sequence[RunDirectory],
        configurations: Sequence[Mapping[str, Any]],
        start: Sequence[Saved] = (),
    ) -> None:
        self.directories, self.configurations, self.start = directories, configurations, start
        self.trouble: dict[int, OSError] = {}

    def save_checkpoint(self, checkpoint: Checkpoint, path: Any, storage_options: Any = None) -> None:
        """Write each member's checkpoints; the path is not used."""
        alone = len(self.directories) == 1
        self.trouble = {}
        for i, (directory, configuration) in enumerate(zip(self.directories, self.configurations, strict=True)):
            last = {**(checkpoint if alone else cut(checkpoint, i)), "configuration": configuration}
            members = [os.path.relpath(other.path, directory.path) for other in self.directories]
            last["stack"] = {"members": members, "threads": torch.get_num_threads()}
            best = {f"network.{name[5:]}": x for name, x in last["state_dict"].items() if name.startswith("best.")}
            try:
                directory.last.parent.mkdir(exist_ok=True)
                write_through(directory.next, _serialised(last))
                write(directory.best, _serialised({"state_dict": best, "configuration": configuration}))
            except OSError as error:
                with suppress(OSError):
                    directory.next.unlink(missing_ok=True)
                self.trouble[i] = error
                if error.errno in _OF_ALL:
                    for other in self.directories[:i]:
                        with suppress(OSError):
                            other.next.unlink(missing_ok=True)
                    self.trouble = dict.fromkeys(range(len(self.directories)), error)
                    return
        for i, directory in enumerate(self.directories):
            if i not in self.trouble:
                try:
                    directory.next.replace(directory.last)
                except OSError as error:
                    self.trouble[i] = error

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> Checkpoint:
        """Put the members' checkpoints together; the path is not used."""
        for directory, one in zip(self.directories, self.start, strict=True):
            if one.path != directory.last:  # lest the next one be written over the only one of this step
                one.path.replace(directory.last)
        found = [read_checkpoint(directory.last) for directory in self.directories]
        return found[0] if len(found) == 1 else join(found)

    def remove_checkpoint(self, path: Any) -> None:
        """Nothing is ever removed."""


def _serialised(checkpoint: Checkpoint) -> bytes:
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()
