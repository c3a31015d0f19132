"""The checks of tables in which one input has no derivatives."""

import numpy as np
import pandas as pd
import pytest
from missing import PART, measure, part, read, without_input
from mistakes import corrupted
from pages import read_page
from stated_tables import TABLES


def test_only_the_derivatives_by_one_input_are_taken_away():
    stated = TABLES["few labels"](np.random.default_rng(0))
    for number, name in enumerate(("x1", "x2", "x3", "x1")):
        frame, unknown = without_input(stated, number)
        assert unknown == name
        assert {*stated.frame} - {*frame} == {f"dy1_d{name}"}


@pytest.mark.parametrize("number", range(6))
def test_a_single_column_is_spoilt_too(number):
    frame = pd.DataFrame({"x": np.arange(9.0), "y": np.arange(9.0) ** 3, "dy_dx": 3 * np.arange(9.0) ** 2})
    spoilt, mistake, wrong = corrupted(frame, number)
    assert wrong == {"dy_dx"}
    assert mistake != "swapped"
    assert not spoilt.equals(frame)


def test_a_visible_mistake_is_named():
    row = measure("exact", seed=0, number=0)
    assert (row["without"], row["mistake"], row["wrong"], row["visible"]) == ("x1", "wrong sign", "dy_dx2", "yes")
    assert (row["said"], row["answer"]) == ("", "the wrong columns")


def test_the_page_is_that_of_the_figures():
    assert read_page(PART) == part(read())
