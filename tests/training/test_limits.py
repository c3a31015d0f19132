"""The time of a run, `trainer.max_seconds`, by a clock of the tests; and its first function, `trainer.start`."""

import json
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import runge
from runge.configuration.errors import ConfigurationError
from runge.optimizers.levenberg_marquardt import LevenbergMarquardt
from runge.training.member import Member
from runge.training.saving import StateFile
from runge.training.stack import Stack
from tests.sweeps.test_run import figures, history
from tests.sweeps.test_sweep import new_run

SHORT = (
    *("model.width=6", "data.n_train=12", "data.n_val=32", "data.n_test=41", "schedule=constant", "logger=[]"),
    "pictures=false",
    *("trainer.log_every=10", "trainer.max_steps=60", "trainer.progress_bar=false", "trainer.compile=off"),
    *("trainer.diagnostics_every=20", "trainer.checkpoint_seconds=1000", "trainer.precision=64"),
)


@pytest.fixture
def ticking(monkeypatch):
    """A clock that a second passes between any two looks at it, which are after each step and when a state is saved."""
    seconds = count()
    monkeypatch.setattr(
        "runge.training.callbacks.stopping.time", SimpleNamespace(monotonic=lambda: float(next(seconds)))
    )


def status(directory):
    return json.loads((directory / "status.json").read_text())


@pytest.mark.parametrize("optimizer", ["adam", "levenberg_marquardt"])
def test_a_run_ends_with_what_it_has_when_its_time_is_over(optimizer, ticking, fit):
    """Also in the middle of a block."""
    run = fit("run", *SHORT, f"optimizer={optimizer}", "trainer.max_seconds=25")
    assert status(run) == status(run) | {"status": "finished", "step": 25}
    assert [int(row["step"]) for row in history(run)] == [10, 20, 25]
    assert runge.load(run)(0.5).isfinite().all()


def test_the_schedule_is_that_of_all_steps(ticking, fit):
    whole, part = fit("whole", *SHORT), fit("part", *SHORT, "trainer.max_seconds=20")
    assert history(part) == history(whole)[:2]


def test_the_optimiser_finishes(ticking, configuration, tmp_path, monkeypatch):
    finished = []
    monkeypatch.setattr(LevenbergMarquardt, "finish", lambda self, problem: finished.append(problem))
    options = ("optimizer=levenberg_marquardt", "trainer.max_seconds=13")
    Stack([Member(configuration(*SHORT, *options))]).fit([new_run(tmp_path / "run")], report=lambda _: None)
    assert len(finished) == 1
    assert status(tmp_path / "run")["step"] == 13


def test_members_of_a_stack_have_as_much_time_each(ticking, configuration, tmp_path):
    runs = [new_run(tmp_path / name) for name in "ab"]
    members = [Member(configuration(*SHORT, "trainer.max_seconds=15", f"seed={seed}")) for seed in (0, 1)]
    Stack(members).fit(runs, report=lambda _: None)
    assert [status(run.path)["step"] for run in runs] == [30, 30]


def test_an_interrupted_run_has_the_rest_of_its_time(ticking, train, tmp_path):
    assert train(*SHORT, "trainer.max_seconds=40", "hydra.run.dir=run", interrupt=15)[0] == 1
    assert status(tmp_path / "run")["status"] == "interrupted"
    begun = status(tmp_path / "run")["step"]
    assert train("resume=run")[0] == 0
    assert status(tmp_path / "run")["status"] == "finished"
    assert begun < status(tmp_path / "run")["step"] <= 40


def test_a_run_that_was_killed_after_its_time_takes_no_further_step(ticking, train, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(StateFile, "remove_checkpoint", lambda *_: None)
        assert train(*SHORT, "trainer.max_seconds=25", "hydra.run.dir=run")[0] == 0
    before, rows = figures(tmp_path / "run"), history(tmp_path / "run")
    for name in ("metrics.json", "history.csv"):
        (tmp_path / "run" / name).unlink()
    assert train("resume=run")[0] == 0
    assert figures(tmp_path / "run") == before
    assert history(tmp_path / "run") == rows


@pytest.fixture
def started(trained):
    """A finished run on [-1, 1]."""
    return trained(*SHORT, "model.standardize=true", "hydra.run.dir=first")[0] / "first"


@pytest.mark.parametrize("standardize", ["true", "false"])
@pytest.mark.parametrize("precision", [64, 32])
def test_a_run_begins_with_the_function_of_another_one(standardize, precision, started, configuration):
    """Its box, its points and its units differ."""
    options = ("target.domain=[[-0.5,2]]", "data.n_train=20", f"model.standardize={standardize}", "seed=3")
    options += (f"trainer.precision={precision}", f"trainer.start={started}")
    network = Stack([Member(configuration(*SHORT, *options))]).module.network
    x = torch.linspace(-0.5, 2, 50, dtype=torch.float64)[:, None]
    first = runge.load(started).double()
    units = network.units
    with torch.no_grad():
        inputs = x[None].to(network.theta) if units is None else units.standardise_inputs(x[None]).to(network.theta)
        values = network.predict(inputs)
    values = values if units is None else units.restore(*values)
    tolerance = 1e-12 if precision == 64 else 1e-5
    np.testing.assert_allclose(values[0][0, :, 0].numpy(), np.ravel(first(x.numpy())), atol=tolerance)
    np.testing.assert_allclose(values[1].flatten().numpy(), np.ravel(first.derivative(x.numpy())), atol=tolerance)


def test_members_of_a_stack_may_begin_differently(started, configuration, tmp_path):
    starts = (f"trainer.start={started}", "trainer.start=null")
    members = [Member(configuration(*SHORT, "model.standardize=true", start)) for start in starts]
    assert members[0].shared() == members[1].shared()
    runs = [new_run(tmp_path / f"{i}") for i in range(2)]
    Stack(members).fit(runs, report=lambda _: None)
    for i, member in enumerate(members):
        alone = new_run(tmp_path / f"alone{i}")
        Stack([member]).fit([alone], report=lambda _: None)
        assert figures(runs[i].path) == pytest.approx(figures(alone.path), rel=1e-6, abs=1e-12)
    assert float(history(runs[0].path)[0]["train/loss"]) < 0.9 * float(history(runs[1].path)[0]["train/loss"])


@pytest.mark.parametrize("wrong", ["model.width=7", "model.depth=1", "model.activation=gelu"])
def test_another_network_is_refused(wrong, started, configuration):
    rule = r"trainer\.start: must be the directory of a finished run with the same network; got '.*first' \(must have"
    with pytest.raises(ConfigurationError, match=rule):
        Stack([Member(configuration(*SHORT, f"trainer.start={started}", wrong))])


def test_a_directory_without_a_run_is_refused_before_any_work(fail, tmp_path):
    _, err = fail(*SHORT, "trainer.start=nowhere", "hydra.run.dir=run")
    assert "error: trainer.start: must be the directory of a finished run with the same network; got 'nowhere'" in err
    assert not list(tmp_path.iterdir())
