"""Hydra's entry to `runge.sweeps`, imported late: the launcher `fused` and the sweeper `loop`."""

import time
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
        settings: the content of `runge.sweeps.slurm.LauncherSettings`.
        quiet: true shows no progress.
        failures: messages of runs whose own directories could not be written to, by their directories.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings, self.quiet, self.failures = _plain(settings), False, dict[str, str]()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        from runge.composing.composition import Composer

        self.callbacks, self.config = hydra_context.callbacks, config
        self.compose = Composer(hydra_context.config_loader, config)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs."""
        from runge.sweeps.launch import launch

        parts, first = (self.callbacks, self.compose, self.config, self.settings), initial_job_idx
        return launch(*parts, job_overrides, first, self.failures, self.quiet)


class LoopSweeper(Sweeper):
    """A sweeper whose runs a policy of `runge.sweeps.policies` proposes, the one that the group `search` names.

    Attributes:
        params: values of keys to sweep over, as an experiment has them.
    """

    def __init__(self, params: Any) -> None:
        self.params = params

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self._context, self._config = hydra_context, config
        self._launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Run the loop."""
        from runge.composing.composition import Composer
        from runge.sweeps.launch import count_processes
        from runge.sweeps.loop import policy_of, sweep
        from runge.sweeps.policies.policy import SweepCommand

        began = time.monotonic()
        fused = self._launcher if isinstance(self._launcher, FusedLauncher) else None
        processes = count_processes(fused.settings) if fused else None
        compose = fused.compose if fused else Composer(self._context.config_loader, self._config)
        command = SweepCommand(self._context, self._config, arguments, began, compose, processes)
        policy = policy_of(command)
        if fused:
            fused.quiet = policy.displays
        sweep(policy, command, self._launcher.launch, fused.failures if fused else {})


def _plain(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: OmegaConf.to_object(value) if OmegaConf.is_config(value) else value for key, value in settings.items()}


# Plain nodes, because a class of this module would have to be sent to the workers with each configuration.
launcher = {"_target_": f"{__name__}.FusedLauncher", "processes": None, "members": None, "cluster": "local"}
slurm = {"partition": None, "timeout_min": 60, "cpus_per_task": 1, "gpus_per_node": None, "mem_gb": None}
slurm |= {"additional_parameters": {}}
sweeper = {"_target_": f"{__name__}.LoopSweeper", "params": None}
for group, name, node in (("launcher", "fused", launcher | slurm), ("sweeper", "loop", sweeper)):
    ConfigStore.instance().store(group=f"hydra/{group}", name=name, node=node, provider="runge")
