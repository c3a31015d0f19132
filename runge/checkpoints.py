"""Checkpoints: a stack's state, cut into one ordinary checkpoint for each member, and put together again."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.plugins import CheckpointIO
from torch import Tensor

from runge.directories import RunDirectory, write
from runge.function import read_checkpoint

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


class MemberFiles(CheckpointIO):
    """Saves a stack as each member's own `last.ckpt` and `best.ckpt`, and loads it from the former.

    A file replaces the one before only when it is complete.

    Args:
        directories: the members' run directories.
        configurations: the members' configurations, enough to rebuild the runs.
    """

    def __init__(self, directories: Sequence[RunDirectory], configurations: Sequence[Mapping[str, Any]]) -> None:
        self.directories, self.configurations = directories, configurations

    def save_checkpoint(self, checkpoint: Checkpoint, path: Any, storage_options: Any = None) -> None:
        """Write each member's checkpoints; the path is not used."""
        alone = len(self.directories) == 1
        for i, (directory, configuration) in enumerate(zip(self.directories, self.configurations, strict=True)):
            last = {**(checkpoint if alone else cut(checkpoint, i)), "configuration": configuration}
            state = last["state_dict"]
            best = {f"network.{name[5:]}": x for name, x in state.items() if name.startswith("best.")}
            directory.last.parent.mkdir(parents=True, exist_ok=True)
            write(directory.best, _serialised({"state_dict": best, "configuration": configuration}))
            write(directory.last, _serialised(last))

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> Checkpoint:
        """Put the members' last checkpoints together; the path is not used."""
        found = [read_checkpoint(directory.last) for directory in self.directories]
        return found[0] if len(found) == 1 else join(found)

    def remove_checkpoint(self, path: Any) -> None:
        """Nothing is ever removed."""


def _serialised(checkpoint: Checkpoint) -> bytes:
    buffer = io.BytesIO()
    torch.save(checkpoint, buffer)
    return buffer.getvalue()
