"""Measure whether `runge check` names a wrong column if the derivatives by one input are missing.

    python benchmarks/problems/missing.py [--seeds 5] [--page]

The tables are those of `stated_tables.py` that have no mistake. Each loses the derivatives of all outputs by one input,
and is checked as it is then, and with one mistake in a column that is left. The input, the kind of the mistake and its
column follow from the number of the table (`corrupted`). `figures/missing.csv` has what the check says. The page is
`docs/reliability.md`.
"""

import argparse
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from stated_tables import TABLES, Stated

from runge.interface.label_check import check
from runge.records.files import write

sys.path.append(str(Path(__file__).parents[1]))
from mistakes import MISTAKES, corrupted, facts_of, rate
from pages import render, table, write_pages

FIGURES = Path(__file__).parent / "figures" / "missing.csv"
PART = "reliability.md#missing"
ANSWERS = "the wrong columns", "others too", "only others", "nothing"


def without_input(stated: Stated, number: int) -> tuple[pd.DataFrame, str]:
    """Return a table without the derivatives by the input of its number, and the name of this input."""
    name = stated.inputs[number % len(stated.inputs)]
    return stated.frame.drop(columns=[f"d{y}_d{name}" for y in stated.outputs], errors="ignore"), name


def measure(name: str, seed: int, number: int) -> dict[str, str]:
    """Return what `runge check` says of a table without derivatives by one input, as it is and with a mistake."""
    stated = TABLES[name](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    frame, unknown = without_input(stated, number)
    roles = f"data.inputs=[{','.join(stated.inputs)}]", f"data.outputs=[{','.join(stated.outputs)}]"
    options = [*roles, *(option for option in stated.options if option not in roles)]
    spoilt, mistake, wrong = corrupted(frame, number)
    sound, found = check(frame, *options), check(spoilt, *options)
    facts = {
        "table": name,
        "seed": seed,
        "without": unknown,
        "rows": len(frame),
        "columns": len(sound.roles.partials),
        **facts_of(sound, found, mistake, wrong),
    }
    return {key: str(value) for key, value in facts.items()}


def part(rows: Sequence[dict[str, str]]) -> str:
    """Return the part of the page."""
    counted = []
    for mistake in MISTAKES:
        own = [row for row in rows if row["mistake"] == mistake]
        visible = [row for row in own if row["visible"] == "yes"]
        numbers = [len(own), len(visible), *(sum(row["answer"] == one for row in own) for one in ANSWERS)]
        counted.append([mistake, *map(str, numbers)])
    accused = [row for row in rows if row["answer"] in ("others too", "only others")]
    return render(
        Path(__file__).parent / "templates" / "missing.md.jinja",
        tables=len(rows),
        seeds=len({row["seed"] for row in rows}),
        alarms=rate(sum(bool(row["said"]) for row in rows), len(rows)),
        accused=rate(len(accused), len(rows)),
        named=sum(row["answer"] in ANSWERS[:2] for row in rows),
        visible=sum(row["visible"] == "yes" for row in rows),
        counted=table(["mistake", "tables", "visible", "exactly", "and others", "only others", "nothing"], counted),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--page", action="store_true", help="only write the part of the page")
    arguments = parser.parse_args()
    if not arguments.page:
        sound = [name for name in TABLES if name not in ("wrong label", "garbage column")]
        pairs = [(name, seed) for seed in range(arguments.seeds) for name in sound]
        rows = [measure(name, seed, i + seed) for i, (name, seed) in enumerate(pairs)]  # with each mistake in turn
        write(FIGURES, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))
    write_pages({PART: part(read())})


def read() -> list[dict[str, str]]:
    """Return what has been kept."""
    return pd.read_csv(FIGURES, dtype=str, keep_default_na=False).to_dict("records")


if __name__ == "__main__":
    main()
