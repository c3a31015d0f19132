"""Search tables by the rule of `runge fit` and by four rules from textbooks, and write the pages of the search.

    python benchmarks/search/play.py [--tables NAME ...] [--rules NAME ...] [--seconds 20] [--seeds 1] [--page]

Each search is a process of its own on all cores. Its figures are kept in `benchmarks/search/figures/rules.json` as soon
as they are known, and are not measured again. The default, the 12 tables for the check, takes half an hour on two
cores. `--page` only writes the pages, `docs/explanation/search.md` and `search_accuracy.md`.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from statistics import geometric_mean, median

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
import more_rows
import single_runs
from pages import DOCS, render, write_pages
from rules import RULES
from searches import Figures, error_of, fitted, keep, kept, processors_of
from suite import CHECK, rows_of
from tools.runge_fit import Fit

import runge.search.search

FIGURES = Path(__file__).with_name("figures") / "rules.json"


def searched(table: str, rule: str, seconds: float, seed: int) -> Figures:
    """Return the errors of a search in test rows."""
    runge.search.search.next_moves = RULES[rule]  # in this process of its own
    return fitted(Fit(seed, f"search.timeout={seconds}"), *rows_of(table))


def measure(tables: Sequence[str], rules: Sequence[str], seconds: float, seeds: int) -> None:
    """Search what is not known yet, each in a process of its own."""
    for table, seed, rule in product(tables, range(seeds), rules):
        keep(FIGURES, {"table": table, "rule": rule, "seconds": seconds, "seed": seed}, "play.searched")


def read() -> list[Figures]:
    """Return what is known."""
    return kept(FIGURES)


def regrets(rows: Sequence[Figures]) -> dict[str, dict[str, float]]:
    """Return the regret of each rule on each table.

    It is the error over the smallest one of all rules there, both of them geometric means of the errors of values and
    derivatives, of all seeds.
    """
    found = dict[str, dict[str, list[float]]]()
    for row in rows:
        found.setdefault(row["rule"], {}).setdefault(row["table"], []).append(error_of(row))
    best = {
        table: min(geometric_mean(x[table]) for x in found.values() if table in x)
        for x in found.values()
        for table in x
    }
    return {
        rule: {table: geometric_mean(seeds) / best[table] for table, seeds in tables.items()}
        for rule, tables in found.items()
    }


def page(rows: Sequence[Figures]) -> str:
    """Return the page of the rule."""
    of_rules, tables = regrets(rows), sorted({row["table"] for row in rows})
    summary, each = list[list[str]](), list[list[str]]()
    for rule in RULES:
        found = of_rules[rule]
        worst = max(found, key=lambda table: found[table])
        numbers = list(found.values())
        summary.append([rule, f"{geometric_mean(numbers):.2g}", f"{median(numbers):.2g}", f"{found[worst]:.2g}", worst])
    for table in tables:
        each.append([f"`{table}`", *(f"{of_rules[rule][table]:.2g}" for rule in RULES)])
    return render(
        Path(__file__).with_name("search.md.jinja"),
        summary=summary,
        each=each,
        rules=list(RULES),
        tables=len(tables),
        seconds=f"{rows[0]['seconds']:g}",
        seeds=len({row["seed"] for row in rows}),
        processor=processors_of(rows),
    )


def page_of_accuracy() -> str:
    """Return the page of the errors with more rows, and of those of single runs."""
    return render(
        Path(__file__).with_name("search_accuracy.md.jinja"),
        **more_rows.page_values(kept(more_rows.FIGURES)),
        **single_runs.page_values(kept(single_runs.FIGURES)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=sorted(CHECK), metavar="NAME")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="only write the pages")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder below which they are written")
    options = parser.parse_args()
    if not options.page:
        measure(options.tables, options.rules, options.seconds, options.seeds)
    pages = {"explanation/search.md": page(read()), "explanation/search_accuracy.md": page_of_accuracy()}
    write_pages(pages, options.docs)


if __name__ == "__main__":
    main()
