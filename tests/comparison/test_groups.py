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

from runge.comparison.groups import Group, choose_metric, group
from runge.comparison.html_report import render
from runge.comparison.lead import compare_groups, describe_lead, p_value
from runge.comparison.naming import differing, label, names_of, with_options, with_rows
from runge.comparison.ranking import Ranking
from runge.comparison.tables import error_table, show
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
    assert describe_lead(groups).startswith("lr=0.1 leads lr=0.6; Wilcoxon, 10 pairs, p = ")
    p = mannwhitneyu(first.values, second.values, method="asymptotic").pvalue
    apart = second._replace(seeds={-1 - seed: value for seed, value in enumerate(second.values)})
    said = f"Mann-Whitney U, n = 10 and 12 (6 of 12 diverged), 2 unfinished, p = {p:.2g}: this may be chance."
    assert describe_lead([first, apart]) == f"lr=0.1 leads lr=0.6; {said}"
    worse = [run(seed, None, "diverged", lr=lr) for lr in (1.0, 2.0) for seed in range(5)]
    assert [one.name for one in grouped(slow + worse, ["lr"])] == ["lr=0.1", "lr=1", "lr=2"]
    said = "Mann-Whitney U, n = 5 (5 of 5 diverged) and 5 (5 of 5 diverged), p = 1: this may be chance."
    assert describe_lead(grouped(worse, ["lr"])) == f"lr=1 leads lr=2; {said}"


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=30))
def test_statistics_of_a_group(values):
    one = Group("g", tuple(sorted(values)))
    lower, median, upper = one.quartiles
    assert min(values) <= lower <= median <= upper <= max(values)
    assert median == pytest.approx(one.median)
    assert one.median == statistics.median(values)


def of(name, *values, paired=True, **attributes):
    """Return a group of runs with the seeds 0, 1, ..., or with seeds of its own."""
    seeds = {i if paired else (name, i): value for i, value in enumerate(values)}
    return Group(name, tuple(sorted(values)), seeds=seeds, **attributes)


def test_lead_is_compared_with_chance():
    clear = [of("a", 1.0, 2.0, 3.0, 4.0, 5.0), of("b", 10.0, 20.0, 30.0, 40.0, 50.0)]
    p = mannwhitneyu(clear[0].values, clear[1].values).pvalue
    said = describe_lead(clear, " for these rows")
    assert said.startswith("a leads b by a factor of 10 (95 %: 3.33 to 30); Mann-Whitney U, n = 5 and 5, ")
    assert said.endswith(f"p = {p:.2g}: more than chance for these rows.")
    vague = [of("a", 1.0, 2.0, 30.0, 40.0, 50.0), of("b", 1.5, 2.5, 31.0, 39.0, 51.0)]
    assert "may be chance" in describe_lead(vague)
    few = describe_lead([of("a", 1.0, 2.0, 3.0, 4.0), clear[1]])
    assert few.startswith("a leads b by a factor of 12 in the median; ")
    assert few.endswith("n = 4 and 5: with fewer than 5 seeds no claim is made.")
    assert compare_groups(of("a", 1.0, 2.0, 3.0, 4.0), clear[1]) is None
    assert describe_lead(clear[:1]) == ""


def test_runs_of_the_same_seeds_are_pairs():
    """With six pairs of one sign, p is 2 / 2^6, and the interval has the smallest and the largest ratio as its ends."""
    d = np.array([0.1, 0.4, 0.6, 0.9, 1.1, 1.4])
    base = np.exp([5.0, -3.0, 2.0, 0.0, 7.0, -6.0])  # which hides the difference of two independent groups
    found = compare_groups(of("a", *base), of("b", *(base * np.exp(d))))
    assert found.test == "Wilcoxon, 6 pairs"
    assert found.p == pytest.approx(2 / 2**6)
    assert np.log([found.factor, found.low, found.high]) == pytest.approx([0.75, 0.1, 1.4])
    apart = compare_groups(of("a", *base), of("b", *(base * np.exp(d)), paired=False))
    assert apart.p > 0.5
    assert apart.test == "Mann-Whitney U, n = 6 and 6"
    both = compare_groups(of("a", *base, math.inf), of("b", *(base * np.exp(d)), math.inf))
    assert both.p == found.p  # a seed with which both diverge says nothing
    assert compare_groups(of("a", *base), of("b", *base)).p == 1
    worse = compare_groups(of("a", *base), of("b", *base[1:], math.inf))
    assert math.isnan(worse.factor)
    assert worse.cells[0] == "-"


@pytest.mark.parametrize("n", [5, 8])
def test_the_interval_contains_the_factor(n):
    """Its level is at least 95 %: of 300 samples 285 are expected, with a standard deviation of 4."""
    generator, inside = np.random.default_rng(n), 0
    for _ in range(300):
        a, b = generator.normal(size=(2, n))
        found = compare_groups(of("a", *np.exp(a)), of("b", *np.exp(b + 1)))
        inside += found.low <= math.e <= found.high
    assert inside >= 276


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


@pytest.mark.parametrize("groups", [2, 3, 8])
@pytest.mark.parametrize("paired", [True, False])
def test_the_choice_of_the_best_needs_no_correction(groups, paired):
    """Of 200 sweeps of groups without any difference, about 5 % or less may claim one."""
    generator, claims = np.random.default_rng(0), 0
    for _ in range(200):
        values = generator.lognormal(size=(groups, 10))
        some = [of(str(i), *row, paired=paired) for i, row in enumerate(values)]
        claims += "more than chance" in describe_lead(sorted(some, key=lambda one: one.median))
    assert claims <= 20  # the expectation and 3.3 standard deviations


def test_runs_on_the_same_points_count_once():
    runs = [
        run(seed, 1.0 + seed + width, width=width, **{"data.seed": data})
        for data in (0, 1)
        for seed in range(5)
        for width in (8, 16)
    ]
    said = "n = 2 seeds of 10 runs and 2 seeds of 10 runs: with fewer than 5 seeds no claim is made."
    assert Ranking(runs).lead.endswith(said)
    first = Ranking(runs).groups[0]
    assert [*first.seeds.values()] == pytest.approx(2 * [statistics.geometric_mean(range(9, 14))])
    fixed = [one for one in runs if one.settings["data.seed"] == 0]
    assert "n = 5 and 5" in Ranking(fixed).lead
    assert Ranking(fixed).lead.endswith("chance for these points.")


def test_settings_of_a_group_are_compared_within_the_others():
    """The width changes the error by a factor of 100, which hides the effect of the depth in a test of all runs."""
    noise = np.random.default_rng(0).normal(size=(3, 5, 2))
    runs = [
        run(seed, 100.0**-w * 2.0**-depth * math.exp(0.1 * noise[w, seed, depth - 1]), width=w, depth=depth)
        for w in range(3)
        for seed in range(5)
        for depth in (1, 2)
    ]
    lead = Ranking(runs, group_by=["depth"]).lead
    assert lead.startswith("depth=2 leads depth=1 by a factor of ")
    assert "Wilcoxon, 15 pairs, p = 6.1e-05: more than chance" in lead


def test_conditions_are_not_ranked(capsys):
    runs = [
        run(seed, (1 + seed / 10) * 10**noise * (lr if noise else 1 / lr), lr=lr, **{"data.noise_df": noise})
        for seed in range(6)
        for noise in (0.5, 0)
        for lr in (1, 2)
    ]
    ranking = Ranking(runs)
    names = [f"lr={lr}, data.noise_df={noise}" for lr, noise in ((2, 0), (1, 0), (1, 0.5), (2, 0.5))]
    assert [one.name for one in ranking.groups] == names
    assert [record.settings["data.noise_df"] for record in ranking.records] == [0] * 12 + [0.5] * 12
    condition, *leads = ranking.sentences
    assert condition == "data.noise_df is a condition: groups are compared where it is the same."
    pairs = [f"{names[0]} leads {names[1]}", f"{names[2]} leads {names[3]}"]
    assert [lead.partition(" by")[0] for lead in leads] == pairs
    assert ranking.differences.keys() == {names[1], names[3]}
    show(ranking, Console(width=150))
    assert "factor      p" in capsys.readouterr().out
    assert render(ranking).count("<td>2</td><td>2 to 2</td><td>0.031</td>") == 2
    alone = Ranking([one for one in runs if one.settings["lr"] == 1])
    assert (len(alone.groups), alone.leads) == (2, [])
    assert "data.noise_df=0 leads" in Ranking(runs, group_by=["data.noise_df"]).lead  # asked for


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
    assert describe_lead([of("a", 1.0), of("b", 1.0)]) == "a and b do not differ in the median: n = 1 and 1."
    level = [of("a", *(1.0,) * 3), of("b", *(1.0049,) * 3)]
    assert describe_lead(level) == "a and b do not differ in the median, to three digits: n = 3 and 3."
    assert describe_lead([level[0], Group("b", (1.0051,) * 3)]).startswith("a leads b by a factor of 1.01 in")
    other = describe_lead([of("a", 1.0, 1.01, 1.02, 9.0, 9.1, 9.2, 1.0), of("b", *(1.1 + i / 10 for i in range(7)))])
    assert other.startswith("a has the lowest median, but over b the factor is 0.")
    assert other.endswith("this may be chance.")
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


def test_experiments_have_their_names():
    def runs(experiment, **settings):
        records = [run(seed, 1.0 + lr + seed, lr=lr, **settings) for lr in (1, 2) for seed in range(2)]
        return [replace(record, options={"experiment": experiment}) for record in records]

    records = runs("hw2", lambda_d=0, **{"data.n_train": 9}) + runs("hw3", lambda_d=1, **{"data.n_train": 17})
    names = [f"lr={lr}, data.n_train={n}, experiment=hw{k}" for k, n in ((2, 9), (3, 17)) for lr in (1, 2)]
    assert [one.name for one in Ranking(with_options(records)).groups] == names
    mixed = [*records, *(replace(record, options={"model": "mlp"}) for record in records[:1])]
    assert "experiment" not in Ranking(with_options(mixed)).keys


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
    assert ranking.reason.startswith("Ranked by test/nrmse_df, because the runs differ in target.expr, and mean")
    assert ranking.sentences[1] == "target.expr is a condition: groups are compared where it is the same."
    assert ranking.leads == []  # different functions are not ranked
    assert ranking.reason in render(ranking)
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
