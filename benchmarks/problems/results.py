"""The figures that the studies keep, `figures/NAME.json`, from which `studies.py` writes its page."""

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runge.process.machine import processor

Rows = list[dict[str, Any]]
"""The rows that a study has kept."""

FOLDER = Path(__file__).parent / "figures"


def read(name: str) -> dict[str, Any]:
    """Return what a study has kept: the rows, the command and the processor."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def keep(name: str, rows: Rows, command: str, keys: Sequence[str] = ("problem",)) -> None:
    """Keep the rows of a study, with the command and the processor; rows with other values of the keys stay."""

    def place(row: dict[str, Any]) -> list[Any]:
        return [row.get(key) for key in keys]

    measured = [place(row) for row in rows]
    path = FOLDER / f"{name}.json"
    before = read(name)["rows"] if path.is_file() else []
    rows = [row for row in before if place(row) not in measured] + rows
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps({"command": command, "processor": processor(), "rows": rows}, indent=1) + "\n")


def by(key: str, rows: Rows) -> dict[Any, Rows]:
    """Return the rows by one of their figures."""
    groups = defaultdict(list)
    for row in rows:
        groups[row[key]].append(row)
    return groups
