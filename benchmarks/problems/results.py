"""The figures that the studies keep, `figures/NAME.json`, from which `studies.py` writes its page."""

import json
from pathlib import Path
from typing import Any

from runge.machine import processor

FOLDER = Path(__file__).parent / "figures"


def read(name: str) -> dict[str, Any]:
    """Return what a study has kept: the rows, the command and the processor."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def keep(name: str, rows: list[dict[str, Any]], command: str) -> None:
    """Keep the rows of a study, with the command and the processor; rows of problems not measured now stay."""
    measured = {row.get("problem") for row in rows}
    path = FOLDER / f"{name}.json"
    before = read(name)["rows"] if path.is_file() else []
    rows = [row for row in before if row.get("problem") not in measured] + rows
    FOLDER.mkdir(exist_ok=True)
    path.write_text(json.dumps({"command": command, "processor": processor(), "rows": rows}, indent=1) + "\n")
