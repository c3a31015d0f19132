import json

import pytest

from runge.configuration.errors import ConfigurationError
from runge.records.trials import Trial, Trials, read_trials

TRIALS = Trials(
    objective=["val/nrmse"],
    space={"model.width": {"name": "IntDistribution"}},
    trials=[
        Trial(number=0, status="finished", runs=[0, 1], values=[0.5], params={"model.width": 8}),
        Trial(number=1, status="diverged", runs=[2, 3], values=None, params={"model.width": 16}),
    ],
    best=[0],
    overrides=[["model.width=8"]],
    folds=2,
)


def test_a_search_is_read_as_it_was_written(tmp_path):
    assert read_trials([tmp_path]) is None
    TRIALS.write(tmp_path)
    assert read_trials([tmp_path]) == TRIALS
    assert read_trials([tmp_path, tmp_path]) is None
    content = json.loads((tmp_path / "search.json").read_text())
    assert list(content) == ["objective", "space", "trials", "best", "overrides", "folds"]
    assert list(content["trials"][1]) == ["number", "status", "runs", "values", "params"]


def test_a_damaged_file_is_refused(tmp_path):
    content = '{"objective": ["a"], "trials": [{"number": "x"}], "best": [], "overrides": [], "folds": 0}'
    (tmp_path / "search.json").write_text(content)
    with pytest.raises(ConfigurationError, match=r"search.json is damaged \(trials.0.number"):
        read_trials([tmp_path])
