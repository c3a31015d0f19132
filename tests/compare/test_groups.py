import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu

from runge.compare.groups import Group, describe_lead, differing, group
from runge.runs.reading import RunRecord


def run(seed, value, status="finished", **settings):
    return RunRecord("", status, settings={"seed": seed, **settings}, figures={"test/mse_df": value})


def test_only_what_differs():
    runs = [{"seed": 0, "width": 8, "depth": 2}, {"seed": 1, "width": 16, "depth": 2}, {"seed": 1, "width": 16}]
    assert differing(runs, ["seed", "width", "depth", "other"]) == ["seed", "width", "depth"]
    assert differing([*runs, {}], ["seed", "width"]) == ["seed", "width"]
    assert differing([runs[0], {}], ["seed", "width"]) == []


def test_values_that_differ_in_their_last_digits_are_not_one_group():
    rates = [0.0123456, 0.01234561, 0.01234564]
    runs = [run(seed, 1.0, lr=rate) for rate in rates for seed in range(2)]
    assert differing([one.settings for one in runs], ["lr"]) == ["lr"]
    assert len(group(runs, ["lr"], "test/mse_df")) == 3


def test_keys_of_one_class_do_not_differ_from_those_of_another():
    rows = [{"schedule": "Constant"}, {"schedule": "TwoStage", "schedule.patience": 3}]
    assert differing(rows, ["schedule", "schedule.patience"]) == ["schedule"]
    rows.append({"schedule": "TwoStage", "schedule.patience": 5})
    assert differing(rows, ["schedule", "schedule.patience"]) == ["schedule", "schedule.patience"]
    rows = [{"optimizer": "Adam", "optimizer.lr": 0.01}, {"optimizer": "LBFGS", "optimizer.lr": 1.0}]
    assert differing(rows, ["optimizer", "optimizer.lr"]) == ["optimizer"]


def test_runs_that_differ_only_in_the_seed_are_one_group():
    runs = [run(seed, seed + width / 100, width=width) for width in (8, 16) for seed in range(4)]
    runs += [run(9, None, width=8), run(10, 0.0, "failed", width=8)]
    first, second = group(runs, ["width"], "test/mse_df")
    assert (first.name, second.name) == ("width=8", "width=16")
    assert first.values == (0.08, 1.08, 2.08, 3.08)
    assert first.median == pytest.approx(1.58)
    assert first.quartiles == pytest.approx((0.83, 2.33))
    assert first.worst == 3.08


def test_diverged_runs_are_the_worst_and_others_without_a_result_are_left_out():
    """Without its diverged runs the worse setting would lead by more than chance."""
    slow = [run(seed, 2 + seed / 10, lr=0.1) for seed in range(10)]
    fast = [run(seed, 1 + seed / 10, lr=0.6) for seed in range(6)]
    assert "lr=0.6 leads lr=0.1" in describe_lead(group(slow + fast, ["lr"], "test/mse_df"))
    fast += [run(seed, None, "diverged", lr=0.6) for seed in range(6, 12)]
    fast += [run(12, None, "failed", lr=0.6), run(13, None, "interrupted", lr=0.6), RunRecord("", "diverged")]
    first, second = groups = group(slow + fast, ["lr"], "test/mse_df")
    assert (first.name, first.size) == ("lr=0.1", "10")
    assert (second.name, second.size) == ("lr=0.6", "12 (6 of 12 diverged), 2 unfinished")
    assert second.values == (1, 1.1, 1.2, 1.3, 1.4, 1.5, *[math.inf] * 6)
    assert second.quartiles == (pytest.approx(1.275), math.inf)
    assert second.median == second.worst == math.inf
    p = mannwhitneyu(first.values, second.values).pvalue
    said = describe_lead(groups)
    assert said.startswith(
        "lr=0.1 leads lr=0.6 in the median; Mann-Whitney U, n = 10 and 12 (6 of 12 diverged), 2 unfin"
    )
    assert f"p = {p:.2g}: this may be chance" in said
    worse = [run(seed, None, "diverged", lr=lr) for lr in (1.0, 2.0) for seed in range(5)]
    assert [one.name for one in group(slow + worse, ["lr"], "test/mse_df")] == ["lr=0.1", "lr=1", "lr=2"]
    both = describe_lead(group(worse, ["lr"], "test/mse_df"))
    assert both == "lr=1 and lr=2 do not differ in the median: n = 5 (5 of 5 diverged) and 5 (5 of 5 diverged)."


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=30))
def test_statistics_of_a_group(values):
    one = Group("g", tuple(sorted(values)))
    lower, upper = one.quartiles
    assert min(values) <= lower <= one.median <= upper <= one.worst == max(values)
    assert one.median == statistics.median(values)


def test_no_claim_below_five_seeds():
    groups = [Group("a", (1.0, 2.0, 3.0, 4.0)), Group("b", (10.0, 20.0, 30.0, 40.0, 50.0))]
    assert "n = 4 and 5" in describe_lead(groups)
    assert "no claim" in describe_lead(groups)
    assert "p = " not in describe_lead(groups)
    assert describe_lead(groups[:1]) == ""


def test_lead_is_compared_with_chance():
    clear = [Group("a", (1.0, 2.0, 3.0, 4.0, 5.0)), Group("b", (10.0, 20.0, 30.0, 40.0, 50.0))]
    p = mannwhitneyu(clear[0].values, clear[1].values).pvalue
    assert describe_lead(clear).startswith("a leads b by a factor of 10 in the median")
    assert f"n = 5 and 5, p = {p:.2g}: more than chance" in describe_lead(clear)
    vague = [Group("a", (1.0, 2.0, 30.0, 40.0, 50.0)), Group("b", (1.5, 2.5, 31.0, 39.0, 51.0))]
    assert "may be chance" in describe_lead(vague)


def test_the_best_of_many_groups_is_corrected_for_the_choice():
    def groups(number, seeds):
        best = Group("a", tuple(1 + i / 10 for i in range(seeds)))
        return [best, *(Group(f"b{k}", tuple(10.0 + k + i / 10 for i in range(seeds))) for k in range(number))]

    assert "p = 0.0079, 0.04 with Holm's correction for 5 comparisons: more than chance." in describe_lead(groups(5, 5))
    said = describe_lead(groups(9, 5))
    assert "p = 0.0079, 0.071 with Holm's correction for 9 comparisons: this may be chance." in said
    assert "9 of the 9 other groups cannot be distinguished from the best." in said
    assert said.endswith("With 10 groups, at least 6 seeds each are needed to show a lead.")
    assert "more than chance" in describe_lead(groups(9, 6))
    few = [*groups(5, 5), Group("c", (1e9, 2e9))]
    assert describe_lead(few) == describe_lead(groups(5, 5))


def test_holm_keeps_false_claims_rare():
    """Of 400 sweeps of 8 groups without any difference, at most about 5 % may claim one."""
    generator = np.random.default_rng(0)
    claims = 0
    for _ in range(400):
        values = np.sort(generator.lognormal(size=(8, 10)), axis=1)
        groups = sorted((Group(str(i), tuple(row)) for i, row in enumerate(values)), key=lambda one: one.median)
        claims += "more than chance" in describe_lead(groups)
    assert claims <= 30


def test_no_lead_where_there_is_none():
    assert (
        describe_lead([Group("a", (1.0,)), Group("b", (1.0,))]) == "a and b do not differ in the median: n = 1 and 1."
    )
    level = [Group("a", (1.0,) * 6), Group("b", (1.0049,) * 6)]
    assert describe_lead(level) == "a and b do not differ in the median, to three digits: n = 6 and 6."
    assert describe_lead([level[0], Group("b", (1.0051,) * 6)]).startswith("a leads b by a factor of 1.01 in")
    assert "factor" not in describe_lead([Group("a", (0.0,)), Group("b", (1.0,))])
