"""The question that a comparison answers: against which group, at which cost, and by which p."""

import csv
import itertools
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, wilcoxon

from runge.comparison.differing_settings import with_labels
from runge.comparison.lead import compare_pairs
from runge.comparison.ranking import rank
from runge.comparison.runs import matches
from runge.records.reading import RunRecord
from tests.comparison.test_groups import of

OPTIONS = {"data": "sampled", "optimizer": "adam"}


def sweep(seeds=6, scale=0.3, options=OPTIONS, **values):
    """Return the runs of a sweep over all keys and values, the error of each value a factor, and with noise."""
    generator, runs = np.random.default_rng(0), []
    for texts in itertools.product(*values.values()):
        settings = {key.replace("__", "."): text for key, text in zip(values, texts, strict=True)}
        factors = [of_key[text] for text, of_key in zip(texts, values.values(), strict=True)]
        for seed in range(seeds):
            error = math.prod(factors) * math.exp(scale * generator.normal())
            overrides = " ".join(f"{key}={text}" for key, text in {**settings, "seed": seed}.items())
            record = {"settings": settings | {"seed": seed}, "figures": {"test/mse_df": error}}
            chosen = {key: text for key, text in settings.items() if "." not in key} if options else {}
            record["options"] = options | chosen
            runs.append(RunRecord(f"runs/{len(runs)}", "finished", overrides=overrides, **record))
    return runs


SAMPLING = {"random": 1.0, "chebyshev": 1e-3, "uniform": 1.0}


def test_each_group_is_compared_with_the_baseline():
    ranking = rank(sweep(10, sampling=SAMPLING), baseline="sampling=random")
    assert [verdict.against.name for verdict in ranking.verdicts] == ["sampling=random"] * 2
    better, equal = ranking.leads
    assert better.startswith("sampling=chebyshev against sampling=random: 1.24e+03 times smaller (95 %: ")
    assert better.endswith("more than chance.")
    assert equal.startswith("sampling=uniform against sampling=random: ")
    assert "this may be chance; a factor of 1." in equal
    assert ranking.verdicts[0].difference.factor == pytest.approx(1 / 1240, rel=0.01)
    with pytest.raises(ValueError, match="--baseline: sampling must be one of chebyshev, random, uniform; got 'sobol'"):
        rank(sweep(sampling=SAMPLING), baseline=["sampling=sobol"])


@pytest.mark.parametrize(
    ("options", "against"),
    [
        (OPTIONS, "sampling=uniform"),
        (OPTIONS | {"experiment": "hw3"}, "sampling=random"),
        (OPTIONS | {"experiment": "mine"}, "sampling=chebyshev"),  # whose default is not known
        ({}, "sampling=chebyshev"),
    ],
)
def test_the_value_without_an_override_is_the_baseline(options, against):
    assert {verdict.against.name for verdict in rank(sweep(sampling=SAMPLING, options=options)).verdicts} == {against}


def test_defaults_are_read_in_the_files_that_set_them():
    lm = OPTIONS | {"optimizer": "levenberg_marquardt"}
    for options, key, default in (
        (OPTIONS, "optimizer.lr", 0.01),
        (OPTIONS, "trainer.max_steps", 8000),
        (lm, "trainer.max_steps", 200),
        (OPTIONS | {"data": "table"}, "optimizer", "adamw"),
        (OPTIONS | {"data": "table", "optimizer": "least_squares"}, "model.activation", "tanh"),
        (OPTIONS | {"experiment": "claims/points"}, "model.width", 16),
    ):
        ranking = rank(sweep(options=options, **{key.replace(".", "__"): {default: 1.0, -1: 0.1}}))
        assert [one.against.name for one in ranking.verdicts] == [f"{key}={default}"]


def test_an_experiment_states_its_claim_and_baseline():
    options = OPTIONS | {"experiment": "claims/two_stage"}
    schedules = {"constant": 1.0, "two_stage": 0.1}
    ranking = rank(
        sweep(schedule=schedules, target={"runge": 1.0, "kink": 9.0}, optimizer={"a": 1.0, "b": 3.0}, options=options)
    )
    said = "claims/two_stage claims: two stages give a lower test/mse_df than lambda_d from the first step."
    assert ranking.sentences[0] == said
    names = [
        f"schedule=two_stage, target={target} against schedule=constant, target={target}: "
        for target in ("kink", "runge")
    ]
    assert [lead[: len(name)] for lead, name in zip(ranking.leads, names, strict=True)] == names
    assert [verdict.difference.test[:8] for verdict in ranking.verdicts] == ["Mann-Whi"] * 2


def test_several_settings_are_compared_one_by_one():
    """The largest of twelve cells says nothing about one setting: the width has no effect."""
    runs = sweep(8, sampling=SAMPLING, model__depth={2: 1.0, 3: 100.0}, model__width={64: 1.0, 32: 1.0})
    ranking = rank(runs)
    assert len(ranking.groups) == 12
    assert "Several settings vary: each is compared where the others are the same." in ranking.sentences
    found = {verdict.group.name: verdict for verdict in ranking.verdicts}
    assert [*found] == ["sampling=chebyshev", "sampling=random", "model.depth=3", "model.width=32"]
    assert found["model.depth=3"].difference.factor == pytest.approx(100, rel=0.2)
    assert "n = 8 seeds of 48 runs" in found["model.width=32"].sentence or "8 pairs" in found["model.width=32"].sentence
    assert found["model.width=32"].difference.p > 0.05


def test_what_follows_from_a_setting_is_no_setting_of_its_own():
    """As the steps, which an optimizer sets."""
    runs = sweep(optimizer={"adam": 1.0, "lbfgs": 0.1}, balance={"fixed": 1.0, "log": 1.0}, options=OPTIONS)
    for run in runs:
        run.settings["trainer.max_steps"] = {"adam": 8000, "lbfgs": 400}[run.settings["optimizer"]]
    ranking = rank(runs)
    assert [verdict.group.name for verdict in ranking.verdicts] == ["optimizer=lbfgs", "balance=log"]
    assert ranking.leads[0].endswith("; unequal cost: trainer.max_steps 400 and 8000.")
    assert "unequal" not in ranking.leads[1]


@pytest.mark.parametrize("seeds", [3, 6])
def test_a_setting_is_compared_where_the_others_are_the_same_also_without_a_test(seeds):
    """Of two sweeps that are no full grid: 64 neurons were worse only with the other activation."""
    runs = sweep(seeds, 0.01, model__width={64: 1.0}, model__activation={"tanh": 1.0, "relu": 1000.0})
    runs += sweep(seeds, 0.01, model__width={16: 2.0}, model__activation={"tanh": 1.0})
    said = next(one for one in rank(runs).leads if "model.width=16" in one)
    assert said.startswith("model.width=16 against model.width=64: 2 times larger")


def test_points_at_the_ends_are_compared_at_equal_numbers_of_labels():
    runs = sweep(data__n_train={48: 1.0, 64: 0.1}, data__boundary_points={0: 1.0, 16: 0.5})
    ranking = rank(with_labels(runs))
    assert "data.labels is a condition: groups are compared where it is the same." in ranking.sentences
    (said,) = ranking.leads
    assert "data.n_train=48, data.boundary_points=16" in said
    assert "data.n_train=64, data.boundary_points=0" in said
    assert "unequal" not in said
    (asked,) = rank(with_labels(runs), baseline=["data.n_train=64", "data.boundary_points=0"]).leads
    assert asked.startswith("data.n_train=48, data.boundary_points=16, data.labels=128 against data.n_train=64, ")
    only = [run for run in runs if run.settings["data.n_train"] == 48]
    assert with_labels(only) == only
    assert rank(only).lead.endswith("; unequal cost: data.labels 128 and 96.")


def test_an_error_on_the_training_points_is_called_so():
    runs = sweep(sampling=SAMPLING)
    for run in runs:
        run.figures["train/mse_df"] = run.figures["test/mse_df"]
    assert "for the training points, on which this error is measured" in rank(runs, "train/mse_df").lead


def test_p_is_corrected_by_the_method_of_holm():
    base = of("a", *range(1, 11))
    factors = 10.0 ** np.array([[1.0], [0.1], [0.0]]) * np.exp(np.random.default_rng(0).normal(0, 0.2, (3, 10)))
    others = [of(str(i), *(factor * range(1, 11))) for i, factor in enumerate(factors)]
    raw = [wilcoxon(np.log(factor)).pvalue for factor in factors]
    order = np.argsort(raw)
    expected = np.empty(3)
    expected[order] = np.minimum(1, np.maximum.accumulate(np.array(raw)[order] * [3, 2, 1]))
    assert [one.p for one in compare_pairs([(base, other) for other in others])] == pytest.approx(expected)


def test_pairs_that_could_not_be_significant_are_not_tested_as_pairs():
    """Six pairs have p = 0.031 at best, and two comparisons need 0.025."""
    runs = sweep(6, sampling=SAMPLING)
    logs = {
        name: [math.log(run.figures["test/mse_df"]) for run in runs if run.settings["sampling"] == name]
        for name in SAMPLING
    }
    (one, other) = rank(runs).verdicts
    assert one.difference.test.startswith("Mann-Whitney U")
    assert one.difference.p == pytest.approx(2 * mannwhitneyu(logs["uniform"], logs["chebyshev"]).pvalue)
    assert other.difference.p == pytest.approx(mannwhitneyu(logs["uniform"], logs["random"]).pvalue)
    assert "Wilcoxon" in rank([run for run in runs if run.settings["sampling"] != "random"]).lead


def test_several_values_match():
    runs = sweep(1, sampling=SAMPLING, model__width={8: 1, 16: 1, 32: 1}, target__domain={"[-1.0, 1.0]": 1})
    assert sum(matches(runs, ["sampling=uniform,chebyshev", "model.width=8", "model.width=16"], "--where")) == 4
    assert sum(matches(runs, "target.domain=[-1,1]", "--where")) == 9
    with pytest.raises(ValueError, match="--where: sampling must be one of chebyshev, random, uniform; got 'grid'"):
        matches(runs, "sampling=uniform,grid", "--where")


def test_the_verdicts_are_a_table():
    ranking = rank(sweep(sampling=SAMPLING))
    rows = list(csv.DictReader(ranking.verdicts_csv().splitlines()))
    assert [row["sentence"] for row in rows] == ranking.leads
    assert [float(row["p"]) for row in rows] == [verdict.difference.p for verdict in ranking.verdicts]
    assert rank(sweep(1, sampling={"uniform": 1.0})).verdicts_csv() == "group\n"
