"""Simulate sweeps, count the claims of `runge compare`, and write them to `docs/explanation/verdict.md`.

python benchmarks/statistics                    all cases, 2000 sweeps each, about 15 minutes on two cores
python benchmarks/statistics --sweeps 100       fewer, which are not kept
python benchmarks/statistics --sweeps 0         only the page, from the figures that are kept

A simulated run has a log-normal error: a part that all runs of a seed share, as they begin with the same points, and a
part of its own. Some runs diverge, some fail, and some have not ended.
"""

import argparse
import csv
import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np

from runge.comparison import lead
from runge.comparison.lead import FALSE_CLAIMS
from runge.comparison.ranking import rank
from runge.records.reading import RunRecord

HERE = Path(__file__).parent
FIGURES = HERE / "claims.csv"
PAGE = HERE.parents[1] / "docs" / "explanation" / "verdict.md"
METRIC = "test/mse_df"
BEGIN, END = "<!-- written by benchmarks/statistics -->", "<!-- end -->"
QUESTIONS = ("best", "baseline", "group-by")
SPREAD, SHARED = math.log(2), 0.5
"""The standard deviation of a run's logarithm, and the share of its variance that is the seed's."""

LOST = 0.05
"""The share of runs that diverge, and of those that fail, where some do."""


class Case(NamedTuple):
    """A kind of sweep.

    Attributes:
        values: the number of values of each swept key.
        seeds: the number of seeds.
        question: how it is compared: `best`, `baseline`, or `group-by` the first key.
        lost: whether runs diverge and fail.
        effect: the factor between the error of the second value of the first key and the errors of all others.
    """

    values: tuple[int, ...]
    seeds: int
    question: str
    lost: bool
    effect: float


def cases() -> Iterator[Case]:
    """Return all cases: those without an effect, and those with a factor of 2."""
    for values, seeds, question in itertools.product(
        ((3,), (5,), (10,), (3, 2), (5, 2), (3, 2, 2)), (5, 10), QUESTIONS
    ):
        if question != "group-by" or len(values) > 1:  # of one key it is the same as `best`
            yield Case(values, seeds, question, lost=True, effect=1.0)
    for groups, seeds, question in itertools.product((2, 3, 5, 10), (5, 6, 10, 20), ("best", "baseline")):
        yield Case((groups,), seeds, question, lost=False, effect=0.5)


def claims(case: Case, number: int) -> bool:
    """Return whether a simulated sweep ends with a claim; with an effect, whether it is claimed of the right value."""
    generator, records = np.random.default_rng((number, case.seeds, *case.values)), list[RunRecord]()
    shared = generator.normal(0, SPREAD * SHARED**0.5, case.seeds)
    for settings in itertools.product(*map(range, case.values)):
        own = generator.normal(0, SPREAD * (1 - SHARED) ** 0.5, case.seeds)
        chance = generator.random(case.seeds)
        named = {f"section.{'abc'[i]}": value for i, value in enumerate(settings)}
        scale = (case.effect if settings[0] == 1 else 1.0) * 10.0 ** sum(settings[1:] if case.effect == 1 else ())
        for seed in range(case.seeds):
            is_lost = case.lost and chance[seed] < 2 * LOST
            status = ("diverged" if chance[seed] < LOST else "failed") if is_lost else "finished"
            figures = {} if is_lost else {METRIC: scale * math.exp(shared[seed] + own[seed])}
            records.append(RunRecord(f"{len(records)}", status, settings={**named, "seed": seed}, figures=figures))
    baseline = ["section.a=0"] if case.question == "baseline" else []
    group_by = ["section.a"] if case.question == "group-by" else None
    verdicts = rank(records, METRIC, group_by, baseline=baseline).verdicts
    stated = [one for one in verdicts if one.sentence and one.difference and one.difference.p < FALSE_CLAIMS]
    if case.effect == 1:
        return bool(stated)
    return any("section.a=1" in {one.group.name, one.against.name} for one in stated)


def share(case: Case, sweeps: int) -> float:
    """Return the share of simulated sweeps with a claim."""
    lead.bisect = SimpleNamespace(bisect_left=lambda *_, **__: 0)  # no intervals, which take most of the time
    return sum(claims(case, number) for number in range(sweeps)) / sweeps


def tables(rows: list[dict[str, str]]) -> str:
    """Return the two tables of the page."""
    lines = ["| swept values | seeds | best | baseline | `--group-by` |", "|---|--:|--:|--:|--:|"]
    found = {(row["values"], row["seeds"], row["question"], row["effect"]): row["share"] for row in rows}

    def cell(values: str, seeds: str, question: str, effect: str) -> str:
        text = found.get((values, seeds, question, effect))
        return "" if text is None else f"{100 * float(text):.1f} %"

    for values, seeds in dict.fromkeys((row["values"], row["seeds"]) for row in rows if row["effect"] == "1.0"):
        lines.append(f"| {values} | {seeds} | {' | '.join(cell(values, seeds, one, '1.0') for one in QUESTIONS)} |")
    counts = list(dict.fromkeys(row["seeds"] for row in rows if row["effect"] == "0.5"))
    lines += [
        "",
        f"| groups | question | {' | '.join(f'{seeds} seeds' for seeds in counts)} |",
        "|--:|---|--:|--:|--:|--:|",
    ]
    for values, question in dict.fromkeys((row["values"], row["question"]) for row in rows if row["effect"] == "0.5"):
        cells = " | ".join(cell(values, seeds, question, "0.5") for seeds in counts)
        lines.append(f"| {values} | {question} | {cells} |")
    return "\n".join(lines)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=2000, help="the simulated sweeps of each case (default: 2000)")
    sweeps = parser.parse_args().sweeps
    if sweeps:
        every = list(cases())
        with ProcessPoolExecutor() as pool:
            shares = pool.map(partial(share, sweeps=sweeps), every)
            named = [case._asdict() | {"values": " x ".join(map(str, case.values))} for case in every]
            rows = [
                {key: str(x) for key, x in (one | {"share": of}).items()} for one, of in zip(named, shares, strict=True)
            ]
        print(tables(rows))
        if sweeps < 2000:
            return
        with FIGURES.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with FIGURES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{begin}\n{tables(rows)}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
