"""The plan of a sweep: its jobs, composed and checked before any is trained, and the chunks that share a stack."""

import heapq
import itertools
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.utils import setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig

from runge.configuration import digest
from runge.errors import ConfigurationError
from runge.launch.compose import Composer, plain
from runge.launch.jobs import Job, current, ended_before, foreign_run, name_overrides
from runge.launch.processes import run_tasks
from runge.machine import interruption
from runge.runs.directories import RunDirectory

log = logging.getLogger(__name__)

_SECONDS_PER_MEMBER, _SECONDS_PER_STACK = 0.1, 0.5
"""Costs that do not grow with the steps: the files of each member, and the set-up of each stack."""

_BUSY = 0.9
"""The share of the time that processes are to work; a sweep is cut into no more pieces than that needs."""


def check_jobs(
    context: HydraContext, config: DictConfig, overrides: Sequence[Sequence[str]], first: int, processes: int = 1
) -> list[Job]:
    """Compose the jobs of a sweep, and build data and weights once for each kind of job, to check them.

    Their numbers begin with `first`, and `processes` build at a time.

    Raises:
        ConfigurationError: a key or a value of a job is not allowed.
    """
    from runge.launch.run import check_members  # late, as torch is: a mistake in a key is reported before

    setup_globals()
    compose, jobs = Composer(context.config_loader, config), list[Job]()
    for number, own in enumerate(overrides, first):
        interruption.check()
        jobs.append(_job(compose(own, number)))
    ((directory, count),) = Counter(job.directory for job in jobs).most_common(1)
    if count > 1:
        raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {directory!r} for {count} runs")
    kinds = list({job.member.without_seed(): job.member for job in jobs}.values())
    parts = [part for i in range(processes) if (part := kinds[i::processes])]
    for _, value in list(run_tasks([partial(check_members, part) for part in parts], id, processes)):
        if isinstance(value, Exception):
            raise value
    return jobs


def _job(config: DictConfig) -> Job:
    """Check a composed job, and read what its directory holds."""
    from runge.training.member import Member

    overrides = list(config.hydra.overrides.task)
    directory = os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir)
    with current(config), name_overrides(overrides):
        content, _ = plain(config)
        member = Member(content, overrides)
        return Job(config, overrides, directory, member, ended_before(member, RunDirectory(directory)))


class Chunk(NamedTuple):
    """Jobs that are trained together: their numbers, the steps that each of them has left, and their saved state."""

    jobs: list[int]
    steps: int
    state: Path | None = None


def plan(
    jobs: Sequence[Job], processes: int, most: int, halving: int | None = None, begun: Sequence[Chunk] = ()
) -> tuple[list[Chunk], bool]:
    """Divide jobs into chunks that share a stack, the longest first.

    Jobs that were trained in a stack resume in the same one, to end with the same bits. All others are divided as at
    the sweep's beginning, so that a resumed sweep has the stacks of an uninterrupted one. With halving, runs that
    differ in their seed alone stay together. The chunks `begun` are those of `begun_chunks`.

    Returns:
        The unfinished chunks, each of at most `most` jobs; true if the whole sweep is one chunk, which can have all
        cores.
    """
    fresh, chunks = _divide(jobs, processes, most, halving is not None), list(begun)
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
    seconds = chunk.steps * jobs[chunk.jobs[0]].member.work() + _SECONDS_PER_MEMBER
    return len(chunk.jobs) * seconds + _SECONDS_PER_STACK


def _longest_first(jobs: Sequence[Job], chunks: Sequence[Chunk]) -> list[Chunk]:
    return sorted(chunks, key=lambda chunk: _cost(jobs, chunk), reverse=True)


def _divide(jobs: Sequence[Job], processes: int, most: int, by_trial: bool) -> list[Chunk]:
    """Cut the groups that can share a stack into the fewest pieces that keep all processes busy to the end.

    What is not divided is one job, or by trial the jobs that differ in their seed alone.
    """
    groups: dict[str, dict[Any, list[int]]] = {}
    for number, job in enumerate(jobs):
        group = f"{job.member.shared()} {'' if job.member.optimizer.keeps_apart else number}"
        unit = job.member.apart_from_seed() if by_trial else number
        groups.setdefault(group, {}).setdefault(unit, []).append(number)

    def cut(pieces: int) -> list[Chunk]:
        chunks = []
        for units in map(list, (group.values() for group in groups.values())):
            count = max(pieces, math.ceil(len(units) / max(1, most // max(map(len, units)))))
            parts = [list(itertools.chain(*units[i::count])) for i in range(count)]
            chunks += [Chunk(numbers, _steps(jobs, numbers)) for numbers in parts if numbers]
        return _longest_first(jobs, chunks)

    def busy(chunks: Sequence[Chunk]) -> float:
        """Return the share of the time that the processes work."""
        ends, costs = [0.0] * processes, [_cost(jobs, chunk) for chunk in chunks]
        for cost in costs:
            heapq.heapreplace(ends, ends[0] + cost)
        return sum(costs) / processes / max(ends)

    cuts = [cut(pieces) for pieces in range(1, processes + 1)]
    return next((chunks for chunks in cuts if busy(chunks) >= _BUSY), max(cuts, key=busy))
