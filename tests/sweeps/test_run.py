"""Whole runs, through `python train.py`."""

import csv
import json
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runge
from runge.metrics import QUANTITIES, RELATIVE
from runge.sweeps import run as run_module
from runge.sweeps.session import quoted
from runge.training.member import Member
from runge.training.module import SobolevRegression
from tests.conftest import ROOT

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


def check_resumed(train, folder, overrides, step, files=("history.csv",)):
    """Check that a run which is interrupted at a step and resumed ends as the uninterrupted one; return the latter."""
    assert train(*overrides, "hydra.run.dir=whole")[0] == 0
    assert train(*overrides, "hydra.run.dir=begun", interrupt=step)[0] == 1
    whole, begun = folder / "whole", folder / "begun"
    assert state(begun)["status"] == "interrupted"
    assert train("resume=begun")[0] == 0
    assert figures(begun) == figures(whole)
    for file in files:
        assert (begun / file).read_bytes() == (whole / file).read_bytes()
    best = [torch.load(path / "checkpoints" / "best.ckpt")["state_dict"] for path in (begun, whole)]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])
    return whole


@pytest.fixture
def run(trained):
    folder, out = trained(*SHORT)
    return only_run(folder), out


@pytest.fixture
def pictured(trained):
    folder, out = trained(*SHORT, "pictures=true")
    return only_run(folder), out


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run[0], tmp_path / "run")


def test_directory_holds_what_is_promised(pictured):
    directory, out = pictured
    files = {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}
    events = {name for name in files if name.startswith("tensorboard/")}
    assert files - events == {
        *(".hydra/config.yaml", ".hydra/hydra.yaml", ".hydra/overrides.yaml", "train.log"),
        *("metrics.json", "history.csv", "fit.csv", "status.json", "run.json", "fit.png", "curves.png"),
        *("checkpoints/best.ckpt", "checkpoints/last.ckpt", ".lock"),
    }
    assert events
    status = state(directory)
    assert (status["status"], status["step"]) == ("finished", 120)
    assert status["message"].startswith("explains only ")  # after so few steps
    assert set(status["checksums"]) == {"history.csv", "fit.csv", "metrics.json"}
    assert all(row in out for row in ("whole", *REGIONS))
    for picture in ("fit.png", "curves.png"):
        assert (directory / picture).read_bytes().startswith(b"\x89PNG")


def test_seven_inputs(trained):
    """Files are those of any run; the test points are a Sobol set of exactly the size asked for."""
    expr, domain = "sin(x1)+x2*x3+x4**2+x5+x6+x7", "[[0,1],[0,1],[0,1],[0,1],[0,1],[0,1],[0,1]]"
    folder, out = trained(
        *SHORT, "target=expression", f"target.expr={expr}", f"target.domain={domain}", "sampling=sobol"
    )
    directory = only_run(folder)
    rows = list(csv.DictReader((directory / "fit.csv").read_text().splitlines()))
    assert len(rows) == 101
    x = np.array([[float(row[f"x{d}"]) for d in range(1, 8)] for row in rows])
    f = np.sin(x[:, 0]) + x[:, 1] * x[:, 2] + x[:, 3] ** 2 + x[:, 4:].sum(1)
    np.testing.assert_allclose([float(row["f"]) for row in rows], f, rtol=1e-6)
    np.testing.assert_allclose([float(row["df_dx2"]) for row in rows], x[:, 2], rtol=1e-6)
    assert "16 train, 16 val, 101 test" in out
    assert all(region in out for region in ("whole", "boundary", "interior"))


def test_metrics_follow_the_grammar(run):
    metrics = json.loads((run[0] / "metrics.json").read_text())
    expected = {f"{split}/loss" for split in ("train", "val", "test")}
    expected |= {f"{split}/{q}" for split in ("train", "val", "test") for q in (*QUANTITIES, *RELATIVE)}
    expected |= {f"{split}/{q}/{r}" for split in ("train", "val", "test") for q in QUANTITIES for r in REGIONS}
    expected |= {
        "lambda_d",
        "grad_norm/f",
        "grad_norm/df",
        "grad_cosine",
        "parameters",
        "switched_on_step",
        "best_step",
    }
    expected |= {"seconds/fit", "seconds/total"}
    assert set(metrics) == expected
    assert metrics["parameters"] == 8 + 8 + 64 + 8 + 8 + 1
    assert metrics["switched_on_step"] == 60
    assert metrics["test/loss"] == pytest.approx(metrics["test/mse_f"] + 0.1 * metrics["test/mse_df"], rel=1e-5)


def test_fit_metrics_and_loaded_function_agree(run):
    directory, _ = run
    metrics, function = figures(directory), runge.load(directory)
    fit = list(csv.DictReader((directory / "fit.csv").read_text().splitlines()))
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


def test_history_has_a_row_for_every_logged_step(run):
    rows = history(run[0])
    assert [int(row["step"]) for row in rows] == [20, 40, 60, 80, 100, 120]
    assert [float(row["lambda_d"]) for row in rows] == [0, 0, 0, 0.1, 0.1, 0.1]
    assert [bool(row["grad_norm/df"]) for row in rows] == [False, True] * 3
    assert all(row[f"val/mse_df/{region}"] for row in rows for region in REGIONS)


def test_tensorboard_has_scalars_pictures_and_hyperparameters(pictured):
    (place,) = (pictured[0] / "tensorboard").iterdir()
    events = EventAccumulator(str(place))
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "val/mse_df/peak", "lambda_d", "lr", "grad_norm/f", "grad_cosine", "test/mse_df"} <= set(
        tags["scalars"]
    )
    assert [event.step for event in events.Scalars("val/loss")] == [20, 40, 60, 80, 100, 120]
    assert [(event.step, event.value) for event in events.Scalars("switched_on_step")] == [(120, 60)]
    assert set(tags["images"]) == {"fit", "curves"}
    assert "_hparams_/session_start_info" in events.summary_metadata


def test_checkpoints_load_without_unpickling(run):
    best, last = (torch.load(run[0] / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert "switched_on" in last["state_dict"].keys() - best["state_dict"].keys()
    assert (
        best["configuration"]["model"]["width"] == json.loads((run[0] / "run.json").read_text())["model"]["width"] == 8
    )


def test_same_seeds_same_bits(fit):
    """And the seed of the data is the seed, unless it is given."""
    seeds = {"one": ("seed=1",), "two": ("seed=1", "data.seed=1"), "three": ("seed=2", "data.seed=1")}
    one, two, three = (fit(name, *SHORT, "sampling=random", "data.batch_size=5", *seeds[name]) for name in seeds)
    assert figures(one) == figures(two) != figures(three)
    assert (one / "history.csv").read_bytes() == (two / "history.csv").read_bytes()


@pytest.mark.parametrize("step", [1, 60, 75])
def test_resumed_run_equals_the_uninterrupted_one(step, fail, finish, trained, tmp_path):
    """Ended by Ctrl-C before or after the switch, also within a block, moved to another place, and continued."""
    overrides = (*SHORT, "sampling=random", "data.batch_size=5", "schedule.ramp_steps=40")
    whole = only_run(trained(*overrides)[0])
    _, err = fail(*overrides, "hydra.run.dir=begun", interrupt=step)
    assert f"interrupted at step {step}; continue with python {ROOT}/train.py resume=" in err
    begun = tmp_path / "begun"
    assert (state(begun)["status"], state(begun)["step"]) == ("interrupted", step)
    assert not (begun / "metrics.json").exists()
    assert step < 20 or [int(row["step"]) for row in history(begun)] == list(range(20, step + 1, 20))

    began = state(begun)["began"]
    moved = begun.rename(tmp_path / "moved")
    record = {path.name: path.read_bytes() for path in (moved / ".hydra").iterdir()}
    finish("resume=moved")
    assert figures(moved) == figures(whole)
    assert (moved / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    assert figures(moved)["switched_on_step"] == 60
    assert state(moved)["began"] == began < state(moved)["written"]
    best = [torch.load(path / "checkpoints" / "best.ckpt")["state_dict"] for path in (moved, whole)]
    assert all(torch.equal(best[0][key], best[1][key]) for key in best[0])
    assert {path.name: path.read_bytes() for path in (moved / ".hydra").iterdir()} == record
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]

    _, err = fail("resume=moved")
    assert "finished" in err


def test_run_resumes_in_a_process_that_has_loaded_nothing(copy):
    """Which modules are loaded decides which names of a run's files are refused."""
    (copy / "metrics.json").unlink()
    words = [sys.executable, str(ROOT / "train.py"), f"resume={copy}"]
    subprocess.run(words, check=True, cwd=copy.parent, capture_output=True)
    assert (copy / "metrics.json").is_file()


def test_second_interrupt_ends_at_once(train, fail, trained, tmp_path, monkeypatch):
    def interrupt(*_):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SobolevRegression, "training_step", interrupt)
    before = signal.getsignal(signal.SIGINT)
    try:
        _, err = fail(*SHORT, "hydra.run.dir=run")
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted at step 0" in err
    assert state(tmp_path / "run")["status"] == "interrupted"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert train("resume=run")[0] == 0  # from the start, because there is no checkpoint
    assert figures(tmp_path / "run") == figures(only_run(trained(*SHORT)[0]))


def test_interrupt_after_the_last_step_ends_the_sweep_too(fail, tmp_path, monkeypatch):
    original = SobolevRegression.training_step

    def interrupt(self, block, index):
        original(self, block, index)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(SobolevRegression, "training_step", interrupt)
    steps = ("trainer.max_steps=10", "trainer.log_every=10")
    _, err = fail("-m", "model.width=4,8", "hydra.launcher.processes=1", *steps)
    assert "1 of 2 runs are finished" in err
    assert len(list(tmp_path.glob("outputs/multirun/*/*/*/metrics.json"))) == 1
    assert len(list(tmp_path.glob("outputs/multirun/*/*/*/status.json"))) == 1


def test_directory_of_another_run_is_left_alone(fail, copy):
    def content():
        files = [path for path in copy.rglob("*") if path.is_file() and path.suffix not in (".log", "")]
        return {path: path.read_bytes() for path in files}

    before = content()
    for words, key in (((*SHORT, "model.width=9"), "hydra.run.dir"), (("resume=nowhere",), "resume")):
        _, err = fail(*words, "hydra.run.dir=run")
        assert key in err
    assert content() == before


def test_resumed_run_may_be_shown_logged_and_saved_differently_only(fail, finish, copy, monkeypatch):
    expected = figures(copy)
    (copy / "metrics.json").unlink()
    _, err = fail("resume=run", "model.width=9")
    assert "resume" in err
    assert "model.width=9" in err
    asked = ("trainer.progress_bar=false", "++trainer.checkpoint_seconds=7", "logger=[]")
    made = []
    monkeypatch.setattr(run_module, "Member", lambda *given, **more: made.append(Member(*given, **more)) or made[0])
    assert "not continued" not in finish("resume=run", *asked)
    settings = made[0].training
    assert (settings.progress_bar, settings.checkpoint_seconds, settings.log_every) == (False, 7, 20)
    assert figures(copy) == expected


def test_a_resumed_run_has_its_own_pictures_and_says_which_loggers_it_lacks(finish, tmp_path):
    finish(*SHORT, "logger=csv", "hydra.run.dir=run")
    (tmp_path / "run" / "metrics.json").unlink()
    assert "not continued: the run's loggers (csv)" in finish("resume=run")
    assert not (tmp_path / "run" / "fit.png").exists()
    (tmp_path / "run" / "metrics.json").unlink()
    finish("resume=run", "pictures=true", "logger=csv")
    assert (tmp_path / "run" / "fit.png").exists()


def test_run_whose_record_is_gone_resumes_from_its_checkpoint(finish, copy):
    expected = figures(copy)
    (copy / "metrics.json").unlink()
    shutil.rmtree(copy / ".hydra")
    finish("resume=run")
    assert figures(copy) == expected
    assert not (copy / ".hydra").exists()  # it would be the record of `resume=run`, not of the run


def test_resume_says_what_a_directory_without_a_run_holds(train, tmp_path):
    (tmp_path / "begun" / ".hydra.part").mkdir(parents=True)
    (tmp_path / "begun" / "train.log").touch()
    _, _, err = train("resume=begun")
    assert "which holds .hydra.part, train.log, but no run.json" in err
    assert "with hydra.run.dir=begun" in err
    assert train(*SHORT, "hydra.run.dir=begun")[0] == 0
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "multirun.yaml").touch()
    assert "hydra.sweep.dir=sweep" in train("resume=sweep")[2]


def test_two_started_in_the_same_second_have_directories_of_their_own(train, tmp_path):
    for name in ("now", "now-2"):
        (tmp_path / "outputs" / name).mkdir(parents=True)
    assert train(*SHORT, "trainer.max_steps=1", "hydra.run.dir=${directory:null,outputs/now}")[0] == 0
    assert only_run(tmp_path).name == "now-3"


SAMPLINGS = ("uniform", "random", "chebyshev", "endpoint", "mixed", "stratified", "derivative")
OPTIMIZERS = ("adam", "adamw", "sgd", "lbfgs") * 2
ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin")
FORMULA = ("target=expression", "target.expr=exp(-x)*sin(8*x)")
VARIANTS = [
    *(
        [f"sampling={sampling}", f"optimizer={optimizer}", f"model.activation={activation}"]
        for sampling, optimizer, activation in zip(SAMPLINGS, OPTIMIZERS, ACTIVATIONS, strict=False)
    ),
    ["experiment=hw2"],
    ["experiment=hw3"],
    ["model.init=knots", "model.depth=4", "trainer.precision=64", "~model.standardize"],
    ["schedule=constant", "loss.derivative_scale=max", "loss.sample_weight=derivative", "data.boundary_points=4"],
    ["schedule.at_step=30", "loss.derivative_scale=std", "optimizer.clip_norm=1.0", "optimizer.lr_schedule=constant"],
    [*FORMULA, "target.domain=[0.5,2]", "data.seed=3", "trainer.log_every=7", "data.n_derivative=8"],
    [*FORMULA, "target.expr=sin(x)*y", "target.domain=[[-1,1],[0,2]]", "model.derivative=autograd"],
    [*FORMULA, "target.expr=x*y+z", "target.domain=[[0,1],[0,1],[0,1]]", "data.n_train=27", "data.n_test=125"],
    [*FORMULA, "target.expr=2", "loss.derivative_scale=std"],
]


@pytest.mark.parametrize("overrides", VARIANTS, ids=" ".join)
def test_every_option_runs(overrides, fit):
    drop = {override.partition("=")[0] for override in overrides}
    few = ("trainer.max_steps=40", "schedule.latest_step=20", *SHORT[1:-1])
    short = [option for option in few if option.partition("=")[0] not in drop]
    if "schedule=constant" in overrides or "experiment=hw2" in overrides:
        short = [option for option in short if not option.startswith("schedule.latest_step")]
    directory = fit("run", *quoted(overrides), *short, "trainer.progress_bar=false")
    assert figures(directory)["test/mse_f"] >= 0
    u = runge.load(directory)
    x = torch.zeros(5, len(u.inputs)) if len(u.inputs) > 1 else torch.zeros(5)
    assert u(x).shape == (5,)
    assert u.derivative(x).shape == x.shape


def test_a_run_that_ends_early_says_so(train, tmp_path):
    steps = "schedule=constant", "trainer.max_steps=3000", "trainer.patience=40", "trainer.log_every=20"
    assert train(*steps, "optimizer.lr=0.1", "model.width=4", "hydra.run.dir=run")[0] == 0
    step = state(tmp_path / "run")["step"]
    assert step < 3000
    log = (tmp_path / "run" / "train.log").read_text()
    assert f"ended at step {step} of 3000; " in log
    assert "lambda_d on" not in log  # it was from the start
