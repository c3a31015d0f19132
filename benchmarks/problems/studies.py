"""Write the parts of pages that the studies have, from the figures that they have kept.

    python benchmarks/problems/studies.py

A study is a template and its values.
"""

import itertools
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import geometric_mean, mean, median
from typing import Any

from intervals import ALL
from results import Rows, by, read
from scipy.stats import beta

sys.path.append(str(Path(__file__).parents[1]))
from pages import render, write_pages
from pages import table as markdown

TEMPLATES = Path(__file__).parent / "templates"
KEYS = "value", "derivative"
Values = dict[str, Any]
"""The values of a template."""


LEVEL, LOW = 0.9, 0.8
"""The level of the intervals of the study, and the share below which one is counted."""


def intervals(rows: Rows) -> Values:
    """Return the shares that intervals contain, by function and noise."""
    cells, every, few = list[list[str]](), list[float](), 0
    for name, some in by("problem", rows).items():
        columns = zip(some[0]["matters"], *(row["held"] for row in some), strict=True)
        shares = [figures for matters, *figures in columns if matters]
        every += [share for figures in shares for share in figures]
        few += any(share < LOW for figures in shares for share in figures)
        cells.append([name.replace("_", " "), str(len(some)), ", ".join(percent(mean(one)) for one in shares)])
    return {
        "table": markdown(["function", "seeds", "value, derivatives"], cells),
        "mean": percent(mean(every)),
        "median": percent(median(every)),
        "count": len(every),
        "low": sum(share < LOW for share in every),
        "expected": f"{sum(map(by_chance, rows)):.1f}",
        "few": few,
        "cases": len(cells),
        "smallest": percent(min(every)),
    }


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def by_chance(row: Mapping[str, Any]) -> float:
    """Return the expected number of shares below `LOW` in a row, if the intervals were exact.

    With n rows for the calibration the share of an exact split conformal interval has a beta distribution.
    """
    n = ALL[row["problem"].partition(",")[0]].n
    rank = math.ceil((n + 1) * LEVEL)
    return sum(row["matters"]) * float(beta(rank, n + 1 - rank).cdf(LOW))


def large_tables(rows: Rows) -> Values:
    """Return the errors by table and method, and the factors by which SOAP divides those of the others."""
    methods, lines, gains = list(dict.fromkeys(row["method"] for row in rows)), list[list[str]](), list[float]()
    for name, some in by("table", rows).items():
        errors = {row["method"]: row for row in some}
        for key in KEYS:
            cells = [f"{errors[method][key]:.1e}" if method in errors else "" for method in methods]
            lines.append([name, key, *cells])
        means = {method: geometric_mean(row[key] for key in KEYS) for method, row in errors.items()}
        soap = means.pop("SOAP")
        gains.append(min(means.values()) / soap)
    return {
        "table": markdown(["table", "error", *methods], lines, 2),
        "tables": len(gains),
        "gain": f"{median(gains):.1f} ({min(gains):.1f} to {max(gains):.1f})",
    }


def rows(rows: Rows) -> Values:
    """Return the errors by table and number of rows, and the factors from each of three sizes to the next one."""
    lines, steps = list[list[str]](), list[list[float]]()
    for name, some in by("problem", rows).items():
        ordered = sorted(some, key=lambda row: row["rows"])
        for key in KEYS:
            errors = [row[key] for row in ordered]
            steps.append([after / before for before, after in itertools.pairwise(errors)])
            shape = f"{ordered[0]['inputs']}, {ordered[0]['outputs']}"
            cells = [f"{row[key]:.1e} ({row['rows']})" for row in ordered]
            lines.append([name, shape, key, *cells])
    return {
        "table": markdown(["table", "inputs, outputs", "error", "rows", "4 times", "16 times"], lines, 3),
        "tables": len(by("problem", rows)),
        "factors": [f"{median(some):.2g} ({min(some):.2g} to {max(some):.2g})" for some in zip(*steps, strict=True)],
        "larger": sum(factor > 1 for some in steps for factor in some),
        "steps": sum(map(len, steps)),
    }


STUDIES: dict[str, tuple[Callable[[Rows], Values], str]] = {
    "intervals": (intervals, "reliability.md"),
    "large_tables": (large_tables, "evidence.md"),
    "rows": (rows, "explanation/when.md"),
}
"""The studies and their pages, by the name of their figures, `figures/NAME.json`, template and part of the page."""


def pages() -> dict[str, str]:
    """Write the parts from the figures that are kept."""
    written = dict[str, str]()
    for name, (study, page) in STUDIES.items():
        kept = read(name)
        about = {key: kept[key] for key in ("command", "processor")}
        written[f"{page}#{name}"] = render(TEMPLATES / f"{name}.md.jinja", **about, **study(kept["rows"]))
    return written


if __name__ == "__main__":
    write_pages(pages())
