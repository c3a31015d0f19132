"""Which jobs of a sweep are trained together, and which of them resume."""

import logging
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from runge.composing.jobs import Job
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import digest
from runge.records.directories import RunDirectory

__all__ = ["Chunk", "begun_chunks", "plan_chunks"]

log = logging.getLogger(__name__)

_CHUNKS = 2
"""Chunks for each process: of 1 to 4, two was estimated to be the fastest for twelve sweeps on two processes."""


class Chunk(NamedTuple):
    """Jobs that are trained together: their numbers, the steps that each of them has left, and their saved state."""

    jobs: list[int]
    steps: int
    state: Path | None = None


def begun_chunks(jobs: Sequence[Job], sweep: Path) -> list[Chunk]:
    """Return the unfinished stacks of a sweep that have a saved state. A damaged file is set aside.

    Only whole stacks resume. The files of stacks come before those of runs trained alone, and the latest first: of a
    run that is in several files, the first one counts.
    """
    # Late, because they load torch.
    from runge.records.checkpoints import STACKS, read_state
    from runge.training.member import foreign_run

    numbers = {os.path.normpath(job.directory): number for number, job in enumerate(jobs)}
    alone = [RunDirectory(job.directory).last for job in jobs if job.outcome is None]
    stacks = sorted((sweep / STACKS).glob("*.ckpt"), key=lambda file: -file.stat().st_mtime_ns)
    chunks, taken = list[Chunk](), set[int]()
    for path in [*stacks, *filter(Path.exists, alone)]:
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
            if run in numbers and digest(jobs[numbers[run]].member.settings.configuration) != identity:
                raise foreign_run(RunDirectory(run))
        if len(together) < len(saved.runs):
            log.warning("%s is not continued: the command has %d of its %d runs", path, len(together), len(saved.runs))
        elif taken.isdisjoint(together):
            taken |= {*together}
            chunks.append(Chunk(together, _steps(jobs, together) - saved.step, path))
    return chunks


def plan_chunks(
    jobs: Sequence[Job], processes: int, most: int, begun: Sequence[Chunk] = ()
) -> tuple[list[Chunk], bool]:
    """Divide jobs into unfinished chunks of at most `most`, in order; and say if the whole sweep is one.

    With several processes the chunks that take longest come first.

    Whole stacks that have begun resume (see `begun_chunks`), so their results are the same, bit for bit. All other jobs
    begin, divided as at the sweep's beginning, so that a resumed sweep has the stacks of an uninterrupted one. A job
    that its stack lacks, such as one whose files are damaged, is trained without it.
    """
    fresh, chunks = _divide(jobs, processes, most), list(begun)
    settled = {number for number, job in enumerate(jobs) if job.outcome is not None}.union(*(c.jobs for c in chunks))
    for chunk in fresh:
        if new := [number for number in chunk.jobs if number not in settled]:
            chunks.append(chunk._replace(jobs=new))
            if len(new) < len(chunk.jobs) and any(RunDirectory(jobs[i].directory).hydra.exists() for i in new):
                what = f"a stack of {len(chunk.jobs)} runs begins again with {len(new)} of them"
                log.warning("%s, whose figures are the same to round-off; they have no checkpoint", what)
    if processes > 1:
        chunks.sort(key=lambda chunk: len(chunk.jobs) * chunk.steps * jobs[chunk.jobs[0]].member.work(), reverse=True)
    return chunks, len(fresh) == 1


def _divide(jobs: Sequence[Job], processes: int, most: int) -> list[Chunk]:
    """Group the jobs that can share a stack, and cut each group into chunks of equal size.

    Each group has a chunk for each process, so that all have work to the end, whatever the groups cost. If there are
    many groups, they have fewer, because each stack takes time to set up. A chunk has at most `most` jobs.
    """
    groups: dict[str, list[int]] = {}
    for number, job in enumerate(jobs):
        alone = job.member.why_steps or not job.member.settings.optimizer.keeps_apart
        group = f"{job.member.shared()} {number if alone else ''}"
        groups.setdefault(group, []).append(number)
    chunks_of_group = min(processes, math.ceil(_CHUNKS * processes / len(groups)))
    chunks = []
    for group in groups.values():
        count = min(len(group), max(chunks_of_group, math.ceil(len(group) / most)))
        chunks += [Chunk(group[i::count], _steps(jobs, group)) for i in range(count)]
    return chunks


def _steps(jobs: Sequence[Job], numbers: Sequence[int]) -> int:
    return jobs[numbers[0]].member.settings.trainer.steps
