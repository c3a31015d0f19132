"""Intervals of runs follow from the rows that their networks have not seen."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas
import pytest
import torch

import runge
from runge.commands.predict import main
from runge.configuration.errors import ConfigurationError
from runge.data.rows import Rows
from runge.data.table import Table
from runge.function.residuals import UnseenErrors, UnseenRows, rows_of
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer

SHORT = ("trainer.max_steps=30", "model.width=8", "trainer.progress_bar=false", "pictures=false")
SWEEP = (*SHORT, "search.compare=false", "hydra.launcher.processes=1")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    y = np.stack([np.sin(x[:, 0]) + x[:, 1] ** 2, x[:, 0] * x[:, 1]], axis=1)
    zero = 0 * x[:, 0]
    dydx = np.stack([[np.cos(x[:, 0]), 2 * x[:, 1]], [x[:, 1], zero + x[:, 0]]]).transpose(2, 0, 1)
    path = tmp_path_factory.mktemp("table") / "table.npz"
    np.savez(path, x=x, y=y, dydx=np.where(x[:, :1, None] > 0, dydx, np.nan))
    return path


@pytest.fixture(scope="module")
def swept(table, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    return runge.sweep(
        *("data=table", f"data.file={table}", "data.folds=4", "data.split.test=0", "seed=0,1,2", *SWEEP),
        directory=directory,
    )


def test_each_row_is_predicted_by_the_networks_that_have_not_seen_it(swept):
    u = runge.load(swept.directory)
    assert [len(group) for group in u.groups] == [3, 3, 3, 3]
    runs = [RunDirectory(run) for run in u.runs]
    rows, unseen = rows_of(runs[0])[0], [set(rows_of(run)[1].val) for run in runs]
    parts = {name: [] for name in ("mean", "spread", "label")}
    for i, x in enumerate(rows.x):
        some = [runge.load(run.path) for run, left_out in zip(runs, unseen, strict=True) if i in left_out]
        values = np.stack([np.concatenate([one(x), one.derivative(x).ravel()]) for one in some])
        assert len(values) == 3
        for name, part in zip(
            parts, (values.mean(0), values.std(0, ddof=1), [*rows.y[i], *rows.dydx[i].ravel()]), strict=True
        ):
            parts[name].append(part)
    mean, spread, label = map(np.array, parts.values())
    scores = np.abs(mean - label) / np.sqrt(spread**2 + np.array(u.calibration.floors) ** 2)
    assert u.calibration.local
    assert u.calibration.counts == tuple((~np.isnan(label)).sum(axis=0))
    for found, expected in zip(u.calibration.scores, scores.T, strict=True):
        np.testing.assert_allclose(found, np.sort(expected[~np.isnan(expected)]), rtol=1e-4)  # 32 bit


def test_errors_at_rows_that_were_left_out(swept):
    u = runge.load(swept.directory)
    errors = UnseenErrors.of(u.jet, u.runs, everywhere=True)
    found = errors.mean(range(12), validated=False)
    runs = [RunDirectory(run) for run in u.runs]
    rows, trained = rows_of(runs[0])[0], [set(rows_of(run)[1].train) for run in runs]
    for i, x in enumerate(rows.x):
        some = [runge.load(run.path) for run, seen in zip(runs, trained, strict=True) if i not in seen]
        assert len(some) == 3
        mean = np.mean([np.concatenate([one(x), one.derivative(x).ravel()]) for one in some], axis=0)
        label = np.concatenate([rows.y[i], rows.dydx[i].ravel()])
        np.testing.assert_allclose(found[i], mean - label, atol=1e-5)  # 32 bit
    pairs = zip(errors.calibrate([0], local=True).scores, runge.load(runs[0].path).calibration.scores, strict=True)
    for scores, expected in pairs:
        np.testing.assert_allclose(scores, expected, rtol=1e-3, atol=1e-6)  # 32 bit
    alone = errors.mean([0], validated=False)
    assert np.flatnonzero(np.isnan(alone[:, 0])).tolist() == sorted(trained[0])


def test_errors_at_rows_for_validation_leave_out_the_test_rows():
    """A test row has an error of its own, which is stated apart."""
    x, y, dydx = np.arange(3.0)[:, None], np.zeros((3, 1)), np.zeros((3, 1, 1))
    rows = Rows.of((x, y, dydx), ("x",), ("y",), Table(file="t.csv"))
    validation = UnseenRows(
        np.array([0]), np.array([0, 1]), np.array([True, False]), torch.tensor([[[1.0, 1]], [[3.0, 3]]])
    )
    test = UnseenRows(np.array([2]), np.array([0]), np.array([False]), torch.tensor([[[5.0, 5]]]))
    errors = UnseenErrors(rows, [b"", b""], [validation, test])
    np.testing.assert_array_equal(errors.mean([0, 1], validated=False)[:, 0], [2, np.nan, 5])
    np.testing.assert_array_equal(errors.mean([0, 1], validated=True)[:, 0], [1, np.nan, np.nan])


def test_intervals_have_the_shapes_of_values_and_derivatives(swept):
    u, x = runge.load(swept.directory), np.zeros((3, 5, 2))
    low, high = u.interval(x, 0.8)
    assert low.shape == (3, 5, 2)
    assert (low < u(x)).all()
    np.testing.assert_allclose((low + high) / 2, u(x), rtol=1e-9, atol=1e-12)
    low, high = u.derivative_interval(x, 0.8)
    assert low.shape == (3, 5, 2, 2)
    narrow, wide = u.interval(x, 0.5), u.interval(x, 0.9)
    assert (narrow[1] - narrow[0] < wide[1] - wide[0]).all()
    copied = pickle.loads(pickle.dumps(u))
    np.testing.assert_array_equal(copied.interval(x, 0.8)[0], u.interval(x, 0.8)[0])


def test_seeds_with_the_same_rows_have_local_intervals(table, tmp_path):
    with np.load(table) as content:
        columns = {"a": content["x"][:, 0], "b": content["x"][:, 1], "y": content["y"][:, 0]}
    frame = pandas.DataFrame(columns | {"set": np.resize(["train", "val", "val", "test"], 40)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    given = "data=table", f"data.file={tmp_path / 'a.csv'}", "data.inputs=[a,b]", "data.outputs=[y]", "seed=0,1,2"
    half = "data.split.val=0.5"
    for number, some in enumerate((["data.split_column=set"], ["data.seed=0", half], [half])):
        u = runge.load(runge.sweep(*given, *some, *SWEEP, directory=tmp_path / str(number)).directory)
        assert u.groups == ([[0, 1, 2]] if number < 2 else [])
        assert u.calibration.local == (number < 2)


def test_one_run_has_intervals_of_the_same_width_everywhere(swept):
    u = runge.load(swept.runs[0].directory)
    assert not u.calibration.local
    assert u.calibration.counts[0] == 10
    low, high = u.interval(np.random.default_rng(0).uniform(-1, 1, (9, 2)), 0.9)
    np.testing.assert_allclose(high - low, np.broadcast_to((high - low)[0], low.shape))
    assert np.isnan(u.derivative_interval(np.zeros((1, 2)), 0.9)).all()  # five labels are too few


def test_without_rows_there_are_no_intervals(table, swept, tmp_path):
    x = np.zeros((1, 2))
    all_rows = runge.train("data=table", f"data.file={table}", "data.split.val=0", *SHORT, directory=tmp_path / "all")
    with pytest.raises(ValueError, match="intervals need rows that were left out of the training of some network"):
        all_rows.function.interval(x)
    formula = runge.train(*SHORT, directory=tmp_path / "formula")
    with pytest.raises(ValueError, match="intervals need runs on a table"):
        formula.function.interval(0.0)
    shutil.copytree(swept.directory, tmp_path / "copy")
    u, moved = runge.load(tmp_path / "copy"), table.with_name("moved.npz")
    table.rename(moved)
    try:
        with pytest.raises((ConfigurationError, FileNotFoundError), match=r"table\.npz"):
            u.interval(x)
    finally:
        moved.rename(table)


def test_the_command_writes_intervals_and_says_what_they_hold(swept, table, tmp_path, capsys, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    with np.load(table) as content:
        x = content["x"] * 0.9
    y = np.stack([np.sin(x[:, 0]) + x[:, 1] ** 2, x[:, 0] * x[:, 1]], axis=1)
    columns = {"x1": x[:, 0], "x2": x[:, 1], "y1": y[:, 0], "y2": y[:, 1]}
    pandas.DataFrame(columns).to_csv("new.csv", index=False)
    main([str(swept.directory), "new.csv", "--interval", "0.8", "--out", "out.csv"])
    found, u = pandas.read_csv("out.csv"), runge.load(swept.directory)
    (low, high), (slope_low, slope_high) = u.value_and_derivative_interval(x, 0.8)
    for name, expected in {
        "u_y2_low": low[:, 1],
        "u_y2_high": high[:, 1],
        "du_y1_dx2_low": slope_low[:, 0, 1],
        "du_y2_dx1_high": slope_high[:, 1, 0],
    }.items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-5)
    held = ((low <= y) & (y <= high)).mean()
    said = f"intervals of level 0.8, calibrated by 40 rows; they contain {held:.1%} of 80 values of rows not trained on"
    assert said in capsys.readouterr().out
    for level, rule in (
        ("0.999", "at most 0.976, because 40 rows calibrate it"),
        ("90", "between 0 and 1"),
    ):
        said = refusal(main, str(swept.directory), "new.csv", "--interval", level, "--out", "none.csv")
        assert f"level: must be {rule}" in said
    assert not Path("none.csv").exists()


def test_several_networks_are_outside_where_they_disagree(swept, table, tmp_path):
    """5 % of rows that networks have not seen are above 1, by an answer that keeps the scale when the table is gone."""
    u, x = runge.load(swept.directory), np.random.default_rng(1).uniform(-2, 2, (50, 2))
    with np.load(table) as content:
        rows, y, dydx = (content[name] for name in ("x", "y", "dydx"))
    units = np.nanvar(dydx, axis=0) * rows.var(axis=0)
    scale = np.append(1 / y.std(axis=0), rows.std(axis=0) / np.sqrt(units.sum(axis=1, keepdims=True)))

    def relative(members, points):
        jets = [np.append(one(points), one.derivative(points).reshape(-1, 4), axis=1) for one in members]
        return np.var(jets, axis=0, ddof=1) * scale**2

    groups = [[runge.load(u.runs[member]) for member in group] for group in u.groups]
    left_out = [rows_of(RunDirectory(u.runs[group[0]]))[1].val for group in u.groups]
    seen = np.sqrt(
        np.concatenate([relative(*pair).sum(1) for pair in zip(groups, [rows[i] for i in left_out], strict=True)])
    )
    limit = np.quantile(seen, 0.95, method="weibull")
    assert (seen > limit).sum() == 2  # of 40
    expected = np.sqrt(np.mean([relative(group, x) for group in groups], axis=0).sum(1)) / limit
    np.testing.assert_allclose(u.outside(x), expected, rtol=1e-3)  # 32 bit
    np.testing.assert_array_equal(u.outside(np.array([[np.inf, 0], [0, np.nan]])), np.inf)
    sweep = shutil.copytree(swept.directory, tmp_path / "copy")
    write_answer(sweep, map(str, range(12)), u.calibration)
    content, moved = json.loads((sweep / "answer.json").read_text()), table.with_name("moved.npz")
    table.rename(moved)
    try:
        answer = runge.load(sweep)
        np.testing.assert_allclose(answer.outside(x), u.outside(x), rtol=1e-5)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(answer)).outside(x), answer.outside(x))
        nearest = runge.load(swept.directory)
        del content["intervals"]["outside"]
        (sweep / "answer.json").write_text(json.dumps(content))
        for other in (nearest, runge.load(sweep)):  # without the scale, the distance from the rows
            assert other.outside(rows).max() == 0
            assert other.outside(np.array([[9.0, 9.0]])) > 1.5
    finally:
        moved.rename(table)
    for wrong in ([1.0], [float("inf")] * 6):
        (sweep / "answer.json").write_text(
            json.dumps(content | {"intervals": content["intervals"] | {"outside": wrong}})
        )
        with pytest.raises(ConfigurationError, match="outside: must have a number for each of 6 channels"):
            runge.load(sweep)
    few = {name: part[:2] if isinstance(part, list) else part for name, part in content["intervals"].items()}
    (sweep / "answer.json").write_text(json.dumps(content | {"intervals": few}))
    with pytest.raises(ConfigurationError, match=r"answer\.json is damaged \(its intervals must have 6 channels\)"):
        runge.load(sweep)


def test_gradients_alone_are_outside_where_the_derivatives_disagree(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, 40)
    data = {"x": x[:, None], "y": np.append(0, np.full(39, np.nan))[:, None], "dydx": np.cos(3 * x)[:, None, None]}
    np.savez(tmp_path / "table.npz", **data)
    given = "data=table", f"data.file={tmp_path / 'table.npz'}", "data.folds=4", "data.split.test=0", "seed=0,1"
    u = runge.load(runge.sweep(*given, *SWEEP, directory=tmp_path / "sweep").directory)
    value, slope = u.calibration.outside
    assert value == 0 < slope
    derivative = np.array([runge.load(run).derivative(np.array([5.0]))[0] for run in u.runs])
    spread = np.sqrt(np.mean([np.var(derivative[group], ddof=1) for group in u.groups]))
    assert u.outside(np.array([5.0])) == pytest.approx(slope * spread, rel=1e-3)
