"""Intervals of runs follow from the rows that their networks have not seen."""

import json
import pickle
import shutil
from contextlib import contextmanager
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
from runge.function.ensemble import write_answer
from runge.function.function import Function
from runge.function.loading import _training_rows
from runge.function.residuals import UnseenErrors, UnseenRows, rows_of
from runge.records.directories import RunDirectory
from tests.conftest import compose
from tests.refusals import refuses
from tests.sobolev.test_network import stack

SHORT = ("trainer.max_steps=10", "model.width=8", "trainer.progress_bar=false", "pictures=false")
SWEEP = (*SHORT, "data=table", "search.compare=false", "hydra.launcher.processes=1")
FOLDS = ("data.folds=4", "data.split.test=0")


def labels(x):
    y = np.stack([np.sin(x[:, 0]) + x[:, 1] ** 2, x[:, 0] * x[:, 1]], axis=1)
    dydx = np.stack([[np.cos(x[:, 0]), 2 * x[:, 1]], [x[:, 1], x[:, 0]]]).transpose(2, 0, 1)
    return y, np.where(x[:, :1, None] > 0, dydx, np.nan)


ROWS = np.random.default_rng(0).uniform(-1, 1, (40, 2))
Y, DYDX = labels(ROWS)


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "table.npz"
    np.savez(path, x=ROWS, y=Y, dydx=DYDX)
    return path


@pytest.fixture(scope="module")
def swept(table, tmp_path_factory):
    directory = tmp_path_factory.mktemp("sweep") / "sweep"
    return runge.sweep(*SWEEP, *FOLDS, f"data.file={table}", "seed=0,1,2", directory=directory)


@contextmanager
def gone(table):
    moved = table.rename(table.with_name("moved.npz"))
    try:
        yield
    finally:
        moved.rename(table)


def test_each_row_is_predicted_by_the_networks_that_have_not_seen_it(swept):
    u = runge.load(swept.directory)
    assert [len(group) for group in u.groups] == [3, 3, 3, 3]
    runs, members = [RunDirectory(run) for run in u.runs], [runge.load(run) for run in u.runs]
    jets = np.stack([np.append(one(ROWS), one.derivative(ROWS).reshape(40, 4), axis=1) for one in members])
    splits, label = [rows_of(run)[1] for run in runs], np.append(Y, DYDX.reshape(40, 4), axis=1)
    some = np.array([np.isin(np.arange(40), split.val) for split in splits])
    assert (some.sum(0) == 3).all()
    unseen = [jets[some[:, i], i] for i in range(40)]
    mean, spread = np.mean(unseen, axis=1), np.std(unseen, axis=1, ddof=1)
    scores = np.abs(mean - label) / np.sqrt(spread**2 + np.array(u.calibration.floors) ** 2)
    assert u.calibration.local
    assert u.calibration.counts == tuple((~np.isnan(label)).sum(axis=0))
    for found, expected in zip(u.calibration.scores, scores.T, strict=True):
        np.testing.assert_allclose(found, np.sort(expected[~np.isnan(expected)]), rtol=1e-4)  # 32 bit
    errors = UnseenErrors.of(u.jet, u.runs, everywhere=True)
    np.testing.assert_allclose(errors.mean(validated=False), mean - label, atol=1e-5)  # 32 bit
    first = UnseenErrors.of(members[0].jet, members[0].runs, everywhere=True)
    pairs = zip(first.calibrate(local=True).scores, members[0].calibration.scores, strict=True)
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)  # 32 bit
    assert np.flatnonzero(np.isnan(first.mean(validated=False)[:, 0])).tolist() == sorted(splits[0].train)


def test_errors_at_rows_for_validation_leave_out_the_test_rows():
    """A test row has an error of its own, which is stated apart."""
    x, y, dydx = np.arange(3.0)[:, None], np.zeros((3, 1)), np.zeros((3, 1, 1))
    rows = Rows.of((x, y, dydx), ("x",), ("y",), Table(file="t.csv"))
    parts = (([0], [0, 1], [True, False], [[[1.0, 1]], [[3.0, 3]]]), ([2], [0], [False], [[[5.0, 5]]]))
    unseen = [UnseenRows(*map(np.array, part[:3]), torch.tensor(part[3])) for part in parts]
    errors = UnseenErrors(rows, [b"", b""], unseen)
    np.testing.assert_array_equal(errors.mean(validated=False)[:, 0], [2, np.nan, 5])
    np.testing.assert_array_equal(errors.mean(validated=True)[:, 0], [1, np.nan, np.nan])
    with pytest.raises(ValueError, match="intervals need rows that were left out of"):
        errors._replace(groups=unseen[1:]).calibrate(local=False)


def test_gradients_alone_are_outside_where_the_derivatives_disagree():
    x = np.random.default_rng(0).uniform(-1, 1, (40, 1))
    y, dydx = np.append(0, np.full(39, np.nan))[:, None], np.cos(3 * x)[..., None]
    rows, u = Rows.of((x, y, dydx), ("x",), ("y",), Table(file="t.csv")), Function(stack(members=4), rows="aabb")
    value, slope = (part.detach().flatten(2) for part in u.jet(torch.tensor(x)[None]))
    errors = torch.cat([value, slope - torch.tensor(dydx[..., 0])], dim=2)
    halves = (np.arange(20), np.array([0, 1])), (np.arange(20, 40), np.array([2, 3]))
    unseen = [UnseenRows(at, who, np.array([True, True]), errors[who][:, at]) for at, who in halves]
    u.calibration = UnseenErrors(rows, [b"a", b"a", b"b", b"b"], unseen).calibrate(local=True)
    value, slope = u.calibration.outside
    assert value == 0 < slope
    spread = u.jet(torch.full((1, 1, 1), 5.0).double())[1].detach().reshape(2, 2).var(1).mean().sqrt()
    assert u.outside(5.0).item() == pytest.approx(slope * spread.item(), rel=1e-12)


def test_intervals_of_a_sweep_and_of_a_run(swept, table):
    """One run has intervals of the same width everywhere; without the table there are none."""
    u, x = runge.load(swept.directory), np.zeros((3, 5, 2))
    low, high = u.interval(x, 0.8)
    assert low.shape == (3, 5, 2)
    assert (low < u(x)).all()
    np.testing.assert_allclose((low + high) / 2, u(x), rtol=1e-9, atol=1e-12)
    assert u.derivative_interval(x, 0.8)[0].shape == (3, 5, 2, 2)
    narrow, wide = u.interval(x, 0.5), u.interval(x, 0.9)
    assert (narrow[1] - narrow[0] < wide[1] - wide[0]).all()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(u)).interval(x, 0.8)[0], low)
    u = runge.load(swept.runs[0].directory)
    assert not u.calibration.local
    assert u.calibration.counts[0] == 10
    low, high = u.interval(np.random.default_rng(0).uniform(-1, 1, (9, 2)), 0.9)
    np.testing.assert_allclose(high - low, np.broadcast_to((high - low)[0], low.shape))
    assert np.isnan(u.derivative_interval(np.zeros((1, 2)), 0.9)).all()  # five labels are too few
    with gone(table), pytest.raises((ConfigurationError, FileNotFoundError), match=r"table\.npz"):
        runge.load(swept.directory).interval(x)


def test_seeds_with_the_same_rows_have_local_intervals(tmp_path):
    frame = pandas.DataFrame({"a": ROWS[:, 0], "b": ROWS[:, 1], "y": Y[:, 0]})
    frame.assign(set=np.resize(["train", "val", "val", "test"], 40)).to_csv(tmp_path / "a.csv", index=False)
    given = f"data.file={tmp_path / 'a.csv'}", "data.inputs=[a,b]", "data.outputs=[y]", "seed=0,1"
    u = runge.load(runge.sweep(*SWEEP, *given, "data.split_column=set", directory=tmp_path / "sweep").directory)
    assert u.groups == [[0, 1]]
    assert u.calibration.local
    for option, same in (("split_column=set", 1), ("seed=0", 1), ("split.val=0.5", 0), ("split={val:0,test:0.5}", 0)):
        rows = {_training_rows(compose("data=table", f"data.{option}", f"seed={seed}")) for seed in (0, 1)}
        assert (len(rows) == 1) == same


def test_the_command_writes_intervals_and_says_what_they_hold(swept, tmp_path, capsys, monkeypatch, refusal):
    monkeypatch.chdir(tmp_path)
    x = ROWS * 0.9
    y, _ = labels(x)
    pandas.DataFrame(np.append(x, y, axis=1), columns=["x1", "x2", "y1", "y2"]).to_csv("new.csv", index=False)
    main([str(swept.directory), "new.csv", "--interval", "0.8", "--out", "out.csv"])
    found, u = pandas.read_csv("out.csv"), runge.load(swept.directory)
    (low, high), (slope_low, slope_high) = u.value_and_derivative_interval(x, 0.8)
    expected = {"u_y2_low": low[:, 1], "u_y2_high": high[:, 1]}
    expected |= {"du_y1_dx2_low": slope_low[:, 0, 1], "du_y2_dx1_high": slope_high[:, 1, 0]}
    for name, column in expected.items():
        np.testing.assert_allclose(found[name], column, rtol=1e-5)
    held, out, least = ((low <= y) & (y <= high)).mean(), capsys.readouterr().out, min(u.calibration.counts)
    assert least == (ROWS[:, 0] > 0).sum() < 40
    assert all(part in out for part in (" 0.8,", f"calibrated by {least} to 40 rows", f" {held:.1%} of 80 values")), out
    for level, rule in (("0.999", "at most 0.975, because 40 rows calibrate it"), ("90", "between 0 and 1")):
        said = refusal(main, str(swept.directory), "new.csv", "--interval", level, "--out", "none.csv")
        assert f"level, --interval: must be {rule}" in said
    assert not Path("none.csv").exists()


def test_rows_that_calibrate_intervals_are_not_counted_as_new_ones(swept, table, tmp_path, capsys):
    """One run was trained on 30 rows, and the other ten have calibrated it."""
    main([str(swept.runs[0].directory), str(table), "--interval", "0.8", "--out", str(tmp_path / "out.csv")])
    out = capsys.readouterr().out
    assert "to 10 rows" in out
    assert "they contain" not in out


def test_several_networks_are_outside_where_they_disagree(swept, table, tmp_path):
    """5 % of rows that networks have not seen are above 1, by an answer that keeps the scale when the table is gone."""
    u, x = runge.load(swept.directory), np.random.default_rng(1).uniform(-2, 2, (50, 2))
    units = np.nanvar(DYDX, axis=0) * ROWS.var(axis=0)
    scale = np.append(1 / Y.std(axis=0), ROWS.std(axis=0) / np.sqrt(units.sum(axis=1, keepdims=True)))

    def relative(members, points):
        jets = [np.append(one(points), one.derivative(points).reshape(-1, 4), axis=1) for one in members]
        return (np.var(jets, axis=0, ddof=1) * scale**2).sum(1)

    groups = [[runge.load(u.runs[member]) for member in group] for group in u.groups]
    left_out = [ROWS[rows_of(RunDirectory(u.runs[group[0]]))[1].val] for group in u.groups]
    seen = np.sqrt(np.concatenate([relative(*pair) for pair in zip(groups, left_out, strict=True)]))
    limit = np.quantile(seen, 0.95, method="weibull")
    assert (seen > limit).sum() == 2  # of 40
    expected = np.sqrt(np.mean([relative(group, x) for group in groups], axis=0)) / limit
    np.testing.assert_allclose(u.outside(x), expected, rtol=1e-3)  # 32 bit
    np.testing.assert_array_equal(u.outside(np.array([[np.inf, 0], [0, np.nan]])), np.inf)
    sweep = shutil.copytree(swept.directory, tmp_path / "copy")
    write_answer(sweep, map(str, range(12)), u.calibration)
    content = json.loads((sweep / "answer.json").read_text())
    intervals = content["intervals"]

    def write(**changes):
        (sweep / "answer.json").write_text(json.dumps(content | {"intervals": intervals | changes}))

    with gone(table):
        answer = runge.load(sweep)
        np.testing.assert_allclose(answer.outside(x), u.outside(x), rtol=1e-5)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(answer)).outside(x), answer.outside(x))
        nearest = runge.load(swept.directory)
        del intervals["outside"]
        write()
        for other in (nearest, runge.load(sweep)):  # without the scale, the distance from the rows
            assert other.outside(ROWS).max() == 0
            assert other.outside(np.array([[9.0, 9.0]])) > 1.5
    for wrong in ([1.0], [float("inf")] * 6):
        write(outside=wrong)
        with pytest.raises(ConfigurationError, match="outside: must have a number for each of 6 channels"):
            runge.load(sweep)
    write(**{name: part[:2] for name, part in intervals.items() if isinstance(part, list)})
    with refuses("answer.json", "", "6 channels"):
        runge.load(sweep)
