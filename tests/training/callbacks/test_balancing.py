"""Balances and corrected sampling as parts of a run: what they do, and that nothing of it is lost."""

import csv
import itertools

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runge.optimizers import LBFGS
from tests.sweeps.test_run import REGIONS, SHORT, check_resumed, figures, history, only_run

BOTH = {
    "adam": (*SHORT, "resampling=region", "balance=relobralo", "balance.lookback=0.5", "sampling=random"),
    "minibatches": (*SHORT, "resampling=residual", "balance=gradnorm", "data.batch_size=5", "data.boundary_points=2"),
    "levenberg_marquardt": (
        *("optimizer=levenberg_marquardt", "trainer.max_steps=30", "trainer.checkpoint_seconds=0", "model.width=8"),
        *("data.n_train=16", "data.n_val=16", "data.n_test=101", "resampling=residual", "balance=gradnorm"),
        "pictures=false",
    ),
}


def places(directory):
    table = {}
    for row in csv.DictReader((directory / "points.csv").read_text().splitlines()):
        table.setdefault(int(row["step"]), []).append(float(row["x"]))
    return table


@pytest.mark.parametrize(("name", "step"), [("adam", 71), ("minibatches", 40), ("levenberg_marquardt", 13)])
def test_resumed_run_equals_the_uninterrupted_one(name, step, train, tmp_path):
    whole = check_resumed(train, tmp_path, BOTH[name], step, ("history.csv", "points.csv"))
    sets = [set(x) for x in places(whole).values()]
    assert len(sets) > 3
    assert all(later - before for before, later in itertools.pairwise(sets))
    assert len({row["lambda_d"] for row in history(whole)}) > 3


def test_the_positions_of_the_points_are_written(fit):
    run = fit("run", *SHORT, "target=steep", "resampling=region", "pictures=true")
    nodes = places(run)
    assert list(nodes) == [0, 20, 40, 60, 80]  # every 6 steps, at rows of the history, up to step 96
    assert nodes[0] == pytest.approx(list(np.linspace(-1, 1, 16)), abs=1e-6)
    rows = history(run)
    for row in rows:
        lain = next(x for step, x in reversed(nodes.items()) if step < int(row["step"]))
        assert float(row["share/left"]) == pytest.approx(np.mean(np.array(lain) < -0.8))
        assert sum(float(row[f"share/{region}"]) for region in REGIONS[:3]) == pytest.approx(1)
    assert float(rows[-1]["share/middle"]) < 0.7
    assert (run / "points.png").read_bytes().startswith(b"\x89PNG")
    (place,) = (run / "tensorboard").iterdir()
    events = EventAccumulator(str(place))
    assert events.Reload().Tags()["images"] == ["fit", "curves", "points"]


def test_points_that_stay_leave_no_trace(trained):
    run = only_run(trained(*SHORT)[0])
    assert not list(run.glob("points.*"))
    assert "share/left" not in history(run)[0]


@pytest.mark.parametrize("policy", ["scale", "gradnorm", "log", "relobralo"])
def test_lambda_d_is_what_the_policy_says(policy, fit):
    run = fit("run", *SHORT[:-1], f"balance={policy}", "schedule=constant")
    weights = [float(row["lambda_d"]) for row in history(run)]
    assert weights[0] == pytest.approx(0.0413, rel=0.2) if policy == "scale" else weights[0] == 0.1
    assert (len(set(weights)) == 1) is (policy == "scale")
    assert all(weight > 0 for weight in weights)
    assert figures(run)["lambda_d"] == weights[-1]


def test_a_run_with_points_to_come_is_not_at_rest(fit):
    """Eight points are fitted to round-off, where Levenberg-Marquardt rests; new ones must be fitted again.

    By chance some are fitted to 1e-14 only in eighty steps.
    """
    small = ("optimizer=levenberg_marquardt", "schedule=constant", "model.width=16", "data.n_train=8", "data.n_val=8")
    small += ("data.n_test=101", "pictures=false")
    steps = ("trainer.max_steps=200", "resampling.every=80", "resampling.last_step=160")
    still, moved = fit("none", *small, *steps[:1]), fit("residual", *small, *steps, "resampling=residual")
    assert int(history(still)[-1]["step"]) < 80
    rows = {int(row["step"]): float(row["train/loss"]) for row in history(moved)}
    assert list(places(moved)) == [0, 80, 160]
    assert max(rows[step] for step in (80, 160, max(rows))) < 1e-12


@pytest.mark.parametrize("rule", ["region", "residual"])
def test_points_with_f_and_points_with_its_derivative_stay_apart(rule, fit):
    sets = ("data.n_train=12", "data.n_derivative=10", "data.boundary_points=2", "trainer.precision=64")
    run = fit("run", *SHORT, *sets, f"resampling={rule}", "resampling.every=20")
    for lain in places(run).values():
        value_only, derivative_only = lain[2:14], lain[14:]
        assert len(set(value_only)) == 12
        assert len(set(derivative_only)) == 10
        assert {-1.0, 1.0} <= set(value_only) & set(derivative_only)


def test_a_changed_weight_resets_the_optimizer(fit, monkeypatch):
    resets = []
    monkeypatch.setattr(LBFGS, "reset", lambda *_: resets.append(1))
    constant = (*SHORT[:-1], "optimizer=lbfgs", "schedule=constant")
    fit("log", *constant, "balance=log")
    assert len(resets) == 5  # at each row except the last
    resets.clear()
    fit("fixed", *constant)
    assert not resets
