"""How a sweep is divided into chunks: which runs share a stack, where each resumes, and in which order."""

import heapq
import itertools
import logging
import math
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from runge.errors import ConfigurationError
from runge.launch.jobs import Job
from runge.machine import SECONDS_PER_MEMBER, SECONDS_PER_STACK
from runge.runs.directories import RunDirectory

if TYPE_CHECKING:
    from runge.runs.checkpoints import CheckpointFile

log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Jobs that are trained together: their numbers in the sweep, and the steps that each of them has left."""

    jobs: list[int]
    steps: int


def plan(
    jobs: Sequence[Job], processes: int, most: int, memory: float = math.inf, halving: int | None = None
) -> tuple[list[Chunk], bool]:
    """Divide jobs into chunks that share a stack, the longest first.

    Jobs that were trained in a stack resume in the same one, to end with the same bits. All others are divided as at
    the sweep's beginning, so that a resumed sweep has the stacks of an uninterrupted one. With halving, runs that
    differ in their seed alone stay together.

    Returns:
        The unfinished chunks, each of at most `most` jobs whose optimisers need at most `memory` bytes together (or of
        one job); true if the whole sweep is one chunk, which can have all cores.
    """
    fresh, chunks = _divide(jobs, processes, most, memory, halving is not None), _begun(jobs)
    settled = {number for number, job in enumerate(jobs) if job.outcome is not None}.union(*(c.jobs for c in chunks))
    for chunk in fresh:
        if new := [number for number in chunk.jobs if number not in settled]:
            chunks.append(chunk._replace(jobs=new))
            again = any(RunDirectory(jobs[number].directory).hydra.exists() for number in new)
            if again and len(new) < len(chunk.jobs):
                log.warning(
                    "a stack of %d runs begins again with %d of them, whose figures are the same to round-off; they "
                    "have no checkpoint, and the others have ended or resume",
                    *(len(chunk.jobs), len(new)),
                )
    return _longest_first(jobs, chunks), len(fresh) == 1


def _begun(jobs: Sequence[Job]) -> list[Chunk]:
    """Return the unfinished stacks that have checkpoints."""
    from runge.runs.checkpoints import last_step

    numbers = {os.path.normpath(job.directory): number for number, job in enumerate(jobs)}
    stacks = dict.fromkeys(max(job.checkpoints.items())[1].stack for job in jobs if job.checkpoints)
    chunks: list[Chunk] = []
    for stack in stacks:
        members = [numbers[path] for path in stack if path in numbers]
        checkpoints = {i: _checkpoints(jobs[i]) for i in members}
        step = last_step(list(checkpoints.values()))
        together = [i for i, by_step in checkpoints.items() if step in by_step and by_step[step].stack == stack]
        if not step or not together:  # its first save was incomplete
            continue
        if len(together) < len(stack):
            log.warning(
                "a stack of %d runs resumes with %d of them, whose figures are the same to round-off; the others have "
                "no checkpoint of step %d or do not belong to this command",
                *(len(stack), len(together), step),
            )
        if any(jobs[i].outcome is None for i in together):
            chunks.append(Chunk(together, _steps(jobs, together) - step))
    return chunks


def _checkpoints(job: Job) -> Mapping[int, "CheckpointFile"]:
    """Return a run's checkpoints, which its stack may need even if it has ended; none if they are damaged."""
    from runge.runs.checkpoints import checkpoint_files

    with suppress(ConfigurationError):
        return job.checkpoints or checkpoint_files(RunDirectory(job.directory))
    return {}


def _steps(jobs: Sequence[Job], numbers: Sequence[int]) -> int:
    return jobs[numbers[0]].member.training.max_steps


def _cost(jobs: Sequence[Job], chunk: Chunk) -> float:
    """Estimate the seconds that a chunk takes."""
    seconds = chunk.steps * jobs[chunk.jobs[0]].member.work() + SECONDS_PER_MEMBER
    return len(chunk.jobs) * seconds + SECONDS_PER_STACK


def _longest_first(jobs: Sequence[Job], chunks: Sequence[Chunk]) -> list[Chunk]:
    return sorted(chunks, key=lambda chunk: _cost(jobs, chunk), reverse=True)


def _units(jobs: Sequence[Job], numbers: Sequence[int], by_trial: bool) -> list[list[int]]:
    """Return jobs that are not to be divided: each one, or those that differ in their seed alone."""
    units: dict[Any, list[int]] = {}
    for number in numbers:
        units.setdefault(jobs[number].member.apart_from_seed() if by_trial else number, []).append(number)
    return list(units.values())


def _divide(jobs: Sequence[Job], processes: int, most: int, memory: float, by_trial: bool) -> list[Chunk]:
    """Cut the groups that can share a stack into the fewest pieces that keep all processes busy to the end.

    The small groups are cut into one more piece than the others.
    """
    numbers_of: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        alone = "" if job.member.optimizer.keeps_apart else str(number)
        numbers_of.setdefault(f"{job.member.shared()} {alone}", []).append(number)
    groups = [Chunk(numbers, _steps(jobs, numbers)) for numbers in numbers_of.values()]
    groups.sort(key=lambda chunk: _cost(jobs, chunk))
    need = [max(jobs[i].member.memory()[0] for i in group.jobs) for group in groups]
    most_of = [most if one * most <= memory else max(1, int(memory / one)) for one in need]

    units = [_units(jobs, group.jobs, by_trial) for group in groups]

    def cut(pieces: int, small: int) -> list[Chunk]:
        chunks: list[Chunk] = []
        for i, group in enumerate(groups):
            least = math.ceil(len(units[i]) / max(1, most_of[i] // max(map(len, units[i]))))
            count = max(least, pieces + (i < small))
            parts = [list(itertools.chain(*units[i][j::count])) for j in range(count)]
            chunks += [group._replace(jobs=numbers) for numbers in parts if numbers]
        return _longest_first(jobs, chunks)

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
