"""Cross-validation: a sweep, a search and single runs with folds."""

import json
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import pytest

import runge
from runge.configuration.errors import ConfigurationError
from runge.metrics import Objective
from runge.training.member import Member
from runge.training.stack import Stack
from tests.conftest import compose
from tests.sweeps.test_differential import check_members

pytestmark = pytest.mark.usefixtures("in_folder")

SHORT = ("trainer.max_steps=12", "trainer.log_every=4", "model.width=5", "trainer.progress_bar=false")
SWEEP = (*SHORT, "search.compare=false", "hydra.launcher.processes=1")
TABLE = ("data=table", "data.file=a.csv")


def write_table(m, **columns):
    x = np.linspace(0, 1, m)
    pandas.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": 3 * np.cos(3 * x)} | columns).to_csv("a.csv", index=False)


def member(*overrides):
    return Member(compose(*SHORT, *overrides) | {"logger": {}})


def settings(sweep, *keys):
    rows = (json.loads(path.read_text()) for path in Path(sweep).glob("*/run.json"))
    flat = [{"seed": row["seed"], "fold": row["data"]["fold"], "width": row["model"]["width"]} for row in rows]
    return sorted(tuple(row[key] for key in keys) for row in flat)


def test_a_stack_of_folds_equals_the_runs_alone(tmp_path):
    write_table(43, set=["train", *["test"] * 6, *["val"] * 6, *["train"] * 30])
    some = "data.split_column=set", "trainer.precision=64", "trainer.compile=off"
    members = [member(*TABLE, *some, "data.folds=5", f"data.fold={k}", f"seed={k}") for k in range(5)]
    sizes = Counter(tuple(one.sizes) for one in members)
    assert sizes == {(29, 8, 6): 2, (30, 7, 6): 3}
    assert len({one.shared() for one in members}) == 2
    for stacked in (members[:2], members[2:]):
        check_members(stacked, tmp_path)


def test_relative_errors_of_a_fold_are_those_of_the_whole():
    write_table(30)
    for overrides in (TABLE, ("data.n_train=30", "sampling=random")):
        stack = Stack([member(*overrides, "data.folds=6", "data.fold=2")])
        train, val = stack.data.dataset[:2]
        u, _ = stack.module.network.predict(val.x)
        found = stack.module.measure("val", val, stack.module.lambda_d)
        f = np.concatenate([train.f.numpy().ravel(), val.f.numpy().ravel()])
        expected = np.sqrt(np.mean((u - val.f).detach().numpy() ** 2)) / f.std()
        assert float(found["val/nrmse_f"]) == pytest.approx(expected, rel=1e-4)


def test_a_sweep_trains_a_run_for_each_fold(capsys):
    write_table(10)
    sweep = *SWEEP, *TABLE, "data.folds=20", "model.width=5,6", "seed=0,1"
    runge.sweep(*sweep, directory="sweep")
    expected = [(w, s, k) for w in (5, 6) for s in (0, 1) for k in range(8)]
    assert settings("sweep", "width", "seed", "fold") == expected
    assert capsys.readouterr().err.count("data.folds: 8 folds instead of 20") == 1
    before = {path: path.stat().st_mtime_ns for path in Path("sweep").glob("*/metrics.json")}
    ranking = runge.sweep(*sweep, directory="sweep")  # nothing is left to train
    assert before == {path: path.stat().st_mtime_ns for path in Path("sweep").glob("*/metrics.json")}
    assert ranking.metric == "val/nrmse_df"
    assert sorted(one.size for one in ranking.groups) == ["16", "16"]
    runge.sweep(*sweep[:-2], "data.fold=2", "seed=0,1", directory="one")
    assert settings("one", "seed", "fold") == [(0, 2), (1, 2)]


def test_a_sweep_with_several_numbers_of_folds_and_one_without():
    runge.sweep(*SWEEP, "data.n_train=20", "data.folds=2,3,null", directory="sweep")
    folds = [json.loads(path.read_text())["data"] for path in Path("sweep").glob("*/run.json")]
    assert Counter(data["folds"] for data in folds) == {2: 2, 3: 3, None: 1}


def test_the_function_of_a_sweep_is_the_mean_over_its_folds():
    write_table(20)
    runge.sweep(*SWEEP, *TABLE, "data.folds=2", directory="sweep")
    x = np.linspace(0, 1, 5)
    each = [runge.load(f"sweep/{fold}")(x) for fold in range(2)]
    assert abs(each[0] - each[1]).max() > 0
    np.testing.assert_allclose(runge.load("sweep")(x), np.mean(each, 0), rtol=1e-6)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("data.folds=5",), "data.fold: must be given with data.folds=5; data.fold=0 trains one run, and -m a sweep"),
        (("data.folds=5", "data.fold=5"), "fold: must be null or from 0 to 4 with data.folds=5"),
        (("data.folds=20", "data.fold=9", "data.n_train=9"), "fold: must be from 0 to 8, because there are 9 folds of"),
        (("data.folds=5", "data.fold=1", "resampling=region"), "resampling: must be none with data.folds"),
    ],
)
def test_mistakes(overrides, words):
    with pytest.raises(ConfigurationError, match=words):
        member(*overrides)


def test_too_few_rows():
    write_table(7)
    with pytest.raises(ConfigurationError, match=r"data.folds: 'a.csv': must have at least 8 rows .* got 7"):
        runge.sweep(*SWEEP, *TABLE, "data.folds=3", directory="sweep")
    assert not Path("sweep").exists()


def test_a_trial_is_the_median_over_seeds_of_the_mean_over_folds():
    pytest.importorskip("optuna")
    write_table(20)
    options = "search=optuna", "search.trials=2", "search.seeds=3", "optimizer.lr=interval(0.01,1)"
    runge.sweep(*SWEEP, *TABLE, "data.folds=2", *options, directory="sweep")
    for trial in json.loads(Path("sweep/search.json").read_text())["trials"]:
        figures = [json.loads(Path(f"sweep/{run}/metrics.json").read_text()) for run in trial["runs"]]
        values = [Objective("val/nrmse").values(one)[0] for one in figures]
        expected = statistics.median(statistics.fmean(values[2 * seed : 2 * seed + 2]) for seed in range(3))
        assert trial["values"] == pytest.approx([expected])
    whole = [(seed, fold) for _ in range(2) for seed in range(3) for fold in range(2)]
    assert settings("sweep", "seed", "fold") == sorted(whole)
