"""Runs with balances, corrected sampling, Levenberg-Marquardt and another run's function, and how they resume."""

import csv
import itertools
import shutil

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runge
from runge.configuration.errors import ConfigurationError
from runge.optimizers import LBFGS
from runge.records.directories import RunState
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.record import RunWriter
from runge.training.settings import Settings
from runge.training.train import train
from tests.conftest import fit_stack
from tests.refusals import refuses
from tests.sweeps.test_run import REGIONS, SHORT, at_step, check_resumed_alone, figures, fit_alone, history, state
from tests.sweeps.test_sweep import new_run

SMALL = (
    *("trainer.max_steps=60", "trainer.log_every=10", "trainer.checkpoint_seconds=0", "schedule=constant", "logger=[]"),
    *("data.n_train=16", "data.n_val=16", "data.n_test=101", "model.width=8", "pictures=false"),
)
LM = "optimizer=levenberg_marquardt"
PRECISE = (*SMALL, LM, "data.n_train=40", "data.n_val=40", "model.width=12", "model.init=knots", "loss.lambda_d=0.1")
QUIET = (*SHORT, "logger=[]")
RUNS = {  # the step after which it is interrupted, and the options
    "adam": (71, *QUIET, "resampling=region", "balance=relobralo", "balance.lookback=0.5", "sampling=random"),
    "minibatches": (
        *(40, *QUIET, "resampling=residual", "balance=gradnorm", "data.batch_size=5", "data.boundary_points=2"),
    ),
    "patience": (
        *(185, *QUIET, "trainer.max_steps=800", "trainer.patience=40", "schedule.latest_step=150", "seed=1"),
        *("balance=gradnorm", "balance.every=30", "data.noise_f=0.3", "trainer.precision=64"),
    ),
    "levenberg_marquardt": (
        *(13, *SMALL, LM, "trainer.max_steps=30", "trainer.log_every=5", "schedule=two_stage"),
        *("resampling=residual", "balance=gradnorm"),
    ),
    "lbfgs": (40, *SMALL, "optimizer=lbfgs", "trainer.precision=64"),
    "least_squares": (3, *SMALL, "optimizer=least_squares", "trainer.max_steps=6", "trainer.log_every=1"),
}


def places(directory):
    table = {}
    for row in csv.DictReader((directory / "points.csv").read_text().splitlines()):
        table.setdefault(int(row["step"]), []).append(float(row["x"]))
    return table


@pytest.mark.parametrize("name", RUNS)
def test_resumed_run_equals_the_uninterrupted_one(name, tmp_path):
    step, *options = RUNS[name]
    check_resumed_alone(tmp_path, options, at_step(step))
    rows = history(tmp_path / "whole")
    if any(option.startswith("resampling=") for option in options):
        assert (tmp_path / "begun/points.csv").read_bytes() == (tmp_path / "whole/points.csv").read_bytes()
        sets = [set(x) for x in places(tmp_path / "whole").values()]
        assert len(sets) > 3
        assert all(later - before for before, later in itertools.pairwise(sets))
        assert len({row["lambda_d"] for row in rows}) > 3
    if name == "patience":
        assert 185 < int(rows[-1]["step"]) < 800


def test_the_positions_of_the_points_are_written(fit):
    run = fit("run", *SHORT, "target=steep", "resampling=region", "pictures=true")
    nodes, rows = places(run), history(run)
    assert list(nodes) == [0, 20, 40, 60, 80]  # every 6 steps, at rows of the history, up to step 96
    assert nodes[0] == pytest.approx(list(np.linspace(-1, 1, 16)), abs=1e-6)
    for row in rows:
        lain = next(x for step, x in reversed(nodes.items()) if step < int(row["step"]))
        assert float(row["share/left"]) == pytest.approx(np.mean(np.array(lain) < -0.8))
        assert sum(float(row[f"share/{region}"]) for region in REGIONS[:3]) == pytest.approx(1)
    assert float(rows[-1]["share/middle"]) < 0.7
    assert (run / "points.png").read_bytes().startswith(b"\x89PNG")
    (place,) = (run / "tensorboard").iterdir()
    assert EventAccumulator(str(place)).Reload().Tags()["images"] == ["fit", "curves", "points"]


@pytest.mark.parametrize("rule", ["region", "residual"])
def test_points_with_f_and_points_with_its_derivative_stay_apart(rule, fit):
    sets = ("data.n_train=12", "data.n_derivative=10", "data.boundary_points=2", "trainer.precision=64", "logger=[]")
    for lain in places(fit("run", *SHORT, *sets, f"resampling={rule}", "resampling.every=20")).values():
        value_only, derivative_only = set(lain[2:14]), set(lain[14:])
        assert (len(value_only), len(derivative_only)) == (12, 10)
        assert {-1.0, 1.0} <= value_only & derivative_only


def test_a_run_with_points_to_come_is_not_at_rest(fit):
    """Eight points are fitted to round-off, where Levenberg-Marquardt rests; new ones must be fitted again.

    By chance some are fitted to 1e-14 only in eighty steps.
    """
    small = (*SMALL, LM, "model.width=16", "data.n_train=8", "data.n_val=8", "trainer.max_steps=200")
    small += ("trainer.log_every=20",)
    moving = ("resampling=residual", "resampling.every=80", "resampling.last_step=160")
    still, moved = fit("none", *small), fit("residual", *small, *moving)
    assert int(history(still)[-1]["step"]) < 80
    rows = {int(row["step"]): float(row["train/loss"]) for row in history(moved)}
    assert list(places(moved)) == [0, 80, 160]
    assert max(rows[step] for step in (80, 160, max(rows))) < 1e-12


@pytest.mark.parametrize("policy", ["scale", "gradnorm", "log", "relobralo"])
def test_lambda_d_is_what_the_policy_says(policy, configuration):
    stack = prepare([Member(Settings.of(configuration(*SMALL, f"balance={policy}")))])
    train(stack)
    weights = stack.history.member(0)["lambda_d"]
    assert weights[0] == (pytest.approx(0.0413, rel=0.2) if policy == "scale" else pytest.approx(0.1))
    assert (len(set(weights)) == 1) is (policy == "scale")
    assert all(weight > 0 for weight in weights)


def test_a_changed_weight_is_in_the_files_and_resets_the_optimizer(fit, monkeypatch):
    """Points that stay leave no trace."""
    resets = []
    monkeypatch.setattr(LBFGS, "reset", lambda *_: resets.append(1))
    run = fit("log", *SMALL, "optimizer=lbfgs", "balance=log")
    assert len(resets) == 5  # at each row except the last
    assert figures(run)["lambda_d"] == float(history(run)[-1]["lambda_d"])
    assert not list(run.glob("points.*"))
    assert "share/left" not in history(run)[0]
    fit("fixed", *SMALL, "optimizer=lbfgs", "trainer.max_steps=20")
    assert len(resets) == 5


def test_a_run_of_levenberg_marquardt_fits_to_many_digits(fit):
    run = fit("run", *PRECISE, "data.n_train=80", "model.width=32", "trainer.max_steps=120")
    final, first = figures(run), history(run)[0]
    assert final["test/mse_f"] < 1e-13
    assert final["test/mse_df"] < 1e-10
    assert ("damping" in first, "lr" in first) == (True, False)
    u, x = runge.load(run), torch.linspace(-1, 1, 101, dtype=torch.float64)
    f = 1 / (1 + 25 * x**2)
    assert (u(x) - f).square().mean().item() == pytest.approx(final["test/mse_f"], rel=1e-6)
    assert (u.derivative(x) + 50 * x * f**2).square().mean().item() == pytest.approx(final["test/mse_df"], rel=1e-6)


EXPRESSIONS = [  # a kink is no crash; and two dimensions
    ("abs(x)", "model.activation=tanh", "test/mse_f", 1e-2),
    ("abs(x)", "model.activation=relu", "test/mse_f", 1e-2),
    ("sin(2*x)*y", "target.domain=[[-1,1],[0,2]]", "test/mse_df", 1e-4),
]


@pytest.mark.parametrize(("expr", "option", "figure", "bound"), EXPRESSIONS)
def test_levenberg_marquardt_fits_expressions(expr, option, figure, bound, fit):
    run = fit("run", *PRECISE, "target=expression", f"target.expr='{expr}'", option)
    assert figures(run)[figure] < bound


def test_at_rest_the_run_ends(tmp_path):
    """A constant is fitted to the last digit in no time; killed before its last file, the run does not go on."""
    easy = ("target=expression", "target.expr=1+0*x", "data.n_train=6", "model.width=2", "model.depth=1")
    run, options = tmp_path / "run", (*PRECISE, *easy, "trainer.max_steps=5000", "trainer.log_every=100")
    fit_alone(run, *options)
    assert state(run)["status"] == "finished"
    assert state(run)["step"] < 5000
    before, rows = figures(run), history(run)
    (run / "metrics.json").unlink()
    fit_alone(run, *options)
    assert (figures(run), history(run)) == (before, rows)


DOUBLE = (*SMALL, "trainer.precision=64", "trainer.compile=off")


@pytest.fixture
def started(trained):
    """A finished run on [-1, 1]."""
    return trained(*DOUBLE, "model.standardize=true", "hydra.run.dir=first")[0] / "first"


@pytest.mark.parametrize("standardize", ["true", "false"])
@pytest.mark.parametrize(("precision", "tolerance"), [(64, 1e-12), (32, 1e-5)])
def test_a_run_begins_with_the_function_of_another_one(standardize, precision, tolerance, started, configuration):
    """Its box, its points and its units differ."""
    options = ("target.domain=[[-0.5,2]]", "data.n_train=20", f"model.standardize={standardize}", "seed=3")
    options += (f"trainer.precision={precision}", f"trainer.start={started}")
    network = prepare([Member(Settings.of(configuration(*DOUBLE, *options)))]).module.network
    x, units = torch.linspace(-0.5, 2, 50, dtype=torch.float64)[:, None], network.units
    with torch.no_grad():
        inputs = x[None].to(network.theta) if units is None else units.standardise_inputs(x[None]).to(network.theta)
        values = network.predict(inputs)
    values = values if units is None else units.restore(*values, inputs)
    for value, expected in zip(values, runge.load(started).double().value_and_derivative(x.numpy()), strict=True):
        np.testing.assert_allclose(value.flatten().numpy(), np.ravel(expected), atol=tolerance)


def test_members_of_a_stack_may_begin_differently(started, configuration, tmp_path):
    starts = (f"trainer.start={started}", "trainer.start=null")
    members = [Member(Settings.of(configuration(*DOUBLE, "model.standardize=true", start))) for start in starts]
    assert members[0].shared() == members[1].shared()
    runs = [new_run(tmp_path / name) for name in ("0", "1", "alone0", "alone1")]
    fit_stack(prepare(members), runs[:2])
    for member, together, alone in zip(members, runs[:2], runs[2:], strict=True):
        fit_stack(prepare([member]), [alone])
        assert figures(together.path) == pytest.approx(figures(alone.path), rel=1e-6, abs=1e-12)
    first, second = (float(history(run.path)[0]["train/loss"]) for run in runs[:2])
    assert first < 0.9 * second


@pytest.mark.parametrize("wrong", ["model.width=7", "model.depth=1", "model.activation=gelu", "trainer.start=nowhere"])
def test_what_has_no_such_network_is_refused(wrong, started, configuration):
    got = "'nowhere'" if "start" in wrong else "first'"
    with refuses("trainer.start: must be the directory of a finished run", got, "same network"):
        prepare([Member(Settings.of(configuration(*DOUBLE, f"trainer.start={started}", wrong)))])


def test_a_run_with_other_names_is_refused(started, configuration):
    other = ("target=expression", "target.expr={z: 'sin(x)'}", "target.domain=[-1,1]")
    with refuses(
        "trainer.start: must be the directory of a finished run", "first'", "outputs f, and this run", "outputs z"
    ):
        prepare([Member(Settings.of(configuration(*DOUBLE, f"trainer.start={started}", *other)))])


def test_weights_of_another_run_are_refused(started, trained, tmp_path):
    other = trained(*DOUBLE, "model.standardize=true", "seed=7", "hydra.run.dir=other")[0] / "other"
    shutil.copytree(started, tmp_path / "run")
    shutil.copy(other / "checkpoints/best.ckpt", tmp_path / "run/checkpoints")
    with pytest.raises(ConfigurationError, match=r"best.ckpt is damaged \(its checksum"):
        runge.load(tmp_path / "run")


def test_float64_points_have_results_of_float64(trained):
    u = runge.load(trained(*SMALL, "trainer.precision=32", "hydra.run.dir=single")[0] / "single")
    x, h = np.linspace(-0.9, 0.9, 7), 1e-6
    np.testing.assert_allclose((u(x + h) - u(x - h)) / (2 * h), u.derivative(x), rtol=1e-6, atol=1e-7)


def test_other_versions_that_resume_a_run_are_recorded(configuration, tmp_path, caplog):
    directory = new_run(tmp_path / "run")
    directory.write(RunState("interrupted", 3, versions="runge 0.1, torch 1.0"))
    stack = prepare([Member(Settings.of(configuration(*SMALL)))])
    for _ in range(2):  # the second one continues with the same versions
        written = RunWriter(stack, 0, directory, lambda *_: [], alone=False).state("interrupted", step=0)
        assert written.versions.startswith("runge 0.1, torch 1.0; runge ")
        assert written.versions.count("; ") == 1
        directory.write(written)
    assert "the run began with runge 0.1, torch 1.0, and continues with runge" in caplog.text
