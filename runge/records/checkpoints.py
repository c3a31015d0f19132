"""Checkpoints that lie on the disk: which steps a run, or all of a stack, can go on from."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runge.configuration import digest
from runge.errors import ConfigurationError
from runge.function import read_checkpoint
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
