"""The jobs of a sweep, composed and checked before any of them is trained."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import setup_globals
from hydra.types import HydraContext
from omegaconf import DictConfig

from runge.errors import ConfigurationError
from runge.launch.compose import Composer, plain
from runge.launch.jobs import Job, ended_before, name_overrides
from runge.launch.processes import InProcess, Pool
from runge.launch.worker import call, request
from runge.runs.directories import RunDirectory


def check_jobs(
    context: HydraContext,
    config: DictConfig,
    job_overrides: Sequence[Sequence[str]],
    first: int,
    pool: Pool | InProcess | None = None,
) -> list[Job]:
    """Check jobs before they are launched; their numbers begin with `first`.

    Raises:
        ConfigurationError: a key or a value of a job is not allowed.
    """
    setup_globals()
    with restored():
        return prepare(context, config, job_overrides, first, pool or InProcess(call))


@contextmanager
def restored() -> Iterator[None]:
    """Restore Hydra's configuration."""
    before = HydraConfig.instance().cfg
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def prepare(
    context: HydraContext, config: DictConfig, overrides: Sequence[Sequence[str]], first: int, pool: Pool | InProcess
) -> list[Job]:
    """Compose the jobs of a sweep, and build data and weights once for each kind of job, to check them."""
    compose = Composer(context.config_loader, config)
    jobs = [_job(compose(own, first + i)) for i, own in enumerate(overrides)]
    if not jobs:
        raise ConfigurationError("a sweep must have at least one run; one of its keys has no values")
    ((directory, count),) = Counter(job.directory for job in jobs).most_common(1)
    if count > 1:
        raise ConfigurationError(f"hydra.sweep.subdir: must differ from run to run, got {directory!r} for {count} runs")
    # The comparison's libraries, loaded while the workers load theirs.
    import scipy.stats  # noqa: F401

    import runge.compare.comparison  # noqa: F401

    kinds = list({job.member.without_seed(): job.member for job in jobs}.values())
    if pool.processes > 1:  # otherwise each worker would compile the same step when its training begins
        background = ThreadPoolExecutor(1)
        for member in {(member.model.activation, member.training.precision): member for member in kinds}.values():
            background.submit(member.compile_ahead, len(jobs))
        background.shutdown(wait=False)
    parts = [part for i in range(pool.processes) if (part := kinds[i :: pool.processes])]
    for _, value in pool.run([request("check_members", context, part) for part in parts], id):
        if isinstance(value, Exception):
            raise value
    return jobs


def _job(config: DictConfig) -> Job:
    """Check a composed job, and read what its directory holds."""
    from runge.training.member import Member  # imported late, as torch is: the workers load it at the same time

    overrides = list(config.hydra.overrides.task)
    HydraConfig.instance().cfg = config  # pyright: ignore[reportAttributeAccessIssue]: `set_config` would copy it
    directory = os.path.join(config.hydra.sweep.dir, config.hydra.sweep.subdir)
    with name_overrides(overrides):
        content, _ = plain(config)
        member = Member(content, overrides)
        return Job(config, overrides, directory, member, ended_before(member, RunDirectory(directory)))
