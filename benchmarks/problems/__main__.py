"""Fit the problems of the table with all tools, and write `docs/benchmarks.md`.

    pip install -e '.[bench]'
    python benchmarks/problems [--problems NAME ...] [--tools NAME ...] [--seeds 3] [--only default] [--page]

Every fit is a process of its own on one core, as many at once as there are cores. What is done is kept in
`benchmarks/problems/figures/table.csv`, a line for each fit; it is not done again, unless with `--again`. Interrupt it
when you like, and start it again. All of it takes a night. `--list` names the problems and the tools, `--page` writes
the page from the figures alone.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from catalogue import CATALOGUE
from tools import TOOLS

HERE = Path(__file__).parent
TABLE = HERE / "figures" / "table.csv"
KEYS = "problem", "tool", "settings_by", "seed"
FIELDS = (
    *(*KEYS, "value", "derivative", "seconds", "predict_seconds", "settings", "failure", "processor", "date", "commit"),
)
LIMIT = 300  # seconds of a fit, after which it is ended
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")} | {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "CUDA_VISIBLE_DEVICES": "",
}


def cells(arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the cells that are asked for, one seed of all of them before the next."""
    chosen = arguments.only or ("default", "validation")
    for seed in range(arguments.seeds):
        for problem, tool, by in product(arguments.problems, arguments.tools, chosen):
            if not (tool.startswith("runge") and by == "validation"):  # its search is a tool of its own
                yield {"problem": problem, "tool": tool, "settings_by": by, "seed": str(seed)}


def run(cell: dict[str, Any], core: int) -> dict[str, Any]:
    """Fit a cell in a process of its own; a failure is a figure too."""
    command = [sys.executable, str(HERE / "cell.py"), cell["problem"], cell["tool"], f"--seed={cell['seed']}"]
    command += [f"--core={core}", *(["--chosen"] if cell["settings_by"] == "validation" else [])]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=os.environ | ONE_THREAD)
    except subprocess.TimeoutExpired:
        return cell | {"failure": f"not done after {LIMIT} s"}
    if ended.returncode:
        return cell | {"failure": f"ended with code {ended.returncode}: {ended.stderr.strip()[-200:]}"}
    return cell | json.loads(ended.stdout)


def read() -> list[dict[str, str]]:
    """Return the figures so far."""
    if not TABLE.is_file():
        return []
    with TABLE.open(newline="") as file:
        return list(csv.DictReader(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=list(CATALOGUE), default=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs=1, choices=["default", "validation"], help="how settings are chosen")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--page", action="store_true")
    arguments = parser.parse_args()
    if arguments.list:
        print("problems:", *CATALOGUE, "tools:", *TOOLS, sep="\n  ")
        return
    if not arguments.page:
        measure(arguments)


def measure(arguments: argparse.Namespace) -> None:
    """Fit what is missing, and add each figure to the table as soon as it is known."""
    asked = {tuple(cell[key] for key in KEYS): cell for cell in cells(arguments)}
    known = {tuple(row[key] for key in KEYS): row for row in read() if set(row) == set(FIELDS)}
    if arguments.again:
        known = {key: row for key, row in known.items() if key not in asked}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout
    about = {"processor": processor(), "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": commit.strip()}
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(known.values())
    missing = [cell for key, cell in asked.items() if key not in known]
    free = SimpleQueue[int]()
    available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    for core in available:
        free.put(core)

    def on_a_core(cell: dict[str, Any]) -> dict[str, Any]:
        core = free.get()
        try:
            return run(cell, core) | about
        finally:
            free.put(core)

    with ThreadPoolExecutor(len(available)) as pool:
        futures = [pool.submit(on_a_core, cell) for cell in missing]
        try:
            for i, future in enumerate(as_completed(futures), 1):
                row = future.result()
                with TABLE.open("a", newline="") as file:
                    csv.DictWriter(file, FIELDS).writerow(row)
                figures = (
                    row.get("failure") or f"{row['value']:.1e} / {row['derivative']:.1e} in {row['seconds']:.0f} s"
                )
                print(f"{i}/{len(missing)} {' | '.join(row[key] for key in KEYS)}: {figures}", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise SystemExit("interrupted; the same command continues") from None


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


if __name__ == "__main__":
    main()
