"""The comparison of what the commands state with the truth."""

import numpy as np
import pytest
from pages import read_page
from stated import (
    FIGURES,
    MISSED,
    NO,
    PART,
    UNCOMPARED,
    YES,
    limit,
    of_columns,
    of_errors,
    of_partials,
    of_suspects,
    part,
    place,
    read,
)
from stated_tables import N_NEW, TABLES

from runge.records.leaderboard import ColumnError, OutputError, Suspect


def residuals(size):
    """Return residuals of this root mean square, of which 80 % are smaller than the largest, twice as large."""
    return size * np.tile([0.5] * 4 + [2.0], 20)[:, None]


def verdicts(*errors, count=100, **sizes):
    """Return the verdicts on the values of outputs whose true residuals have some sizes."""
    parts = {"value": {output: residuals(size) for output, size in sizes.items()}, "derivative": {}}
    return {one.statement.removeprefix("fit, "): one.verdict for one in of_errors(errors, parts, count)}


def test_errors_are_compared_with_those_of_the_outputs_that_are_judged():
    judged, other = OutputError("y1", 1e-2, *[None] * 3, 1.5), OutputError("y2", None, None, None, None)
    assert verdicts(judged, other, y1=0.01, y2=9)["error of the values"] == YES
    assert verdicts(judged, OutputError("y2", 1e-2, *[None] * 3, 1.5), y1=0.01, y2=9)["error of the values"] == NO


@pytest.mark.parametrize(
    ("factor", "verdict", "where"),
    [(None, UNCOMPARED, None), (1.5, NO, "outside"), (2.0, YES, "within"), (6.0, UNCOMPARED, None)],
)
def test_an_error_may_have_an_interval(factor, verdict, where):
    error = OutputError("y", 1e-2, None, None, None, value_factor=factor)
    for true, outside in ((0.018, "above"), (0.01 / 1.8, "below")):
        parts = {"value": {"y": residuals(true)}, "derivative": {}}
        (one,) = of_errors([error], parts, 100)
        assert one.verdict == verdict
        assert place(one._asdict()) == (outside if where == "outside" else where)


@pytest.mark.parametrize(("count", "verdict"), [(40, NO), (16, YES)])
def test_a_bound_may_contain_less_by_the_error_of_its_share(count, verdict):
    """80 % is less than 0.9 - 2 sqrt(0.09 / n) for n = 40, but not for 16."""
    error = OutputError("y", 0.1, None, 0.16, None)
    assert verdicts(error, count=count, y=0.1)["90 % of the values within"] == verdict


@pytest.mark.parametrize(("stated_error", "verdict"), [(1e-2, YES), (1e-3, NO)])
def test_the_error_of_a_partial_derivative_is_over_its_own_deviation(monkeypatch, stated_error, verdict):
    """It is 1 % here, and the interval contains all labels of the second column, and half of those of the first."""
    stated = TABLES["exact"](np.random.default_rng(0))
    true, sizes = stated.new.dydx, np.array([stated.frame[f"dy_dx{d}"].std(ddof=0) for d in (1, 2, 3)])
    signs = np.where(np.arange(N_NEW) % 2, 1.0, -1.0)[:, None, None]
    du = true + 0.01 * signs * sizes
    half = sizes * np.where(signs > 0, 0.02, [0.0, 0.02, np.nan])
    prediction = {"du": du, "du_low": du - half, "du_high": du + half}
    monkeypatch.setattr("stated.predict", lambda *given: prediction)
    columns = [ColumnError(f"dy_dx{d}", stated_error, stated_error / 2, 2 * stated_error, 80) for d in (1, 2, 3)]
    judged = [*of_partials([ColumnError("y", 1, 1, 1, 80), *columns], None, stated)]
    names = [f"fit, {what} of dy_dx{d}" for d in (1, 2, 3) for what in ("error", "interval")][:5]
    assert [one.statement for one in judged] == names
    assert [one.verdict for one in judged] == [verdict, NO, verdict, YES, verdict]
    assert judged[1].true == "50 %"


def test_suspects_are_compared_with_the_wrong_labels():
    stated = TABLES["wrong label"](np.random.default_rng(0))
    ((column, line),) = stated.cells
    exact, label = (frame[column][line - 2] for frame in (stated.exact, stated.frame))
    right = Suspect(f"line {line}", column, label, exact, exact - label, 40.0)
    assert [one.verdict for one in of_suspects([right], stated)] == [YES]
    wrong = Suspect("line 2" if line != 2 else "line 3", column, 0.0, 1.0, 1.0, 40.0)
    assert [one.verdict for one in of_suspects([wrong], stated)] == [NO, MISSED]


def test_a_finding_is_right_if_it_names_wrong_columns_only():
    stated = TABLES["garbage column"](np.random.default_rng(0))
    (column,) = stated.columns
    assert [one.verdict for one in of_columns([("it is wrong", {column})], stated)] == [YES]
    assert [one.verdict for one in of_columns([("it is wrong", {"y"})], stated)] == [NO, MISSED]


def test_the_page_is_that_of_the_figures():
    assert FIGURES.is_file()
    assert read_page(PART) == part(read())


def test_none_of_many_has_a_limit():
    """About 3 / n, the rule of three."""
    assert limit([{"verdict": YES}] * 100) == "3 %"
    assert limit([{"verdict": YES}] * 10 + [{"verdict": UNCOMPARED}]) == "26 %"
    assert limit([]) == "-"


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_what_they_say(name):
    stated = TABLES[name](np.random.default_rng(3))
    labels = stated.frame[[*stated.exact]]
    differ = (labels != stated.exact) & stated.exact.notna()
    cells = {(str(column), int(row) + 2) for row, column in differ.stack().loc[lambda some: some].index}
    assert {column for column, _ in cells if (column, 2) in cells} == set(stated.columns)
    assert {cell for cell in cells if cell[0] not in stated.columns} == set(stated.cells)
    assert len(stated.new.x) == N_NEW
    assert np.isfinite(np.concatenate([part.ravel() for part in stated.new])).all()
    if name == "few labels":
        assert labels["y2"].notna().sum() == 5
