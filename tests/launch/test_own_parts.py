"""Metrics and callbacks of a user's own, in single runs and in stacks."""

import csv

import pytest

from runge.configuration import digest
from tests.launch.test_run import SHORT, figures, history, interrupted_at, only_run
from tests.test_loggers import RECORDER, calls

HERE = "tests.launch.test_own_parts"
WORST = (f"+metrics.worst._target_={HERE}.worst", "+metrics.worst.power=2.0")
SWEEP = ("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT, "hydra.sweep.dir=sweep")


def worst(u, du, points, power=1.0):
    return (u - points.f).abs().amax(1) ** power


def scalar(u, du, points):
    return (u - points.f).abs().max()


def broken(u, du, points):
    raise KeyError("nothing")


def test_a_metric_is_a_figure_like_the_others(train, trained, tmp_path):
    status, out, err = train(*SHORT, *WORST, RECORDER, "hydra.run.dir=run")
    assert status == 0, out + err
    run, plain = tmp_path / "run", only_run(trained(*SHORT)[0])
    found = figures(run)
    assert found["test/worst"] == pytest.approx(found["test/max_f"] ** 2)
    assert {"train/worst", "val/worst"} <= found.keys()
    assert {key: x for key, x in found.items() if "worst" not in key} == figures(plain)
    rows = history(run)
    assert [float(row["val/worst"]) for row in rows] == pytest.approx([float(row["val/max_f"]) ** 2 for row in rows])
    assert calls(run, "figures")[-1][0]["test/worst"] == found["test/worst"]


def test_a_metric_of_a_stack_is_compared(train, tmp_path):
    status, out, err = train(*SWEEP, *WORST)
    assert status == 0, out + err
    rows = list(csv.DictReader((tmp_path / "sweep/comparison.csv").read_text().splitlines()))
    assert len({row["test/worst"] for row in rows}) == 2
    for row in rows:
        assert float(row["test/worst"]) == pytest.approx(float(row["test/max_f"]) ** 2)
    assert "test/worst" in (tmp_path / "sweep/comparison.html").read_text()


def test_a_run_with_a_metric_resumes(train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("runge.training.module.Problem", interrupted_at(61))
        assert train(*SHORT, *WORST, "hydra.run.dir=run")[0] == 1
    assert train("resume=run")[0] == 0
    assert figures(tmp_path / "run")["test/worst"] > 0


def test_only_the_own_parts_of_a_run_identify_it(configuration):
    plain = configuration()
    assert not {"metrics", "callbacks"} & plain.keys()
    assert digest(plain) != digest(configuration(*WORST))


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ([f"+metrics.x._target_={HERE}.scalar"], ["metrics.x", "(M,), one figure per member, here (1,)", "()"]),
        ([f"+metrics.x._target_={HERE}.broken"], ["metrics.x", "cannot be computed", "nothing"]),
        ([f"+metrics.x._target_={HERE}.HERE"], ["metrics.x._target_", "must name a function"]),
        (["+metrics.x._target_=nowhere.f"], ["metrics.x._target_", "nowhere"]),
        ([f"+metrics.mse_f._target_={HERE}.worst"], ["metrics.mse_f", "other than loss, mse_f"]),
        ([WORST[0], "+metrics.worst.colour=red"], ["metrics.worst.colour", "no such key", "power"]),
        (["+metrics.x=1"], ["metrics.x", "section with keys"]),
    ],
)
def test_wrong_parts_are_refused(overrides, parts, train, tmp_path):
    status, out, err = train(*SHORT, *overrides)
    assert status == 1
    assert "Traceback" not in out + err
    assert all(part in err for part in parts), err
    assert not list(tmp_path.rglob("status.json"))
