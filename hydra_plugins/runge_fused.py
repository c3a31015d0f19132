"""The fused launcher and its sweeper, as Hydra finds them; `runge.launch` does the work, and is imported late."""

from collections.abc import Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class FusedLauncher(Launcher):
    """Trains the runs of a sweep as members of stacks, on all cores.

    That takes a task that is marked by `runge.launch.command.fusable`. Any other is left to Hydra's own launcher.

    Args:
        **settings: `runge.launch.cluster.Settings`.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {key: OmegaConf.to_object(x) if OmegaConf.is_config(x) else x for key, x in settings.items()}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        if not getattr(self.task_function, "fusable", False):
            basic = BasicLauncher()
            basic.setup(hydra_context=self.hydra_context, task_function=self.task_function, config=self.config)
            return basic.launch(job_overrides, initial_job_idx)
        from runge.launch.sweep import launch

        return launch(self, job_overrides, initial_job_idx)


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, but that every job is checked whole before the first one begins, with any launcher."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        super().setup(hydra_context=hydra_context, task_function=task_function, config=config)
        self.task_function, self.checked = task_function, 0

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check the jobs; the fused launcher does so itself, in its processes."""
        assert self.config is not None
        assert self.hydra_context is not None
        if not getattr(self.task_function, "fusable", False):
            super().validate_batch_is_legal(batch)
        elif not isinstance(self.launcher, FusedLauncher):
            from runge.launch.sweep import check

            check(self.hydra_context, self.config, batch, self.checked)
            self.checked += len(batch)


# Plain nodes: a class of this module would have to travel to the workers with each configuration.
store = ConfigStore.instance()
launcher = {
    "_target_": "hydra_plugins.runge_fused.FusedLauncher",
    "processes": None,
    "members": None,
    "cluster": "local",
    "partition": None,
    "timeout_min": 60,
    "cpus_per_task": 1,
    "gpus_per_node": None,
    "mem_gb": None,
    "retries": 2,
    "additional_parameters": {},
}
sweeper = {"_target_": "hydra_plugins.runge_fused.GridSweeper", "max_batch_size": None, "params": None}
store.store(group="hydra/launcher", name="fused", node=launcher, provider="runge")
store.store(group="hydra/sweeper", name="grid", node=sweeper, provider="runge")
