"""Run the benchmarks of this folder one after the other, and write `docs/speed.md` from their figures.

    pip install -e '.[bench]'
    python benchmarks/speed/run.py [NAME ...]

Without a name all are run, in half an hour; leave the machine alone meanwhile. `page` writes the page alone. The
figures are kept in `benchmarks/speed/figures`, and are those of one machine: after a change of machine or of torch all
have to be measured again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Any

import jinja2
from figures import FOLDER, short
from picture import ratios

from runge.pictures.style import png

HERE = Path(__file__).resolve().parent
PAGE = HERE.parents[1] / "docs" / "speed.md"
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
    "seeds": "A sweep of 64 runs",
    "grid": "A sweep of 300 runs",
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

    def table(self, what: str, unit: str) -> str:
        """Return a table of medians, ranges, and ratios to the first row."""
        first = next(iter(self.times))
        rows = [f"| {what} | {unit} | range | ratio |", "|---|--:|--:|--:|"]
        for name, times in self.times.items():
            numbers = f"{short(self.median(name))} | {short(min(times))} to {short(max(times))}"
            rows.append(f"| {name} | {numbers} | {_ratio(self.ratio(name, first))} |")
        return "\n".join(rows)


def _ratio(x: float) -> str:
    return f"{x:.2f}" if x >= 0.1 else f"{x:.3f}"


def write() -> None:
    """Write the page.

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
    loader = jinja2.FileSystemLoader(HERE)
    environment = jinja2.Environment(
        loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    dates = sorted({one.date for one in found.values()})
    values: dict[str, Any] = {
        "machine": next(iter(machines)),
        "dates": " to ".join(dict.fromkeys(dates[:1] + dates[-1:])),
    }
    PAGE.write_text(environment.get_template("page.md.jinja").render(**values, **found))
    shown = {title: found[name].times for name, title in SHOWN.items()}
    (PAGE.parent / "images" / "speed.png").write_bytes(png(ratios(shown)))


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
