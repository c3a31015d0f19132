"""Run the benchmarks of this folder one after the other, and write a part of `docs/benchmarks.md`.

    pip install -e '.[bench]'
    python benchmarks/speed/run.py [NAME ...]

Without a name all are run, in a quarter of an hour; leave the machine alone meanwhile. `page` only writes the page. The
figures are kept in `benchmarks/speed/figures`, and are those of one machine: after a change of machine or of torch all
have to be measured again.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from figures import FOLDER, short

sys.path.append(str(Path(__file__).resolve().parents[1]))
from pages import render, write_pages
from pages import table as markdown

HERE = Path(__file__).resolve().parent
BENCHMARKS = {"seeds": "sweep.py", "steps": "steps.py"}
"""The scripts, by the names of their figures."""


class Figures:
    """The figures of a benchmark, for the page."""

    def __init__(self, name: str) -> None:
        found = json.loads((FOLDER / f"{name}.json").read_text())
        self.machine, self.date, self.others = found["machine"], found["date"], found["others"]
        self.times: dict[str, list[float]] = found["times"]
        self.command = f"python benchmarks/speed/{BENCHMARKS[name]}"

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
    """Write the page.

    Raises:
        SystemExit: the figures are of different machines.
    """
    found = {name: Figures(name) for name in BENCHMARKS}
    machines = {one.machine: name for name, one in found.items()}
    if len(machines) > 1:
        of = "; ".join(f"{name}: {machine}" for machine, name in machines.items())
        sys.exit(f"error: the figures are of different machines; run all again ({of})")
    dates = sorted({one.date for one in found.values()})
    about = {"machine": next(iter(machines)), "dates": " to ".join(dict.fromkeys(dates[:1] + dates[-1:]))}
    write_pages({"benchmarks.md#speed": render(HERE / "speed.md.jinja", **about, **found)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: all of {', '.join(BENCHMARKS)}; or page")
    names = parser.parse_args().names or list(BENCHMARKS)
    if unknown := set(names) - {*BENCHMARKS, "page"}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join((*BENCHMARKS, 'page'))}")
    for name in names:
        if name != "page":
            subprocess.run([sys.executable, str(HERE / BENCHMARKS[name]), "--keep"], check=True)
    write()


if __name__ == "__main__":
    main()
