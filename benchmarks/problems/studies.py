"""Write `docs/studies.md` and a page for each study from the figures that the studies have kept.

    python benchmarks/problems/studies.py

A study is a template, its tables, and an answer in a sentence or two.
"""

import math
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, geometric_mean, median
from typing import NamedTuple

from results import FOLDER, Rows, by, read

sys.path.append(str(Path(__file__).parents[1]))
from pages import render, write_pages
from pages import table as markdown
from ranking import BEST, chosen
from ranking import read as read_table

TEMPLATES = Path(__file__).parent / "templates"
KEYS = "value", "derivative"


class Answer(NamedTuple):
    """The tables of a study, with sentences about them, and its answer for the summary."""

    tables: str
    answer: str


EXPECTED_LOW = 0.007
"""The probability that an interval of the level 0.9 that is calibrated by 60 to 100 exchangeable rows contains less
than 80 % of new labels: 1.2 % to 0.2 %, by the beta distribution of the share.
"""


def intervals(rows: Rows) -> Answer:
    """Return the shares that intervals contain, by function and noise."""
    cells, medians, every = list[list[str]](), list[float](), list[float]()
    for name, some in by("problem", rows).items():
        columns = zip(some[0]["matters"], *(row["held"] for row in some), strict=True)
        shares = [figures for matters, *figures in columns if matters]
        held = [median(figures) for figures in shares]
        medians += held
        every += [share for figures in shares for share in figures]
        cells.append([name.replace("_", " "), str(len(some)), ", ".join(f"{share:.0%}" for share in held)])
    inside, low = sum(0.87 <= share <= 0.93 for share in medians), sum(share < 0.8 for share in every)
    return Answer(
        f"{markdown(['function', 'seeds', 'value, derivatives'], cells)}\n\n"
        f"The mean of all {len(every)} shares is {fmean(every):.1%}, and the median {median(every):.0%}. Of "
        f"{len(medians)} medians {inside} are from 87 to 93 %. The smallest share is {min(every):.0%}, and {low} are "
        f"below 80 %. With a guarantee for new rows, about {EXPECTED_LOW * len(every):.0f} would be: the intervals are "
        f"calibrated by cross-validated errors of other networks than the answer.",
        f"**Do intervals contain what they promise?** In the mean, intervals of the level 0.9 contain "
        f"{fmean(every):.1%} of new labels. But {low} of {len(every)} shares are below 80 %, and the smallest is "
        f"{min(every):.0%} ([coverage](studies/intervals.md)).",
    )


def large_tables(rows: Rows) -> Answer:
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
    return Answer(
        markdown(["table", "error", *methods], lines, 2),
        f"**What fits large tables?** In the same 20 s, SOAP divides the errors of AdamW and Levenberg-Marquardt by "
        f"{geometric_mean(gains):.1f}, the geometric mean of {len(gains)} tables with one seed each ({min(gains):.1f} "
        f"to {max(gains):.1f}; [large tables](studies/large_tables.md)).",
    )


def shipped(rows: Rows) -> Answer:
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


STUDIES: dict[str, Callable[[Rows], Answer]] = {
    "intervals": intervals,
    "large_tables": large_tables,
    "shipped": shipped,
}
"""The studies, by the name of their figures, `figures/NAME.json`, template and page."""


def pages() -> dict[str, str]:
    """Write the pages from the figures that are kept."""
    written, answers = dict[str, str](), list[str]()
    for name, study in STUDIES.items():
        kept = read(name)
        answer = study(kept["rows"])
        about = {key: kept[key] for key in ("command", "processor")}
        written[f"studies/{name}.md"] = render(TEMPLATES / f"{name}.md.jinja", tables=answer.tables, **about)
        answers.append(answer.answer)
    return written | {"studies.md": render(TEMPLATES / "studies.md.jinja", answers=answers, names=list(STUDIES))}


if __name__ == "__main__":
    write_pages(pages())
