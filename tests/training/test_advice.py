"""The advice on a fit, and on overrides: without those that have no effect training ends with the same weights."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch

from runge.data.channels import row_points
from runge.data.rows import read
from runge.data.table import Table
from runge.sweeps.run import announce, make_stack
from runge.training.advice import describe_wrong_columns, fit_findings, hardly_matters
from runge.training.callbacks.history import History
from runge.training.member import Member
from tests.conftest import compose

STEPS = list(range(100, 1100, 100))
GOOD = {"val/r2_f": 0.9999, "val/nrmse_f": 0.01, "val/nrmse_df": 0.01, "train/loss": 1e-4, "val/loss": 1e-4}
GOOD |= {"best_step": 1000, "switched_on_step": 100}
LAST_IS_BEST = {"step": STEPS, "val/loss": [1 / step for step in STEPS]}
DIVERGED = {"val_r2_f": -77.8, "train_r2_f": -75.0, "history": {"step": STEPS, "val/loss": [0.1, *[9.0] * 9]}}


def short(step):
    return {"step": [step], "val/loss": [1.0]}


def points(frequency=1.0):
    x = np.linspace(-1, 1, 2001)[:, None]
    return row_points(x, np.sin(frequency * x), frequency * np.cos(frequency * x)[..., None], ["f"])


def falling(power):
    losses = [0.1 - 1e-3 * i for i in range(10)] if power is None else [step**power for step in STEPS]
    return {"history": {"step": STEPS, "val/loss": losses}, "val_nrmse_df": 0.3}


def findings(history=LAST_IS_BEST, unimportant=(), of_table=True, rate="cosine", train=None, lambda_d=0.1, **figures):
    named = {name if name in GOOD else name.replace("_", "/", 1): figure for name, figure in figures.items()}
    train = points() if train is None else train
    found = fit_findings(GOOD | named, history, train, unimportant, of_table=of_table, rate=rate, lambda_d=lambda_d)
    return [str(one) for one in found]


X = np.linspace(-1, 1, 9)[:, None]
LIFT_AND_DRAG = row_points(X, np.hstack([X, X**2]), np.stack([X**0, 2 * X], axis=1), ["lift", "drag"])
FORMULA_01 = {"val_r2_f": 0.1, "of_table": False}
WIDE = "optimizer=least_squares data.n_train=1024 model.width=1024 optimizer.slopes=[1,749]"
RATES = [("constant", 1), ("cosine", 2)]
OVERFIT = {"val_nrmse_df": 0.3, "val_loss": 1e-2}


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({}, None),
        ({"val_loss": 1e-2}, None),  # a ratio without an error is of no interest
        ({"val_r2_f": -0.003}, ("R2 = -0.003", "optimizer=levenberg_marquardt")),
        ({"val_r2_f": 0.6, "of_table": False}, ("60 %", "R2 = 0.6", "model.activation=sin")),
        # the settings that fit it
        (FORMULA_01 | {"train": points(60.0)}, ("10 %", "R2 = 0.1", "optimizer=least_squares")),
        (FORMULA_01 | {"train": points(250.0)}, (WIDE,)),
        ({"val_r2_f/lift": 0.99, "val_r2_f/drag": 0.5, "train": LIFT_AND_DRAG}, ("50 %", "drag")),
        ({"val_r2_f": 0.17, "train_r2_f": 0.2, "history": short(20)}, ("17 %", "20 steps", "trainer.max_steps")),
        (DIVERGED, ("training points", "R2 = -75", "a smaller optimizer.lr")),
        # Levenberg-Marquardt
        ({"val_r2_f": 0.5, "rate": None, "history": short(100)}, ("R2 = 0.5", "optimizer=levenberg_marquardt")),
        (OVERFIT, ("overfits", "10 times", "more rows")),
        (OVERFIT | {"val_nrmse_f": math.nan}, ("overfits", "10 times", "more rows")),  # gradients alone
        (OVERFIT | {"best_step": 300}, ("300 of 1000", "noise", "optimizer=adamw")),
        ({"switched_on_step": None}, ("lambda_d", "never")),
        ({"switched_on_step": None, "lambda_d": 0.0}, None),
        ({"unimportant": ["r", "Tu"]}, ("inputs", "(r, Tu)")),
        *((falling(-4.0 * k) | {"rate": rate}, ("still falling", "larger trainer.max_steps")) for rate, k in RATES),
        *((falling(None) | {"rate": rate}, None) for rate, _ in RATES),
        (falling(-4.0) | {"rate": "constant", "val_nrmse_f": math.nan}, ("still falling",)),  # gradients alone
    ],
)
def test_what_is_said_of_a_fit(given, parts):
    found = findings(**given)
    assert len(found) == (parts is not None)
    assert all(part in found[0] for part in parts or ()), found


def test_inputs_that_do_not_matter():
    x = np.random.default_rng(0).standard_normal((50, 3))
    slopes = np.broadcast_to([[1.0, 1e-4, 1e-5], [1e-6, 1e-10, 1e-6]], (50, 2, 3))  # the third for b alone
    some = row_points(x, np.ones((50, 2)), slopes, ["a", "b"])
    assert hardly_matters(some.df, some.x).tolist() == [[False, True, False]]


def test_an_input_that_is_constant_in_the_test_rows_still_matters(fit, tmp_path):
    random = np.random.default_rng(0)
    a, b = random.uniform(-1, 1, 60), random.integers(0, 4, 60) / 3
    columns = {"a": a, "b": b, "y": a + 9 * b, "dy_da": 1 + 0 * a, "dy_db": 9 + 0 * a, "d.x": a}
    columns["set"] = np.where(b == 1, "test", np.where(random.random(60) < 0.2, "val", "train"))
    pd.DataFrame(columns).to_csv(tmp_path / "a.csv", index=False)
    given = "data.inputs=[a,b]", "data.outputs=[y]", "data.split_column=set", "model.width=8", "trainer.max_steps=1"
    run = fit("run", *TABLE, *given, "pictures=false", "logger=[]")
    assert "hardly matter" not in (run / "status.json").read_text()


def test_a_run_says_so_in_its_log_and_its_status(train, tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    y = np.sin(60 * x[:, :1])
    np.savez(tmp_path / "a.npz", x=x, y=y, dydx=np.stack([60 * np.cos(60 * x[:, :1]), 0 * y], axis=-1))
    few = "trainer.max_steps=100", "model.width=8", "pictures=false"
    status, out, err = train("data=table", "data.file=a.npz", *few, "hydra.run.dir=run")
    assert status == 0, out + err
    said, metrics = (json.loads((tmp_path / "run" / f"{name}.json").read_text()) for name in ("status", "metrics"))
    assert "explains nothing (R2" in out
    assert "explains nothing (R2" in said["message"]
    assert metrics["test_low/nrmse_f"] < metrics["test/nrmse_f"] < metrics["test_high/nrmse_f"]
    assert "95 % from" in out


SHORT = ("trainer.max_steps=20", "trainer.log_every=5", "model.width=4", "model.depth=1", "trainer.progress_bar=false")
FORMULA = ("data.n_train=16", "data.n_val=16", "data.n_test=51")
NONE, LM, CONSTANT = "loss.lambda_d=0", "optimizer=levenberg_marquardt", "schedule=constant"
TWO = ("target=expression", "target.expr=[x, x**2]")
TABLE = ("data=table", "data.file=a.csv")
VALUES = (*TABLE, "data.inputs=[t]", "data.outputs=[y]", "data.derivatives={}")
WEIGHTS = {}  # of the overrides of cases before


def trained(*overrides):
    """Return what is logged about a run's overrides, and its weights in the end."""
    if overrides not in WEIGHTS:
        stack = make_stack([Member(compose(*SHORT, *overrides) | {"logger": {}}, overrides)])
        announce(stack, 0)
        stack.take_steps(History(), stack._resample())
        WEIGHTS[overrides] = torch.cat([x.flatten().double() for x in stack.module.network.state_dict().values()])
    return WEIGHTS[overrides]


@pytest.mark.parametrize(
    ("override", "others", "reason"),
    [
        ("balance=scale", (*FORMULA, NONE), "lambda_d is 0"),
        ("balance=gradnorm", (*FORMULA, NONE), "lambda_d is 0"),
        ("balance=gradnorm", (*FORMULA, *TWO, NONE), None),
        ("balance=log", (*FORMULA, NONE), None),
        ("balance=log", (*FORMULA, NONE, LM), "lambda_d is 0"),
        ("balance=relobralo", (*FORMULA, NONE, LM), None),
        ("balance=gradnorm", (*FORMULA, CONSTANT, "balance.every=20"), "20, and it is first applied after 20"),
        ("balance=scale", TABLE, "it sets lambda_d to 1, which it is without it"),
        ("loss.lambda_d=3", VALUES, "no training point has a derivative"),
        ("loss.lambda_dd=1", (*TABLE, NONE), "lambda_d is 0"),
        ("loss.lambda_dd=1", TABLE, None),
        ("schedule=two_stage", (*FORMULA, CONSTANT, NONE), "lambda_d is 0"),
        ("loss.derivative_scale=max", (*FORMULA, NONE), "lambda_d is 0"),
        ("loss.derivative_scale=max", FORMULA, None),
        ("data.noise_df=0.1", (*FORMULA, NONE), "lambda_d is 0"),
        ("data.n_derivative=8", (*FORMULA, NONE), "lambda_d is 0"),
        ("trainer.patience=20", FORMULA, "trainer.max_steps is 20"),
        ("resampling=region", (*FORMULA, "resampling.every=20"), "20, and no point moves before the end"),
    ],
)
@pytest.mark.usefixtures("in_folder")
def test_an_override_has_no_effect_if_and_only_if_it_is_said(override, others, reason, tmp_path, caplog):
    t = np.linspace(0, 1, 40)
    y = 9 * np.sin(3 * t)
    pd.DataFrame({"t": t, "y": y, "dy_dt": 27 * np.cos(3 * t), "d2y_dt_dt": -9 * y}).to_csv("a.csv", index=False)
    weights = trained(*others, override)
    said = [one.getMessage() for one in caplog.records if "without effect" in one.getMessage()]
    if reason is None:
        assert not any(override in one for one in said)
    else:
        assert f"{override} (" in said[0]
        assert f"{reason})" in said[0]
    plain = [other for other in others if not other.startswith(f"{override.partition('=')[0]}.")]
    assert torch.allclose(trained(*plain), weights, rtol=1e-3, atol=1e-4) == (reason is not None)


@pytest.mark.usefixtures("in_folder")
def test_derivatives_that_contradict_the_values_are_said_before_the_training(caplog):
    x = np.random.default_rng(0).random(60)
    for name, sign in (("sound", 1), ("wrong", -1)):
        pd.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": sign * 3 * np.cos(3 * x)}).to_csv(f"{name}.csv", index=False)
        caplog.clear()
        announce(make_stack([Member(compose("data=table", f"data.file={name}.csv", "model.width=4"))]), 0)
        said = [one.getMessage() for one in caplog.records if "Between near rows" in one.getMessage()]
        assert len(said) == (name == "wrong")
    assert said[0].startswith("dy_dx has the wrong sign. Between near rows, the derivatives leave")
    assert said[0].endswith(" check wrong.csv")
    rows = read(Table(file="wrong.csv", inputs=["x"], outputs=["y"]))  # the command names what the run was given
    assert describe_wrong_columns(rows).endswith("wrong.csv 'data.inputs=[x]' 'data.outputs=[y]'")
