"""The sentences on columns of derivatives that contradict the values of a table."""

import numpy as np
import pandas as pd
import pytest

from runge.data.rows import read
from runge.data.table import Table
from runge.labels.wrong_columns import describe_wrong_columns, without_wrong_columns
from runge.training.announcement import announce
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import compose


@pytest.mark.usefixtures("in_folder")
def test_derivatives_that_contradict_the_values_are_said_before_the_training(caplog):
    x = np.random.default_rng(0).random(60)
    for name, sign in (("sound", 1), ("wrong", -1)):
        pd.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": sign * 3 * np.cos(3 * x)}).to_csv(f"{name}.csv", index=False)
        caplog.clear()
        announce(prepare([Member(Settings.of(compose("data=table", f"data.file={name}.csv", "model.width=4")))]), 0)
        said = [one.getMessage() for one in caplog.records if "Between near rows" in one.getMessage()]
        assert len(said) == (name == "wrong")
    assert said[0].startswith("dy_dx has the wrong sign. Between near rows, the derivatives leave")
    assert said[0].endswith(" check wrong.csv shows more.")
    rows = read(Table(file="wrong.csv", inputs=["x"], outputs=["y"]))  # the command names what the run was given
    assert describe_wrong_columns(rows).endswith("wrong.csv 'data.inputs=[x]' 'data.outputs=[y]' shows more.")


@pytest.mark.usefixtures("in_folder")
def test_equal_inputs_with_other_values_are_said_and_no_column_is_left_out():
    x = np.tile(np.random.default_rng(0).random(60), 2)
    frame = pd.DataFrame({"x": x, "y": np.sin(3 * x) + (np.arange(120) >= 60), "dy_dx": 3 * np.cos(3 * x)})
    frame.to_csv("twice.csv", index=False)
    rows = read(Table(file="twice.csv"))
    said = describe_wrong_columns(rows)
    assert said.startswith("60 pairs of rows have equal inputs and values of y that differ by")
    assert " in line 2 and " in said
    assert without_wrong_columns(rows) == []


@pytest.mark.usefixtures("in_folder")
def test_wrong_columns_have_the_names_of_the_file():
    p, force = np.random.default_rng(0).uniform(1, 2, (2, 60))
    frame = pd.DataFrame({"p0 [MPa]": p, "F [kN]": force, "y": p * force, "dy_dp0": -force, "my slope": p})
    frame.to_csv("units.csv", index=False)
    partials = {"y": {"p0 [MPa]": "dy_dp0", "F [kN]": "my slope"}}
    rows = read(Table(file="units.csv", inputs=["p0 [MPa]", "F [kN]"], outputs=["y"], derivatives=partials))
    assert describe_wrong_columns(rows).startswith("dy_dp0 has the wrong sign. ")
    assert without_wrong_columns(rows)[-1] == r"data.derivatives={y:{F\ \[kN\]:my\ slope}}"


@pytest.mark.usefixtures("in_folder")
def test_no_derivative_is_left_out_because_inputs_are_collinear():
    a = np.random.default_rng(0).random(60).round(2)
    frame = pd.DataFrame({"a": a, "b": 2 * a, "y": 3 * a, "dy_da": 1 + 0 * a, "dy_db": 1 + 0 * a})
    pd.concat([frame, frame.iloc[[0]]]).to_csv("collinear.csv", index=False)
    rows = read(Table(file="collinear.csv"))
    assert describe_wrong_columns(rows).startswith("a and b depend on each other.")
    assert without_wrong_columns(rows) == []
