"""The tables and answers of studies on how accurate fits are: gradients alone, large tables, more rows."""

import math
import sys
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from statistics import geometric_mean, mean, median
from typing import Any

from hamiltonians import SYSTEMS
from matplotlib.figure import Figure
from results import DEFAULT, FIT, FOLDER, KEYS, PROCESS, Answer, Figures, by, most_accurate
from studies_pictures import curves

sys.path.append(str(Path(__file__).parents[1]))
from pages import table as markdown
from ranking import BEST, chosen
from ranking import read as read_table

COUNTS = 100, 400, 1600
"""The numbers of rows that are compared, each four times the one before."""

COUNT = 400
"""The number of rows of the errors over the time."""

NEAR = 1.25
"""Times the error of the Gaussian process, up to which the one of `runge fit` is near it."""

AS_GOOD = 1.3
"""Times the error of the best single run by hand, up to which `runge fit` is as good."""

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


def more_rows(every: Figures) -> Answer:
    """Return the errors by time, by rows and of another method, and what more rows and more time bring."""
    searched = [row for row in every if not row["noise"] and row["fit"] == FIT]
    limits = sorted({row["limit"] for row in searched})
    most, errors = limits[-1], {(row["problem"], row["rows"], row["limit"]): row for row in searched}
    gains, by_time, by_rows = list[float](), list[list[str]](), list[list[str]]()
    for name in by("problem", searched):
        for key in KEYS:
            of_limits = [errors.get((name, COUNT, limit)) for limit in limits]
            of_counts = [errors.get((name, count, most)) for count in COUNTS]
            pairs = [(fewer, more) for fewer, more in pairwise(of_counts) if fewer and more]
            if any(of_limits[:-1]):
                by_time.append([name, key, *(_cell(row, key) for row in of_limits)])
            if pairs:
                by_rows.append([name, key, *(_cell(row, key) for row in of_counts)])
            gains += [more[key] / fewer[key] for fewer, more in pairs]
    processes = _over_process(every)
    near = [sum(ratios[i] <= NEAR for *_, ratios in processes) for i in range(len(KEYS))]
    heads = [f"ratio, {key}" for key in KEYS]
    tables = [
        markdown(["function", "error", *(f"{limit:g} s" for limit in limits)], by_time, 2),
        markdown(["function", "error", *(f"{count} rows" for count in COUNTS)], by_rows, 2),
        markdown(
            ["function", "rows", "noise", *heads],
            [[name, str(n), f"{noise:.0%}", *(f"{x:.2g}" for x in ratios)] for name, n, noise, ratios in processes],
            3,
        ),
    ]
    return Answer(
        "\n\n".join(tables),
        "**Do more rows bring a better fit in the same time?** With four times the rows, `runge fit` divides its "
        f"errors by {1 / median(gains):.1f} in the median; {sum(x >= 1 for x in gains)} of {len(gains)} do not fall. "
        "Over a Gaussian process with gradients, on "
        f"{len(processes)} tables of 50 to 150 rows, it is at most {NEAR:g} times as large for the values of {near[0]} "
        f"and the derivatives of {near[1]} ([more rows](studies/more_rows.md)).",
    )


def by_hand(rows: Figures) -> Answer:
    """Return the ratios over single runs by hand, by function, and how often a search is behind."""
    lines, best_ratios, default_ratios = list[list[str]](), list[list[float]](), list[list[float]]()
    for name, of_name in by("problem", rows).items():
        fits = {row["fit"]: row for row in of_name}
        ours = fits.pop(FIT)
        best = most_accurate(list(fits.values()))
        for ratios, other in ((best_ratios, best), (default_ratios, fits[DEFAULT])):
            ratios.append([ours[key] / other[key] for key in KEYS])
        errors = [f"{ours[key]:.1e}" for key in KEYS]
        found = [f"{ratio:.2g}" for ratio in (*best_ratios[-1], *default_ratios[-1])]
        lines.append([name, str(ours["rows"]), best["fit"], *errors, *found])
    heads = [f"{over}: {key}" for over in ("over the best", "over the default") for key in KEYS]
    means = [geometric_mean(ratios) for ratios in best_ratios]
    as_good = sum(mean <= AS_GOOD for mean in means)
    behind = sum(ratio > 1 for ratios in default_ratios for ratio in ratios)
    return Answer(
        markdown(["function", "rows", "best single run", *KEYS, *heads], lines, 3),
        "**Are single runs by hand better in the same time?** Over the best of four single runs, chosen after the "
        f"fact, the error of `runge fit` is at most {AS_GOOD:g} times as large on {as_good} of {len(means)} "
        f"tables. In the median it is {median(means):.2g} times as large, and at most {max(means):.2g} "
        f"times. Over the default of `data=table`, {behind} of {len(KEYS) * len(default_ratios)} errors are larger "
        "([by hand](studies/by_hand.md)).",
    )


def shipped(rows: Figures) -> Answer:
    """Return the errors by problem beside those of the table, and in how many problems they are the smallest."""
    table = chosen(read_table(FOLDER / "table.csv"))
    lines, over = list[list[str]](), list[float]()
    first, measured = Counter[str](), Counter[str]()
    for row in rows:
        fits = table[(table.problem == row["problem"]) & (table.seed == row["seed"])].set_index("tool")
        others = fits.drop(index=[BEST, "runge"], errors="ignore")
        for key in (key for key in KEYS if row[key] is not None):
            one_core, other = fits[key].get(BEST, math.nan), others[key].min()
            lines.append([row["problem"], key, *(f"{error:.1e}" for error in (row[key], one_core, other))])
            over.append(row[key] / one_core)
            first[key] += row[key] < other
            measured[key] += 1
    heads = ["problem", "error", "60 s, all cores", "120 s, one core", "best other tool"]
    firsts = " and ".join(f"on {first[key]} of {measured[key]} for the {key}" for key in KEYS)
    return Answer(
        markdown(heads, lines, 2),
        f"**Is the default time enough?** With 60 s on two cores the errors of `runge fit` on the problems of the "
        f"table are {geometric_mean(over):.2f} times those with 120 s on one core, in the geometric mean. They are "
        f"smaller than those of all other tools {firsts} (one seed; [the default time](studies/shipped.md)).",
    )


def _over_process(rows: Figures) -> list[tuple[str, int, float, list[float]]]:
    """Return the tables with a Gaussian process: function, rows, noise, and the ratios of both errors over its own."""
    tables = defaultdict[tuple[str, int, float, float, int], dict[str, Any]](dict)
    for row in rows:
        tables[row["problem"], row["rows"], row["noise"], row["limit"], row["seed"]][row["fit"]] = row
    return [
        (name, n, noise, [fits[FIT][key] / fits[PROCESS][key] for key in KEYS])
        for (name, n, noise, *_), fits in tables.items()
        if PROCESS in fits
    ]


def _cell(row: dict[str, Any] | None, key: str) -> str:
    return f"{row[key]:.1e}" if row else ""


def courses(rows: Figures) -> Figure:
    """Draw the errors over the time, of the same number of rows."""
    some = [row for row in rows if row["fit"] == FIT and row["rows"] == COUNT]
    panels = {
        {"value": "values", "derivative": "derivatives"}[key]: {
            name: sorted((row["limit"], row[key]) for row in of_name)
            for name, of_name in by("problem", some).items()
            if len(of_name) > 1
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
