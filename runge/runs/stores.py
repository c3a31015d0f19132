"""A run in a store of runs, such as MLflow or W&B: its tags, and the names by which the store knows it."""

import importlib
import json
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runge.errors import ConfigurationError
from runge.runs.directories import RunDirectory
from runge.runs.files import read_json, write


def tags(directory: RunDirectory, group: str) -> dict[str, str]:
    """Return a run's tags: its directory, that of its sweep, and its group, the runs that differ in the seed alone."""
    path = directory.path.resolve()
    sweep = {"sweep_directory": str(path.parent)} if (path.parent / "multirun.yaml").exists() else {}
    return {"run_directory": str(path), "group": group} | sweep


def version() -> str:
    """Return the version of this package."""
    return importlib.import_module("runge").__version__  # it names all that is above, so it is no import of this module


def group_by_overrides(overrides: Sequence[str]) -> str:
    """Return the overrides that the runs of a group have in common, as text.

    Example:
        >>> group_by_overrides(["seed=1", "model.width=8"])
        'model.width=8'
    """
    seeds = ("seed=", "data.seed=", "logger")
    return " ".join(one for one in overrides if not one.lstrip("+~").startswith(seeds)) or "all runs"


def keys_of(overrides: Sequence[str]) -> list[str]:
    """Return the keys that overrides set.

    Example:
        >>> keys_of(["seed=1", "+model.width=8", "~logger"])
        ['seed', 'model.width', 'logger']
    """
    return [one.lstrip("+~").partition("=")[0] for one in overrides]


def read_names(path: Path) -> list[str]:
    """Return the names of a run in stores of one kind, the last one last; none if the file is missing or damaged."""
    with suppress(ConfigurationError, OSError):
        names = read_json(path).get("runs")
        return [x for x in names if isinstance(x, str) and re.fullmatch(r"\w{1,64}", x)] if names else []
    return []


def write_names(path: Path, names: Sequence[str]) -> None:
    """Write the names of a run in stores of one kind."""
    write(path, json.dumps({"runs": names}) + "\n")
