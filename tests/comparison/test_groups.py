"""Groups of runs: their names, the metric that ranks them, their spread, and the lead of the best."""

import itertools
import math
import statistics
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import mannwhitneyu, wilcoxon

from runge.comparison import lead
from runge.comparison.differing_settings import differing
from runge.comparison.groups import WORST, Group, Place, group
from runge.comparison.html_report import render
from runge.comparison.lead import compare_groups, compare_pairs, p_value
from runge.comparison.metric_columns import choose_metric, errors_like
from runge.comparison.naming import label, names_of
from runge.comparison.ranking import rank
from runge.comparison.runs import with_options, with_rows
from runge.comparison.tables import error_table, show
from runge.comparison.verdicts import describe, judge, scope
from runge.records.reading import RunRecord

KEY = "data.noise_df"
TABLE = {"data": "Table", "data.file": "a.csv", "seed": 0}


def ended(settings, status="finished", split="test", **figures):
    return RunRecord("", status, settings=settings, figures={f"{split}/{name}": x for name, x in figures.items()})


def run(seed, value, status="finished", **settings):
    return ended({"seed": seed, **settings}, status, mse_df=value)


def fold(number, value, width, seed=0, status="finished", **settings):
    own = {"seed": seed, "data.folds": 3, "data.fold": number, "model.width": width, **settings}
    figures = {"val/mse_df": value, "val/mse_f": 2 * value, "test/mse_df": 1.0, "test/mse_f": 1.0}
    return RunRecord(f"{width}/{seed}/{number}", status, settings=own, figures=figures)


def seed_of(record):
    return record.settings["seed"]


def grouped(records, keys, metric="test/mse_df"):
    return group(records, [Place(name) for name in names_of(records, keys)], metric)


def of(name, *values, paired=True, **attributes):
    """Return a group of runs with the seeds 0, 1, ..., or with seeds of its own."""
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log(values), -WORST, WORST)
    cells = {(i if paired else (name, i), ""): value for i, value in enumerate(logs)}
    return Group(name, tuple(sorted(values)), logs=cells, **attributes)


def describe_lead(groups, where=""):
    """Return the sentence on the best group."""
    return judge([(groups, ())], where)[0].sentence


RUNS = [{"seed": 0, "width": 8, "depth": 2}, {"seed": 1, "width": 16, "depth": 2}, {"seed": 1, "width": 16}]
STAGES = [{"schedule": "Constant"}, *({"schedule": "TwoStage", "schedule.patience": n} for n in (3, 5))]
RATES = [{"optimizer": "Adam", "optimizer.lr": 0.01}, {"optimizer": "LBFGS", "optimizer.lr": 1.0}]


@pytest.mark.parametrize(
    ("rows", "keys", "expected"),
    [
        (RUNS, "seed width depth other", "seed width depth"),
        ([*RUNS, {}], "seed width", "seed width"),
        ([RUNS[0], {}], "seed width", ""),
        (STAGES[:2], "schedule schedule.patience", "schedule"),  # classes have different keys
        (STAGES, "schedule schedule.patience", "schedule schedule.patience"),
        (RATES, "optimizer optimizer.lr", "optimizer"),
        ([{"lr": 0.0123456}, {"lr": 0.01234561}], "lr", "lr"),
    ],
)
def test_only_what_differs(rows, keys, expected):
    assert differing(rows, keys.split()) == expected.split()


def test_runs_that_differ_only_in_the_seed_are_one_group():
    runs = [run(seed, seed + width / 100, width=width) for width in (8, 16) for seed in range(4)]
    runs += [run(9, None, width=8), run(10, 0.0, "interrupted", width=8)]
    first, second = grouped(runs, ["width"])
    assert (first.name, second.name) == ("width=8", "width=16")
    assert first.values == (0.08, 1.08, 2.08, 3.08)
    assert first.quartiles == pytest.approx((0.83, first.median, 2.33))
    assert first.median == statistics.median(first.values) == pytest.approx(1.58)
    rates = [run(seed, 1.0, lr=rate) for rate in (0.0123456, 0.01234561, 0.01234564) for seed in range(2)]
    assert len(grouped(rates, ["lr"])) == 3  # they differ in their last digits


def test_diverged_runs_are_the_worst_and_others_without_a_result_are_left_out():
    """Without its diverged runs the worse setting would lead by more than chance."""
    slow = [run(seed, 2 + seed / 10, lr=0.1) for seed in range(10)]
    fast = [run(seed, 1 + seed / 10, lr=0.6) for seed in range(6)]
    assert "lr=0.6 leads lr=0.1" in describe_lead(grouped(slow + fast, ["lr"]))
    fast += [run(seed, None, "diverged", lr=0.6) for seed in range(6, 12)]
    fast += [run(12, None, "failed", lr=0.6), run(13, None, "interrupted", lr=0.6), RunRecord("", "diverged")]
    first, second = groups = grouped(slow + fast, ["lr"])
    assert (first.name, first.size) == ("lr=0.1", "10")
    assert (second.name, second.size) == ("lr=0.6", "13 (6 of 13 diverged, 1 of 13 failed), 1 unfinished")
    assert second.values == (1, 1.1, 1.2, 1.3, 1.4, 1.5, *[math.inf] * 7)
    assert second.quartiles == (pytest.approx(1.3), math.inf, math.inf)
    assert second.median == math.inf
    assert describe_lead(groups).startswith("lr=0.1 leads lr=0.6 by a factor of inf (95 %: 0.545 to inf); Wilcoxon")
    p = mannwhitneyu(first.values, second.values, method="asymptotic").pvalue
    apart = second._replace(logs={(-1 - seed[0], ""): value for seed, value in second.logs.items()})
    said = describe_lead([first, apart])
    size = "Mann-Whitney U, n = 10 and 13 (6 of 13 diverged, 1 of 13 failed), 1 unfinished"
    assert said.endswith(f"{size}, p = {p:.2g}: this may be chance.")
    assert said.startswith("lr=0.1 leads lr=0.6 by a factor of ")
    worse = [run(seed, None, "diverged", lr=lr) for lr in (1.0, 2.0) for seed in range(5)]
    assert [one.name for one in grouped(slow + worse, ["lr"])] == ["lr=0.1", "lr=1", "lr=2"]
    said = "Mann-Whitney U, n = 5 (5 of 5 diverged) and 5 (5 of 5 diverged), p = 1: this may be chance."
    assert describe_lead(grouped(worse, ["lr"])).endswith(said)


def test_a_run_without_a_result_of_twenty_leaves_the_factor_and_its_interval():
    errors = np.random.default_rng(0).lognormal(size=(2, 20)) * [[1], [100]]
    whole, lost = (
        compare_groups(of("a", *errors[0]), of("b", *errors[1][:n], *(20 - n) * [math.inf])) for n in (20, 19)
    )
    assert lost.factor == pytest.approx(whole.factor, rel=0.3)
    assert lost.low > 10
    assert math.isfinite(lost.high)
    failed = [run(seed, 1.0 + seed, lr=1) for seed in range(10)]
    failed += [replace(run(seed, None, "failed", lr=2), path=str(seed)) for seed in range(10)]
    said = "lr=1 leads lr=2 by a factor of inf (95 %: inf to inf); Wilcoxon, 10 pairs, p = 0.002: more than chance."
    assert rank(failed).lead == said


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("1 2 3 4 5", "10 20 30 40 50", " by a factor of 10 (95 %: 3.33 to 30);...p = 0.0079: more than chance here."),
        (
            "1 2 30 40 50",
            "1.5 2.5 31 39 51",
            " by a factor of ...this may be chance here; a factor of 57 would be found in four of five cases.",
        ),
        ("1 2 3 4", "10 20 30 40 50", " by a factor of 12 in the median; ...with fewer than 5 seeds no claim is made."),
        ("1", "1", "a and b do not differ in the median; n = 1 and 1: with fewer than 5 seeds no claim is made."),
        ("1 1 1", "1.0049 1.0049 1.0049", "a and b do not differ in the median, to three digits; n = 3 and 3: ..."),
        ("1 1 1", "1.0051 1.0051 1.0051", " by a factor of 1.01 in..."),
        ("0", "1", " by a factor of inf in the median..."),
        (
            "1 1 1.01 1.02 9 9.1 9.2",
            "1.1 1.2 1.3 1.4 1.5 1.6 1.7",
            "a has the lowest median, but over b the factor is 0...of 4.1 would be found in four of five cases.",
        ),
    ],
)
def test_lead_is_compared_with_chance(first, second, said):
    groups = [of(name, *map(float, values.split())) for name, values in (("a", first), ("b", second))]
    beginning, _, end = said.partition("...")
    found = describe_lead(groups, " here")
    assert found.startswith(f"a leads b{beginning}" if said.startswith(" ") else beginning)
    assert found.endswith(end)
    assert (compare_pairs([groups]) == [None]) == (min(len(one.values) for one in groups) < 5)


def test_unequal_costs_are_in_the_order_in_which_the_groups_are_named():
    few, many = (of(x, *map(float, x.split()))._replace(cost={"model.width": x[0]}) for x in ("1 2", "30 40"))
    assert describe(few, many, None, is_best=True).endswith("; unequal cost: model.width 1 and 3.")
    assert describe(few, many, None).endswith("; unequal cost: model.width 3 and 1.")


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
    ratios = np.array([-8.0, 5.0, -2.0, 7.0, -13.0, math.inf])
    means = [(one + other) / 2 for one, other in itertools.combinations_with_replacement(ratios, 2)]
    assert math.log(worse.factor) == pytest.approx(statistics.median(means))
    assert worse.cells[1].endswith(" to inf")


@pytest.mark.parametrize("n", [5, 8])
def test_the_interval_contains_the_factor(n):
    """Its level is at least 95 %: of 150 samples 142.5 are expected, with a standard deviation of 2.7."""
    generator, inside = np.random.default_rng(n), 0
    for _ in range(150):
        a, b = generator.normal(size=(2, n))
        found = compare_groups(of("a", *np.exp(a)), of("b", *np.exp(b + 1)))
        inside += found.low <= math.e <= found.high
    assert inside >= 139


@pytest.mark.parametrize(
    "second", [[0.5, 4.5, 5.5, 6.5, 7.5], [2.5, 9.0, math.inf, math.inf, math.inf], [2.0, 2.0, 5.0, 6.0, 7.0, 8.0]]
)
def test_p_of_few_runs_is_exact_and_of_many_approximate(second):
    """It is that of all divisions of the values into two groups."""
    values = [*(first := [1.0, 2.0, 3.0, 4.0, 5.0]), *second]
    ranks = [sum(b < a for b in values) + sum(b == a for b in values) / 2 for a in values]
    sums = np.array([sum(chosen) for chosen in itertools.combinations(ranks, 5)])
    expected = min(1, 2 * min(np.mean(sums <= sum(ranks[:5])), np.mean(sums >= sum(ranks[:5]))))
    assert p_value(first, second) == pytest.approx(expected, rel=1e-12)
    assert p_value(range(100), range(100, 200)) == pytest.approx(2 / math.comb(200, 100), rel=1e-9, abs=0)
    many = np.random.default_rng(0).lognormal(size=(2, 101))
    assert p_value(*many) == mannwhitneyu(*many, method="asymptotic").pvalue


@pytest.mark.parametrize("groups", [2, 3, 8])
@pytest.mark.parametrize("paired", [True, False])
def test_the_choice_of_the_best_needs_no_correction(groups, paired, monkeypatch):
    """Of 200 sweeps of groups without any difference, about 5 % or less may claim one."""
    # p is corrected all the same.
    monkeypatch.setattr(lead, "bisect", SimpleNamespace(bisect_left=lambda *_, **__: 0))  # no interval, only p
    monkeypatch.setattr(lead, "_detectable", lambda *_: math.nan)
    generator, claims = np.random.default_rng(0), 0
    for _ in range(200):
        values = generator.lognormal(size=(groups, 10))
        some = [of(str(i), *row, paired=paired) for i, row in enumerate(values)]
        claims += "more than chance" in describe_lead(sorted(some, key=lambda one: one.median))
    assert claims <= 20  # the expectation and 3.3 standard deviations


def test_runs_on_the_same_points_count_once():
    runs = [
        run(seed, (1.0 + seed + width) * (1 + data / 100), width=width, **{"data.seed": data})
        for data, seed, width in itertools.product((0, 1), range(5), (8, 16))
    ]
    said = "n = 2 seeds of 10 runs and 2 seeds of 10 runs: with fewer than 5 seeds no claim is made."
    assert rank(runs).lead.endswith(said)
    first = rank(runs).groups[0]
    mean = statistics.geometric_mean(range(9, 14))
    assert first.seeds == pytest.approx([mean, 1.01 * mean])
    fixed = [one for one in runs if one.settings["data.seed"] == 0]
    assert "n = 5 and 5" in rank(fixed).lead
    assert rank(fixed).lead.endswith("chance for these points.")


def crossed(seeds, effect=2.0, keys=("width", "depth")):
    """Return runs whose width changes the error by a factor of 100, which hides the effect of the depth."""
    noise = np.random.default_rng(0).normal(size=(3, seeds, 2))
    return [
        run(
            seed, 100.0**-w * effect**-depth * math.exp(0.1 * noise[w, seed, depth - 1]), **{keys[0]: w, keys[1]: depth}
        )
        for w, seed, depth in itertools.product(range(3), range(seeds), (1, 2))
    ]


def test_a_seed_is_counted_once_in_all_settings_of_a_group():
    """The seed is what is independent: 15 runs of five seeds are five values, whose pairs cannot have p < 0.05."""
    ranking = rank(crossed(5), group_by=["depth"])
    said = "Mann-Whitney U, n = 5 seeds of 15 runs and 5 seeds of 15 runs, p = 0.0079: more than chance"
    assert ranking.lead.startswith("depth=2 leads depth=1 by a factor of ")
    assert said in ranking.lead
    assert [(len(one.seeds), one.size) for one in ranking.groups] == [(5, "15"), (5, "15")]
    assert "fewer than 5 seeds no claim" in rank(crossed(4), group_by=["depth"]).lead
    ten = rank(crossed(10), group_by=["depth"])
    logs = [
        [
            statistics.fmean(math.log(one.figures["test/mse_df"]) for one in of_seed)
            for _, of_seed in itertools.groupby(by, seed_of)
        ]
        for depth in (1, 2)
        if (by := sorted((one for one in ten.records if one.settings["depth"] == depth), key=seed_of))
    ]
    assert ten.verdicts[0].difference.p == wilcoxon(np.subtract(*logs)).pvalue
    assert "Wilcoxon, 10 pairs" in ten.lead


def test_runs_of_a_seed_with_equal_metrics_count_once():
    """As with `trainer.diagnostics_every`, which changes nothing: three copies of five runs are five values."""
    once = [run(seed, math.exp(seed % 3 + k * seed / 7), k=k, every=1) for k in (1, 2) for seed in range(5)]
    copies = [replace(one, settings=one.settings | {"every": n}) for one in once for n in (1, 2, 3)]
    alone, several = rank(once, group_by=["k"]), rank(copies, group_by=["k"])
    assert several.verdicts[0].difference == alone.verdicts[0].difference
    assert [one.size for one in several.groups] == ["5", "5"]
    assert "this may be chance" in several.lead


def test_equal_errors_under_different_seeds_make_no_claim():
    """As of a run that was copied, with another seed written into each copy."""
    good = [run(seed, 1.0 + seed / 10, lr=1) for seed in range(6)]
    forged = [replace(run(seed, 400.0, lr=2), path=f"runs/{seed}") for seed in range(5)]
    ranking = rank([*good, *forged, run(5, 401.0, lr=2)])
    end = "no claim is made, because runs have equal errors under different seeds."
    assert ranking.lead.endswith(end)
    named = "lr=2: equal errors under different seeds in runs/0, runs/1, runs/2, runs/3, runs/4."
    assert named in ranking.sentences
    assert ranking.verdicts[0].difference is None


def test_conditions_are_not_ranked(capsys):
    def error(seed, noise, lr):
        """Errors whose ratios differ a little: SciPy takes 0.3 s for a test of equal ones."""
        return (1 + seed / 10 + 2**seed * lr * (1 + noise) / 1e6) * 10**noise * (lr if noise else 1 / lr)

    settings = [*itertools.product(range(6), (0.5, 0), (1, 2))]
    runs = [run(seed, error(seed, noise, lr), lr=lr, **{KEY: noise}) for seed, noise, lr in settings]
    ranking = rank(runs)
    names = [f"lr={lr}, {KEY}={noise}" for lr, noise in ((2, 0), (1, 0), (1, 0.5), (2, 0.5))]
    assert [one.name for one in ranking.groups] == names
    assert [record.settings[KEY] for record in ranking.records] == [0] * 12 + [0.5] * 12
    condition, *leads = ranking.sentences
    assert condition == f"{KEY} is a condition: groups are compared where it is the same."
    pairs = [f"{names[0]} leads {names[1]}", f"{names[2]} leads {names[3]}"]
    assert [said.partition(" by")[0] for said in leads] == pairs
    assert ranking.differences.keys() == {names[1], names[3]}
    show(ranking, Console(width=150))
    assert "factor  p (Holm)" in capsys.readouterr().out
    assert render(ranking).count("<td>2</td><td>1.6 to 2.5</td><td>0.0043</td>") == 2
    alone = rank([one for one in runs if one.settings["lr"] == 1])
    assert (len(alone.groups), alone.leads) == (2, [])
    assert f"{KEY}=0 leads" in rank(runs, group_by=[KEY]).lead  # asked for


def test_repetitions_are_left_out():
    def runs(versions, **further):
        records = [run(seed, 1.0 + width + seed, width=width, **further) for width in (8, 16) for seed in range(3)]
        return [replace(record, path=str(id(record)), versions=versions) for record in records]

    once, again = runs("a"), [replace(record, path=f"copy/{record.path}") for record in runs("a", resume="x")]
    left = replace(once[0], status="interrupted", figures={})
    ranking = rank([left, *once, *again, *once[:1]])
    assert [group.size for group in ranking.groups] == ["3, 1 unfinished", "3"]
    assert ranking.sentences[0] == "7 left out, because runs with equal settings, rows and versions count once."
    assert "fewer than 5 seeds no claim" in ranking.lead
    assert len(rank([*once, *runs("b")]).records) == 12
    assert not rank(once).repetitions


def test_runs_on_different_rows_are_different_groups():
    runs = [replace(ended(TABLE | {"seed": i}, nrmse_df=1.0 + i), rows=9 * str(i // 2)) for i in range(4)]
    ranking = rank(with_rows(runs))
    assert [group.name for group in ranking.groups] == ["data.rows=00000000", "data.rows=11111111"]
    assert "because the runs differ in data.rows" in ranking.reason
    elsewhere = replace(ended(TABLE | {"data.file": "b.csv"}), rows="2")
    assert with_rows([runs[0], elsewhere]) == [runs[0], elsewhere]  # their names distinguish them


def test_options_take_the_place_of_classes():
    two_stage = {"schedule": "TwoStage", "schedule.ramp_steps": 0, "seed": 0}
    ramp = replace(ended(two_stage | {"schedule.ramp_steps": 50}), options={"schedule": "two_stage_ramp", "data": "s"})
    at_once = replace(ended(two_stage), options={"schedule": "two_stage"})
    settings = [record.settings for record in with_options([ramp, at_once, RunRecord("", "failed")])]
    assert settings == [ramp.settings | {"schedule": "two_stage_ramp"}, two_stage | {"schedule": "two_stage"}, {}]
    assert differing(settings, [*two_stage]) == ["schedule"]
    before = replace(at_once, options={})
    assert with_options([ramp, before]) == [ramp, before]  # one configuration has one name
    other = replace(at_once, settings=two_stage | {"schedule": "Mine"})
    assert with_options([ramp, at_once, other])[1:] == [at_once, other]  # one name is one class


def test_experiments_have_their_names():
    records = [
        replace(run(seed, 1.0 + lr + seed, lr=lr, lambda_d=k, **{"data.n_train": n}), options={"experiment": name})
        for name, k, n in (("hw2", 0, 9), ("hw3", 1, 17))
        for lr, seed in itertools.product((1, 2), (0, 1))
    ]
    names = [f"lr={lr}, data.n_train={n}, experiment=hw{k}" for k, n in ((2, 9), (3, 17)) for lr in (1, 2)]
    assert [one.name for one in rank(with_options(records)).groups] == names
    mixed = [*records, replace(records[0], options={"model": "mlp"})]
    assert "experiment" not in rank(with_options(mixed)).keys


def on_rows(path, error, *, of_all, **settings):
    """Return a run on a table, on all rows or without a fold, and its error in the rows for validation."""
    settings |= {"data.file": "t.csv", "data.split.val": 0 if of_all else 0.2, "data.folds": None if of_all else 5}
    return replace(ended(settings), path=path, figures={"val/nrmse_df": error, "train/loss": error}, rows="abc")


def test_errors_in_rows_that_were_trained_on_rank_nothing():
    """The validation rows of a run on all rows are its training rows."""
    judged = [on_rows(f"a/{i}", 0.1 + i / 100, of_all=False, **{"data.fold": i, "seed": 0}) for i in range(3)]
    of_all = on_rows("a/9", 1e-9, of_all=True, seed=0)
    ranking = rank([of_all, *judged])
    assert [one.path for one in ranking.records][-1] == "a/9"
    assert "val/nrmse_df" not in ranking.records[-1].figures
    alone = [on_rows(f"b/{i}", 0.1 + i, of_all=True, seed=i % 3, **{"model.width": 8 + i // 3}) for i in range(6)]
    assert scope(alone, "val/nrmse_df") == " for the training points, on which this error is measured"
    assert len(rank(alone).records) == 6


def test_many_settings_are_named_by_the_overrides():
    def named(seed, overrides, **settings):
        return replace(ended({"schedule": "TwoStage", **settings, "seed": seed}), overrides=f"{overrides} seed={seed}")

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
    # A setting in which the runs of a name differ is no part of it, even if it is an override of the first one.
    both = [
        replace(first, overrides=f"{first.overrides} schedule={x}", settings=first.settings | {"schedule": x})
        for x in "ab"
    ]
    assert names_of([*both, second], keys) == [names[0], names[0], names[1]]
    assert names_of([first, second], [*keys, "seed"]) == [f"{name}, seed={i}" for i, name in enumerate(names)]
    assert names_of([named(0, "", **adam), second], keys)[0] == "defaults"
    # Runs that differ, for example because their versions had other defaults, are never one group.
    older = replace(first, settings=first.settings | {"model.width": 32})
    assert len(set(names_of([first, second, older], keys))) == 3
    assert label({"x": None, "y": 1e-3, "z": True}, ["x", "y", "z"]) == "x=null, y=0.001, z=True"
    assert label({}, []) == "all runs"


KNOWN = {"mse_df": 1.0, "nrmse_f": 0.1, "nrmse_df": 0.2}
VALUES = ended(TABLE, **KNOWN | {"mse_df": None, "nrmse_df": None})
UNITS = "because the columns of a table have units, and so have mean squared errors."
BOTH, FAILED, SINE = ended(TABLE, **KNOWN), ended(TABLE, "failed"), {"target": "Expression", "target.expr": "sin(3*x)"}
FOLDS = [ended(TABLE | {"data.fold": k}, split="val", **KNOWN) for k in range(3)]
COLUMNS = ["data.file", "data.inputs", "data.outputs"]


@pytest.mark.parametrize(
    ("records", "keys", "metric", "reason"),
    [
        ([ended(SINE, **KNOWN)], ["model.width", "trainer.max_steps"], "test/mse_df", ""),
        ([RunRecord("", "failed")], [], "test/mse_df", ""),
        ([BOTH], [], "test/nrmse_df", UNITS),
        ([BOTH, FAILED], [], "test/nrmse_df", UNITS),
        ([BOTH], COLUMNS, "test/nrmse_df", "because the runs differ in data.file, data.inputs and data.outputs, and"),
        ([BOTH, VALUES], [], "test/nrmse_f", "mean squared errors; not all runs have derivatives to compare with."),
        (FOLDS, [], "val/nrmse_df", "the mean over the folds of errors of networks that were not"),
        ([*FOLDS, BOTH], [], "test/nrmse_df", UNITS),
    ],
    ids=["formula", "nothing", "table", "failed", "tables", "values", "folds", "also without folds"],
)
def test_metric_that_ranks(records, keys, metric, reason):
    chosen, why = choose_metric(records, keys)
    assert chosen == metric
    assert why.startswith(f"Ranked by {metric}, ") if reason else not why
    assert reason in why
    assert errors_like("val/nrmse") == ("test/nrmse_f", "test/nrmse_df")
    assert errors_like("val/loss") == errors_like("val/r2_f") == ("test/mse_f", "test/mse_df")


def test_runs_on_different_functions_are_not_ranked():
    worse = ended(SINE | {"target.expr": "sin(3*x)/1000"}, mse_df=1e-8, nrmse_f=0.02, nrmse_df=0.05)
    ranking = rank([worse, ended(SINE, mse_df=1e-5, nrmse_f=0.001, nrmse_df=0.002)])
    assert ranking.reason.startswith("Ranked by test/nrmse_df, because the runs differ in target.expr, and mean")
    assert ranking.sentences[1] == "target.expr is a condition: groups are compared where it is the same."
    assert ranking.leads == []
    assert ranking.reason in render(ranking)


@pytest.mark.parametrize("metric", ["test/nrmse_df", "test/mse_df"])
def test_the_columns_of_the_table_and_what_is_drawn_have_the_metrics_kind(metric, capsys):
    figures = {"mse_f": 1.0, "mse_df": 2.0, "nrmse_f": 0.1, "nrmse_df": 0.2, "r2_f": 0.999987}
    figures |= {"mse_df/lift": 1.0, "mse_df/drag": 3.0, "nrmse_df/lift": 0.3, "nrmse_df/drag": 0.4}
    ranking, relative = rank([ended(TABLE, **figures)], metric), metric == "test/nrmse_df"
    show(ranking, Console(width=120))
    shown, page = capsys.readouterr().out, render(ranking)
    assert ("nrmse_f" in shown) == ("1 - test/r2_f" in shown) == ("1.30e-05" in shown) == relative
    assert ("test/mse_f" in shown) != relative
    assert ('"front": ["test/nrmse_f", "test/nrmse_df"]' in page) == relative
    assert f'"part": "{metric}"' in page
    assert ('"regions": [0.3, 0.4]' in page) == relative


@pytest.mark.parametrize(
    ("outputs", "columns", "whole", "each"),
    [
        ("y", 0, "1 2 3 4 5 6 1.30e-05", ""),
        ("y", 1, "1 2 3 4 5 6 1.30e-05", ""),
        ("y", 2, "1 3 5 6 1.30e-05", ""),
        ("yz", 0, "1 2 3 4 5 6 1.30e-05", "1 2 3 4 5 6 1.30e-05"),
        ("yz", 1, "- - - - 5 6 1.30e-05", "1 2 3 4 5 6 1.30e-05"),
        ("yz", 2, "- - 5 6 1.30e-05", "1 3 5 6 1.30e-05"),
    ],
)
def test_units_are_not_mixed_in_the_errors_of_a_table(outputs, columns, whole, each):
    quantities = ("mse_f", "mse_df", "max_f", "max_df", "nrmse_f", "nrmse_df")
    figures = {f"test/{name}{group}": i for i, name in enumerate(quantities, 1) for group in ("", "/y", "/z")}
    figures |= {f"test/r2_f{group}": 0.999987 for group in ("", "/y", "/z")}
    table = error_table(figures, (), [*outputs], columns)
    rows = [" ".join(map(str, row)) for row in zip(*(column.cells for column in table.columns), strict=True)]
    assert [row.replace(".00e+00", "") for row in rows] == [f"whole {whole}", *(f"{y} {each}" for y in outputs if each)]


def test_folds_are_ranked_by_their_mean_of_the_validation_errors(capsys):
    """The median over all runs would rank them the other way round."""
    runs = [fold(k, value + seed / 10, 8, seed) for seed in (0, 1) for k, value in enumerate((1.0, 1.0, 7.0))]
    runs += [fold(k, 2.0, 16) for k in range(3)]
    ranking = rank(runs)
    assert (ranking.metric, ranking.folded) == ("val/mse_df", True)
    first, second = ranking.groups
    assert (first.name, first.middle, first.deviation, first.size) == ("model.width=16", 2.0, 0.0, "3")
    assert (second.middle, second.size) == (pytest.approx(3.05), "6")
    assert second.deviation == pytest.approx(statistics.stdev([1.05, 1.05, 7.05]))
    said = "model.width=16 leads model.width=8 by a factor of 1.53 in the mean over folds, and in 1 of 3 of them."
    assert ranking.lead == said
    show(ranking, Console(width=100))
    printed = capsys.readouterr().out
    assert "model.width=16     3  4.00e+00 ± 0.0e+00  2.00e+00 ± 0.0e+00" in printed
    assert "3 folds: mean and standard deviation" in printed
    assert "8 runs by" not in printed
    assert "Cross-validation" in render(ranking)
    both = [replace(x, settings=x.settings | {"model.activation": name}) for name in ("tanh", "relu") for x in runs]
    assert "Each setting, where" not in render(rank(both))  # sentences compare each of several settings
    failed = RunRecord("16/1/3", "failed", message="no directory")
    show(rank([*runs, fold(2, 1.0, 16, 1, "failed"), failed]), Console(width=100))
    assert "9 runs" not in (printed := capsys.readouterr().out)
    assert printed.count("failed") == 3
    assert "10 runs by val/mse_df, 2 of them shown" not in printed
    worse = rank([*runs, fold(2, 1.0, 16, 1, "diverged")])
    assert worse.groups[1].middle == math.inf
    assert math.isnan(worse.groups[1].deviation)
    assert "factor" not in worse.lead
    assert math.isnan(rank([fold(0, 1.0, 8)]).groups[0].deviation)
    whole = [fold(number, 0.03, 4) for number in range(5)]
    groups = grouped([*whole, *(fold(number, 0.02, 8) for number in range(2))], ["model.width"], "val/mse_df")
    assert [(len(one.folds), one.deviation) for one in groups] == [(5, 0), (2, 0)]
    assert describe_lead(groups).endswith("model.width=8 have runs of different folds, and are not compared.")
