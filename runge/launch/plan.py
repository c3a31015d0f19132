"""How a sweep is divided into chunks: which runs share a stack, where each resumes, and in which order."""

import heapq
import itertools
import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runge.configuration import digest
from runge.errors import ConfigurationError
from runge.launch.jobs import Job, foreign_run
from runge.machine import SECONDS_PER_MEMBER, SECONDS_PER_STACK
from runge.runs.directories import RunDirectory

log = logging.getLogger(__name__)


class Chunk(NamedTuple):
    """Jobs that are trained together: their numbers, the steps that each of them has left, and their saved state."""

    jobs: list[int]
    steps: int
    state: Path | None = None


def plan(
    jobs: Sequence[Job],
    processes: int,
    most: int,
    memory: float = math.inf,
    halving: int | None = None,
    begun: Sequence[Chunk] = (),
) -> tuple[list[Chunk], bool]:
    """Divide jobs into chunks that share a stack, the longest first.

    Jobs that were trained in a stack resume in the same one, to end with the same bits. All others are divided as at
    the sweep's beginning, so that a resumed sweep has the stacks of an uninterrupted one. With halving, runs that
    differ in their seed alone stay together. The chunks `begun` are those of `begun_chunks`.

    Returns:
        The unfinished chunks, each of at most `most` jobs whose optimisers need at most `memory` bytes together (or of
        one job); true if the whole sweep is one chunk, which can have all cores.
    """
    fresh, chunks = _divide(jobs, processes, most, memory, halving is not None), list(begun)
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


def begun_chunks(jobs: Sequence[Job], sweep: Path) -> list[Chunk]:
    """Return the unfinished stacks of a sweep that have a saved state. A damaged file is set aside.

    Raises:
        ConfigurationError: a state is that of a different sweep.
    """
    from runge.runs.checkpoints import STACKS, read_state

    numbers = {os.path.normpath(job.directory): number for number, job in enumerate(jobs)}
    alone = [RunDirectory(job.directory).last for job in jobs if job.outcome is None]
    chunks: list[Chunk] = []
    for path in [*sorted((sweep / STACKS).glob("*.ckpt")), *filter(Path.exists, alone)]:
        try:
            saved = read_state(path)
        except ConfigurationError as error:
            log.warning("%s: set aside", error)
            path.replace(path.with_name(f"{path.name}.damaged"))
            continue
        together = [numbers[run] for run in saved.runs if run in numbers]
        if all(jobs[i].outcome is not None for i in together):
            continue
        for run, identity in zip(saved.runs, saved.digests, strict=True):
            if run in numbers and digest(jobs[numbers[run]].member.configuration) != identity:
                raise foreign_run(RunDirectory(run))
        if len(together) < len(saved.runs):
            log.warning(
                "a stack of %d runs resumes with %d of them, whose figures are the same to round-off; the others do "
                "not belong to this command",
                *(len(saved.runs), len(together)),
            )
        chunks.append(Chunk(together, _steps(jobs, together) - saved.step, path))
    return chunks


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
