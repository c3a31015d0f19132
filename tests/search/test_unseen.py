"""Labels of a table that networks trained without their rows do not predict."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import runge
from runge.data.channels import Channels
from runge.data.memory import file_of
from runge.data.table import File
from runge.function.residuals import UnseenErrors
from runge.records.leaderboard import Suspect
from runge.search.judging import SearchTable
from runge.search.unseen import column_errors, describe_suspects, find_suspects

QUICK = ("optimizer=levenberg_marquardt", "model.depth=1", "model.width=8", "trainer.max_steps=40")
QUIET = ("trainer.progress_bar=false", "search.compare=false", "hydra.launcher.processes=1")


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    """A table with a blank line, a row without labels, a named derivative and two wrong labels; and its residuals."""
    x = np.random.default_rng(0).uniform(-1, 1, (240, 2))
    frame = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "y": np.sin(2 * x[:, 0]) + x[:, 1] ** 2, "z": x[:, 0] * x[:, 1]})
    frame["slope"], frame["dy_db"] = 2 * np.cos(2 * x[:, 0]), 2 * x[:, 1]
    frame["dz_da"], frame["dz_db"] = x[:, 1], x[:, 0]
    frame.loc[5, ["y", "z", "slope", "dy_db", "dz_da", "dz_db"]] = np.nan
    frame.loc[[11, 12], "dz_da"] = np.nan
    right = frame.copy()
    frame.loc[10, "slope"] += 2
    frame.loc[20, "z"] -= 1
    path = tmp_path_factory.mktemp("table") / "spoilt.csv"
    path.write_text(frame.to_csv(index=False).replace("\n", "\n\n", 1))
    roles = "data.inputs=[a,b]", "data.outputs=[y,z]", "data.derivatives={y:{a:slope,b:dy_db},z:{a:dz_da,b:dz_db}}"
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    runge.sweep("data=table", f"data.file={path}", *roles, "data.folds=3", *QUICK, *QUIET, directory=directory)
    networks = runge.load(directory)
    errors = UnseenErrors.of(networks.jet, networks.runs, everywhere=True)
    return right, errors.mean(validated=False), errors.rows


def test_wrong_labels_are_named_with_line_and_column(spoilt):
    right, residuals, rows = spoilt
    suspects = find_suspects(residuals, rows)
    assert {(one.column, one.place): one.label for one in suspects} == {
        ("slope", "line 13"): pytest.approx(right["slope"][10] + 2),
        ("z", "line 23"): pytest.approx(right["z"][20] - 1),
    }
    for one in suspects:
        number = int(one.place.split()[1]) - 3
        assert one.predicted == pytest.approx(right[one.column][number], abs=0.2)
        assert one.residual == pytest.approx(one.predicted - one.label)
        assert one.deviations > 8
        assert one.row == number


def test_wrong_labels_of_a_frame_are_named_by_its_index(spoilt, tmp_path, monkeypatch):
    _, residuals, rows = spoilt
    frame = pd.read_csv(rows.table.file)
    path = tmp_path / "data.csv"
    for index in (range(100, 100 + 240), [f"s{i}" for i in range(240)]):
        path.write_bytes(file_of(frame.set_axis(index))[1])
        suspects = find_suspects(residuals, replace(rows, table=replace(rows.table, file=str(path))))
        assert {one.column: one.row for one in suspects} == {"slope": index[10], "z": index[20]}
        assert {one.place for one in suspects} == {f"row {index[10]}", f"row {index[20]}"}
    days = pd.date_range("2026-01-01", periods=240)
    monkeypatch.setattr("runge.search.unseen.open_table", lambda path: File(path, frame.set_axis(days)))
    assert {one.column: one.row for one in find_suspects(residuals, rows)} == {
        "slope": str(days[10]),
        "z": str(days[20]),
    }


def searched(rows, test=()):
    """Return the table of a search with some rows for the test."""
    seen = np.setdiff1d(np.arange(len(rows.x)), test)
    return SearchTable(rows, np.array(test, int), seen, Channels.of(rows.x[seen], rows.y[seen], rows.dydx[seen]))


def test_the_error_of_a_column_is_that_over_its_standard_deviation(spoilt):
    """Test rows have no part in that."""
    _, residuals, rows = spoilt
    labels = np.concatenate([rows.y, rows.dydx.reshape(len(rows.y), -1)], axis=1)
    errors = column_errors(residuals, searched(rows))
    assert [one.column for one in errors] == ["y", "z", "dy_da", "dy_db", "dz_da", "dz_db"]
    for one, residual, label in zip(errors, residuals.T, labels.T, strict=True):
        assert one.rows == np.isfinite(residual).sum()
        assert one.error == pytest.approx(np.sqrt(np.nanmean(residual**2)) / np.nanstd(label), rel=1e-6)
        assert one.low * one.high == pytest.approx(one.error**2)
        assert one.low < one.error
    few = np.where(np.arange(len(residuals))[:, None] < 8, residuals, np.nan)
    assert {(one.error, one.low, one.rows > 0) for one in column_errors(few, searched(rows))} == {(None, None, True)}
    zero = rows.dydx * [[1, 1], [1, 1e-15]]  # up to round-off
    zeros = column_errors(residuals, searched(replace(rows, dydx=zero)))
    assert [x.error is None for x in zeros] == [False] * 5 + [True]
    with_units = column_errors(residuals, searched(replace(rows, inputs=("a [m]", "b"), outputs=("y [N]", "z"))))
    assert [x.column for x in with_units] == ["y [N]", "z", "dy_da", "dy_db", "dz_da", "dz_db"]  # as in the table
    far = rows.y + 1e3 * (np.arange(len(rows.y)) < 40)[:, None]
    of_far = column_errors(residuals, searched(replace(rows, y=far), test=range(40)))
    assert of_far[0].error == pytest.approx(errors[0].error, rel=0.2)


def test_the_sentence_names_a_few():
    assert describe_suspects([]) == ""
    suspects = [Suspect(f"line {i}", "lift", 1.25, 0.8, -0.45, 41.4) for i in range(5)]
    assert describe_suspects(suspects[:1]) == (
        "Check this label, which networks trained without its row do not predict: "
        "lift in line 0 is 1.25, predicted 0.8 (41 robust deviations)."
    )
    text = describe_suspects(suspects)
    assert text.startswith("Check these labels, which networks trained without their rows do not predict: lift in ")
    assert text.endswith(
        "lift in line 2 is 1.25, predicted 0.8 (41 robust deviations); 2 more are in leaderboard.json."
    )
