"""Search tables by the rule of `runge fit` and by four rules from textbooks, and write `docs/explanation/search.md`.

    python benchmarks/search/play.py [--tables NAME ...] [--rules NAME ...] [--seconds 20] [--seeds 1] [--page]

Each search is a process of its own on all cores. Its figures are kept in `benchmarks/search/figures/rules.json` as soon
as they are known, and are not measured again. The default, the 12 tables for the check, takes half an hour on two
cores. `--page` only writes the page.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

sys.path.extend(map(str, (Path(__file__).parents[1], Path(__file__).parents[1] / "problems")))
from pages import DOCS, render, write_pages
from rules import RULES
from suite import CHECK, rows_of
from tables import errors
from tools.runge_fit import Fit

import runge.search.search
from runge.process.machine import processor
from runge.records.files import write

FIGURES = Path(__file__).with_name("figures") / "rules.json"
LEAST_ERROR = 1e-12
"""The error below which rules are equally good: round-off decides."""


def searched(table: str, rule: str, seconds: float, seed: int) -> dict[str, Any]:
    """Return the errors of a search in test rows."""
    rows, test = rows_of(table)
    runge.search.search.next_moves = RULES[rule]  # in this process of its own
    model, began = Fit(seed, f"search.timeout={seconds}"), time.perf_counter()
    model.fit(rows.x, rows.y, rows.dydx)
    took = time.perf_counter() - began
    return {**errors(model.predict(test.x), model.predict_derivative(test.x), test), "took": took}


def measure(tables: Sequence[str], rules: Sequence[str], seconds: float, seeds: int) -> None:
    """Search what is not known yet, each in a process of its own."""
    for table in tables:
        for seed in range(seeds):
            for rule in rules:
                key = {"table": table, "rule": rule, "seconds": seconds, "seed": seed, "processor": processor()}
                known = read()
                if not any(key.items() <= row.items() for row in known):
                    code = (
                        f"import json, play; print(json.dumps(play.searched({table!r}, {rule!r}, {seconds}, {seed})))"
                    )
                    command = [sys.executable, "-c", code]
                    done = subprocess.run(
                        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
                    )
                    row = key | json.loads(done.stdout.splitlines()[-1])
                    FIGURES.parent.mkdir(exist_ok=True)
                    write(FIGURES, json.dumps([*known, row], indent=1) + "\n")
                    print(row, flush=True)


def read() -> list[dict[str, Any]]:
    """Return what is known."""
    return json.loads(FIGURES.read_text()) if FIGURES.is_file() else []


def regrets(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the regret of each rule on each table.

    It is the error over the smallest one of all rules there, both of them geometric means of the errors of values and
    derivatives, of all seeds.
    """
    found = dict[str, dict[str, list[float]]]()
    for row in rows:
        known = [row[what] for what in ("value", "derivative") if row.get(what) is not None]
        error = max(geometric_mean([max(x, 1e-300) for x in known]), LEAST_ERROR)
        found.setdefault(row["rule"], {}).setdefault(row["table"], []).append(error)
    best = {
        table: min(geometric_mean(x[table]) for x in found.values() if table in x)
        for x in found.values()
        for table in x
    }
    return {
        rule: {table: geometric_mean(seeds) / best[table] for table, seeds in tables.items()}
        for rule, tables in found.items()
    }


def page(rows: Sequence[dict[str, Any]]) -> str:
    """Return the page."""
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
        processor=rows[0]["processor"],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", nargs="+", default=sorted(CHECK), metavar="NAME")
    parser.add_argument("--rules", nargs="+", choices=list(RULES), default=list(RULES), metavar="NAME")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--page", action="store_true", help="only write the page")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder below which the page is written")
    options = parser.parse_args()
    if not options.page:
        measure(options.tables, options.rules, options.seconds, options.seeds)
    write_pages({"explanation/search.md": page(read())}, options.docs)


if __name__ == "__main__":
    main()
