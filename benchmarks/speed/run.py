"""Run the benchmarks of this folder one after the other, and write `docs/speed.md` and its tables from their figures.

    pip install -e '.[bench]'
    python benchmarks/speed/run.py [NAME ...]

Without a name all are run, in half an hour; leave the machine alone meanwhile. `page` only writes the pages. The
figures are kept in `benchmarks/speed/figures`, and are those of one machine: after a change of machine or of torch all
have to be measured again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from figures import FOLDER, short
from picture import ratios

from runge.pictures.style import png

sys.path.append(str(Path(__file__).resolve().parents[1]))
from pages import render, write_pages
from pages import table as markdown

HERE = Path(__file__).resolve().parent
PAGES = {"speed.md": "summary", "speed/steps.md": "steps", "speed/commands.md": "commands"}
"""The templates of the pages."""
BENCHMARKS = {
    "seeds": ("sweep.py", "seeds"),
    "grid": ("sweep.py", "grid"),
    "command": ("command.py",),
    "overhead": ("overhead.py",),
    "steps": ("steps.py",),
    "scaling": ("scaling.py",),
    "large": ("large.py",),
    "peers": ("peers.py",),
}
SHOWN = {
    "steps": "One step of Adam",
    "command": "A whole command",
    "peers": "The same 8000 steps in JENN",
}
"""The benchmarks of the picture, with their titles."""


class Figures:
    """The figures of a benchmark, for the page."""

    def __init__(self, name: str) -> None:
        found = json.loads((FOLDER / f"{name}.json").read_text())
        self.machine, self.date, self.others = found["machine"], found["date"], found["others"]
        self.times: dict[str, list[float]] = found["times"]
        self.command = " ".join(("python", f"benchmarks/speed/{BENCHMARKS[name][0]}", *BENCHMARKS[name][1:]))

    def median(self, name: str) -> float:
        return median(self.times[name])

    def ratio(self, name: str, other: str) -> float:
        """Return the time of the first relative to that of the other, as medians."""
        return self.median(name) / self.median(other)

    def spread(self, name: str, other: str) -> str:
        """Return that ratio with the range of the ratios of their rounds."""
        own, others = self.times[name], self.times[other]
        low, high = min(own) / max(others), max(own) / min(others)
        return f"{_ratio(self.ratio(name, other))} ({_ratio(low)} to {_ratio(high)})"

    def cell(self, name: str) -> str:
        """Return the median with the range."""
        times = self.times[name]
        return f"{short(self.median(name))} ({short(min(times))} to {short(max(times))})"

    def starting(self, prefix: str) -> list[str]:
        """Return the contenders whose names start in some way."""
        return [name for name in self.times if name.startswith(prefix)]

    def medians(self, names: Sequence[str]) -> list[str]:
        """Return some medians with two decimals."""
        return [f"{self.median(name):.2f}" for name in names]

    def table(self, what: str, unit: str) -> str:
        """Return a table of medians, ranges, and ratios to the first row."""
        first = next(iter(self.times))
        rows = [
            [
                name,
                short(self.median(name)),
                f"{short(min(times))} to {short(max(times))}",
                _ratio(self.ratio(name, first)),
            ]
            for name, times in self.times.items()
        ]
        return markdown([what, unit, "range", "ratio"], rows)


def _ratio(x: float) -> str:
    return f"{x:.1f}" if x >= 2 else f"{x:.2f}" if x >= 0.1 else f"{x:.3f}"


def write() -> None:
    """Write the pages and the picture.

    Raises:
        SystemExit: the figures are of different machines.
    """
    found = {name: Figures(name) for name in BENCHMARKS if (FOLDER / f"{name}.json").is_file()}
    machines: dict[str, list[str]] = {}
    for name, one in found.items():
        machines.setdefault(one.machine, []).append(name)
    if len(machines) > 1:
        of = "; ".join(f"{machine}: {', '.join(names)}" for machine, names in machines.items())
        sys.exit(f"error: the figures are of different machines; run all again ({of})")
    dates = sorted({one.date for one in found.values()})
    values: dict[str, Any] = {
        "machine": next(iter(machines)),
        "dates": " to ".join(dict.fromkeys(dates[:1] + dates[-1:])),
    }
    shown = {title: found[name].times for name, title in SHOWN.items()}
    pages = {path: render(HERE / f"{name}.md.jinja", **values, **found) for path, name in PAGES.items()}
    write_pages(pages, {"images/speed.png": png(ratios(shown))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(BENCHMARKS)}; or page")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - {*BENCHMARKS, "page"}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join((*BENCHMARKS, 'page'))}")
    for name in names:
        if name != "page":
            script, *arguments = BENCHMARKS[name]
            subprocess.run([sys.executable, str(HERE / script), *arguments, "--keep"], check=True)
    write()


if __name__ == "__main__":
    main()
