"""The sentences of a leaderboard."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from runge.comparison.leaderboard import LeaderboardEntry, OutputError
from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.data.table import Table
from runge.records.ensemble import write_answer
from runge.sweeps.policies.best import verdict
from runge.sweeps.policies.best.influences import _cautions
from runge.sweeps.policies.best.search_table import SearchTable
from runge.sweeps.policies.best.unseen import errors_of


def table_of(x, y, dydx=None, outputs=("y",), group=None):
    """Return the table of a search with these rows; by default no derivatives are known."""
    dydx = np.full((*y.shape, x.shape[1]), np.nan) if dydx is None else dydx
    inputs = ("x",) if x.shape[1] == 1 else ("s", "t")
    rows = Rows.of((x, y, dydx), inputs, outputs, Table(file="t.csv", group=group))
    return SearchTable(rows, np.empty(0, int), np.arange(len(x)), Channels.of(x, y, dydx))


def error_of(values, table, groups=None):
    """Return the error of an output whose derivatives are not known; by default each row is a group."""
    groups = np.arange(len(values)) if groups is None else groups
    [error] = errors_of(np.c_[values, np.full(len(values), np.nan)], groups, table)
    return error


@pytest.mark.parametrize(
    ("runs", "rows", "expected"),
    [
        (["4", "5"], (40, 8), "the mean of 2 networks (a), trained on the 40 rows that are not for the test."),
        (["4"], (40, 0), "one network (a), trained on all 40 rows."),
        (["0"], (40, 0), "one network (a), trained on all 40 rows except one of 5 folds."),
        (["0", "1"], (40, 0), "the mean of 2 networks (a), each trained on all 40 rows except one of 5 folds."),
        (["4"], (0, 0), "one network (a)."),
    ],
)
def test_the_answer_in_a_sentence(runs, rows, expected, tmp_path):
    best = LeaderboardEntry("a", "", [0, 1], [4, 5], 2, 1.0, 1.0, 1.0, 1.0, 1)
    for run in runs:
        (tmp_path / run).mkdir()
        (tmp_path / run / "metrics.json").touch()
    write_answer(tmp_path, runs)
    assert verdict._describe_answer(tmp_path, best, *rows, 5) == f"The answer is {expected}"


def test_the_errors_in_a_sentence():
    table = table_of(np.arange(10.0)[:, None], np.array([[0.0, 0], [2, 20]] * 5), outputs=("a", "b"))
    residuals = np.array([[0.1, 0.0, np.nan, np.nan]] * 9 + [[np.nan, np.nan, np.nan, np.nan]])
    where = "In rows left out of training (2 of 5 folds), the error of one network, over the standard deviation, is"
    said = verdict._describe_errors(errors_of(residuals, np.arange(10), table), residuals, table.rows, 2, 5)
    assert said == f"{where} 5.0e-02 for the values (a: 1.0e-01)."
    for judged in (8, 0):  # too few
        residuals[judged:, 1] = np.nan
        said = verdict._describe_errors(errors_of(residuals, np.arange(10), table), residuals, table.rows, 2, 5)
        expected = f"b is not judged: these rows have {judged} of its 10 labels."
        assert said == f"{where} 1.0e-01 for the values. {expected}"


def test_the_bounds_in_a_sentence():
    def said(*bounds):
        return verdict._describe_bounds([OutputError(f"y{i}", 1, 1, *pair) for i, pair in enumerate(bounds)])

    assert said((None, None)) == ""
    there = "In these rows, 90 % of the values were within 1.2e-03"
    assert said((0.0012, None)) == f"{there} standard deviations of the prediction."
    both = f"{there} and 90 % of the derivatives were within 3.0e-01 standard deviations of the prediction."
    assert said((0.0012, 0.1), (0.0011, 0.3)) == both
    assert said((0.0012, 0.1), (0.0011, None)) == said((0.0012, None)), "no bound of some outputs only"
    unknown = [OutputError("y", 1, None, 0.0012, None), OutputError("z", *[None] * 4)]
    assert verdict._describe_bounds(unknown) == said((0.0012, None))


def test_the_errors_are_root_means_and_order_statistics_of_each_output():
    chance = np.random.default_rng(0)
    x, y = chance.random((40, 2)), chance.random((40, 2)) * [1, 10]
    dydx = chance.random((40, 2, 2))
    table = table_of(x, y, dydx, ("a", "b"))
    residuals = np.arange(1, 41)[:, None] * np.array([0.1, 2.0, 0.0, 0.0, 0.6, 0.3])
    residuals[9:, 0] = np.nan  # of 9 the largest
    a, b = errors_of(residuals[chance.permutation(40)], np.arange(40), table)
    assert (a.output, a.derivative, a.derivative_bound) == ("a", 0, 0)
    assert a.value == pytest.approx(0.1 * np.sqrt(np.mean(np.arange(1, 10) ** 2)) / y[:, 0].std())
    assert [a.value_bound, b.value_bound] == pytest.approx([0.9 / y[:, 0].std(), 2 * 37 / y[:, 1].std()])  # k = 36.9
    deviation = np.sqrt((x.var(axis=0) * dydx[:, 1].var(axis=0)).sum()) / x[:, 0].std()  # of the gradient
    assert b.derivative_bound == pytest.approx(0.6 * 37 / deviation)  # of the first derivative
    residuals[8:, 0] = np.nan  # too few
    assert errors_of(residuals, np.arange(len(residuals)), table)[0].value_bound is None
    residuals[:, 0] = np.nan
    assert errors_of(residuals, np.arange(len(residuals)), table)[0] == OutputError("a", None, 0, None, 0)


def test_the_factor_of_an_error_is_that_of_the_jackknife():
    """For normal residuals the standard error of a root mean square of n is 1 / sqrt(2 n) of it."""
    chance = np.random.default_rng(0)
    table = table_of(chance.random((400, 1)), chance.random((400, 1)))
    residuals, rows = chance.normal(size=400), np.arange(400)
    equal = np.repeat(residuals[:40], 10)  # in each of 40 groups
    for values, size, n in ((residuals, 1, 400), (residuals, 4, 400), (residuals, 10, 400), (equal, 10, 40)):
        error = error_of(values, table, rows // size)
        t = stats.t.ppf(0.975, min(399 // size, 99))
        assert np.log(error.value_factor) == pytest.approx(t / np.sqrt(2 * n), rel=0.4)
        assert error.derivative_factor is None


def test_rows_of_few_groups_have_neither_an_error_nor_a_bound():
    chance = np.random.default_rng(0)
    x, y = chance.random((90, 1)), chance.random((90, 1))
    table = table_of(x, y, group="a")
    residuals = np.arange(1.0, 91)
    error = error_of(residuals, table, np.arange(90) // 10)  # k = 0.9 * 10 / 9 * 90
    assert error.value_bound == pytest.approx(90 / y.std())
    few = replace(table.rows, groups=np.arange(90) // 12)
    error = error_of(residuals, table, few.groups)
    assert error == OutputError("y", *[None] * 4)
    said = verdict._describe_errors([error], np.c_[residuals, y * np.nan], few, 2, 5)
    assert said == "y is not judged: these rows have 90 of its 90 labels, in 8 groups."


def test_the_error_of_few_rows_may_be_larger_by_its_factor():
    """Of 300 samples of 10 normal residuals, for about 95 % the true error is within the interval."""
    chance, within = np.random.default_rng(0), 0
    x, y = chance.random((10, 1)), chance.random((10, 1))
    table = table_of(x, y)
    for _ in range(300):
        error = error_of(chance.normal(size=10), table)
        within += error.value / error.value_factor < 1 / y.std() < error.value * error.value_factor
    assert 0.9 < within / 300 < 0.99


@pytest.mark.parametrize(
    ("a", "b", "interval", "note", "how"),
    [
        (1.1, 1.2, "", "", ""),
        (2.0, 1.5, " [1.0e-01, 4.0e-01]", " [2.0e-01, 4.5e-01]", ", with jackknife intervals"),
        (1.1, 3.0, "", "; few rows decide it", ""),
    ],
)
def test_an_error_that_is_not_certain_has_its_interval(a, b, interval, note, how):
    errors = [OutputError("a", 0.1, *[None] * 3, a), OutputError("b", 0.3, *[None] * 3, b)]
    assert verdict._in_words(errors) == f"2.0e-01{interval} for the values (b: 3.0e-01{note}){how}"


def test_test_rows_with_larger_residuals_than_chance_allows():
    """Of 400 honest tables about 1 % have the sentence, also if few rows set the bound."""
    chance = np.random.default_rng(0)
    labels = chance.random((40, 1)), chance.random((40, 1)), chance.random((40, 1, 1))
    table = table_of(*labels)
    for n, m in ((20, 200), (100, 30)):
        said = [
            verdict._describe_surprise(*(chance.normal(size=(size, 2)) for size in (m, n)), table) for _ in range(400)
        ]
        assert sum(map(bool, said)) <= 10
    left_out, test = chance.normal(size=(100, 2)), chance.normal(size=(30, 2)) * [1, 4]
    test[:5] = np.nan
    within = int((np.abs(test[5:, 1]) <= np.sort(np.abs(left_out[:, 1]))[90]).sum())
    expected = f"Only {within} of 25 test values of dy_dx are within the bound of 90 % in rows left out, fewer than"
    why = "chance allows for independent rows: they may belong to groups (data.group)."
    assert verdict._describe_surprise(test, left_out, table) == f"{expected} {why}"
    assert verdict._describe_surprise(test, left_out, table_of(*labels, group="a")) == ""
    for few in (left_out[:8], left_out[:0], left_out * np.nan):
        assert verdict._describe_surprise(test, few, table) == ""


def test_inputs_over_many_decades_are_named():
    x = np.stack([np.geomspace(1e-8, 1e2, 20), np.linspace(1, 900, 20), np.linspace(-1, 1, 20)], axis=1)
    rows = SimpleNamespace(x=x, inputs=("p", "q", "r"))
    assert verdict._describe_decades(rows).startswith("p spans 10 decades: a fit of the logarithm may have")
    good, bad = ([OutputError("y", 1e-3, error, 1.0, 1.0)] for error in (0.09, 0.11))
    assert verdict._of_decades(good, rows) == (good, verdict._describe_decades(rows))
    errors, sentence = verdict._of_decades(bad, rows)
    assert errors == [OutputError("y", *[None] * 4)]
    assert sentence.endswith("The errors in rows left out are too large to state an error in new rows.")
    rows.x = x[:, 1:]
    rows.inputs = ("q", "r")
    assert verdict._of_decades(bad, rows) == (bad, "")
    assert verdict._describe_decades(rows) == ""


def test_cautions_on_the_rows():
    t = np.random.default_rng(0).uniform(size=(200, 3))
    box = np.array([[0.0, 1.0]] * 3)
    for few in (t, t[:12]):  # of 12 some correlate by chance
        assert _cautions(SimpleNamespace(x=few, inputs=("a", "b", "c")), box) == []
    x = np.stack([t[:, 0], 1 - t[:, 0], t[:, 2] ** 3], 1)
    related, uneven = _cautions(SimpleNamespace(x=x, inputs=("a", "b", "c")), box)
    assert related.startswith("a and b are correlated in the rows (-1.00), ")
    assert uneven.startswith("The rows are not spread evenly along c: ")
    assert _cautions(SimpleNamespace(x=x[:12], inputs=("a", "b", "c")), box) == [related]


def test_a_candidate_has_the_errors_of_the_outputs_that_are_judged():
    errors = {"val/nrmse_f": 5.0, "val/nrmse_f/a": 1.0, "val/nrmse_f/b": 9.0, "val/nrmse_df": 3.0}
    fit = SimpleNamespace(best_step=1, number=0)
    candidate: Any = SimpleNamespace(
        name="c", overrides=[], member=SimpleNamespace(rows=None), in_order=[fit], fits=[fit], runs=[0], refits=[],
        calibrating=[], error=1.0, seconds=1.0, root_mean=errors.get,
    )  # fmt: skip
    for a, b, expected in ((1.0, 9.0, 5.0), (1.0, None, 1.0), (None, None, 5.0)):
        board = [OutputError("a", a, 1.0, None, None), OutputError("b", b, 1.0, None, None)]
        entry = verdict._entry(candidate, board)
        assert (entry.value, entry.derivative) == (expected, 3.0)
