"""The questions of the homework, each asked against its baseline, and answered again by SciPy from the files."""

import itertools
import math
import re

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, wilcoxon

import runge
from tests.comparison.pages import table

QUESTIONS = {
    "HW2": (["experiment=hw2", "model.activation=tanh,relu,sigmoid"], ["model.activation=tanh"]),
    "HW3": (["experiment=hw2,hw3"], ["experiment=hw2"]),
    "5a": (["loss.derivative_scale=none,max,std"], ["loss.derivative_scale=none"]),
    "5b": (["loss.lambda_d=0,0.1,1"], ["loss.lambda_d=0"]),
    "5c": (["schedule=constant,two_stage"], ["schedule=constant"]),
    "6a": (["sampling=uniform,chebyshev,endpoint"], ["sampling=uniform"]),
    "6b": (["sampling=uniform,mixed"], ["sampling=uniform"]),
    "6c": (["data.n_train=48,64", "data.boundary_points=0,16"], ["data.n_train=64", "data.boundary_points=0"]),
    "7a": (["loss.sample_weight=none,derivative"], ["loss.sample_weight=none"]),
    "7b": (["resampling=none,region"], ["resampling=none"]),
}
SHORT = ("trainer.max_steps=100", "model.width=8", "data.n_val=20", "data.n_test=51", "seed=range(6)", "pictures=false")
QUICK = ("logger=[]", "search.compare=false", "hydra.launcher.processes=1", "trainer.progress_bar=false")
FEWEST_PAIRS = {1: 6, 2: 7}
"""The pairs from which on Wilcoxon's test can have p < 0.05 after the correction for a number of comparisons."""


def p_of(logs, base, pairs):
    """Return a function of a shift: p of the two groups, one of which is shifted."""
    if pairs:
        return lambda shift: wilcoxon(logs - base - shift).pvalue
    return lambda shift: mannwhitneyu(logs - shift, base, method="exact").pvalue


def recomputed(logs, base, pairs):
    """Return the factor, the ends of its interval, and p."""
    steps = np.sort((logs - base[:, None]).ravel())
    if pairs:
        steps = np.sort([(x + y) / 2 for x, y in itertools.combinations_with_replacement(logs - base, 2)])
    p = p_of(logs, base, pairs)
    not_rejected = [(x, y) for x, y in itertools.pairwise(steps) if p((x + y) / 2) >= 0.05]
    return [*np.exp([np.median(steps), not_rejected[0][0], not_rejected[-1][1]]), p(0)]


@pytest.mark.parametrize(
    "question", [one if one in ("HW3", "5a") else pytest.param(one, marks=pytest.mark.nightly) for one in QUESTIONS]
)
def test_each_question_has_a_true_answer(question, tmp_path):
    overrides, baseline = QUESTIONS[question]
    runge.sweep(*overrides, *SHORT, *QUICK, directory=tmp_path / "runs")
    asked = runge.compare(tmp_path / "runs", baseline=baseline, out=tmp_path)
    rows = table(tmp_path)
    wanted = dict(setting.split("=") for setting in baseline)
    labels = {"6c": lambda row: row["data.labels"] == "128"}.get(question, lambda row: True)
    groups = {}
    for row in filter(labels, rows):
        name = ", ".join(f"{key}={row[key]}" for key in wanted)
        groups.setdefault(name, {})[int(row["seed"])] = math.log(float(row["test/mse_df"]))
    base = groups.pop(", ".join(baseline))
    assert len(asked.verdict_table) == len(groups) > 0
    pairs = len(base) >= FEWEST_PAIRS[len(groups)]
    logs = {name: np.array([by_seed[seed] for seed in sorted(by_seed)]) for name, by_seed in groups.items()}
    base = np.array([base[seed] for seed in sorted(base)])
    found = {name: recomputed(values, base, pairs) for name, values in logs.items()}
    least, corrected = 0, {}
    for rank, name in enumerate(sorted(found, key=lambda name: found[name][3])):
        corrected[name] = least = max(least, min(1, found[name][3] * (len(found) - rank)))
    page = (tmp_path / "comparison.html").read_text()
    for row in table(tmp_path, "verdicts.csv"):
        name = row["group"].removesuffix(", data.labels=128")
        expected = [*found[name][:3], corrected[name]]
        assert [float(row[key]) for key in ("factor", "low", "high", "p")] == pytest.approx(expected, rel=1e-9)
        factor, low, high = expected[:3]
        is_smaller = factor < 1
        ends = (1 / factor, 1 / high, 1 / low) if is_smaller else (factor, low, high)
        said = "{:.3g} times {} (95 %: {:.3g} to {:.3g})".format(
            ends[0], "smaller" if is_smaller else "larger", *ends[1:]
        )
        claim = "more than chance" if corrected[name] < 0.05 else "this may be chance"
        assert re.fullmatch(
            rf".+ against .+: {re.escape(said)}; .+, p = {corrected[name]:.2g}: {claim}.*\.", row["sentence"]
        )
        assert row["sentence"] in asked.sentences
        assert row["sentence"].replace("'", "&#39;") in page
