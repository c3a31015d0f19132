"""Simulate sweeps, count the claims of `runge compare`, and write them to `docs/explanation/verdict.md`.

python benchmarks/statistics                    all cases, 2000 sweeps each, about 15 minutes on two cores
python benchmarks/statistics --sweeps 100       fewer, for an estimate
python benchmarks/statistics --sweeps 0         only the page, from the figures that are kept

A simulated run has a log-normal error: a part that all runs of a seed share, as they begin with the same points, and a
part of its own. Some runs diverge, some fail, and some have not ended.
"""

import argparse
import csv
import itertools
import math
import sys
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

sys.path.insert(0, str(Path(__file__).parents[1]))  # as a script of its own folder
from pages import table, write_pages

HERE = Path(__file__).parent
FIGURES = HERE / "claims.csv"
METRIC = "test/mse_df"
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
    for groups, seeds in itertools.product((2, 3, 5, 10), (5, 6, 10, 20)):
        yield Case((groups,), seeds, "baseline", lost=False, effect=0.5)


def claims(case: Case, number: int) -> bool:
    """Return whether a simulated sweep ends with a claim; with an effect, whether it is claimed of the right value."""
    generator, records = np.random.default_rng((number, case.seeds, *case.values)), list[RunRecord]()
    shared = generator.normal(0, SPREAD * SHARED**0.5, case.seeds)
    for settings in itertools.product(*map(range, case.values)):
        own = generator.normal(0, SPREAD * (1 - SHARED) ** 0.5, case.seeds)
        chance = generator.random(case.seeds)
        named = {f"section.{'abc'[i]}": value for i, value in enumerate(settings)}
        scale = case.effect if settings[0] == 1 else 1.0
        if case.question != "best":  # the other keys have effects, about which nothing is asked
            scale *= 10.0 ** sum(settings[1:])
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
    """Return the two tables of the page: the false claims by question, and the true ones by seeds."""
    found = {(row["values"], row["seeds"], row["question"], row["effect"]): row["share"] for row in rows}

    def cells(values: str, columns: list[tuple[str, str]], effect: str) -> list[str]:
        shares = [found.get((values, seeds, question, effect), "") for seeds, question in columns]
        return [f"{100 * float(text):.1f} %" if text else "" for text in shares]

    null, true = ([row for row in rows if row["effect"] == effect] for effect in ("1.0", "0.5"))
    false_claims = [
        [values, seeds, *cells(values, [(seeds, question) for question in QUESTIONS], "1.0")]
        for values, seeds in dict.fromkeys((row["values"], row["seeds"]) for row in null)
    ]
    seeds = list(dict.fromkeys(row["seeds"] for row in true))
    columns = [(count, "baseline") for count in seeds]
    true_claims = [[values, *cells(values, columns, "0.5")] for values in dict.fromkeys(row["values"] for row in true)]
    first = table(["values of each key", "seeds", "best", "baseline", "`--group-by`"], false_claims)
    second = table(["groups", *(f"{count} seeds" for count in seeds)], true_claims)
    sweeps, mean = rows[0]["sweeps"], np.mean([float(row["share"]) for row in null])
    about = f"The share of {sweeps} sweeps without an effect that claim one, {100 * mean:.1f} % in the mean:"
    if not true:
        return f"{about}\n\n{first}\n"
    return f"{about}\n\n{first}\n\nThe share of {sweeps} sweeps that find a factor of 2:\n\n{second}\n"


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
            rows = [one | {"sweeps": sweeps, "share": of} for one, of in zip(named, shares, strict=True)]
        with FIGURES.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    with FIGURES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    write_pages({"explanation/verdict.md#benchmarks/statistics": tables(rows)})


if __name__ == "__main__":
    main()
