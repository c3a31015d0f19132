"""The model card has what the files of runs say."""

import json
from dataclasses import replace

import pandas
import pytest

import runge
from runge.exports import card
from runge.function.function import Function
from runge.records.directories import RunDirectory
from runge.records.leaderboard import Leaderboard, LeaderboardEntry, OutputError
from tests.commands.test_cli import TABLE
from tests.exports.formats import function

SHORT = ("model.width=4", "trainer.max_steps=3", "trainer.progress_bar=false", "logger=[]", "pictures=false")
ROWS = (*SHORT, "data=table", f"data.file={TABLE}", "data.outputs=[y]")


@pytest.fixture
def pair(fit):
    """Train two runs that differ in one key; return the directory of both."""

    def train(key, *options):
        runs = [fit(str(value), *options, f"{key}={value}") for value in range(2)]
        return runs[0].parent

    return train


def rms(runs, metric):
    figures = [RunDirectory(run).read_metrics()[metric] for run in runs]
    return pytest.approx((sum(figure**2 for figure in figures) / len(figures)) ** 0.5, rel=1e-5)


def test_the_card_of_a_run_has_its_errors_and_its_ranges(fit):
    run = fit("run", *ROWS)
    found, table = card(runge.load(run)), pandas.read_csv(TABLE)
    expected = {"value": rms([run], "test/nrmse_f"), "derivative": rms([run], "test/nrmse_df")}
    assert found["errors"] == {"set": "test", "nrmse": {"y": expected}}
    for one in found["inputs"]:
        assert one["low"] < one["high"]
        assert {one["low"], one["high"]} <= {*table[one["name"]]}
    assert card(runge.load(run), 0.5) == found | {"interval": 0.5}
    assert json.loads(json.dumps(found)) == found, "plain data"


def test_the_errors_of_several_networks_are_root_mean_squares(pair):
    sweep = pair("data.fold", *ROWS, "data.folds=2", "data.split.test=0")
    runs = [sweep / "0", sweep / "1"]
    expected = {"value": rms(runs, "val/nrmse_f"), "derivative": rms(runs, "val/nrmse_df")}
    assert card(runge.load(sweep))["errors"] == {"set": "val", "nrmse": {"y": expected}}


def test_the_card_of_an_answer_has_the_errors_of_networks_that_left_out_its_rows(pair):
    sweep = pair("seed", *ROWS, "data.split.val=0", "data.split.test=0")
    for of_all_rows in (sweep / "0", sweep):
        assert "errors" not in card(runge.load(of_all_rows))
    best = LeaderboardEntry("one", [], [2, 3], [0, 1], 2, 0.1, 0.2, 0.1, 1.0, 3)
    errors = [OutputError("y", 0.1, None, 0.25, None), OutputError("z", None, None, None, None)]
    Leaderboard([best], [], [], errors=errors).write(sweep)
    assert card(runge.load(sweep))["errors"] == {"set": "left out", "nrmse": {"y": {"value": 0.1}}}
    Leaderboard([replace(best, refits=[0])], [], [], errors=errors).write(sweep)
    assert "errors" not in card(runge.load(sweep)), "of other networks"


def test_a_function_of_ones_own_has_a_card_without_what_is_not_known():
    own = Function(function(dimension=2).networks[0], inputs=["alpha (deg)", "x(t)"], outputs=["lift [N]"])
    assert card(own) == {
        "runge": runge.__version__,
        "inputs": [{"name": "alpha (deg)", "unit": "deg"}, {"name": "x(t)"}],
        "outputs": [{"name": "lift [N]", "unit": "N"}],
        "license": "the license of runge does not extend to this file",
    }
