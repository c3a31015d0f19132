"""Hydra's entry to `runge.launch`, which is imported late: the launcher `fused` and the sweeper `grid`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class FusedLauncher(Launcher):
    """A launcher that trains the runs of a sweep as members of stacks, on all cores.

    Args:
        **settings: `runge.launch.cluster.LauncherSettings`.

    Attributes:
        failures: messages of runs whose own directories could not be written to, by their directories.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings = {key: OmegaConf.to_object(x) if OmegaConf.is_config(x) else x for key, x in settings.items()}
        self.failures: dict[str, str] = {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self.hydra_context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        from runge.launch.sweep import launch

        context, config = self.hydra_context, self.config
        return launch(context, config, self.settings, job_overrides, initial_job_idx, self.failures)


class GridSweeper(BasicSweeper):
    """Hydra's own sweeper, which also checks every job before the first one begins, and compares all runs at the end.

    Args:
        max_batch_size: as Hydra's.
        params: as Hydra's.
        compare: false skips the comparison.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, str] | None, compare: bool) -> None:
        super().__init__(max_batch_size, params)
        self.compare, self.checked = compare, 0

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs; then compare them, even if some failed, but not after an interrupt."""
        assert self.config is not None
        from runge.configuration import build
        from runge.launch.sweep import SweeperSettings, compare, reserved

        settings = {"max_batch_size": self.max_batch_size, "params": self.params, "compare": self.compare}
        build("hydra.sweeper", settings, SweeperSettings)
        directory = self.config.hydra.sweep.dir
        with reserved(Path(directory)):
            try:
                return super().sweep(arguments)
            except (KeyboardInterrupt, SystemExit):
                self.compare = False
                raise
            finally:
                if self.compare:
                    compare(directory, getattr(self.launcher, "failures", {}))

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Check the jobs; the fused launcher checks them itself, in its processes."""
        assert self.config is not None
        assert self.hydra_context is not None
        if not isinstance(self.launcher, FusedLauncher):
            from runge.launch.sweep import check_jobs

            check_jobs(self.hydra_context, self.config, batch, self.checked)
            self.checked += len(batch)


# Plain nodes, because a class of this module would have to be sent to the workers with each configuration.
launcher = {"_target_": f"{__name__}.FusedLauncher", "processes": None, "members": None, "cluster": "local"}
slurm = {"partition": None, "timeout_min": 60, "cpus_per_task": 1, "gpus_per_node": None, "mem_gb": None}
slurm |= {"retries": 2, "additional_parameters": {}}
sweeper = {"_target_": f"{__name__}.GridSweeper", "max_batch_size": None, "params": None, "compare": True}
for group, name, node in (("launcher", "fused", launcher | slurm), ("sweeper", "grid", sweeper)):
    ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node, provider="runge")
