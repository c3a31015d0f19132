"""The tables of other programs: a maker, the mistakes, the answers and the rate."""

from types import SimpleNamespace

import numpy as np
import pytest
from alarms import FIGURES, PART, VERDICTS, frame_of, part, read
from mistakes import MISTAKES, answer, corrupted, rate
from origins import PROGRAMS, TABLES
from pages import read_page
from scipy.optimize import rosen


def test_there_are_thirty_tables_of_programs_with_a_licence():
    assert len(TABLES) == 30
    assert {origin.package for origin in TABLES.values()} == PROGRAMS.keys()


def test_an_optimisation_path_has_the_values_and_the_derivatives_of_its_points():
    x, y, dydx = TABLES["rosenbrock path"].make(np.random.default_rng(0))
    np.testing.assert_array_equal(y[:, 0], [rosen(at) for at in x])
    slopes = [(rosen(at + step) - rosen(at - step)) / 2e-5 for at in x[:3] for step in 1e-5 * np.eye(8)]
    np.testing.assert_allclose(dydx[:3].ravel(), slopes, rtol=1e-6, atol=1e-4)


def rows():
    x = np.arange(12.0).reshape(6, 2)
    return frame_of((x, x, np.stack([x, x**2], axis=1)))


@pytest.mark.parametrize("number", range(6))
def test_a_mistake_changes_only_the_columns_that_it_names(number):
    frame = rows()
    spoilt, mistake, wrong = corrupted(frame, number)
    assert mistake == MISTAKES[number]
    assert {name for name in frame if not spoilt[name].equals(frame[name])} == wrong
    assert len(wrong) == (2 if mistake == "swapped" else 1)


def test_unknown_derivatives_have_no_column():
    x = np.ones((4, 2))
    dydx = np.array([[[1.0, np.nan]]] * 4)
    assert [*frame_of((x, x[:, :1], dydx))] == ["x1", "x2", "y1", "dy1_dx1"]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], "nothing"),
        (["a"], "the wrong columns"),
        (["a", "b"], "others too"),
        (["b"], "only others"),
        (["c"], "nothing"),
    ],
)
def test_an_answer_is_new_and_names_columns(found, expected):
    before, after = (
        SimpleNamespace(findings=[SimpleNamespace(what="wrong", columns=(name,)) for name in names])
        for names in (["c"], found)
    )
    assert answer(before, after, {"a"}) == expected


def test_a_rate_has_a_limit():
    """About 3 / n for none, the rule of three."""
    assert rate(0, 30) == "0 of 30, at most 10 %"
    assert rate(2, 30) == "2 of 30, at most 20 %"


def test_each_alarm_has_a_verdict_and_the_page_is_that_of_the_figures():
    assert {row["table"] for row in read() if row["said"]} == VERDICTS.keys()
    assert FIGURES.is_file()
    assert read_page(PART) == part(read())
