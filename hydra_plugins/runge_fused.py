"""Hydra's entry to `runge.sweeps` and `runge.search`, imported late: the launcher `fused` and the sweeper `loop`."""

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
        failures: messages of runs whose own directories could not be written to, by their directories.
    """

    def __init__(self, **settings: Any) -> None:
        self.settings, self.failures = _plain(settings), dict[str, str]()

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        from runge.sweeps.launch import read_command

        self.command = read_command(hydra_context, config, self.settings)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a batch of jobs for any sweeper."""
        from runge.sweeps.launch import launch

        return launch(self.command, self.settings, job_overrides, initial_job_idx, self.failures)


class LoopSweeper(Sweeper):
    """A sweeper by what the group `search` names: a policy of `runge.sweeps.policies`, or the search of `runge.search`.

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
        from runge.sweeps.launch import read_command
        from runge.sweeps.loop import policy_of, sweep

        fused = self._launcher if isinstance(self._launcher, FusedLauncher) else None
        command = fused.command if fused else read_command(self._context, self._config, None)
        command = command._replace(arguments=arguments)
        if command.search == "best":
            from runge.search.search import search

            search(command)
            return
        policy = policy_of(command)
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
