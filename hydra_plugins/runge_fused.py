"""Hydra's entry to `runge.launch`, imported late: the launcher `fused`, the sweepers `grid` and `search`."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class FusedLauncher(Launcher):
    """A launcher that trains the runs of a sweep as members of stacks, on all cores.

    Args:
        **settings: `runge.launch.slurm.LauncherSettings`.

    Attributes:
        failures: messages of runs whose own directories could not be written to, by their directories.
        workers: the processes that train; None: each launch has its own.
        meanwhile: called once in each launch, when its training has begun.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {key: OmegaConf.to_object(x) if OmegaConf.is_config(x) else x for key, x in settings.items()}
        self.failures: dict[str, str] = {}
        self.workers: Any = None
        self.meanwhile: Callable[[], None] = lambda: None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        from runge.launch.sweep import launch

        hydra, ours = (self.hydra_context, self.config), (self.failures, self.workers, self.meanwhile)
        return launch(*hydra, self.settings, job_overrides, initial_job_idx, *ours)


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, which also checks every job before the first one begins, and compares all runs at the end.

    Args:
        max_batch_size: as Hydra's.
        params: as Hydra's.
        halving: the factor by which the worst runs leave at rungs; None: none leaves.
        compare: false skips the comparison.
    """

    def __init__(
        self, max_batch_size: int | None, params: dict[str, str] | None, halving: int | None, compare: bool
    ) -> None:
        super().__init__(max_batch_size, params)
        self.halving, self.compare, self.checked = halving, compare, 0

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; then compare them, even if some failed, but not after an interrupt."""
        assert self.config is not None
        from runge.configuration import build
        from runge.launch.sweep import SweeperSettings

        settings = {name: getattr(self, name) for name in ("max_batch_size", "params", "halving", "compare")}
        build("hydra.sweeper", settings, SweeperSettings)
        _check_halving(self)
        with _compared(self):
            return super().sweep(arguments)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check the jobs; the fused launcher checks them itself, in its processes."""
        assert self.config is not None
        assert self.hydra_context is not None
        if not isinstance(self.launcher, FusedLauncher):
            from runge.launch.preparation import check_jobs

            check_jobs(self.hydra_context, self.config, batch, self.checked)
            self.checked += len(batch)


class SearchSweeper(Sweeper):
    """A sweeper that searches for the best settings: Optuna proposes batches of runs, from the results of those before.

    Args:
        **settings: `runge.launch.search.SearchSettings`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {key: OmegaConf.to_object(x) if OmegaConf.is_config(x) else x for key, x in settings.items()}
        self.halving, self.compare = self.settings["halving"], self.settings["compare"]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Search; then compare all runs, even if some failed, but not after an interrupt."""
        from runge.configuration import build
        from runge.launch.preparation import check_jobs
        from runge.launch.search import NOWHERE, Search, SearchSettings
        from runge.launch.sweep import workers

        context, config, launcher = self.hydra_context, self.config, self.launcher
        _check_halving(self)
        search = Search(context, config, build("hydra.sweeper", self.settings, SearchSettings), arguments)
        with _compared(self), workers(launcher.settings if isinstance(launcher, FusedLauncher) else None) as pool:
            jobs = check_jobs(context, config, search.corners(), NOWHERE, pool)
            if isinstance(launcher, FusedLauncher):
                launcher.workers = pool

            def launch(
                overrides: Sequence[Sequence[str]], first: int, meanwhile: Callable[[], None]
            ) -> Sequence[JobReturn]:
                if isinstance(launcher, FusedLauncher):
                    launcher.meanwhile = meanwhile
                else:
                    meanwhile()
                return launcher.launch(overrides, initial_job_idx=first)

            search.run(launch, jobs)


def _check_halving(sweeper: GridSweeper | SearchSweeper) -> None:
    if sweeper.halving is not None and not isinstance(sweeper.launcher, FusedLauncher):
        from runge.errors import ConfigurationError

        name = type(sweeper.launcher).__name__
        raise ConfigurationError(f"hydra.sweeper.halving: must be null unless hydra/launcher=fused, got {name}")


@contextmanager
def _compared(sweeper: GridSweeper | SearchSweeper) -> Iterator[None]:
    """Keep other sweeps out of the sweep's directory, and compare the runs at the end, but not after an interrupt."""
    from runge.launch.sweep import compare, reserved

    assert sweeper.config is not None
    directory = sweeper.config.hydra.sweep.dir
    with reserved(Path(directory)):
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            sweeper.compare = False
            raise
        finally:
            if sweeper.compare:
                compare(directory, getattr(sweeper.launcher, "failures", {}))


# Plain nodes, because a class of this module would have to be sent to the workers with each configuration.
launcher = {"_target_": f"{__name__}.FusedLauncher", "processes": None, "members": None, "cluster": "local"}
slurm = {"partition": None, "timeout_min": 60, "cpus_per_task": 1, "gpus_per_node": None, "mem_gb": None}
slurm |= {"retries": 2, "additional_parameters": {}}
sweeper = {"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None}
sweeper |= {"halving": None, "compare": True}
search: dict[str, Any] = {"_target_": f"{__name__}.SearchSweeper", "trials": 100, "batch": None, "timeout": None}
search |= {"seed": 0, "sampler": "tpe", "halving": None, "seeds": 1, "params": None, "compare": True}
nodes = ("launcher", "fused", launcher | slurm), ("sweeper", "grid", sweeper), ("sweeper", "search", search)
for group, name, node in nodes:
    ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node, provider="runge")
