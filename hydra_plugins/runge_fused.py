"""Hydra's entry to `runge.launch`, imported late: the launcher `fused`, the sweepers `grid` and `search`."""

from collections.abc import Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class FusedLauncher(Launcher):
    """A launcher that trains the runs of a sweep as members of stacks, on all cores.

    Attributes:
        settings: the content of `runge.launch.slurm.LauncherSettings`.
        failures: messages of runs whose own directories could not be written to, by their directories.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings, self.failures = _plain(settings), dict[str, str]()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        from runge.launch.sweep import launch

        parts = self.hydra_context, self.config, self.settings
        return launch(*parts, job_overrides, initial_job_idx, self.failures)


class _Sweeper(Sweeper):
    def __init__(self, **settings: Any) -> None:
        self.settings = _plain(settings)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        given = {"hydra_context": hydra_context, "task_function": task_function, "config": config}
        self.parts = hydra_context, config, Plugins.instance().instantiate_launcher(**given)


class GridSweeper(_Sweeper):
    """A sweeper that runs all combinations of values, as Hydra's own, but checked before and compared at the end."""

    def sweep(self, arguments: list[str]) -> None:
        """Run all jobs."""
        from runge.launch.sweep import run_grid

        context, config, launcher = self.parts
        run_grid(context, config, self.settings, launcher, arguments)


class SearchSweeper(_Sweeper):
    """A sweeper that searches for the best settings: Optuna proposes batches of runs from the results of others."""

    def sweep(self, arguments: list[str]) -> None:
        """Search."""
        from runge.configuration import build
        from runge.launch.policies.optuna import NOWHERE, Search, SearchSettings
        from runge.launch.sweep import begin_processes, check_jobs, compared

        context, config, launcher = self.parts
        search = Search(context, config, build("hydra.sweeper", self.settings, SearchSettings), arguments)
        with compared(config, search.settings, launcher):
            processes = begin_processes(launcher.settings) if isinstance(launcher, FusedLauncher) else 1
            jobs = check_jobs(context, config, search.ends, NOWHERE, processes)
            search.run(launcher.launch, jobs[0].member.objective.keys)


class BestSweeper(_Sweeper):
    """A sweeper that lets candidates of all methods race, and leaves one function as the answer."""

    def sweep(self, arguments: list[str]) -> None:
        """Run the race."""
        from runge.configuration import build
        from runge.launch.policies.best.policy import Race, RaceSettings
        from runge.launch.sweep import begin_processes, compared

        context, config, launcher = self.parts
        settings = build("hydra.sweeper", self.settings, RaceSettings)
        with compared(config, settings, launcher):
            processes = begin_processes(launcher.settings) if isinstance(launcher, FusedLauncher) else 1
            Race(context, config, settings, arguments, processes).run(launcher.launch)


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for key, value in settings.items()}


# Plain nodes, because a class of this module would have to be sent to the workers with each configuration.
launcher = {"_target_": f"{__name__}.FusedLauncher", "processes": None, "members": None, "cluster": "local"}
slurm = {"partition": None, "timeout_min": 60, "cpus_per_task": 1, "gpus_per_node": None, "mem_gb": None}
slurm |= {"additional_parameters": {}}
sweeper = {"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None, "compare": True}
search: dict[str, Any] = {"_target_": f"{__name__}.SearchSweeper", "trials": 100, "batch": None, "timeout": None}
search |= {"seed": 0, "sampler": "tpe", "seeds": 1, "params": None, "compare": True}
best = {"_target_": f"{__name__}.BestSweeper", "timeout": 60, "tables": {}, "formulas": {}, "seeds": 3, "compare": True}
nodes = ("launcher", "fused", launcher | slurm), ("sweeper", "grid", sweeper), ("sweeper", "search", search)
nodes += (("sweeper", "best", best),)
for group, name, node in nodes:
    ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node, provider="runge")
