"""Groups of runs: their names, the metric that ranks them, their spread, and the lead of the best."""

import itertools
import math
import statistics
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from scipy.stats import mannwhitneyu

from runge.compare.groups import Group, choose_metric, describe_lead, group, p_value
from runge.compare.naming import differing, label, names_of, with_options, with_rows
from runge.compare.ranking import Ranking
from runge.compare.report import render
from runge.compare.tables import error_table, show
from runge.records.reading import RunRecord

SINE = {"target": "Expression", "target.expr": "sin(3*x)", "seed": 0}
SMALL = SINE | {"target.expr": "sin(3*x)/1000"}
TABLE = {"data": "Table", "data.file": "a.csv", "seed": 0}


def run(seed, value, status="finished", **settings):
    return RunRecord("", status, settings={"seed": seed, **settings}, figures={"test/mse_df": value})


def grouped(records, keys):
    return group(records, names_of(records, keys), "test/mse_df")


def test_only_what_differs():
    runs = [{"seed": 0, "width": 8, "depth": 2}, {"seed": 1, "width": 16, "depth": 2}, {"seed": 1, "width": 16}]
    assert differing(runs, ["seed", "width", "depth", "other"]) == ["seed", "width", "depth"]
    assert differing([*runs, {}], ["seed", "width"]) == ["seed", "width"]
    assert differing([runs[0], {}], ["seed", "width"]) == []
    rates = [run(seed, 1.0, lr=rate) for rate in (0.0123456, 0.01234561, 0.01234564) for seed in range(2)]
    assert differing([one.settings for one in rates], ["lr"]) == ["lr"]
    assert len(grouped(rates, ["lr"])) == 3  # they differ in their last digits


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
    first, second = grouped(runs, ["width"])
    assert (first.name, second.name) == ("width=8", "width=16")
    assert first.values == (0.08, 1.08, 2.08, 3.08)
    assert first.quartiles == pytest.approx((0.83, 1.58, 2.33))


def test_diverged_runs_are_the_worst_and_others_without_a_result_are_left_out():
    """Without its diverged runs the worse setting would lead by more than chance."""
    slow = [run(seed, 2 + seed / 10, lr=0.1) for seed in range(10)]
    fast = [run(seed, 1 + seed / 10, lr=0.6) for seed in range(6)]
    assert "lr=0.6 leads lr=0.1" in describe_lead(grouped(slow + fast, ["lr"]))
    fast += [run(seed, None, "diverged", lr=0.6) for seed in range(6, 12)]
    fast += [run(12, None, "failed", lr=0.6), run(13, None, "interrupted", lr=0.6), RunRecord("", "diverged")]
    first, second = groups = grouped(slow + fast, ["lr"])
    assert (first.name, first.size) == ("lr=0.1", "10")
    assert (second.name, second.size) == ("lr=0.6", "12 (6 of 12 diverged), 2 unfinished")
    assert second.values == (1, 1.1, 1.2, 1.3, 1.4, 1.5, *[math.inf] * 6)
    assert second.quartiles == (pytest.approx(1.275), math.inf, math.inf)
    assert second.median == math.inf
    p = mannwhitneyu(first.values, second.values, method="asymptotic").pvalue
    said = describe_lead(groups)
    assert said.startswith(
        "lr=0.1 leads lr=0.6 in the median; Mann-Whitney U, n = 10 and 12 (6 of 12 diverged), 2 unfin"
    )
    assert f"p = {p:.2g}: this may be chance" in said
    worse = [run(seed, None, "diverged", lr=lr) for lr in (1.0, 2.0) for seed in range(5)]
    assert [one.name for one in grouped(slow + worse, ["lr"])] == ["lr=0.1", "lr=1", "lr=2"]
    both = describe_lead(grouped(worse, ["lr"]))
    assert both == "lr=1 and lr=2 do not differ in the median: n = 5 (5 of 5 diverged) and 5 (5 of 5 diverged)."


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=30))
def test_statistics_of_a_group(values):
    one = Group("g", tuple(sorted(values)))
    lower, median, upper = one.quartiles
    assert min(values) <= lower <= median <= upper <= max(values)
    assert median == pytest.approx(one.median)
    assert one.median == statistics.median(values)


def test_lead_is_compared_with_chance():
    clear = [Group("a", (1.0, 2.0, 3.0, 4.0, 5.0)), Group("b", (10.0, 20.0, 30.0, 40.0, 50.0))]
    p = mannwhitneyu(clear[0].values, clear[1].values).pvalue
    assert describe_lead(clear).startswith("a leads b by a factor of 10 in the median")
    assert f"n = 5 and 5, p = {p:.2g}: more than chance" in describe_lead(clear)
    vague = [Group("a", (1.0, 2.0, 30.0, 40.0, 50.0)), Group("b", (1.5, 2.5, 31.0, 39.0, 51.0))]
    assert "may be chance" in describe_lead(vague)
    few = describe_lead([Group("a", (1.0, 2.0, 3.0, 4.0)), clear[1]])
    assert few.endswith("n = 4 and 5: with fewer than 5 seeds no claim is made.")
    assert describe_lead(clear[:1]) == ""


def by_all_divisions(first, second):
    """Return p of a Mann-Whitney U test by all divisions of the values into two groups."""
    values, n = [*first, *second], len(first)
    ranks = [sum(b < a for b in values) + sum(b == a for b in values) / 2 for a in values]
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, n)])
    return min(1, 2 * min(np.mean(sums <= sum(ranks[:n])), np.mean(sums >= sum(ranks[:n]))))


@pytest.mark.parametrize(
    "second", [[0.5, 4.5, 5.5, 6.5, 7.5], [2.5, 9.0, math.inf, math.inf, math.inf], [2.0, 2.0, 5.0, 6.0, 7.0, 8.0]]
)
def test_p_of_few_runs_is_exact(second):
    first = [1.0, 2.0, 3.0, 4.0, 5.0]
    assert p_value(first, second) == pytest.approx(by_all_divisions(first, second), rel=1e-12)


def test_p_of_many_runs():
    apart = range(100), range(100, 200)
    assert p_value(*apart) == pytest.approx(2 / math.comb(200, 100), rel=1e-9, abs=0)
    values = np.random.default_rng(0).lognormal(size=(2, 101))
    assert p_value(*values) == mannwhitneyu(*values, method="asymptotic").pvalue


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
    """Of 200 sweeps of 8 groups without any difference, at most about 5 % may claim one."""
    generator = np.random.default_rng(0)
    claims = 0
    for _ in range(200):
        values = np.sort(generator.lognormal(size=(8, 10)), axis=1)
        groups = sorted((Group(str(i), tuple(row)) for i, row in enumerate(values)), key=lambda one: one.median)
        claims += "more than chance" in describe_lead(groups)
    assert claims <= 15


def test_repetitions_are_left_out():
    def runs(versions, **further):
        records = [run(seed, 1.0 + width + seed, width=width, **further) for width in (8, 16) for seed in range(3)]
        return [replace(record, path=str(id(record)), versions=versions) for record in records]

    once, again = runs("a"), [replace(record, path=f"copy/{record.path}") for record in runs("a", resume="x")]
    left = replace(once[0], status="interrupted", figures={})
    ranking = Ranking([left, *once, *again, *once[:1]])
    assert [group.size for group in ranking.groups] == ["3, 1 unfinished", "3"]
    assert ranking.sentences[0] == "7 left out, because runs with equal settings, rows and versions count once."
    assert "fewer than 5 seeds no claim" in ranking.lead
    assert len(Ranking([*once, *runs("b")]).records) == 12
    assert not Ranking(once).repetitions


def test_runs_on_different_rows_are_different_groups():
    runs = [replace(ended(TABLE | {"seed": i}, nrmse_df=1.0 + i), rows=9 * str(i // 2)) for i in range(4)]
    ranking = Ranking(with_rows(runs))
    assert [group.name for group in ranking.groups] == ["data.rows=00000000", "data.rows=11111111"]
    assert "because the runs differ in data.rows" in ranking.reason
    elsewhere = replace(ended(TABLE | {"data.file": "b.csv"}), rows="2")
    assert with_rows([runs[0], elsewhere]) == [runs[0], elsewhere]  # their names distinguish them


def test_no_lead_where_there_is_none():
    assert (
        describe_lead([Group("a", (1.0,)), Group("b", (1.0,))]) == "a and b do not differ in the median: n = 1 and 1."
    )
    level = [Group("a", (1.0,) * 6), Group("b", (1.0049,) * 6)]
    assert describe_lead(level) == "a and b do not differ in the median, to three digits: n = 6 and 6."
    assert describe_lead([level[0], Group("b", (1.0051,) * 6)]).startswith("a leads b by a factor of 1.01 in")
    assert "factor" not in describe_lead([Group("a", (0.0,)), Group("b", (1.0,))])


def named(seed, overrides, **settings):
    settings = {"schedule": "TwoStage", **settings, "seed": seed}
    return RunRecord("", "finished", overrides=f"{overrides} seed={seed}", settings=settings)


def test_names_are_as_typed():
    assert label({"x": None, "y": 1e-3, "z": True}, ["x", "y", "z"]) == "x=null, y=0.001, z=True"
    assert label({}, []) == "all runs"


def test_options_take_the_place_of_classes():
    two_stage = {"schedule": "TwoStage", "schedule.ramp_steps": 0, "seed": 0}
    ramp = RunRecord("", "finished", settings=two_stage | {"schedule.ramp_steps": 50})
    ramp = replace(ramp, options={"schedule": "two_stage_ramp", "data": "sampled"})
    at_once = RunRecord("", "finished", settings=two_stage, options={"schedule": "two_stage"})
    settings = [record.settings for record in with_options([ramp, at_once, RunRecord("", "failed")])]
    assert settings == [ramp.settings | {"schedule": "two_stage_ramp"}, two_stage | {"schedule": "two_stage"}, {}]
    assert differing(settings, [*two_stage]) == ["schedule"]
    before = replace(at_once, options={})
    assert with_options([ramp, before]) == [ramp, before]  # one configuration has one name
    other = replace(at_once, settings=two_stage | {"schedule": "Mine"})
    assert with_options([ramp, at_once, other])[1:] == [at_once, other]  # one name is one class


def test_many_settings_are_named_by_the_overrides():
    adam = {"optimizer": "Adam", "max_steps": 8000, "precision": 32, "log_every": 100}
    lm = {"optimizer": "LevenbergMarquardt", "max_steps": 200, "precision": 64, "log_every": 5}
    first = named(0, "data.n_train=9 target.expr=x + y", **adam | {"model.width": 64, "target.expr": "x + y"})
    other = "optimizer=levenberg_marquardt data.n_train=9 model.width=8 target.expr=[x, y]"
    second = named(1, other, **lm | {"model.width": 8, "target.expr": "[x, y]"})
    keys = [key for key in first.settings if key not in ("seed", "schedule")]
    names = ["target.expr=x + y", "optimizer=levenberg_marquardt, model.width=8, target.expr=[x, y]"]
    assert names_of([first, second], keys) == names
    again = replace(second, overrides="model.width=8", settings=second.settings | {"seed": 7})
    alike = [names[1].replace(", model", ", data.n_train=9, model")] * 2
    assert names_of([first, second, again], keys)[1:] == alike
    assert names_of([first, second], [*keys, "seed"]) == [f"{name}, seed={i}" for i, name in enumerate(names)]
    assert names_of([named(0, "", **adam), second], keys)[0] == "defaults"
    # Runs that differ, for example because their versions had other defaults, are never one group.
    older = replace(first, settings=first.settings | {"model.width": 32})
    assert len(set(names_of([first, second, older], keys))) == 3


def ended(settings, status="finished", **figures):
    return RunRecord("", status, settings=settings, figures={f"test/{name}": x for name, x in figures.items()})


def test_runs_on_different_functions_are_ranked_without_units():
    worse = ended(SMALL, mse_df=1e-8, nrmse_f=0.02, nrmse_df=0.05)
    better = ended(SINE, mse_df=1e-5, nrmse_f=0.001, nrmse_df=0.002)
    ranking = Ranking([worse, better])
    assert ranking.metric == "test/nrmse_df"
    assert [record.settings["target.expr"] for record in ranking.records] == ["sin(3*x)", "sin(3*x)/1000"]
    assert ranking.reason.startswith("Ranked by test/nrmse_df, because the runs differ in target.expr, and mean")
    assert "by a factor of 25 " in ranking.lead
    assert ranking.reason in render(ranking)
    assert Ranking([worse, better], "test/mse_df").records[0].settings == SMALL
    runs = [ended(SINE | {"model.width": width}, mse_df=1e-5, nrmse_df=0.1) for width in (8, 16)]
    assert choose_metric(runs, ["model.width"]) == ("test/mse_df", "")


def test_tables_and_those_without_derivatives():
    known = {"mse_df": 1.0, "nrmse_f": 0.1, "nrmse_df": 0.2}
    one = Ranking([ended(TABLE, **known), ended(TABLE | {"seed": 1}, **known)])
    assert one.metric == "test/nrmse_df"
    assert "the columns of a table have units" in one.reason
    three = {"data.file": "b.csv", "data.inputs": "[a]", "data.outputs": "[y]"}
    reason = Ranking([ended(TABLE, **known), ended(TABLE | three, **known)]).reason
    assert "because the runs differ in data.file, data.inputs and data.outputs, and mean squared" in reason
    unknown = ended(TABLE | {"data.derivatives": "{}"}, **known | {"mse_df": None, "nrmse_df": None})
    values = Ranking([ended(TABLE, **known), unknown])
    assert values.metric == "test/nrmse_f"
    assert values.reason.endswith("; not all runs have derivatives to compare with.")
    assert choose_metric([ended(TABLE, "failed"), ended(TABLE, **known)], [])[0] == "test/nrmse_df"


def test_what_is_drawn_has_the_metrics_kind():
    figures = {"mse_f": 1.0, "mse_df": 2.0, "nrmse_f": 0.1, "nrmse_df": 0.2, "r2_f": 0.99}
    figures |= {"mse_df/lift": 1.0, "mse_df/drag": 3.0, "nrmse_df/lift": 0.3, "nrmse_df/drag": 0.4}
    page = render(Ranking([ended(TABLE, **figures), ended(TABLE | {"seed": 1}, **figures)]))
    assert '"front": ["test/nrmse_f", "test/nrmse_df"]' in page
    assert '"part": "test/nrmse_df"' in page
    assert '"regions": [0.3, 0.4]' in page


@pytest.mark.parametrize("metric", ["test/nrmse_df", "test/mse_df"])
def test_the_columns_of_the_table(metric, capsys):
    figures = {"mse_f": 1.0, "mse_df": 2.0, "nrmse_f": 0.1, "nrmse_df": 0.2, "r2_f": 0.999987}
    show(Ranking([ended(TABLE, **figures)], metric), Console(width=120))
    shown = capsys.readouterr().out
    assert ("nrmse_f" in shown) == ("1 - test/r2_f" in shown) == ("1.30e-05" in shown) == (metric == "test/nrmse_df")
    assert ("test/mse_f" in shown) == (metric == "test/mse_df")


@pytest.mark.parametrize(
    ("outputs", "columns", "whole", "each"),
    [
        (["y"], 0, ["1", "2", "3", "4", "5", "6", "1.30e-05"], None),
        (["y"], 1, ["1", "2", "3", "4", "5", "6", "1.30e-05"], None),
        (["y"], 2, ["1", "3", "5", "6", "1.30e-05"], None),
        (["y", "z"], 0, ["1", "2", "3", "4", "5", "6", "1.30e-05"], ["1", "2", "3", "4", "5", "6", "1.30e-05"]),
        (["y", "z"], 1, ["-", "-", "-", "-", "5", "6", "1.30e-05"], ["1", "2", "3", "4", "5", "6", "1.30e-05"]),
        (["y", "z"], 2, ["-", "-", "5", "6", "1.30e-05"], ["1", "3", "5", "6", "1.30e-05"]),
    ],
)
def test_units_are_not_mixed_in_the_errors_of_a_table(outputs, columns, whole, each):
    quantities = ("mse_f", "mse_df", "max_f", "max_df", "nrmse_f", "nrmse_df")
    figures = {f"test/{name}{group}": i for i, name in enumerate(quantities, 1) for group in ("", "/y", "/z")}
    figures |= {f"test/r2_f{group}": 0.999987 for group in ("", "/y", "/z")}
    table = error_table(figures, (), outputs, columns)
    rows = [
        [str(cell).replace(".00e+00", "") for cell in row]
        for row in zip(*(c.cells for c in table.columns), strict=True)
    ]
    assert rows == [["whole", *whole], *([name, *each] for name in outputs if each)]


def fold(number, value, width, seed=0, status="finished", **settings):
    figures = {"val/mse_df": value, "val/mse_f": 2 * value, "test/mse_df": 1.0, "test/mse_f": 1.0}
    own = {"seed": seed, "data.folds": 3, "data.fold": number, "model.width": width, **settings}
    return RunRecord(f"{width}/{seed}/{number}", status, settings=own, figures=figures)


def test_folds_are_ranked_by_their_mean_of_the_validation_errors(capsys):
    """The median over all runs would rank them the other way round."""
    runs = [fold(k, value + seed / 10, 8, seed) for seed in (0, 1) for k, value in enumerate((1.0, 1.0, 7.0))]
    runs += [fold(k, value, 16) for k, value in enumerate((2.0, 2.0, 2.0))]
    ranking = Ranking(runs)
    assert ranking.metric == "val/mse_df"
    assert ranking.folded
    first, second = ranking.groups
    assert (first.name, first.middle, first.deviation, first.size) == ("model.width=16", 2.0, 0.0, "3")
    assert (second.middle, second.size) == (pytest.approx(3.05), "6")
    assert second.deviation == pytest.approx(statistics.stdev([1.05, 1.05, 7.05]))
    lead = "model.width=16 leads model.width=8 by a factor of 1.53 in the mean over folds, and in 1 of 3 of them."
    assert ranking.lead == lead
    show(ranking, Console(width=100))
    printed = capsys.readouterr().out
    assert "model.width=16     3  4.00e+00 ± 0.0e+00  2.00e+00 ± 0.0e+00" in printed
    assert "3 folds: mean and standard deviation" in printed
    assert "8 runs by" not in printed
    assert "Cross-validation" in render(ranking)
    failed = RunRecord("16/1/3", "failed", message="no directory")
    show(Ranking([*runs, fold(2, 1.0, 16, 1, "failed"), failed]), Console(width=100))
    assert "9 runs" not in (printed := capsys.readouterr().out)
    assert printed.count("failed") == 2
    assert "10 runs by val/mse_df, 2 of them shown" not in printed
    worse = Ranking([*runs, fold(2, 1.0, 16, 1, "diverged")])
    assert worse.groups[1].middle == math.inf
    assert math.isnan(worse.groups[1].deviation)
    assert "factor" not in worse.lead
    mixed = Ranking([*runs, fold(None, 1.0, 8, 2)])
    assert mixed.metric == "test/mse_df"
    assert not mixed.folded


def test_the_folds_of_a_table_are_ranked_without_units():
    runs = [fold(k, 1.0, width, **{"data.file": "a.csv"}) for k in range(3) for width in (8, 16)]
    for one in runs:
        one.figures.update({"val/nrmse_f": 0.1, "val/nrmse_df": one.settings["model.width"] / 100})
    ranking = Ranking(runs)
    assert ranking.metric == "val/nrmse_df"
    assert ranking.reason.startswith("Ranked by val/nrmse_df, in which each point is predicted by a network that did")
    assert "leads model.width=16 by a factor of 2 in the mean over folds, and in 3 of 3 of them" in ranking.lead


def test_groups_with_different_folds_are_not_compared():
    whole = [fold(number, value, 4) for number, value in enumerate((0.01, 0.02, 0.5, 0.6, 0.7))]
    some = [fold(number, value, 8) for number, value in enumerate((0.02, 0.04))]
    groups = grouped(whole + some, ["model.width"])
    assert [len(one.folds) for one in groups] == [5, 2]
    assert describe_lead(groups).endswith("model.width=8 have runs of different folds, and are not compared.")
