from dataclasses import replace

import numpy as np

from runge.compare.importance import importance_of
from runge.records.reading import RunRecord

KEYS = ("optimizer.lr", "model.activation", "model.width", "seed")


def runs(error, number=80):
    generator = np.random.default_rng(0)
    records = []
    for seed in range(number):
        lr, width = float(10 ** generator.uniform(-4, -1)), int(generator.choice([8, 16, 32]))
        activation = str(generator.choice(["tanh", "relu", "sin"]))
        settings = {"optimizer.lr": lr, "model.activation": activation, "model.width": width, "seed": seed}
        figures = {"test/mse_df": error(lr, activation, generator)}
        records.append(RunRecord("", "finished", settings=settings, figures=figures))
    return records


def test_what_matters_comes_first():
    strong = runs(lambda lr, activation, _: lr**2 * (1.5 if activation == "relu" else 1))
    found = importance_of(strong, KEYS, "test/mse_df")
    assert found is not None
    assert found.settings[0] == "optimizer.lr"
    assert found.means[0] > 5 * max(found.means[1:])
    assert found.score > 0.9
    assert found.runs == 80
    assert importance_of(strong, KEYS, "test/mse_df") == found
    diverged = [
        replace(one, status="diverged", figures={}) if one.settings["model.activation"] == "relu" else one
        for one in runs(lambda lr, *_: 1 + lr)
    ]
    worst = importance_of(diverged, KEYS, "test/mse_df")
    assert worst is not None
    assert worst.settings[0] == "model.activation"
    assert worst.runs == 80


def test_chance_is_called_chance():
    chance = importance_of(runs(lambda lr, activation, generator: generator.lognormal()), KEYS, "test/mse_df")
    assert chance is not None
    assert chance.score < 0.3
    assert "not shown: a random forest cannot predict" in chance.describe("test/mse_df")


def test_too_little_to_say():
    assert importance_of(runs(lambda lr, *_: lr, number=29), KEYS, "test/mse_df") is None
    assert importance_of(runs(lambda lr, *_: lr), KEYS[1:], "test/mse_df") is None
    assert importance_of(runs(lambda *_: 0.0), KEYS, "test/mse_df") is None
