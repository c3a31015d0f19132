"""The cells of the table: what is fitted, each in a process of its own, and the file of the figures."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from cell import SECONDS
from filelock import FileLock

from runge.process.machine import processor
from runge.records.files import write

HERE = Path(__file__).parent
TABLE = HERE / "figures" / "table.csv"
LIMIT = 4 * SECONDS  # of a clock, for a busy machine
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")} | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "CUDA_VISIBLE_DEVICES": "",
}


class Cell(NamedTuple):
    """A fit: a problem, a tool, how its settings are chosen (default, validation), and the number of a seed."""

    problem: str
    tool: str
    settings_by: str
    seed: str


FIELDS = (
    *(*Cell._fields, "value", "derivative", "seconds", "predict_seconds", "settings", "failure"),
    *("version", "processor", "date", "commit"),
)


def read(path: Path = TABLE) -> dict[Cell, dict[str, str]]:
    """Return the figures of the cells so far; a line that is cut off, or has more than its columns, is left out."""
    if not path.is_file():
        return {}
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    return {Cell(*(row[key] for key in Cell._fields)): row for row in rows}


def keep(found: Mapping[Cell, Mapping[str, Any]], drop: Iterable[Cell] = (), path: Path = TABLE) -> None:
    """Write figures into the file, which other processes may be filling too, and take some out of it.

    A column that the file does not have yet is empty in its rows.
    """
    with FileLock(path.with_suffix(".lock")):
        rows = {cell: row for cell, row in read(path).items() if cell not in set(drop)}
        rows |= {cell: cell._asdict() | dict(row) for cell, row in found.items()}
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, FIELDS, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows[cell] for cell in sorted(rows))
        write(path, text.getvalue())


class Fits:
    """Processes that fit cells.

    Attributes:
        running: those that have not ended.
        stopped: whether no more may begin.
    """

    def __init__(self, limit: float = LIMIT) -> None:
        self.limit, self.running, self.stopped = limit, set[subprocess.Popen[str]](), False
        commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE)
        self.about = {"processor": processor(), "commit": commit.stdout.strip()}

    def run(self, cell: Cell, core: int | None) -> dict[str, Any]:
        """Fit a cell on a core, or on all of them, and return its figures; see `answer`."""
        options = [f"--seed={cell.seed}", *([] if core is None else [f"--core={core}"])]
        options += ["--chosen"] if cell.settings_by == "validation" else []
        return self.answer("cell.py", cell.problem, cell.tool, *options, one_thread=core is not None)

    def answer(self, script: str, *arguments: str, one_thread: bool = True) -> dict[str, Any]:
        """Return what a script has found, which ends with `cell.answer`; a failure is found too.

        Raises:
            ModuleNotFoundError: the tool is not installed.
        """
        command = [sys.executable, str(HERE / script), *arguments]
        pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | (ONE_THREAD if one_thread else {})
        found: dict[str, Any]
        with subprocess.Popen(command, **pipes, text=True, env=environment, start_new_session=True) as process:
            self.running.add(process)
            if self.stopped:  # since it was begun
                end(process)
            try:
                printed, said = process.communicate(timeout=self.limit)
            except subprocess.TimeoutExpired:
                found = {"failure": f"not done after {self.limit:g} s"}
            else:
                found = result(process.returncode, printed, said)
            finally:
                end(process)
                self.running.remove(process)
        if "missing" in found:
            raise ModuleNotFoundError(found["missing"])
        return found | self.about | {"date": f"{datetime.now(UTC):%Y-%m-%d}"}

    def stop(self) -> None:
        """End all processes."""
        self.stopped = True
        for process in list(self.running):
            end(process)


def result(code: int, printed: str, said: str) -> dict[str, Any]:
    """Return what a process has found, the last line that it has printed: libraries may print before."""
    if hasattr(signal, "SIGXCPU") and code == -signal.SIGXCPU:
        return {"failure": "not done in its seconds of the processor"}
    try:
        return json.loads(printed.splitlines()[-1])
    except (ValueError, IndexError):
        return {"failure": f"ended with code {code}: {' '.join(said.split())[-200:]}"}


def end(process: subprocess.Popen[str]) -> None:
    """End a process and those that it has started."""
    with suppress(ProcessLookupError):  # it has ended
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
