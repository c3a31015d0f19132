"""The identity of a run in a store of runs, such as MLflow or W&B: its tags, and the name that the store gave it."""

import importlib
import json
import re
from collections.abc import Sequence
from pathlib import Path

from runge.records.files import read_json, write


def tags(save_dir: str, overrides: Sequence[str]) -> dict[str, str]:
    """Return a run's tags: its directory, its sweep's, its group (all but seed and fold), and a version.

    Example:
        >>> tags("outputs/1", ["seed=1", "model.width=8"])["group"]
        'model.width=8'
    """
    path = Path(save_dir).resolve()
    seeds = ("seed=", "data.seed=", "data.fold=", "logger")
    group = " ".join(override for override in overrides if not override.lstrip("+~").startswith(seeds)) or "all runs"
    sweep = {"sweep_directory": str(path.parent)} if (path.parent / "multirun.yaml").exists() else {}
    version = importlib.import_module("runge").__version__  # it names all that is above, so it is no import
    return {"run_directory": str(path), "group": group, "runge_version": version} | sweep


def known_run(file: Path) -> str | None:
    """Return the identifier under which a store knows a run; None if it does not.

    Raises:
        ConfigurationError: the file is damaged.
    """
    run = read_json(file).get("run") if file.exists() else None
    return run if isinstance(run, str) and re.fullmatch(r"\w{1,64}", run) else None  # it may come from someone else


def remember_run(file: Path, run: str) -> None:
    """Write the identifier under which a store knows a run."""
    write(file, json.dumps({"run": run}) + "\n")
