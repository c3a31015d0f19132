"""Derivatives that contradict the values, by a fit of only the values."""

from dataclasses import replace

import numpy as np
import pytest

from runge.records.metrics import ERRORS
from runge.search.contradiction import describe_contradiction, wrong_factors
from runge.search.moves import continued
from tests.search.made_up import candidate, result, state, trained
from tests.search.test_verdict import table_of

N = 40
ALONE = candidate("alone", "optimizer=levenberg_marquardt", "loss.lambda_d=0")


def made_up(factors=(1.1, 1.0), noise=0.0, scatter=1e-3):
    """Return a table whose derivatives have factors and noise, and the errors of a fit of the values with a scatter."""
    chance = np.random.default_rng(0)
    x, slope = chance.random((N, 2)), chance.normal(size=(N, 1, 2))
    labels = slope * factors + noise * chance.normal(size=slope.shape)
    fitted = slope + scatter * chance.normal(size=slope.shape)
    return table_of(x, chance.random((N, 1)), labels), np.c_[np.zeros(N), (fitted - labels)[:, 0]]


def networks(residuals):
    """Return two networks that have these residuals in the rows of a fold each."""
    folds, validated = (np.arange(fold, N, 2) for fold in range(2)), np.ones(N // 2, bool)
    return [replace(result(1.0), left_out=x, validated=validated, residuals=residuals[x]) for x in folds]


@pytest.mark.parametrize(
    ("factors", "noise", "scatter", "wrong"),
    [
        ((1.1, 1.1), 0.0, 1e-3, {0: 1.1, 1: 1.1}),
        ((1.0, 1.03), 0.0, 5e-3, {1: 1.03}),
        ((1.0, 1.03), 0.0, 1.2e-2, {}),
        ((1e3, -1.0), 0.0, 1e-2, {0: 1e3, 1: -1.0}),
        ((1.0, 1.0), 0.0, 1e-2, {}),
        ((1.0, 1.0), 0.2, 1e-3, {}),
        ((1.1, 1.1), 0.2, 1e-3, {}),  # noise hides it
        ((1.1, 1.1), 0.0, 0.2, {}),  # the fit cannot tell
        ((3.0, 1.0), 0.0, 0.15, {}),
        ((0.0, 1.0), 0.0, 1e-3, {}),  # zeros, of an input that may not matter
    ],
)
def test_a_column_has_a_factor_only_if_the_fit_knows_it(factors, noise, scatter, wrong):
    table, residuals = made_up(factors, noise, scatter)
    found = wrong_factors(networks(residuals), table.rows)
    assert {one.input: one.factor for one in found} == pytest.approx(wrong, rel=1e-2)
    for one in found:
        assert abs(one.factor - factors[one.input]) < 4 * one.error < 0.1 * abs(one.factor)
    residuals[:, 0] = 1.0
    assert all(abs(one.factor) > 5 for one in wrong_factors(networks(residuals), table.rows))  # others hardly matter
    assert wrong_factors([replace(networks(residuals)[0], validated=np.arange(N // 2) < 8)], table.rows) == []


def searched(table, residuals, **values):
    """Return a search after two trials of each candidate, whose best derivatives are those of `joint`."""
    errors, one = {"joint": 1e-6, "alone": 0.1}, state("joint", listed=[ALONE], judges=2)
    for name, value in values.items():
        for fold, made in enumerate(networks(residuals)):
            history = {**made.history, **dict(zip(ERRORS, np.array([[value], [errors[name]]]), strict=True))}
            one = trained(one, name, replace(made, history=history), fold=fold)
    return replace(one, table=table)


def test_the_winner_fits_the_values_if_derivatives_contradict_them():
    table, residuals = made_up()
    one = searched(table, residuals, joint=0.1, alone=1e-3)
    assert [(x.output, x.input) for x in one.wrong] == [(0, 0)]
    assert [x.name for x in one.ranked] == ["alone", "joint"]
    assert one.ranked[0].error > one.ranked[1].error
    assert [x.name for x in continued(one, 100.0)] == ["alone"]
    rows = one.table_of_answer.rows
    assert np.isnan(rows.dydx).all(axis=0).tolist() == [[True, False]]
    said = describe_contradiction(one.wrong, table.rows)
    assert said.startswith("Derivatives contradict the values: dy_ds is 1.100 +- 0.001 times the derivative of")
    assert describe_contradiction([], table.rows) == ""
    begun = trained(one, "joint", result(1.0), fold=None, of_answer=True)
    assert begun.winner == "joint"
    assert (begun.wrong, begun.ranked[0].name) == ([], "joint")  # it stays, because its networks are trained


@pytest.mark.parametrize(
    ("made", "values"),
    [
        (made_up(), {"joint": 9e-4, "alone": 1e-3}),  # the values are better with derivatives
        (made_up((1.0, 1.0)), {"joint": 0.1, "alone": 1e-3}),
        (made_up((1.0, 1.0), noise=0.2), {"joint": 0.1, "alone": 1e-3}),
        (made_up(), {"alone": 1e-3}),
        (made_up(), {"joint": 0.1, "alone": np.nan}),  # the error of the values is not known
        (made_up(), {"joint": np.nan, "alone": 1e-3}),
    ],
)
def test_nothing_is_accused_without_both_signs_of_a_contradiction(made, values):
    one = searched(*made, **values)
    assert one.wrong == []
    assert one.ranked[0].name == next(iter(values))
    assert replace(searched(*made_up(), joint=0.1, alone=1e-3), table=None).wrong == []
