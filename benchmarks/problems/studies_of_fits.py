"""The tables and answers of studies on how accurate fits are: gradients alone, large tables, more rows."""

import math
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, mean, median
from typing import Any

from hamiltonians import SYSTEMS
from matplotlib.figure import Figure
from results import KEYS, Answer, Figures, by
from studies_pictures import curves

sys.path.append(str(Path(__file__).parents[1]))
from pages import table as markdown

FIT, COUNT = "runge fit", 400
"""The tool, and the number of rows of the errors over the time."""

BASES = {"AdamW", "Levenberg-Marquardt"}
"""The methods that `runge` had before, with which the others are compared."""


def gradients_alone(rows: Figures) -> Answer:
    """Return the errors by system."""
    fits = by("problem", rows)
    lines, gains = list[list[str]](), list[float]()
    for name, system in SYSTEMS.items():
        if seeds := fits.get(name):
            searched = fits.get(f"{name} by search", [])
            errors = [f"{mean(row[key] for row in seeds):.1e}" for key in KEYS]
            gains.append(min(filter(None, system.published)) / mean(row["value"] for row in seeds))
            best = [f"{row[key]:.1e}" for row in searched for key in KEYS] or ["", ""]
            core = f"{median(row['core_seconds'] for row in seeds):.0f}"
            drifts = [f"{median(row[key] for row in seeds):.0e}" for key in ("drift", "drift_exact")]
            counts = [str(seeds[0]["points"]), str(len(seeds))]
            lines.append([name, *counts, f"{min(filter(None, system.published)):.1e}", *errors, core, *drifts, *best])
    heads = (
        "H, published",
        "H",
        "gradient",
        "core-seconds",
        "drift, fit",
        "drift, exact",
        "search: H",
        "search: gradient",
    )
    return Answer(
        markdown(["system", "points", "seeds", *heads], lines),
        f"**Can an energy be fitted to its gradient?** On {len(lines)} systems the errors of H are smaller than "
        f"published ones by factors of {min(gains):.1f} to {float(f'{max(gains):.2g}'):.0f}, with fewer points, "
        "which are drawn at other places ([gradients without values](studies/gradients_alone.md)).",
    )


def large_tables(rows: Figures) -> Answer:
    """Return the errors by table and method, and the factors by which each method divides them."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    lines, factors = list[list[str]](), defaultdict(list)
    for name, some in by("table", rows).items():
        errors = {row["method"]: row for row in some}
        for key in KEYS:
            cells = [f"{errors[method][key]:.1e}" if method in errors else "" for method in methods]
            lines.append([name, key, *cells])
        means = {method: geometric_mean(row[key] for key in KEYS) for method, row in errors.items()}
        base = min(means[method] for method in BASES if method in means)
        for method in means.keys() - BASES:
            factors[method].append(base / means[method])
    gains = [
        [method, str(len(some)), f"{geometric_mean(some):.1f}", f"{min(some):.1f} to {max(some):.1f}"]
        for method in methods
        if (some := factors[method])
    ]
    heads = ["method", "tables", "error divided by, geometric mean", "range"]
    soap = factors["SOAP"]
    return Answer(
        "\n\n".join([markdown(["table", "error", *methods], lines, 2), markdown(heads, gains)]),
        f"**What fits large tables?** In the same 20 s, SOAP divides the errors of AdamW and Levenberg-Marquardt by "
        f"{geometric_mean(soap):.1f}, the geometric mean of {len(soap)} tables with one seed each ({min(soap):.1f} to "
        f"{max(soap):.1f}; [large tables](studies/large_tables.md)).",
    )


def more_rows(rows: Figures) -> Answer:
    """Return the errors by time, by rows and of single runs, and what more rows and more time bring."""
    searched = [row for row in rows if row["fit"] == FIT]
    limits, counts = (sorted({row[key] for row in searched}) for key in ("limit", "rows"))
    most, errors = limits[-1], {(row["problem"], row["rows"], row["limit"]): row for row in searched}
    names, gains, overs = list(by("problem", rows)), list[float](), list[float]()
    by_time, by_rows, by_hand = (list[list[str]]() for _ in range(3))
    for name in names:
        for key in KEYS:
            cells = [_cell(errors.get((name, COUNT, limit)), key) for limit in limits]
            by_time.append([name, key, *cells])
            of_counts = [errors.get((name, count, most)) for count in counts]
            by_rows.append([name, key, *(_cell(row, key) for row in of_counts)])
            measured = [row[key] for row in of_counts if row]
            gains += [more / fewer for fewer, more in pairwise(measured)]
        single = [row for row in rows if row["problem"] == name and row["fit"] != FIT and row["limit"] == most]
        for n, some in by("rows", single).items():
            ours, best = errors[name, n, most], min(some, key=lambda row: math.sqrt(row["value"] * row["derivative"]))
            ratios = [ours[key] / best[key] for key in KEYS]
            overs.append(math.sqrt(math.prod(ratios)))
            by_hand.append([name, str(n), best["fit"], *(f"{ratio:.2g}" for ratio in ratios)])
    tables = [
        markdown(["function", "error", *(f"{limit:g} s" for limit in limits)], by_time, 2),
        markdown(["function", "error", *(f"{count} rows" for count in counts)], by_rows, 2),
        markdown(["function", "rows", "best single run", "ratio, value", "ratio, derivative"], by_hand, 3),
    ]
    return Answer(
        "\n\n".join(tables),
        "**Do more rows bring a better fit in the same time?** With four times the rows, `runge fit` divides its "
        f"errors by {1 / median(gains):.1f} in the median; {sum(x >= 1 for x in gains)} of {len(gains)} do not fall. "
        f"Over the best of four single runs by hand, its error is {geometric_mean(overs):.2g} times as large in the "
        f"geometric mean, and {max(overs):.1f} at most ([more rows](studies/more_rows.md)).",
    )


def _cell(row: dict[str, Any] | None, key: str) -> str:
    return f"{row[key]:.1e}" if row else ""


def courses(rows: Figures) -> Figure:
    """Draw the errors over the time, of the same number of rows."""
    some = [row for row in rows if row["fit"] == FIT and row["rows"] == COUNT]
    panels = {
        {"value": "values", "derivative": "derivatives"}[key]: {
            name: sorted((row["limit"], row[key]) for row in of_name) for name, of_name in by("problem", some).items()
        }
        for key in KEYS
    }
    return curves(panels, "search.timeout, s", "RMSE / standard deviation")


def last_of(kept: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of the large tables as those of a study: the first seed, after all seconds."""
    rows = [
        {"table": table, "method": method, **courses["0"][-1]}
        for table, methods in kept.items()
        for method, courses in methods.items()
        if courses.get("0")
    ]
    return {"command": "python benchmarks/problems/large_tables.py", "processor": "", "rows": rows}
