"""Whole runs, through `python train.py`."""

import csv
import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runge
from runge.composing.overrides import quoted
from runge.process.interruption import Interruption
from runge.records.directories import RunDirectory, resumable
from runge.records.metrics import QUANTITIES, RELATIVE
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import ROOT, compose, fit_stack, interrupted_at
from tests.refusals import check_refusal, refuses

SHORT = (
    *("trainer.max_steps=120", "trainer.log_every=20", "trainer.diagnostics_every=40", "trainer.checkpoint_seconds=0"),
    *("model.width=8", "data.n_train=16", "data.n_val=16", "data.n_test=101", "pictures=false"),
    "schedule.latest_step=60",
)
REGIONS = ("left", "middle", "right", "peak")


def only_run(path):
    (metrics,) = path.glob("outputs/**/metrics.json")
    return metrics.parent


def figures(directory):
    """Read metrics.json without the times."""
    metrics = json.loads((directory / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if not key.startswith("seconds/")}


def state(directory):
    return json.loads((directory / "status.json").read_text())


def history(directory):
    return list(csv.DictReader((directory / "history.csv").read_text().splitlines()))


def check_equal(begun, whole, files=("history.csv",)):
    assert figures(begun) == figures(whole)
    assert all((begun / file).read_bytes() == (whole / file).read_bytes() for file in files)
    best = [torch.load(path / "checkpoints" / "best.ckpt")["state_dict"] for path in (begun, whole)]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])


def fit_alone(path, *overrides, interrupt=None):
    """Train or resume a run without the command, until a signal if `interrupt` patches what sends one."""
    configuration, directory = compose(*overrides), RunDirectory(path)
    if not path.exists():
        path.mkdir()
        directory.begin(configuration, overrides, {})
    stack = prepare([Member(Settings.of(configuration), overrides)])
    with pytest.MonkeyPatch.context() as patch:
        if interrupt is None:
            return fit_stack(stack, [directory])[0]
        interrupt(patch)
        with pytest.raises(SystemExit, match="interrupted at step") as end:
            fit_stack(stack, [directory])
        return end.value


def at_step(step):
    return lambda patch: patch.setattr("runge.optimizers.optimizer.Problem", interrupted_at(step))


def before_step(patch, step, action):
    """Do something once, before the first step at or after this one."""
    original, done = SobolevRegression.training_step, []

    def act(self, block, index):
        if int(self.step) >= step and not done:
            done.append(action())
        original(self, block, index)

    patch.setattr(SobolevRegression, "training_step", act)


def check_resumed_alone(folder, overrides, *interruptions, whole=None):
    """Check that a run which is interrupted and resumed ends as the uninterrupted one, without the command."""
    if whole is None:
        whole = folder / "whole"
        fit_alone(whole, *overrides)
    for interrupt in (*interruptions, None):
        fit_alone(folder / "begun", *overrides, interrupt=interrupt)
    check_equal(folder / "begun", whole)


@pytest.fixture
def run(trained):
    return only_run(trained(*SHORT)[0])


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


def test_directory_and_its_event_file_hold_what_is_promised(trained):
    folder, out = trained(*SHORT, "pictures=true")
    directory = only_run(folder)
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    assert {name for name in files if not name.startswith("tensorboard/")} == {
        *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "train.log"),
        *("metrics.json", "history.csv", "fit.csv", "status.json", "run.json", "fit.png", "curves.png"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", ".lock"),
    }
    status = state(directory)
    assert (status["status"], status["step"]) == ("finished", 120)
    assert status["message"].startswith("explains only ")  # after so few steps
    assert set(status["checksums"]) == {"history.csv", "fit.csv", "metrics.json", "run.json", "best.ckpt"}
    assert all(row in out for row in ("whole", *REGIONS))
    assert all((directory / f"{name}.png").read_bytes().startswith(b"\x89PNG") for name in ("fit", "curves"))

    (place,) = (directory / "tensorboard").iterdir()
    events = EventAccumulator(str(place)).Reload()
    tags = events.Tags()
    shown = {"train/loss", "val/mse_df/peak", "lambda_d", "lr", "grad_norm/f", "grad_cosine", "test/mse_df"}
    assert shown <= set(tags["scalars"])
    assert [event.step for event in events.Scalars("val/loss")] == [20, 40, 60, 80, 100, 120]
    assert [(event.step, event.value) for event in events.Scalars("switched_on_step")] == [(120, 60)]
    assert set(tags["images"]) == {"fit", "curves"}
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_seven_inputs(fit):
    """Files are those of any run; the test points are a Sobol set of exactly the size asked for."""
    expr, domain = "sin(x1)+x2*x3+x4**2+x5+x6+x7", ",".join(["[0,1]"] * 7)
    formula = ("target=expression", f"target.expr='{expr}'", f"target.domain=[{domain}]", "sampling=sobol")
    directory = fit("run", *SHORT, *formula, "trainer.max_steps=20")
    rows = list(csv.DictReader((directory / "fit.csv").read_text().splitlines()))
    assert len(rows) == 101
    x = np.array([[float(row[f"x{d}"]) for d in range(1, 8)] for row in rows])
    f = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3] ** 2 + x[:, 4:].sum(1)
    np.testing.assert_allclose([float(row["f"]) for row in rows], f, rtol=1e-6)
    np.testing.assert_allclose([float(row["df_dx2"]) for row in rows], x[:, 2], rtol=1e-6)
    assert {"test/mse_f/boundary", "test/mse_f/interior"} < figures(directory).keys()


def test_metrics_history_and_checkpoints_follow_the_grammar(run):
    metrics, rows = json.loads((run / "metrics.json").read_text()), history(run)
    expected = {f"{split}/loss" for split in ("train", "val", "test")}
    expected |= {f"{split}/{q}" for split in ("train", "val", "test") for q in (*QUANTITIES, *RELATIVE)}
    expected |= {f"{split}/{q}/{r}" for split in ("train", "val", "test") for q in QUANTITIES for r in REGIONS}
    expected |= {"lambda_d", "grad_norm/f", "grad_norm/df", "grad_cosine", "parameters", "switched_on_step"}
    assert set(metrics) == expected | {"best_step", "seconds/fit", "seconds/total"}
    assert metrics["parameters"] == 8 + 8 + 64 + 8 + 8 + 1
    assert metrics["switched_on_step"] == 60
    assert metrics["test/loss"] == pytest.approx(metrics["test/mse_f"] + 0.1 * metrics["test/mse_df"], rel=1e-5)
    assert [int(row["step"]) for row in rows] == [20, 40, 60, 80, 100, 120]
    assert [float(row["lambda_d"]) for row in rows] == [0, 0, 0, 0.1, 0.1, 0.1]
    assert [bool(row["grad_norm/df"]) for row in rows] == [False, True] * 3
    assert all(row[f"val/mse_df/{region}"] for row in rows for region in REGIONS)
    best, last = (torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert "switched_on" in last["state_dict"].keys() - best["state_dict"].keys()
    recorded = json.loads((run / "run.json").read_text())
    assert best["configuration"]["model"]["width"] == recorded["model"]["width"] == 8


def test_fit_metrics_and_loaded_function_agree(run):
    metrics, function = figures(run), runge.load(run)
    fit = list(csv.DictReader((run / "fit.csv").read_text().splitlines()))
    assert list(fit[0]) == ["x", "f", "df", "u", "du"]
    x, f, df, u, du = np.array([list(map(float, row.values())) for row in fit]).T
    assert x == pytest.approx(np.linspace(-1, 1, 101), abs=1e-7)
    assert f == pytest.approx(1 / (1 + 25 * x**2), rel=1e-6)
    assert df == pytest.approx(-50 * x * f**2, rel=1e-5)
    assert np.mean((u - f) ** 2) == pytest.approx(metrics["test/mse_f"], rel=1e-5)
    assert np.mean((du - df) ** 2) == pytest.approx(metrics["test/mse_df"], rel=1e-5)
    assert np.max(abs(du - df)) == pytest.approx(metrics["test/max_df"], rel=1e-5)
    assert function(x) == pytest.approx(u, rel=1e-4)
    assert function.derivative(x) == pytest.approx(du, rel=1e-3)


def test_same_seeds_same_bits(fit):
    """And the seed of the data is the seed, unless it is given."""
    seeds = {"one": ("seed=1",), "two": ("seed=1", "data.seed=1"), "three": ("seed=2", "data.seed=1")}
    options = (*SHORT, "trainer.max_steps=20", "sampling=random", "data.batch_size=5")
    one, two, three = (fit(name, *options, *seeds[name]) for name in seeds)
    check_equal(one, two)
    assert figures(one) != figures(three)


STOCHASTIC = (*SHORT, "sampling=random", "data.batch_size=5", "schedule.ramp_steps=40")


def test_run_that_is_moved_and_resumed_equals_the_uninterrupted_one(fail, finish, trained, tmp_path):
    """Ended by Ctrl-C at the switch, moved to another place, and continued beside half-written checkpoints."""
    whole = only_run(trained(*STOCHASTIC)[0])
    _, err = fail(*STOCHASTIC, "hydra.run.dir=begun", interrupt=60)
    assert f"interrupted at step 60; continue with python {ROOT}/train.py resume=" in err
    begun = tmp_path / "begun"
    assert (state(begun)["status"], state(begun)["step"]) == ("interrupted", 60)
    assert not (begun / "metrics.json").exists()
    assert [int(row["step"]) for row in history(begun)] == [20, 40, 60]

    began = state(begun)["began"]
    moved = begun.rename(tmp_path / "moved")
    for name in ("best", "last"):
        (moved / "checkpoints" / f".{name}.ckpt.01234567.part").touch()
    record = {path.name: path.read_bytes() for path in (moved / ".hydra").iterdir()}
    finish("resume=moved")
    check_equal(moved, whole)
    assert figures(moved)["switched_on_step"] == 60
    assert state(moved)["began"] == began < state(moved)["written"]
    assert {path.name: path.read_bytes() for path in (moved / ".hydra").iterdir()} == record
    assert sorted(path.name for path in (moved / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]
    with refuses("resume", "'moved'", "which is finished"):
        resumable("moved")


def interrupt_twice(patch):
    """Send two signals in each step, of which the second ends the run before its first checkpoint."""
    patch.setattr(SobolevRegression, "training_step", lambda *_: [signal.raise_signal(signal.SIGINT) for _ in "12"])


def hang(patch):
    """Send a signal in a step that does not end, as during compilation: the run stays as it was last saved."""

    def never_end():
        signal.raise_signal(signal.SIGINT)
        time.sleep(60)

    patch.setattr(Interruption, "PATIENCE", 0.2)
    before_step(patch, 60, never_end)


def test_a_resumed_run_equals_the_uninterrupted_one(trained, tmp_path):
    """Interrupted by a signal within a step, and at once by a second one, after the first step, and within a block."""
    interruptions = (interrupt_twice, at_step(1), hang, at_step(14))
    check_resumed_alone(tmp_path, STOCHASTIC, *interruptions, whole=only_run(trained(*STOCHASTIC)[0]))


def test_interrupt_after_the_last_step_ends_the_sweep_too(fail, tmp_path, monkeypatch):
    original = SobolevRegression.training_step

    def interrupt(self, block, index):
        original(self, block, index)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SobolevRegression, "training_step", interrupt)
    steps = ("trainer.max_steps=10", "trainer.log_every=10", "pictures=false")
    _, err = fail("-m", "model.width=4,8", "hydra.launcher.processes=1", *steps)
    assert "1 of 2 runs are finished" in err
    for file in ("metrics", "status"):
        assert len(list(tmp_path.glob(f"outputs/multirun/*/*/*/{file}.json"))) == 1


def test_directory_of_another_run_is_left_alone(fail, copy):
    def content():
        files = [path for path in copy.rglob("*") if path.is_file() and path.suffix not in (".log", "")]
        return {path: path.read_bytes() for path in files}

    before = content()
    for words, key in (((*SHORT, "model.width=9"), "hydra.run.dir"), (("resume=nowhere",), "resume")):
        _, err = fail(*words, "hydra.run.dir=run")
        assert key in err
    assert content() == before


@pytest.mark.nightly
def test_a_resumed_run_may_be_shown_logged_and_saved_differently_only(fit, fail, finish, monkeypatch):
    """The run keeps the objective and the pictures of its own configuration, and the log names the loggers it lacks."""
    run, made = fit("run", *SHORT, "logger=csv", "objective=val/loss"), []
    monkeypatch.setattr("runge.training.member.Member", lambda *x, **more: made.append(Member(*x, **more)) or made[-1])
    expected = figures(run)

    def resumed(*overrides):
        (run / "metrics.json").unlink()
        printed = finish("resume=run", *overrides)
        assert figures(run) == expected
        return printed

    assert "not continued: the run's loggers (csv)" in resumed()
    assert made[0].objective.keys == ("val/loss",)
    assert not (run / "fit.png").exists()
    asked = ("trainer.progress_bar=false", "++trainer.checkpoint_seconds=7", "logger=csv", "pictures=true")
    assert "not continued" not in resumed(*asked)
    settings = made[1].settings.trainer
    assert (settings.progress_bar, settings.checkpoint_seconds, settings.log_every) == (False, 7, 20)
    assert (run / "fit.png").exists()
    assert not (run / ".hydra").exists()  # it would be the record of `resume=run`, not of the run
    (run / "metrics.json").unlink()
    _, err = fail("resume=run", "model.width=9")
    check_refusal(err[err.index("error: ") :], "resume", "", "remove model.width=9")


def test_resume_says_what_a_directory_without_a_run_holds(in_folder):
    Path("begun/.hydra.part").mkdir(parents=True)
    Path("begun/train.log").touch()
    with refuses("resume", "'begun'", "which holds .hydra.part, train.log, but no run.json", "hydra.run.dir=begun"):
        resumable("begun")
    Path("sweep").mkdir()
    Path("sweep/multirun.yaml").touch()
    with refuses("resume", "'sweep'", "hydra.sweep.dir=sweep"):
        resumable("sweep")


def test_runs_begin_beside_what_others_have_left(train, tmp_path):
    """Two that start in the same second have directories of their own, and one may begin where another could not."""
    for name in ("now/.hydra.part", "now-2"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    (tmp_path / "outputs" / "now" / "train.log").touch()
    for directory in ("${runge.directory:null,outputs/now}", "outputs/now"):
        assert train(*SHORT, "trainer.max_steps=1", f"hydra.run.dir={directory}")[0] == 0
    assert {path.parent.name for path in tmp_path.glob("outputs/*/metrics.json")} == {"now", "now-3"}


FORMULA = ("target=expression", "target.expr=exp(-x)*sin(8*x)")
VARIANTS = [
    ["sampling=uniform", "optimizer=adam", "model.init=knots", "model.depth=4", "trainer.precision=64"],
    ["sampling=random", "optimizer=adamw", "model.activation=relu", "~model.standardize", "data.boundary_points=4"],
    ["sampling=chebyshev", "optimizer=sgd", "optimizer.clip_norm=1.0", "model.activation=gelu", "schedule.at_step=30"],
    ["sampling=endpoint", "optimizer=lbfgs", "model.activation=sigmoid"],
    ["sampling=mixed", "model.activation=silu", *FORMULA, "target.expr=2", "loss.derivative_scale=std"],
    ["sampling=stratified", "optimizer=adamw", "model.activation=softplus", "optimizer.lr_schedule=constant"],
    [
        *("sampling=derivative", "optimizer=sgd", "model.activation=sin", "schedule=constant"),
        *("loss.derivative_scale=max", "loss.sample_weight=derivative"),
    ],
    ["experiment=hw2"],
    ["experiment=hw3"],
    [*FORMULA, "target.domain=[0.5,2]", "data.seed=3", "trainer.log_every=7", "data.n_derivative=8"],
    [*FORMULA, "target.expr=sin(x)*y", "target.domain=[[-1,1],[0,2]]", "model.derivative=autograd"],
    [*FORMULA, "target.expr=x*y+z", "target.domain=[[0,1],[0,1],[0,1]]", "data.n_train=27", "data.n_test=125"],
]


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_every_option_runs(overrides, fit):
    drop = {override.partition("=")[0] for override in overrides}
    if {"schedule=constant", "experiment=hw2"} & {*overrides}:
        drop.add("schedule.latest_step")
    few = ("trainer.max_steps=40", "schedule.latest_step=20", *SHORT[1:-1], "trainer.progress_bar=false")
    short = [option for option in few if option.partition("=")[0] not in drop]
    directory = fit("run", *quoted(overrides), *short)
    assert figures(directory)["test/mse_f"] >= 0
    u = runge.load(directory)
    x = torch.zeros(5, len(u.inputs)) if len(u.inputs) > 1 else torch.zeros(5)
    assert u(x).shape == (5,)
    assert u.derivative(x).shape == x.shape
