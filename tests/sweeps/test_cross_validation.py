"""Cross-validation: a sweep, a search and single runs with folds."""

import json
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pandas
import pytest

import runge
from runge.comparison.ranking import rank_directories
from runge.composing.jobs import make_jobs
from runge.sweeps.journal import Journal
from runge.sweeps.loop import policy_of
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import compose
from tests.sweeps.policies.made_up import Launcher, overrides_of, read_command, run
from tests.sweeps.test_differential import check_members

pytestmark = pytest.mark.usefixtures("in_folder")

SHORT = ("trainer.max_steps=12", "trainer.log_every=4", "model.width=5", "trainer.progress_bar=false")
SWEEP = (*SHORT, "search.compare=false", "hydra.launcher.processes=1")
TABLE = ("data=table", "data.file=a.csv")


def write_table(m, **columns):
    x = np.linspace(0, 1, m)
    pandas.DataFrame({"x": x, "y": np.sin(3 * x), "dy_dx": 3 * np.cos(3 * x)} | columns).to_csv("a.csv", index=False)


def member(*overrides):
    return Member(Settings.of(compose(*SHORT, *overrides) | {"logger": {}}))


def proposed(*overrides):
    """Return the overrides of the runs of a grid, which are checked as those of a command are."""
    command = read_command(*SWEEP, *overrides, "hydra.sweep.dir=sweep")
    batch = next(policy_of(command).propose(Journal(Path(), {}, False, 0.0)))
    make_jobs(command, batch.jobs, 0)
    return [overrides_of(job) for job in batch.jobs]


def test_a_stack_of_folds_equals_the_runs_alone(tmp_path):
    write_table(43, set=["train", *["test"] * 6, *["val"] * 6, *["train"] * 30])
    some = "data.split_column=set", "trainer.precision=64", "trainer.compile=off"
    members = [member(*TABLE, *some, "data.folds=5", f"data.fold={k}", f"seed={k}") for k in range(5)]
    sizes = Counter(tuple(one.sizes) for one in members)
    assert sizes == {(29, 8, 6): 2, (30, 7, 6): 3}
    assert len({one.shared() for one in members}) == 2
    check_members(members[1:2] + members[:1], tmp_path)


def test_relative_errors_of_a_fold_are_those_of_the_whole():
    write_table(30)
    for overrides in (TABLE, ("data.n_train=30", "sampling=random")):
        stack = prepare([member(*overrides, "data.folds=6", "data.fold=2")])
        train, val = stack.data.dataset[:2]
        u, _ = stack.module.network.predict(val.x)
        found = stack.module.measure("val", val, stack.module.lambda_d)
        f = np.concatenate([train.f.numpy().ravel(), val.f.numpy().ravel()])
        expected = np.sqrt(np.mean((u - val.f).detach().numpy() ** 2)) / f.std()
        assert float(found["val/nrmse_f"]) == pytest.approx(expected, rel=1e-4)


def test_a_sweep_has_a_run_for_each_fold(caplog):
    write_table(10)
    jobs = proposed(*TABLE, "data.folds=20", "seed=0,1")
    assert [(job["seed"], job["data.fold"]) for job in jobs] == [(seed, fold) for seed in "01" for fold in "01234567"]
    assert caplog.text.count("data.folds: 8 folds instead of 20") == 1
    one = proposed(*TABLE, "data.folds=20", "data.fold=2", "seed=0,1")
    assert [(job["seed"], job["data.fold"]) for job in one] == [("0", "2"), ("1", "2")]
    several = proposed("data.n_train=20", "data.folds=2,3,null")
    assert Counter(job["data.folds"] for job in several) == {"2": 2, "3": 3, "null": 1}
    assert not Path("sweep").exists()


def test_the_function_of_a_sweep_is_the_mean_over_its_seeds_and_folds():
    write_table(20)
    sweep = *SWEEP, *TABLE, "data.folds=2", "seed=0,1"
    runge.sweep(*sweep, directory="sweep")
    x = np.linspace(0, 1, 5)
    each = [runge.load(f"sweep/{number}")(x) for number in range(4)]
    assert all(abs(one - each[0]).max() > 0 for one in each[1:])
    np.testing.assert_allclose(runge.load("sweep")(x), np.mean(each, 0), rtol=1e-6)
    before = {path: path.stat().st_mtime_ns for path in Path("sweep").glob("*/metrics.json")}
    runge.sweep(*sweep, directory="sweep")  # nothing is left to train
    assert before == {path: path.stat().st_mtime_ns for path in Path("sweep").glob("*/metrics.json")}
    ranking = rank_directories(["sweep"])
    assert (ranking.metric, [one.size for one in ranking.groups]) == ("val/nrmse_df", ["4"])


def test_a_trial_is_the_median_over_seeds_of_the_mean_over_folds():
    pytest.importorskip("optuna")
    write_table(20)
    options = "search=optuna", "search.trials=2", "search.seeds=3", "optimizer.lr=interval(0.01,1)"
    launcher = Launcher(lambda number, _: float(number**2))
    run(launcher, *SWEEP, *TABLE, "data.folds=2", *options, "hydra.sweep.dir=sweep")
    for trial in json.loads(Path("sweep/search.json").read_text())["trials"]:
        values = [number**2 for number in trial["runs"]]
        assert trial["values"] == [statistics.median(statistics.fmean(values[2 * i : 2 * i + 2]) for i in range(3))]
    (jobs,) = launcher.batches
    settings = [(job["seed"], job["data.fold"]) for job in jobs]
    assert settings == 2 * [(seed, fold) for seed in "012" for fold in "01"]
