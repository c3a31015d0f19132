"""The figures that a sweeper minimises: errors of the weights that are kept, on the validation points."""

import json
import math

import pytest

from runge.records.directories import RunDirectory
from runge.records.metrics import Objective
from runge.records.reading import read_columns
from runge.training.member import Member
from runge.training.settings import Settings
from tests.refusals import refuses


def test_values_of_known_and_unknown_figures():
    figures = {"val/nrmse_f": 0.3, "val/nrmse_df": 0.4, "val/mse_f": 2, "val/mse_df": None}
    assert Objective("val/nrmse").values(figures) == pytest.approx((math.sqrt(0.125),))
    assert Objective("val/nrmse").values({"val/nrmse_f": 0.3, "val/nrmse_df": None}) == (0.3,)  # a table of values
    first, second = Objective(["val/mse_f", "val/mse_df"]).returned(figures)
    assert first == 2
    assert math.isnan(second)
    assert math.isnan(Objective("val/nrmse").returned({}))


def test_a_run_returns_the_figures_of_its_best_weights(fit):
    """The row of the history with the lowest validation loss with lambda_d has the objective, to round-off."""
    short = "trainer.max_steps=200", "trainer.log_every=20", "model.width=8", "logger=[]", "pictures=false"
    run = RunDirectory(fit("run", *short, "optimizer.lr=0.5", "optimizer.lr_schedule=constant"))
    history, metrics = read_columns(run, run.history, None, 10**9), json.loads(run.metrics.read_text())
    losses = [loss if on else math.inf for loss, on in zip(history["val/loss"], history["lambda_d"], strict=True)]
    row = {name: column[losses.index(min(losses))] for name, column in history.items()}
    assert row["step"] == metrics["best_step"] < 200
    for keys in ("val/nrmse", ["val/mse_f", "val/max_df/left"]):
        assert Objective(keys, (), ["left"]).values(row) == pytest.approx(Objective(keys, (), ["left"]).values(metrics))


OF_TWO = "target=expression target.expr=[x,x**2] objective="


@pytest.mark.parametrize(
    "overrides",
    [f"objective={key}" for key in ("val/nrmse", "val/loss", "val/max_df/peak", "[val/nrmse_f,val/mse_df]")]
    + [f"{OF_TWO}val/mse_df/f2"],
)
def test_what_is_allowed(overrides, configuration):
    """With several outputs these are allowed in place of regions."""
    keys = overrides.rpartition("=")[2].strip("[]").split(",")
    assert list(Member(Settings.of(configuration(*overrides.split()))).objective.keys) == keys


def test_regions_of_several_outputs_are_refused(configuration):
    with refuses("objective", "got 'val/mse_df/left'", "f1, f2, such as val/mse_df/f1"):
        Member(Settings.of(configuration(*f"{OF_TWO}val/mse_df/left".split())))
