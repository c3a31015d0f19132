"""The interface of all policies: which runs of a sweep come next, given those that have ended."""

import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from runge.configuration.errors import ConfigurationError
from runge.composing.composition import Composer
from runge.sweeps.journal import Batch, EndedRun, Journal

__all__ = ["Policy", "Rounds", "SweepCommand"]

_OURS = r"[+~]*search([.=]|$)"  # the overrides of the group and the section `search`


class SweepCommand(NamedTuple):
    """The command of a sweep.

    Attributes:
        context: Hydra's.
        config: the sweep's configuration.
        arguments: the overrides of the command.
        began: the time at which it began, as `time.monotonic`.
        compose: composes its runs, also for the launcher.
        processes: how many runs are trained at a time, in processes of the package's own launcher; None: the launcher
            is another one.
    """

    context: HydraContext
    config: DictConfig
    arguments: Sequence[str]
    began: float
    compose: Composer
    processes: int | None

    @property
    def directory(self) -> Path:
        """The directory of the sweep."""
        return Path(self.config.hydra.sweep.dir)

    @property
    def settings(self) -> dict[str, Any]:
        """The section `search`."""
        return cast(dict[str, Any], OmegaConf.to_object(self.config.search))

    @property
    def overrides(self) -> list[str]:
        """The overrides of `hydra.sweeper.params`, of an experiment, and those of the command without `search`.

        Raises:
            ConfigurationError: a key of `search` has several values, or `hydra.sweeper.params` is no mapping.
        """
        params, ours = self.config.hydra.sweeper.params, [x for x in self.arguments if re.match(_OURS, x)]
        if not (params is None or OmegaConf.is_dict(params)):
            raise ConfigurationError(f"hydra.sweeper.params: must be a mapping of keys to values, got {params!r}")
        for override in OverridesParser.create(self.context.config_loader).parse_overrides(ours):
            if override.is_sweep_override():
                rule = "must have one value, because it is of the sweep and not of its runs"
                raise ConfigurationError(f"{override.key_or_group}: {rule}; got {override.input_line}")
        swept = [f"{key}={value}" for key, value in (params or {}).items()]
        return [*swept, *(argument for argument in self.arguments if argument not in ours)]


Rounds = Generator[Batch, Sequence[EndedRun], None]
"""The batches of a policy, each of which is answered by its runs."""


class Policy(ABC):
    """A policy, made of the command of a sweep.

    Attributes:
        compares: false skips the comparison at the end.
        displays: it has its own progress display, so the launcher shows none.
        adaptive: its batches follow from the results of those before, so that a sweep that was killed repeats the
            decisions of its journal; otherwise its runs are begun again as far as they have not finished.

    Raises:
        ConfigurationError: a setting or an override is not allowed.
    """

    adaptive: ClassVar[bool] = True
    compares: bool
    displays: ClassVar[bool] = False

    def description(self) -> Mapping[str, Any]:
        """Return what must not change while a sweep is resumed, by the keys that messages name; nothing by default."""
        return {}

    @abstractmethod
    def propose(self, journal: Journal) -> Rounds:
        """Yield batches of runs until there are none; the runs of each are sent back."""

    def conclude(self) -> None:  # noqa: B027
        """Write what the sweep leaves besides its runs, also if it is interrupted; does nothing by default."""

    def so_far(self) -> str:
        """Return what a sweep that is interrupted has, for its message; by default nothing but its runs."""
        return ""
