"""The errors that a leaderboard states, and what it says of the rows."""

import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from scipy import stats

from runge.composing.overrides import quoted
from runge.data.channels import Channels
from runge.data.rows import Rows
from runge.data.table import Table
from runge.records.leaderboard import ColumnError, OutputError
from runge.search import statements, verdict
from runge.search.answer import Answer, LeftOut
from runge.search.judging import SearchTable
from runge.search.unseen import errors_of
from tests.search.made_up import result, state, trained


def test_the_answer_says_how_many_rows_its_networks_had():
    one = trained(trained(state("a"), "a", result(1.0, rows=200), share=0.2), "a", result(1.0), fold=1)
    said = verdict._describe_answer(Answer.of(one.ranked), 1000, 0, 5)
    assert said == "The answer is the mean of 2 networks (a), trained on 200 or 800 of all 1000 rows."
    one = trained(state("a"), "a", result(1.0))
    said = verdict._describe_answer(Answer.of(one.ranked), 1000, 0, 5)
    assert said == "The answer is one network (a), trained on all 1000 rows except one of 5 folds."


def table_of(x, y, dydx=None, outputs=("y",), group=None):
    """Return the table of a search with these rows; by default no derivatives are known."""
    dydx = np.full((*y.shape, x.shape[1]), np.nan) if dydx is None else dydx
    inputs = ("x",) if x.shape[1] == 1 else ("s", "t")
    rows = Rows.of((x, y, dydx), inputs, outputs, Table(file="t.csv", group=group))
    return SearchTable(rows, np.empty(0, int), np.arange(len(x)), Channels.of(x, y, dydx))


def error_of(values, table, groups=None):
    """Return the error of an output whose derivatives are not known; by default each row is a group."""
    groups = np.arange(len(values)) if groups is None else groups
    table = table._replace(rows=replace(table.rows, groups=groups))
    [error] = errors_of(np.c_[values, np.full(len(values), np.nan)], table)
    return error


def column(name, error, high=None):
    """Return the error of a column with the upper end of its interval."""
    return ColumnError(name, error, high and error**2 / high, high, 40)


def output(name, value=None, derivative=None, factor=None):
    """Return the errors of an output with the factor of their intervals."""
    low, high = ([x and factor and x * f for x in (value, derivative)] for f in (1 / (factor or 1), factor))
    return OutputError(name, value, derivative, None, None, *low, *high)


def numbers(text):
    """Return the errors and bounds that are stated in a text."""
    return [float(number) for number in re.findall(r"\d\.\de[+-]\d\d", text)]


def test_the_largest_bounds_are_stated_unless_an_output_has_none():
    def stated(*bounds):
        return numbers(statements.describe_bounds([OutputError(f"y{i}", 1, 1, *pair) for i, pair in enumerate(bounds)]))

    assert stated((None, None)) == []
    assert stated((0.0012, None)) == stated((0.0012, 0.1), (0.0011, None)) == [0.0012]
    assert stated((0.0012, 0.1), (0.0011, 0.3)) == [0.0012, 0.3]


@pytest.mark.parametrize(
    ("a", "b", "stated"),
    [
        (2.0, 1.5, "2.0e-01 [1.0e-01, 4.0e-01] for the values (b: 3.0e-01 [2.0e-01, 4.5e-01])"),
        (1.5, 6.0, "about 2e-01 for the values (b: about 3e-01; few rows decide it)"),
        (None, 1.5, "about 2e-01 for the values (b: 3.0e-01 [2.0e-01, 4.5e-01]; few rows decide it)"),
    ],
)
def test_an_error_has_its_interval_or_one_digit_if_few_rows_decide_it(a, b, stated):
    """The mean over the outputs is stated, and the largest."""
    errors = [output("a", 0.1, factor=a), output("b", 0.3, factor=b)]
    assert statements._in_words(errors, [], errors) == stated


def test_the_worst_partial_derivative_is_stated_over_its_own_standard_deviation():
    """A partial derivative with a small share of the gradient may be quite wrong."""
    errors = [output("y", None, 0.01, 2.0)]
    columns = [column("y", 9.0), column("dy_ds", 0.01, 0.02), column("dy_dt", 3.0, 6.0)]
    said = "1.0e-02 [5.0e-03, 2.0e-02] for the derivatives"
    worst = "worst partial dy_dt: 3.0e+00 [1.5e+00, 6.0e+00] of its own standard deviation"
    assert statements._in_words(errors, columns, errors) == f"{said} ({worst})"
    assert statements._in_words(errors, columns[:2], errors) == said


@pytest.mark.parametrize(("levels", "said"), [([-1, 1], True), ([0, 1], False), ([0, 1, 2], False)])
def test_nothing_tests_a_fit_between_two_values(levels, said):
    x = np.stack([np.resize(levels, 60), np.arange(60)], axis=1).astype(float)
    text = statements.describe_levels(table_of(x, x[:, 1:]).rows)
    assert text == "s has two values: no row tests the fit between." * said


def left_out(n, folds=(0,), choosing=0):
    """Return made-up errors in n rows of 60, by networks that leave out some folds."""
    networks = [SimpleNamespace(move=SimpleNamespace(fold=fold)) for fold in folds]
    return LeftOut(np.where(np.arange(60)[:, None] < n, [[0.1, np.nan]], np.nan), networks, choosing)


@pytest.mark.parametrize(
    ("choosing", "said"), [(0, None), (24, "These rows also chose"), (12, "12 of these rows also chose")]
)
def test_rows_that_also_chose_the_model_are_said_to(choosing, said):
    rows = table_of(np.arange(60.0)[:, None], np.arange(60.0)[:, None]).rows
    errors = [OutputError("y", 1e-11, *[None] * 3)]
    text = statements.describe_errors(errors, errors, [], left_out(24, (0, 1), choosing), rows, 5)
    assert "(2 of 5 folds, 24 rows) had errors of about 1e-11 for the values (few rows decide it)" in text
    assert (said or "chose") in text if said else "chose" not in text


def test_a_fit_that_is_no_better_than_a_constant_says_so(caplog):
    """The output is named if there are several: another one may be exact."""
    one, a, b = (OutputError(*x, None, None) for x in (("y", 1.2, 0.3), ("a", 0.99, None), ("b", 1.0, 2.5)))
    assert verdict._bad([one]) == ["the values"]
    assert verdict._bad([a, b]) == ["the values of b", "the derivatives of b"]
    assert verdict._warn([], 2) == []
    assert verdict._warn(["a", "b"], 2) == ["This fit is no better than a constant for a and b."]
    assert verdict._warn([], 1)[0].startswith("No other candidate could be compared")
    assert len(caplog.messages) == 2


def test_the_errors_are_root_means_and_order_statistics_of_each_output():
    chance = np.random.default_rng(0)
    x, y = chance.random((40, 2)), chance.random((40, 2)) * [1, 10]
    dydx = chance.random((40, 2, 2))
    table = table_of(x, y, dydx, ("a", "b"))
    residuals = np.arange(1, 41)[:, None] * np.array([0.1, 2.0, 0.0, 0.0, 0.6, 0.3])
    residuals[9:, 0] = np.nan  # of 9 the largest
    a, b = errors_of(residuals[chance.permutation(40)], table)
    assert (a.output, a.derivative, a.derivative_bound) == ("a", 0, 0)
    assert a.value == pytest.approx(0.1 * np.sqrt(np.mean(np.arange(1, 10) ** 2)) / y[:, 0].std())
    assert [a.value_bound, b.value_bound] == pytest.approx([0.9 / y[:, 0].std(), 2 * 37 / y[:, 1].std()])  # k = 36.9
    deviation = np.sqrt((x.var(axis=0) * dydx[:, 1].var(axis=0)).sum()) / x[:, 0].std()  # of the gradient
    assert b.derivative_bound == pytest.approx(0.6 * 37 / deviation)  # of the first derivative
    residuals[8:, 0] = np.nan  # too few
    assert errors_of(residuals, table)[0].value_bound is None
    residuals[:, 0] = np.nan
    assert errors_of(residuals, table)[0] == OutputError("a", None, 0, None, 0)


def test_the_error_of_derivatives_is_that_of_the_columns_that_are_judged():
    """A column that is judged in few rows would have no error, and yet its part of the size of the gradient."""
    chance = np.random.default_rng(0)
    x, y, dydx = chance.random((40, 2)), chance.random((40, 1)), chance.random((40, 1, 2)) * [1, 1000]
    residuals = chance.normal(size=(40, 3))
    residuals[5:, 2] = np.nan
    (error,) = errors_of(residuals, table := table_of(x, y, dydx))
    assert error.derivative == pytest.approx(np.sqrt(np.mean(residuals[:, 1] ** 2)) / dydx[:, 0, 0].std())
    text = statements.describe_errors([error], [error], [], LeftOut(residuals, [], 0), table.rows, 5)
    assert text.endswith("Not judged, because these rows have few of their labels: dy_dt.")


def test_few_rows_decide_an_error_only_if_its_own_interval_is_wide():
    """Of many rows, networks that differ elsewhere make it wide, and the table of columns has the same interval."""
    own, columns = [output("y", 1e-3, factor=1.2)], [column("y", 1e-3, 1.2e-3), column("dy_dx", 1.0, 2.0)]
    wide, (value, partial), _ = statements.of_answer(own, columns, np.array([[1e-2], [np.nan]]))
    assert statements._in_words(wide, [], own) == "about 1e-03 for the values (networks differ more where no row is)"
    assert [value.low, value.high] == pytest.approx([1e-4 / 3, 1e-2])
    assert [partial.low, partial.high] == pytest.approx([0.5 / 3, 2.0])


def test_the_answer_may_be_better_than_the_networks_whose_errors_are_known():
    """It has more rows, so the lower ends of its intervals are further from the errors; a text says whose they are."""
    own = [output("y", 1e-2, 0.1, 2.0), output("z", 1e-2)]
    (y, z), (partial, none), sentence = statements.of_answer(own, [column("dy_dx", 0.1, 0.2), column("z", 1e-2)], None)
    assert [y.value_low, y.value_high, y.derivative_low, y.derivative_high] == pytest.approx(
        [1e-2 / 6, 2e-2, 0.1 / 6, 0.2]
    )
    assert (partial.low, partial.high, sentence) == (pytest.approx(0.1 / 6), 0.2, "")
    assert (z, none) == (own[1], column("z", 1e-2))
    rows = table_of(np.arange(60.0)[:, None], np.arange(60.0)[:, None]).rows
    text = statements.describe_errors([y], own[:1], [], left_out(60), rows, 5)
    assert "1.0e-02 [1.7e-03, 2.0e-02] for the values" in text
    assert text.endswith("over the standard deviation. The intervals are those of the answer's error.")


def test_the_factor_of_an_error_is_that_of_the_jackknife():
    """For normal residuals the standard error of a root mean square of n is 1 / sqrt(2 n) of it.

    The squares of normal numbers have the kurtosis 15.
    """
    chance = np.random.default_rng(0)
    table = table_of(chance.random((400, 1)), chance.random((400, 1)))
    residuals, rows = chance.normal(size=400), np.arange(400)
    equal = np.repeat(residuals[:40], 10)  # in each of 40 groups
    for values, size, n in ((residuals, 1, 400), (residuals, 4, 400), (residuals, 10, 400), (equal, 10, 40)):
        error = error_of(values, table, rows // size)
        t = stats.t.ppf(0.95, min(400 // size, 100) / 7)
        expected = pytest.approx(np.hypot(1.75 * t / np.sqrt(2 * n), 1.645 * 0.4), rel=0.3)
        assert np.log(error.value_high / error.value) == expected
        assert error.value**2 / error.value_high == pytest.approx(error.value_low)
        assert error.derivative_high is None
    assert error_of(residuals[:30], table_of(*chance.random((2, 30, 1)))).value_high is not None
    assert error_of(residuals[:29], table_of(*chance.random((2, 29, 1)))).value_high is None
    nine = error_of(residuals[:36], table_of(*chance.random((2, 36, 1))), np.arange(36) // 4)
    assert nine.value is not None
    assert nine.value_high is None


def test_rows_of_few_groups_have_neither_an_error_nor_a_bound():
    chance = np.random.default_rng(0)
    x, y = chance.random((90, 1)), chance.random((90, 1))
    table = table_of(x, y, group="a")
    residuals = np.arange(1.0, 91)
    error = error_of(residuals, table, np.arange(90) // 10)  # k = 0.9 * 10 / 9 * 90
    assert error.value_bound == pytest.approx(90 / y.std())
    assert error_of(residuals, table, np.arange(90) // 12) == OutputError("y", *[None] * 4)


@pytest.mark.parametrize("freedom", [30, 3])
def test_the_true_error_of_few_rows_is_within_its_interval(freedom):
    """Of 200 samples of 40 residuals of a t-distribution, in nine of ten."""
    chance, within = np.random.default_rng(0), 0
    x, y = chance.random((40, 1)), chance.random((40, 1))
    table, true = table_of(x, y), stats.t.std(freedom) / y.std()
    for _ in range(200):
        error = error_of(chance.standard_t(freedom, size=40), table)
        within += error.value_low < true < error.value_high
    assert within / 200 > 0.9


@pytest.mark.parametrize(
    ("tested", "said"),
    [
        ((0.9, 0.9), ""),  # the intervals meet
        ((1.3, 0.9), "the values of b"),
        ((1.3, 1.3), "the values of b and the derivatives of b"),
        ((1.3, None), "the values of b"),
    ],
)
def test_errors_in_test_rows_that_are_larger_by_more_than_both_intervals_are_named(tested, said):
    """Half as much and twice as much are the ends of each interval, and 0.3 is the error in rows left out."""
    stated = [output("a", 1e-15, factor=2.0), output("b", 0.3, 0.3, 2.0)]
    test = [output("a", 1e-13, factor=2.0), output("b", *tested, 2.0)]
    assert statements._describe_worse(test, stated).partition(" is larger")[0] == (said and f"The error of {said}")


def test_of_test_rows_like_those_left_out_few_are_said_to_be_worse():
    """Of 200 tables with 40 rows left out and 40 test rows, at most 2 %; with errors eight times as large, most."""
    chance = np.random.default_rng(0)
    table, worse = table_of(*chance.random((2, 80, 1))), Counter()
    for _ in range(200):
        left_out, test = (np.full((80, 2), np.nan) for _ in range(2))
        left_out[:40, 0], test[40:, 0] = chance.normal(size=(2, 40))
        for factor in (1, 8):
            said = statements._describe_worse(errors_of(factor * test, table), errors_of(left_out, table))
            worse[factor] += bool(said)
    assert worse[1] <= 4
    assert worse[8] > 100


def test_no_large_error_is_stated_of_inputs_over_many_decades_unless_it_is_of_their_logarithms():
    x = np.stack([np.geomspace(1e-8, 1e2, 20), np.linspace(1, 900, 20), np.linspace(-1, 1, 20)], axis=1)
    rows = SimpleNamespace(x=x, inputs=("p", "q", "r"))
    good, bad = ([OutputError("y", 1e-3, error, 1.0, 1.0)] for error in (0.09, 0.11))
    assert verdict._of_decades(good, rows, ["q"]) == (good, "")
    errors, sentence = verdict._of_decades(bad, rows, ["q"])
    assert errors == [OutputError("y", *[None] * 4)]
    assert sentence.startswith("p spans 10 decades: the errors in rows left out are too large")
    assert verdict._of_decades(bad, rows, ["p"]) == (bad, "")


def test_inputs_that_are_spread_evenly_over_decades_may_be_seen_as_logarithms():
    decades = np.geomspace(1, 40, 21)
    columns = [decades, 1e6 * decades**2, np.linspace(0.1, 40, 21), np.geomspace(1, 30, 21), decades - 2]
    table = SearchTable(SimpleNamespace(x=np.stack(columns, axis=1), inputs=tuple("pqrst")), None, np.arange(20), None)
    assert table.logarithmic == ["p", "q"]


def test_a_candidate_has_the_errors_of_the_outputs_that_are_judged():
    errors = {"val/nrmse_f": 5.0, "val/nrmse_f/a": 1.0, "val/nrmse_f/b": 9.0, "val/nrmse_df": 3.0}
    one = result(1.0)
    one = replace(one, history=one.history | {name: np.array([error]) for name, error in errors.items()})
    standing = trained(state("c"), "c", one).ranked[0]
    for a, b, expected in ((1.0, 9.0, 5.0), (1.0, None, 1.0), (None, None, 5.0)):
        board = [OutputError("a", a, 1.0, None, None), OutputError("b", b, 1.0, None, None)]
        entry = verdict._entry(standing, board, Answer(standing))
        assert (entry.value, entry.derivative, entry.runs) == (expected, 3.0, [0])


def test_the_command_of_a_network_for_each_output_is_a_sweep_over_them():
    """It names the inputs, because another output could be one."""
    standing = trained(state("c"), "c", result(1.0)).ranked[0]
    standing = replace(standing, candidate=standing.candidate.varied({"separate": True}))
    board = [OutputError(name, 1.0, 1.0, None, None) for name in ("a [N]", "b")]

    def values_of(one):
        overrides = verdict._entry(one, board, Answer(one), ("x", "p")).overrides
        parsed = OverridesParser.create().parse_overrides(quoted(overrides))
        return {override.key_or_group: override.value() for override in parsed}

    values = values_of(standing)
    assert (values["data.inputs"], values["data.outputs"].list) == (["x", "p"], [["a [N]"], ["b"]])
    named = replace(standing.candidate, overrides=["data.derivatives={b:{x:slope}}"])
    assert "data.outputs" not in values_of(replace(standing, candidate=named))
