"""The model card has what the files of runs say."""

import json
from dataclasses import replace

import numpy as np
import pandas
import pytest

import runge
from runge.comparison.leaderboard import Leaderboard, LeaderboardEntry, OutputError
from runge.exports import card
from runge.function.function import Function
from runge.records.directories import RunDirectory
from runge.records.ensemble import write_answer
from tests.commands.test_cli import TABLE
from tests.exports.formats import function

SHORT = ("model.width=4", "trainer.max_steps=3", "trainer.progress_bar=false", "logger=[]", "pictures=false")
NAMES = ("rmse", "mse_f", 0.5), ("max", "max_f", 1), ("nrmse", "nrmse_f", 1)
ROWS = (*SHORT, "data=table", f"data.file={TABLE}", "data.outputs=[y]")
EVERY = (*ROWS, "data.split.val=0", "data.split.test=0")


@pytest.fixture
def pair(fit):
    """Train two runs that differ in one key; return the directory of both."""

    def train(key, *options):
        runs = [fit(str(value), *options, f"{key}={value}") for value in range(2)]
        return runs[0].parent

    return train


def of_set(split, figures, *names):
    return {name: float(f"{figures[f'{split}/{key}'] ** power:.6g}") for name, key, power in names}


def test_the_card_of_a_run_has_its_errors_and_its_rows(fit, monkeypatch):
    run = fit("run", *ROWS)
    with monkeypatch.context() as patch:
        patch.setattr("runge.function.function.UnseenErrors", None)  # the table must not be read
        found = card(runge.load(run))
    figures, state = RunDirectory(run).read_metrics(), RunDirectory(run).read_state()
    points = {"train": 8, "val": 2, "test": 2}
    assert found["data"] == {"file": TABLE.name, "sha256_of_rows": state.rows, "points": points}
    (errors,) = found["errors"]
    assert (errors["of"], errors["set"], errors["points"]) == ("run", "test", 2)
    assert errors["values"] == {"y": of_set("test", figures, *NAMES)}
    assert errors["gradients"]["y"]["rmse"] == pytest.approx(figures["test/mse_df"] ** 0.5, rel=1e-5)
    assert errors["partials"]["dy_db"] == of_set("test", figures, ("nrmse", "nrmse_df/dy_db", 1))
    table, u = pandas.read_csv(TABLE), runge.load(run)
    for one in found["inputs"]:
        assert one["low"] in table[one["name"]].array
        assert one["low"] < one["mean"] < one["high"] in table[one["name"]].array
    assert "intervals" not in found
    assert card(u, 0.5)["intervals"]["rows"] == 2
    assert json.loads(json.dumps(card(u))) == found, "the same again, and plain data"


def test_the_card_of_a_sweep_has_the_errors_of_each_member(pair):
    sweep = pair("seed", *SHORT)
    found = card(runge.load(sweep))
    for i, errors in enumerate(found["errors"]):
        figures = RunDirectory(sweep / f"{i}").read_metrics()
        assert (errors["of"], errors["set"], errors["points"]) == (f"member {i + 1}", "test", 2001)
        assert errors["values"] == {"f": of_set("test", figures, *NAMES)}
        assert errors["gradients"]["f"]["nrmse"] == float(f"{figures['test/nrmse_df']:.6g}")
    assert found["data"] == {"target": "Runge", "points": {"train": 128, "val": 256, "test": 2001}}
    assert found["inputs"] == [{"name": "x", "low": -1, "high": 1}]


def test_the_errors_of_folds_are_those_of_each_member(pair):
    sweep = pair("data.fold", *ROWS, "data.folds=2", "data.split.test=0")
    u, figures = runge.load(sweep), RunDirectory(sweep / "1").read_metrics()
    errors = card(u)["errors"]
    assert [(one["of"], one["set"]) for one in errors] == [("member 1", "val"), ("member 2", "val")]
    assert errors[1]["values"] == {"y": of_set("val", figures, *NAMES)}
    assert "intervals" not in card(u)
    write_answer(sweep, ["0", "1"], u.calibration)
    answer = card(runge.load(sweep))
    halves = u.calibration.factors(0.9) * np.array(u.calibration.floors)
    assert list(answer["intervals"]["half_widths"].values()) == pytest.approx(halves, rel=1e-5)


def test_the_card_of_an_answer_has_the_errors_of_networks_that_left_out_its_rows(pair):
    sweep = pair("seed", *EVERY)
    for of_all_rows in (sweep / "0", sweep):
        found = card(runge.load(of_all_rows))
        assert found["data"]["points"] == {"train": 12}
        assert "errors" not in found
    best = LeaderboardEntry("one", "", [2, 3], [0, 1], 2, 0.1, 0.2, 0.1, 1.0, 3)
    errors = [OutputError("y", 0.1, 0.2, 0.25, None), OutputError("z", None, None, None, None)]
    Leaderboard([best], [], [], errors=errors).write(sweep)
    assert card(runge.load(sweep))["errors"] == [
        {
            "of": "one network without a fold",
            "set": "left out",
            "values": {"y": {"nrmse": 0.1, "bound_90": 0.25}},
            "gradients": {"y": {"nrmse": 0.2}},
        }
    ]
    best = replace(best, refits=[0])
    Leaderboard([best], [], [], errors=errors).write(sweep)
    assert "errors" not in card(runge.load(sweep)), "of other networks"


def test_a_function_of_ones_own_has_a_card_without_what_is_not_known():
    own = Function(function("relu", dimension=2).networks[0], inputs=["alpha (deg)", "x(t)"], outputs=["lift [N]"])
    assert card(own) == {
        "runge": runge.__version__,
        "inputs": [{"name": "alpha (deg)", "unit": "deg"}, {"name": "x(t)"}],
        "outputs": [{"name": "lift [N]", "unit": "N"}],
        "networks": [
            {
                "activation": "relu",
                "layers": [2, 6, 6, 1],
                "members": 1,
                "precision": "float64",
                "convention": "the derivative at the kink is 0; the second derivative is 0",
            }
        ],
        "license": "the license of runge does not extend to this file",
    }
    several = {"_target_": "runge.targets.Expression", "expr": ["x", "x**2"]}
    two = Function(function(outputs=3).networks[0], {"target": several}, outputs=["f1", "f2", "f3"])
    assert card(two)["data"] == {"target": "Expression", "formulas": {"f1": "x", "f2": "x**2"}}
