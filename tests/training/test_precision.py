"""Levenberg-Marquardt as a command."""

import json

import pytest
import torch

import runge
from tests.sweeps.test_run import check_resumed, figures, history

SMALL = (
    *("optimizer=levenberg_marquardt", "trainer.max_steps=60", "trainer.log_every=10", "trainer.checkpoint_seconds=0"),
    *("data.n_train=40", "data.n_val=40", "data.n_test=101", "model.width=12", "model.init=knots"),
    *("trainer.progress_bar=false", "schedule=constant", "pictures=false", "loss.lambda_d=0.1"),
)


def test_a_run_fits_to_many_digits(fit):
    larger = ("data.n_train=80", "model.width=32", "trainer.max_steps=120")
    run = fit("run", *SMALL, *larger)
    final = figures(run)
    assert final["test/mse_f"] < 1e-13
    assert final["test/mse_df"] < 1e-10
    rows = history(run)
    assert {"damping"} <= rows[0].keys()
    assert "lr" not in rows[0]
    u, x = runge.load(run), torch.linspace(-1, 1, 101, dtype=torch.float64)
    f = 1 / (1 + 25 * x**2)
    assert (u(x) - f).square().mean().item() == pytest.approx(final["test/mse_f"], rel=1e-6)
    assert (u.derivative(x) + 50 * x * f**2).square().mean().item() == pytest.approx(final["test/mse_df"], rel=1e-6)


@pytest.mark.parametrize(
    ("step", "more"),
    [
        (20, ()),
        (40, ("optimizer=lbfgs", "trainer.precision=64")),
        (3, ("optimizer=least_squares", "trainer.max_steps=6", "trainer.log_every=1")),
    ],
)
def test_resumed_run_equals_the_uninterrupted_one(step, more, train, tmp_path):
    check_resumed(train, tmp_path, (*SMALL, *more), step)


def test_at_rest_the_run_ends(train, tmp_path):
    """A constant is fitted to the last digit in no time."""
    easy = ("target=expression", "target.expr=1+0*x", "data.n_train=6", "model.width=2", "model.depth=1")
    long = ("trainer.max_steps=5000", "trainer.log_every=100")
    status, out, err = train(*SMALL, *easy, *long, "hydra.run.dir=run")
    assert status == 0, out + err
    state = json.loads((tmp_path / "run" / "status.json").read_text())
    assert state["status"] == "finished"
    assert state["step"] < 5000
    # Killed before its last file, it does not go on.
    before, rows = figures(tmp_path / "run"), (tmp_path / "run" / "history.csv").read_bytes()
    (tmp_path / "run" / "metrics.json").unlink()
    assert train("resume=run")[0] == 0
    assert figures(tmp_path / "run") == before
    assert (tmp_path / "run" / "history.csv").read_bytes() == rows


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_a_kink_is_no_crash(activation, fit):
    run = fit("run", *SMALL, "target=expression", "target.expr='abs(x)'", f"model.activation={activation}")
    assert figures(run)["test/mse_f"] < 1e-2


def test_two_dimensions(fit):
    plane = ("target=expression", "target.expr='sin(2*x)*y'", "target.domain=[[-1,1],[0,2]]")
    assert figures(fit("run", *SMALL, *plane))["test/mse_df"] < 1e-4
