"""The sentences on a finished fit."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from runge.sobolev.points import Points
from runge.training.evaluation import intervals_on_test
from runge.training.findings import fit_findings

STEPS = list(range(100, 1100, 100))
GOOD = {"val/r2_f": 0.9999, "val/nrmse_f": 0.01, "val/nrmse_df": 0.01, "train/loss": 1e-4, "val/loss": 1e-4}
GOOD |= {"switched_on_step": 100}
LAST_IS_BEST = {"step": STEPS, "val/loss": [1 / step for step in STEPS]}
DIVERGED = {"val_r2_f": -77.8, "train_r2_f": -75.0, "history": {"step": STEPS, "val/loss": [0.1, *[9.0] * 9]}}


def short(step):
    return {"step": [step], "val/loss": [1.0]}


def falling(power):
    losses = [0.1 - 1e-3 * i for i in range(10)] if power is None else [step**power for step in STEPS]
    return {"history": {"step": STEPS, "val/loss": losses}, "val_nrmse_df": 0.3}


def findings(history=LAST_IS_BEST, outputs=("f",), of_table=True, rate="cosine", lambda_d=0.1, ended=(), **figures):
    named = {name if name in GOOD else name.replace("_", "/", 1): figure for name, figure in figures.items()}
    optimizer = SimpleNamespace() if rate is None else SimpleNamespace(lr_schedule=rate)
    trainer = SimpleNamespace(**{"max_steps": 1000, "stop_at": None, "max_seconds": None} | dict(ended))
    settings = SimpleNamespace(optimizer=optimizer, trainer=trainer)
    member = SimpleNamespace(outputs=outputs, rows=() if of_table else None, settings=settings)
    return fit_findings(GOOD | named, history, member, lambda_d)


RATES = [("constant", 1), ("cosine", 2)]
OVERFIT = {"val_nrmse_df": 0.3, "val_loss": 1e-2}


@pytest.mark.parametrize(
    ("given", "parts"),
    [
        ({}, None),
        ({"val_loss": 1e-2}, None),  # a ratio without an error is of no interest
        ({"val_r2_f": -0.003}, ("R2 = -0.003", "optimizer=levenberg_marquardt")),
        ({"val_r2_f": 0.6, "of_table": False}, ("60 %", "R2 = 0.6", "model.activation=sin")),
        ({"val_r2_f/lift": 0.99, "val_r2_f/drag": 0.5, "outputs": ("lift", "drag")}, ("50 %", "drag")),
        ({"val_r2_f": 0.17, "train_r2_f": 0.2, "history": short(20)}, ("17 %", "20 steps", "trainer.max_steps")),
        (DIVERGED, ("training points", "R2 = -75", "a smaller optimizer.lr")),
        # Levenberg-Marquardt
        ({"val_r2_f": 0.5, "rate": None, "history": short(100)}, ("R2 = 0.5", "optimizer=levenberg_marquardt")),
        (OVERFIT, ("overfits", "10 times", "more rows")),
        (OVERFIT | {"val_nrmse_f": math.nan}, ("overfits", "10 times", "more rows")),  # gradients alone
        ({"switched_on_step": None}, ("lambda_d", "never")),
        ({"switched_on_step": None, "lambda_d": 0.0}, None),
        ({"switched_on_step": None, "ended": {"stop_at": 1000, "max_steps": 8000}}, ("a larger trainer.stop_at",)),
        (
            {"switched_on_step": None, "ended": {"max_seconds": 1.0, "max_steps": 8000}},
            ("a larger trainer.max_seconds",),
        ),
        *((falling(-4.0 * k) | {"rate": rate}, ("still falling", "larger trainer.max_steps")) for rate, k in RATES),
        *((falling(None) | {"rate": rate}, None) for rate, _ in RATES),
        (falling(-4.0) | {"rate": "constant", "val_nrmse_f": math.nan}, ("still falling",)),  # gradients alone
    ],
)
def test_what_is_said_of_a_fit(given, parts):
    found = findings(**given)
    assert len(found) == (parts is not None)
    assert all(part in found[0] for part in parts or ()), found


def test_a_run_says_so_in_its_log_and_its_status(train, tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (80, 2))
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


@pytest.mark.parametrize(("groups", "known"), [(9, False), (10, True)])
def test_errors_in_few_groups_of_test_rows_have_no_intervals(groups, known):
    f = torch.linspace(0, 1, 40, dtype=torch.float64)[None, :, None]
    points = Points(f, f, f[..., None], torch.ones_like(f), torch.ones_like(f)[..., None], torch.ones_like(f).mT)
    found = intervals_on_test(points, f[0] + 0.1 * f[0] ** 2, f[0, ..., None], torch.arange(40) % groups)
    assert ("test_low/nrmse_f" in found) == known
