"""The command of a sweep, as its policy and its launcher see it."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.composing.composition import (
    Composer,
    combinations,
    current_job,
    fixed_keys,
    is_of_program,
    plain_data,
)
from runge.configuration.command_line import overrides_of
from runge.configuration.errors import ConfigurationError
from runge.records.files import without_secrets

if TYPE_CHECKING:
    from runge.training.settings import Settings

__all__ = ["SweepCommand"]

_OURS = r"[+~]*search([.=]|$)"  # the overrides of the group and the section `search`


class SweepCommand(NamedTuple):
    """The command of a sweep.

    Attributes:
        context: Hydra's.
        config: the sweep's configuration.
        arguments: the overrides of the command.
        began: the time at which it began, as `time.monotonic`.
        compose: composes the configurations of its runs.
        processes: how many runs are trained at a time, in processes of the package's own launcher; None: the launcher
            is another one.
    """

    context: HydraContext
    config: DictConfig
    arguments: Sequence[str]
    began: float
    compose: Composer
    processes: int | None

    @classmethod
    def of(cls, context: HydraContext, config: DictConfig, processes: int | None) -> "SweepCommand":
        """Return a command that begins now, without arguments."""
        return cls(context, config, [], time.monotonic(), Composer(context.config_loader, config), processes)

    @property
    def directory(self) -> Path:
        """The directory of the sweep."""
        return Path(self.config.hydra.sweep.dir)

    @property
    def callbacks(self) -> Any:
        """Hydra's callbacks."""
        return self.context.callbacks

    @property
    def quiet(self) -> bool:
        """True if nothing is printed."""
        return is_of_program(self.config.hydra)

    @property
    def search(self) -> str | None:
        """The option of the group `search`."""
        return self.config.hydra.runtime.choices.get("search")

    @property
    def search_settings(self) -> dict[str, Any]:
        """The section `search`."""
        return cast(dict[str, Any], OmegaConf.to_object(self.config.search))

    @property
    def data(self) -> Mapping[str, Any]:
        """The section `data`."""
        return cast(Any, self.config.get("data")) or {}

    @property
    def fixed_keys(self) -> set[str]:
        """The keys that have one value in all runs."""
        return fixed_keys(cast(dict[str, Any], OmegaConf.to_container(self.config.hydra)))

    @property
    def yaml(self) -> str:
        """The content of `multirun.yaml`, without secrets."""
        return OmegaConf.to_yaml(OmegaConf.create(without_secrets(OmegaConf.to_container(self.config))))

    @property
    def overrides(self) -> list[str]:
        """The overrides of `hydra.sweeper.params`, of an experiment, and those of the command without `search`.

        Raises:
            ConfigurationError: a key of `search` has several values, or `hydra.sweeper.params` is no mapping.
        """
        params, ours = self.config.hydra.sweeper.params, [x for x in self.arguments if re.match(_OURS, x)]
        if not (params is None or OmegaConf.is_dict(params)):
            raise ConfigurationError(f"hydra.sweeper.params: must be a mapping of keys to values, got {params!r}")
        for override in self._parse(ours):
            if override.is_sweep_override():
                rule = "must have one value, because it is of the sweep and not of its runs"
                raise ConfigurationError(f"{override.key_or_group}: {rule}; got {override.input_line}")
        return [*overrides_of(params or {}), *(argument for argument in self.arguments if argument not in ours)]

    @property
    def parsed(self) -> list[Override]:
        """The same overrides, parsed."""
        return self._parse(self.overrides)

    def runs(self) -> list[list[str]]:
        """Return the overrides of each run of the grid, as `combinations`."""
        return combinations(self.overrides, self.context.config_loader)

    def data_of(self, overrides: Sequence[str]) -> dict[str, Any]:
        """Return the section `data` of a run as plain data."""
        data = self.compose(overrides, 0).get("data")
        return cast(dict[str, Any], OmegaConf.to_container(data, resolve=True)) if data else {}

    def settings_of(self, overrides: Sequence[str]) -> "Settings":
        """Return the settings of a run.

        Raises:
            ConfigurationError: a key or a value is not allowed.
        """
        from runge.training.settings import Settings  # late: it loads torch

        config = self.compose(overrides, 0)
        with current_job(config):
            return Settings.of(plain_data(config)[0])

    def _parse(self, overrides: Sequence[str]) -> list[Override]:
        return OverridesParser.create(self.context.config_loader).parse_overrides(list(overrides))
