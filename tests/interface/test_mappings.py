"""Settings as Python's objects, and what is made without a directory."""

import pickle
import re
import shutil
from functools import partial
from pathlib import Path

import lightning
import numpy as np
import pandas
import pytest
import torch
from lightning.pytorch.callbacks import Callback

import runge
from runge.schedules import TwoStage
from tests.commands.conftest import ONE
from tests.sweeps.commands import TINY_SEARCH

pytestmark = pytest.mark.usefixtures("in_folder")

TINY = {"trainer.max_steps": 20, "trainer.log_every": 10, "model.width": np.int64(8), "trainer.progress_bar": False}


def worst(u, du, points):
    return (u - points.f).abs().amax((1, 2))


class Count(Callback):
    def __init__(self, name):
        self.name = name


@pytest.fixture
def table():
    x = np.linspace(0, 1, 40)
    return pandas.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": 3 * np.cos(3 * x)})


def test_settings_are_objects_and_nothing_is_written_where_one_stands(table):
    objects = {"schedule": TwoStage(at_step=5), "metrics.worst": worst, "callbacks.count": partial(Count, name="a b")}
    run = runge.train(table, settings=TINY | objects | {"tags": ["a", "true"], "note": None})
    assert not list(Path.cwd().iterdir())
    assert {"val/worst", "test/worst"} <= {*run.metrics}
    settings = run.settings
    assert settings["schedule.at_step"] == 5
    assert (settings["callbacks.count"], settings["callbacks.count.name"]) == ("Count", "a b")
    assert settings["tags"] == "['a', 'true']"
    again = runge.train(table, "schedule.at_step=5", "schedule=two_stage", settings=TINY)
    assert again.metrics["test/mse_f"] == run.metrics["test/mse_f"]


def test_names_in_a_mapping_may_have_units(table):
    x, y = "x [m]", "y (N, mean)"
    columns = {"data.inputs": [x], "data.outputs": [y], "data.derivatives": {y: {x: "slope"}}}
    run = runge.train(table.set_axis([x, y, "slope"], axis=1), settings=TINY | columns)
    assert run.function.configuration["data"]["derivatives"] == {y: {x: "slope"}}
    assert run.metrics["test/nrmse_df"] > 0


@pytest.mark.parametrize("value", [lambda points: 0, Count("a"), partial(Count, "a"), worst.__code__, object()])
def test_an_object_that_cannot_be_written_down_is_refused(value):
    with pytest.raises(runge.ConfigurationError, match=r"metrics.one: must be a function or a class of a module"):
        runge.train(settings={"metrics.one": value})
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"settings": ["model.width=8"]}, "settings: must be a mapping from keys to values"),
        ({"settings": {8: 1}}, "settings: must be a mapping from keys to values"),
        ({"settings": {"seed": []}}, "seed: must have at least one value"),
        ({}, r"data: arrays must have an 'x', and settings are settings={...}"),
    ],
)
def test_settings_that_are_none_are_refused(settings, rule):
    with pytest.raises(runge.ConfigurationError, match=re.escape(rule)):
        runge.sweep(*([] if settings else [{"model.width": [8, 16]}]), **settings)


def test_settings_of_a_fit_that_are_none_are_refused():
    with pytest.raises(runge.ConfigurationError, match="settings: must be a mapping from keys to values"):
        runge.fit("target=kink", settings="model.width=8")


def test_the_lists_of_a_sweep_are_its_values():
    settings = TINY | {"model.activation": ["tanh", "gelu"], "seed": np.arange(2), "hydra.launcher.processes": 1}
    comparison = runge.sweep(settings=settings)
    assert {*zip(comparison.table["model.activation"], comparison.table["seed"], strict=True)} == {
        (activation, seed) for activation in ("tanh", "gelu") for seed in (0, 1)
    }


def test_a_fit_has_keywords_and_is_saved_whole(table, tmp_path):
    table = table.assign(part=np.arange(40) // 4, other=1.0)
    search = *(one for one in TINY_SEARCH if "tables" not in one and "max_steps" not in one), *ONE
    columns = {"inputs": table.columns[:1], "outputs": ["y"], "group": "part", "timeout": 30, "seed": 3}
    answer = runge.fit(table, *search, **columns, settings=TINY | {"data.folds": 2, "search.seeds": 1})
    assert answer.function.configuration["data"]["group"] == "part"
    assert answer.function.configuration["seed"] in (3, 4)
    x = np.linspace(0, 1, 5)
    low, _ = answer.function.interval(x, 0.5)
    text = pickle.dumps(runge.load(answer.directory))
    saved = answer.save("kept")
    with pytest.raises(FileExistsError):
        answer.save("kept")
    shutil.rmtree(answer.directory)
    shutil.move(saved.directory, tmp_path / "moved")
    np.testing.assert_array_equal(pickle.loads(text).interval(x, 0.5)[0], low)
    moved = runge.Answer(tmp_path / "moved")
    np.testing.assert_array_equal(moved.function.interval(x, 0.5)[0], low)
    assert moved.check().ok


def test_a_saved_run_has_its_own_rows_also_if_its_directory_is_used_again(table, tmp_path):
    kept = runge.train(table, settings=TINY, directory=tmp_path / "run").save("kept").function
    low, _ = kept.interval(0.5, 0.5)
    shutil.rmtree(tmp_path / "run")
    runge.train(table.iloc[:30], settings=TINY, directory=tmp_path / "run")
    assert runge.load("kept").interval(0.5, 0.5)[0] == low


def test_the_rows_of_a_table_in_a_trainer_of_ones_own(table):
    run = runge.train(table, "trainer.loop=steps", "optimizer=adam", "seed=2", settings=TINY)
    data = runge.SobolevDataModule.from_table(table, seed=2, batches_per_epoch=10)
    module = runge.PlainRegression(
        data.box[0], seed=2, lambda_d=1.0, labels=data.labels, depth=3, width=8, activation="silu"
    )
    trainer = lightning.Trainer(max_epochs=2, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    trainer.fit(module, data)
    assert module.figures["val/mse_f"].item() == pytest.approx(run.metrics["val/mse_f"], rel=1e-3)
    with pytest.raises(runge.ConfigurationError, match=re.escape("data.input: unknown key")):
        runge.SobolevDataModule.from_table(table, input=["x"])
    stack = runge.SobolevDataModule.from_table(table, seed=[0, 1], dtype=torch.float64, standardize=False)
    assert stack.dataset.train.x.shape == (2, 28, 1)
