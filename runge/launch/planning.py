"""How a sweep is cut into chunks: what shares a stack, what goes on from where, and in which order."""

import heapq
import itertools
import logging
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from runge.errors import ConfigurationError
from runge.launch.jobs import Job
from runge.machine import SECONDS_PER_MEMBER, SECONDS_PER_STACK
from runge.records.directories import RunDirectory

if TYPE_CHECKING:
    from runge.records.checkpoints import Saved

log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Jobs that are trained together.

    Attributes:
        jobs: their places in the sweep.
        steps: what each of them has yet to take.
    """

    jobs: list[int]
    steps: int


def plan(jobs: Sequence[Job], processes: int, most: int) -> tuple[list[Chunk], bool]:
    """Sort jobs into chunks that share a stack, the longest first.

    What was trained in a stack goes on in the same one, for the sake of its last bits. All else is cut as if the sweep
    was at its beginning, so that a sweep that goes on has the stacks of one that was never interrupted.

    Args:
        jobs: all jobs of the sweep.
        processes: how many chunks are trained at the same time.
        most: the most members of a chunk.

    Returns:
        The chunks that are not finished, and whether one process has all cores for itself.
    """
    fresh, chunks = _cut(jobs, processes, most), _begun(jobs)
    known = {number for number, job in enumerate(jobs) if job.outcome is not None}.union(*(c.jobs for c in chunks))
    for chunk in fresh:
        if new := [number for number in chunk.jobs if number not in known]:
            chunks.append(chunk._replace(jobs=new))
    return sorted(chunks, key=lambda chunk: _cost(jobs, chunk), reverse=True), len(fresh) == 1


def _begun(jobs: Sequence[Job]) -> list[Chunk]:
    """The stacks of which checkpoints are there, and of which a run has not ended."""
    from runge.records.checkpoints import last_step

    places = {os.path.normpath(job.directory): number for number, job in enumerate(jobs)}
    stacks = dict.fromkeys(max(job.saved.items())[1].stack for job in jobs if job.saved)
    chunks: list[Chunk] = []
    for stack in stacks:
        members = [places[path] for path in stack if path in places]
        found = {i: jobs[i].saved or _saved(jobs[i]) for i in members}
        step = last_step(list(found.values()))
        together = [i for i in members if step in found[i] and found[i][step].stack == stack]
        if not step or not together:  # what there was of it was not complete: it begins anew
            continue
        if len(together) < len(stack):
            log.warning(
                "a stack of %d runs goes on with %d of them, to figures that are the same to round-off: the others "
                "have no checkpoint of step %d, or do not belong to this command",
                *(len(stack), len(together), step),
            )
        if all(jobs[i].outcome is not None for i in together):
            continue
        chunks.append(Chunk(together, _steps(jobs, together) - step))
    return chunks


def _saved(job: Job) -> Mapping[int, "Saved"]:
    """The checkpoints of a run that has ended, which its stack may need; none where they are damaged."""
    from runge.records.checkpoints import saved

    try:
        return saved(RunDirectory(job.directory))
    except ConfigurationError:
        return {}


def _steps(jobs: Sequence[Job], numbers: Sequence[int]) -> int:
    return jobs[numbers[0]].member.training.max_steps


def _cost(jobs: Sequence[Job], chunk: Chunk) -> float:
    """The seconds that a chunk takes, roughly."""
    seconds = chunk.steps * jobs[chunk.jobs[0]].member.work() + SECONDS_PER_MEMBER
    return len(chunk.jobs) * seconds + SECONDS_PER_STACK


def _cut(jobs: Sequence[Job], processes: int, most: int) -> list[Chunk]:
    """Cut all jobs into chunks.

    The groups that can share a stack are cut into as few pieces as keep all processes busy to the end, the small groups
    into one more than the others.
    """
    found: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        alone = "" if job.member.optimizer.independent else str(number)
        found.setdefault(f"{job.member.shared()} {alone}", []).append(number)
    groups = [Chunk(numbers, _steps(jobs, numbers)) for numbers in found.values()]
    groups.sort(key=lambda chunk: _cost(jobs, chunk))

    def cut(pieces: int, small: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        for i, group in enumerate(groups):
            count = max(math.ceil(len(group.jobs) / most), pieces + (i < small))
            chunks += [group._replace(jobs=numbers) for j in range(count) if (numbers := group.jobs[j::count])]
        return sorted(chunks, key=lambda chunk: _cost(jobs, chunk), reverse=True)

    def duration(chunks: Sequence[Chunk]) -> float:
        busy = [0.0] * processes
        for chunk in chunks:
            heapq.heapreplace(busy, busy[0] + _cost(jobs, chunk))
        return max(busy)

    enough = 1.05 * sum(_cost(jobs, group) for group in groups) / processes
    best = cut(1, 0)
    for pieces, small in itertools.product(range(1, processes), range(len(groups) + 1)):
        if duration(best) <= enough:
            break
        best = min(best, cut(pieces, small), key=duration)
    return best
