import json
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import escape

from runge.comparison.html_report import render, trial_commands
from runge.comparison.ranking import rank
from runge.records.trials import Trials, read_trials
from tests.comparison.pages import made_up, plot

TRIALS = [{"number": i, "status": "finished", "runs": [i], "values": [1.0]} for i in range(5)]
OVERRIDES = ["optimizer.lr=0.01", "target.expr='x**2'"]
COMMAND = "runge train optimizer.lr=0.01 \"target.expr='x**2'\""


def search(path, best=(4,), objective=("val/nrmse",)):
    content = {"objective": objective, "trials": TRIALS, "best": best, "space": {}, "folds": 0}
    content |= {"overrides": [OVERRIDES] * len(best)}
    (path / "search.json").write_text(json.dumps(content))
    return read_trials([path])


def said(trials):
    """Return the sentence on the trials of a search."""
    return rank(made_up({("tanh", 0.1, 8): 1.0}), trials=trials).sentences[0]


@pytest.fixture
def ranking(tmp_path):
    """A search whose test errors are in the opposite order of its objective."""
    records = [
        replace(one, figures=one.figures | {"val/nrmse_f": 3 / one.figures["test/mse_df"]})
        for one in made_up({("tanh", 0.1**k, 2**k): k for k in range(1, 20)}, seeds=1)
    ]
    return rank(records, trials=search(tmp_path))


def test_a_search_is_ranked_by_its_objective(ranking):
    assert (ranking.metric, ranking.lead) == ("val/nrmse", "")
    assert ranking.records[0].settings["model.width"] == 2**19
    assert ranking.records[0].figures["val/nrmse"] == pytest.approx(3 / 19)
    page = render(ranking)
    assert "5 trials of a search that minimises val/nrmse: the best trial is 4, run 4." in " ".join(page.split())
    assert str(escape(COMMAND)) in page


@pytest.mark.nightly
def test_each_run_of_a_continuous_range_is_a_dot(ranking, opened):
    page = opened(ranking)
    (trace,) = plot(page, "heat", "data")
    assert (trace["type"], len(trace["x"])) == ("scatter", 19)
    assert {2**k for k in range(1, 20)} in ({*trace["x"]}, {*trace["y"]})
    assert not page.locator("#statistic").is_visible()
    widths = plot(page, "parallel", "data[0].dimensions[1].values")
    assert sorted(widths) == pytest.approx(np.log10(2) * np.arange(1, 20))


def test_a_cross_validated_trial_is_a_sweep():
    trials = Trials(objective=[], trials=[], best=[1], overrides=[["a=1", "b=2"]], folds=5)
    assert trial_commands(trials) == ["runge train -m a=1 b=2"]


def test_several_objectives_have_several_best_trials(tmp_path):
    front = search(tmp_path, best=(0, 3, 4), objective=("val/mse_f", "val/mse_df"))
    assert "minimises val/mse_f and val/mse_df: no other trial beats 0, 3, 4 in all of these." in said(front)


def test_nothing_found_yet():
    trials = Trials(objective=["val/nrmse"], trials=[], best=[], overrides=[], folds=0)
    assert said(trials).endswith("none has finished.")
