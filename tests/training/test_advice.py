"""The verdict of a finished run on its fit."""

import json

import numpy as np
import pytest

from runge.data import row_points
from runge.training.advice import hardly_matters, verdict

STEPS = list(range(100, 1100, 100))
GOOD = {"val/r2_f": 0.9999, "val/nrmse_f": 0.01, "val/nrmse_df": 0.01, "train/loss": 1e-4, "val/loss": 1e-4}
LAST_IS_BEST = {"step": STEPS, "val/loss": [1 / step for step in STEPS]}


def points(frequency=1.0):
    x = np.linspace(-1, 1, 2001)[:, None]
    return row_points(x, np.sin(frequency * x), frequency * np.cos(frequency * x)[..., None], ["f"])


def findings(history=LAST_IS_BEST, unimportant=(), of_table=True, rate="cosine", train=None, **figures):
    named = {name.replace("_", "/", 1): figure for name, figure in figures.items()}
    train = points() if train is None else train
    found = verdict(GOOD | named, history, train, unimportant, of_table=of_table, rate=rate)
    return [str(one) for one in found]


def test_a_good_fit_is_not_judged():
    assert findings() == []


def test_a_fit_that_explains_little():
    (one,) = findings(val_r2_f=-0.003)
    assert one.startswith("explains nothing (R2 = -0.003): try optimizer=levenberg_marquardt")
    (one,) = findings(val_r2_f=0.6, of_table=False)
    assert one.startswith("explains only 60 % of the variance (R2 = 0.6): try model.activation=sin")


def test_a_function_that_oscillates_is_told_the_settings_that_fit_it():
    (one,) = findings(val_r2_f=0.1, of_table=False, train=points(60.0))
    assert one.endswith("optimizer=least_squares data.n_train=256 model.width=256 optimizer.slopes=[1,181]")


def test_an_output_that_is_explained_badly_is_named():
    x = np.linspace(-1, 1, 9)[:, None]
    two = row_points(x, np.hstack([x, x**2]), np.stack([x**0, 2 * x], axis=1), ["lift", "drag"])
    (one,) = findings(**{"val_r2_f/lift": 0.99, "val_r2_f/drag": 0.5}, train=two)
    assert one.startswith("explains only 50 % of the variance of drag")


def test_overfitting_and_noise():
    (one,) = findings(val_nrmse_df=0.3, val_loss=1e-2)
    assert one.startswith("overfits (validation errors are 10 times those of training): try more rows")
    early = {"step": STEPS, "val/loss": [0.1, 0.05, *[0.2] * 8]}
    (one,) = findings(early, val_nrmse_df=0.3, val_loss=1e-2)
    assert "it was best after 200 of 1000 steps, as with noise in the labels; try optimizer=adamw" in one
    assert findings(val_loss=1e-2) == []  # a ratio without an error is of no interest


@pytest.mark.parametrize(("rate", "falls"), [("constant", 1.0), ("cosine", 2.0)])
def test_still_falling(rate, falls):
    history = {"step": STEPS, "val/loss": [step ** (-4 * falls) for step in STEPS]}
    (one,) = findings(history, rate=rate, val_nrmse_df=0.3)
    assert one == "still falling at the end: try a larger trainer.max_steps"
    flat = {"step": STEPS, "val/loss": [0.1 - 1e-3 * i for i in range(10)]}
    assert findings(flat, rate=rate, val_nrmse_df=0.3) == []


def test_inputs_that_do_not_matter():
    x = np.random.default_rng(0).standard_normal((50, 3))
    slopes = np.broadcast_to([[1.0, 1e-4, 1e-5], [1e-6, 1e-10, 1e-6]], (50, 2, 3))  # the third for b alone
    some = row_points(x, np.ones((50, 2)), slopes, ["a", "b"])
    assert hardly_matters(some.df, some).tolist() == [[False, True, False]]
    (one,) = findings(unimportant=["r", "Tu"])
    assert one.startswith("inputs hardly matter (r, Tu): ")


def test_a_run_says_so_in_its_log_and_its_status(train, tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    y = np.sin(60 * x[:, :1])
    np.savez(tmp_path / "a.npz", x=x, y=y, dydx=np.stack([60 * np.cos(60 * x[:, :1]), 0 * y], axis=-1))
    short = "trainer.max_steps=100", "model.width=8"
    status, out, err = train("data=table", "data.file=a.npz", *short, "hydra.run.dir=run")
    assert status == 0, out + err
    assert "explains nothing (R2" in out
    assert "explains nothing (R2" in json.loads((tmp_path / "run" / "status.json").read_text())["message"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["test_low/nrmse_f"] < metrics["test/nrmse_f"] < metrics["test_high/nrmse_f"]
    assert "95 % from" in out
