"""The small version of `benchmarks/statistics`: sweeps without any effect, in each of the ways to compare them."""

import itertools
import math

import numpy as np
import pytest

from runge.comparison.lead import compare_pairs
from runge.comparison.ranking import rank
from runge.records.reading import RunRecord


def sweep(generator, values, seeds, effect=1.0, others=1.0, lost=0.05):
    """Return the runs of a sweep, in which runs of a seed are alike, and some diverge or fail."""
    shared, runs = generator.normal(size=seeds), []
    for settings, seed in itertools.product(itertools.product(*map(range, values)), range(seeds)):
        error = math.exp(shared[seed] / 2 + generator.normal() / 2) * others ** sum(settings[1:])
        error *= effect if settings[0] == 1 else 1
        status = generator.choice(["finished", "diverged", "failed"], p=[1 - 2 * lost, lost, lost])
        named = {f"section.{key}": value for key, value in zip("abc", settings, strict=False)}
        figures = {"test/mse_df": error} if status == "finished" else {}
        runs.append(RunRecord(str(len(runs)), str(status), settings={**named, "seed": seed}, figures=figures))
    return runs


@pytest.mark.parametrize(("values", "seeds"), [((3,), 6), ((2, 2), 6)])
@pytest.mark.parametrize("question", ["best", "baseline", "group-by"])
def test_sweeps_without_an_effect_make_few_claims(values, seeds, question, monkeypatch):
    """Of 40 sweeps 2 or fewer are expected; 8 or more have a probability of 0.0007."""
    monkeypatch.setattr("runge.comparison.lead.bisect.bisect_left", lambda *_, **__: 0)  # no intervals
    monkeypatch.setattr("runge.comparison.lead._detectable", lambda *_: math.nan)
    generator = np.random.default_rng(0)
    asked = {"baseline": {"baseline": "section.a=0"}, "group-by": {"group_by": ["section.a"]}}.get(question, {})
    others = 10.0 if asked else 1.0  # about which nothing is asked
    claims = [
        rank(sweep(generator, values, seeds, others=others), **asked).lead.count("more than chance") > 0
        for _ in range(40)
    ]
    assert sum(claims) < 8


def test_an_effect_is_found():
    generator = np.random.default_rng(0)
    found = [rank(sweep(generator, (2, 2), 10, 0.1, 10.0, 0.0), baseline="section.a=0").verdicts[0] for _ in range(5)]
    assert all("times smaller" in one.sentence and "more than chance" in one.sentence for one in found)
    assert all(one.difference.high < 1 for one in found)


def test_pairs_without_seeds_are_no_comparisons():
    """A group of four seeds is not tested, and does not count for the correction of the others."""
    first, second, third = (rank(sweep(np.random.default_rng(i), (1,), n)).groups[0] for i, n in enumerate((6, 6, 4)))
    alone, none = compare_pairs([(first, second), (first, third)])
    assert none is None
    assert alone == compare_pairs([(first, second)])[0]
