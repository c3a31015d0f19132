"""From what Hydra composes to plain data: the resolvers of `conf/config.yaml`, and the jobs of a sweep."""

import logging
import pickle
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import hydra
import yaml
from hydra._internal.config_loader_impl import get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from runge.configuration import CONFIGURATIONS
from runge.errors import ConfigurationError
from runge.records.directories import RunDirectory, resumable
from runge.records.files import claim, read_yaml

if TYPE_CHECKING:
    pass


log = logging.getLogger(__name__)


def register_resolvers() -> None:
    """Register what the configuration uses.

    `${directory:RESUME,PATH}` is the run to resume, or else PATH made anew, numbered where it exists already.
    `${share:SHARE,STEPS}` is a share of the steps, rounded.
    `${record:DIRECTORY}` is where Hydra writes its record of a job, until it is whole and `RunDirectory.begin` gives it
    its name: nowhere in the directory of a run that exists.
    """
    OmegaConf.register_new_resolver("directory", _directory, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("share", _share, replace=True)
    OmegaConf.register_new_resolver("record", _record, replace=True)


def _share(share: float, steps: Any) -> int | None:
    return round(share * steps) if isinstance(steps, int | float) else None  # what is no number is told of later


def _directory(resume: Any, path: str) -> str:
    return claim(path) if resume is None else str(resumable(resume).path)


def _record(directory: str) -> str | None:
    run = RunDirectory(directory)
    return None if run.hydra.exists() else run.hydra_part.name


class Composer:
    """Composes the jobs of a sweep as Hydra's loader does, but each choice of groups only once.

    Args:
        loader: Hydra's loader.
        master: the sweep's configuration.
    """

    def __init__(self, loader: ConfigLoader, master: DictConfig) -> None:
        self._loader, self._master = loader, master
        self._parser = OverridesParser.create(loader)
        self._parsed: dict[str, Override] = {}
        self._bases: dict[tuple[str, ...], bytes] = {}

    def __call__(self, overrides: Sequence[str], number: int) -> DictConfig:
        """The configuration of the job with this number."""
        try:
            config = self._compose([self._parse(override) for override in overrides])
        except OmegaConfBaseException:
            config = self._loader.load_sweep_config(self._master, list(overrides))  # which says what is wrong
        with open_dict(config):
            config.hydra.job.id = config.hydra.job.num = number
        return config

    def _parse(self, override: str) -> Override:
        if override not in self._parsed:
            (self._parsed[override],) = self._parser.parse_overrides([override])
        return self._parsed[override]

    def _compose(self, overrides: Sequence[Override]) -> DictConfig:
        values = [override for override in overrides if self._is_value(override)]
        config = self._base(tuple(str(override.input_line) for override in overrides if override not in values))
        for override in values:
            OmegaConf.update(config, override.key_or_group, override.value())
        task = [str(override.input_line) for override in overrides]
        naming = config.hydra.job.config.override_dirname
        config.hydra.overrides.task = task
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=list(overrides),
            kv_sep=naming.kv_sep,
            item_sep=naming.item_sep,
            exclude_keys=naming.exclude_keys,
        )
        return config

    def _is_value(self, override: Override) -> bool:
        """Whether it sets one value of a configuration that is composed already."""
        value = override.value()
        return (
            not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
            and override.key_or_group not in self._master.hydra.runtime.choices
            and (value is None or isinstance(value, bool | int | float | str))
        )

    def _base(self, groups: tuple[str, ...]) -> DictConfig:
        if groups not in self._bases:
            self._bases[groups] = pickle.dumps(self._loader.load_sweep_config(self._master, list(groups)))
        return pickle.loads(self._bases[groups])  # a third of what a copy takes


def compose(*overrides: str) -> dict[str, Any]:
    """Compose the configuration of a run from overrides, as the command line does.

    Returns:
        The configuration as plain data, from which a `Member` is made.

    Raises:
        ConfigurationError: a value is missing.
        HydraException: an override is not allowed.

    Example:
        >>> compose("model.width=8")["model"]["width"]
        8
    """
    register_resolvers()
    with hydra.initialize_config_dir(str(CONFIGURATIONS), version_base="1.3"):
        return plain(hydra.compose("config", list(overrides)))[0]


def plain(configuration: DictConfig) -> tuple[dict[str, Any], Any]:
    """The configuration as plain data, and the run that is to be resumed, or None.

    Raises:
        ConfigurationError: a value is missing, or a run of a sweep is to be resumed by itself.
    """
    try:
        # Key by key: a copy of all without Hydra's own part would take longer than everything else here.
        values = {str(key): configuration[key] for key in configuration if key != "hydra"}
        found = {
            key: OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in values.items()
        }
    except OmegaConfBaseException as error:
        raise ConfigurationError(str(error)) from error
    resume = found.pop("resume", None)
    if resume is not None and HydraConfig.get().mode == RunMode.MULTIRUN:
        raise ConfigurationError("resume: takes one run; a sweep goes on with hydra.sweep.dir= its directory")
    return found, resume


_INTERPOLATION = re.compile(r"\$\{([^:}]*)([:}])")


def recorded(directory: RunDirectory) -> dict[str, Any]:
    """A run's configuration as Hydra has recorded it, resolved.

    Raises:
        ConfigurationError: it is damaged, or uses a resolver that looks beyond the configuration.
    """
    path = directory.hydra / "config.yaml"
    try:
        text = read_yaml(path)
        for name, end in _INTERPOLATION.findall(text):
            if not re.fullmatch(r"[\w.]+", name) or (end == ":" and name != "share"):
                raise ValueError(f"${{{name}{end} is not looked up for a file's sake")
        found = OmegaConf.to_container(OmegaConf.create(text), resolve=True, throw_on_missing=True)
        if not isinstance(found, dict):
            raise TypeError("it holds no keys")
    except (OSError, ValueError, TypeError, OmegaConfBaseException, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path} cannot be read ({str(error).splitlines()[0]})") from error
    return {str(key): value for key, value in found.items() if key != "resume"}
