"""Halving: the worst runs leave a stack at rungs, and the others get the figures that they would have had."""

import itertools
import json

import numpy as np
import pytest

from runge.launch.jobs import plan
from runge.objective import Pruned
from runge.records.directories import RunDirectory
from runge.training.member import Member
from runge.training.results import StackWriter
from runge.training.stack import Stack
from runge.training.stopping import order, targets

SMALL = ("data.n_train=16", "data.n_val=16", "data.n_test=51", "model.width=4", "trainer.precision=64", "logger=[]")
STEPS = ("trainer.max_steps=90", "trainer.log_every=10", "trainer.progress_bar=false", "trainer.compile=off")


@pytest.fixture
def make(configuration, tmp_path):
    """Make runs, and their directories in a folder."""

    def make(folder, *runs):
        paths = [tmp_path / folder / str(i) for i in range(len(runs))]
        for path in paths:
            path.mkdir(parents=True, exist_ok=True)
        members = [Member(configuration(*SMALL, *STEPS, *run.split())) for run in runs]
        return members, [RunDirectory(path) for path in paths]

    return make


def status(run):
    return json.loads(run.status.read_text())


RATES = (1e-4, 3e-2, 1e-3, 1e-2, 3e-4, 2e-2, 3e-3)
RUNS = [f"schedule=constant optimizer.lr={rate}" for rate in RATES]


def test_rungs():
    assert targets(2000, 3) == [223, 667]
    assert targets(1000, 2) == [125, 250, 500]
    assert targets(1000, 7) == [143]
    assert targets(1000, 20) == []
    assert targets(2, 3) == []


def test_the_order_of_several_objectives():
    """No row comes before one that dominates it, and unknown ones come last."""
    values = np.random.default_rng(0).random((30, 2)).round(1)
    values[3] = np.nan
    place = {row: i for i, row in enumerate(order(values))}
    assert place[3] == 29
    for a, b in itertools.permutations(set(place) - {3}, 2):
        if (values[a] <= values[b]).all() and (values[a] < values[b]).any():
            assert place[a] < place[b]
    assert order(np.array([[2.0], [1.0], [3.0], [1.0]])) == [1, 3, 0, 2]


def test_those_that_stay_are_the_best_and_equal_runs_without_halving(make):
    members, all_runs = make("all", *RUNS)
    figures = Stack(members).fit(all_runs)
    members, runs = make("halved", *RUNS)
    outcomes = Stack(members, 3).fit(runs)
    left = {i: one for i, one in enumerate(outcomes) if isinstance(one, Pruned)}
    assert sorted(one.step for one in left.values()) == [10] * 4 + [30] * 2  # of 7 stay 3, then 1
    for rung, count in ((10, 3), (30, 1)):
        here = [i for i in range(7) if i not in left or left[i].step >= rung]
        history = [np.genfromtxt(all_runs[i].history, delimiter=",", names=True) for i in here]
        rows = [one[one["step"] <= rung] for one in history]
        best = [row[np.argmin(row["valloss"])] for row in rows]
        nrmse = [np.sqrt((row["valnrmse_f"] ** 2 + row["valnrmse_df"] ** 2) / 2) for row in best]
        stayed = {here[k] for k in np.argsort(nrmse)[:count]}
        assert stayed == {i for i in range(7) if i not in left or left[i].step > rung}
    for i, (outcome, run) in enumerate(zip(outcomes, runs, strict=True)):
        assert run.metrics.exists() == (i not in left)
        assert status(run)["status"] == ("pruned" if i in left else "finished")
        assert status(run)["step"] == (left[i].step if i in left else 90)
        rows = [np.atleast_2d(np.genfromtxt(one.history, delimiter=",", skip_header=1)) for one in (run, all_runs[i])]
        assert len(rows[0]) == status(run)["step"] / 10
        np.testing.assert_allclose(rows[0], rows[1][: len(rows[0])], rtol=1e-7)
        if i in left:
            assert run.best.exists()
        else:
            kept = {key: x for key, x in figures[i].items() if not key.startswith("seconds")}
            assert {key: outcome[key] for key in kept} == pytest.approx(kept, rel=1e-7)


def test_runs_that_differ_in_their_seed_leave_together(make):
    runs = [f"schedule=constant optimizer.lr={rate} seed={seed}" for rate in (1e-4, 1e-2, 1e-3) for seed in (0, 1, 2)]
    members, directories = make("seeds", *runs)
    left = [isinstance(one, Pruned) for one in Stack(members, 3).fit(directories)]
    assert left == [True] * 3 + [False] * 3 + [True] * 3


@pytest.mark.parametrize(("schedule", "steps"), [("schedule.at_step=20", {30}), ("schedule.at_step=28", set())])
def test_a_rung_counts_only_once_lambda_d_has_been_on(schedule, steps, make):
    """The one at step 30 makes up for the first, at which nobody left: of 7 stays 1."""
    members, directories = make("later", *(f"{schedule} optimizer.lr={rate}" for rate in RATES))
    left = [one.step for one in Stack(members, 3).fit(directories) if isinstance(one, Pruned)]
    assert set(left) == steps
    assert len(left) == 6 * len(steps)


@pytest.mark.parametrize("smaller", [False, True])
def test_a_kill_at_a_rung(smaller, make, monkeypatch):
    """Before anything of the rung is written, or after all of it: the same leave, and the best ends with its bits."""
    members, directories = make("whole", *RUNS)
    Stack(members, 3).fit(directories)
    members, killed = make("killed", *RUNS)
    with monkeypatch.context() as patch:
        method = "begin" if smaller else "end"
        original = getattr(StackWriter, method)

        def die(writer, *arguments):
            if len(writer.runs) < len(members) or not smaller:
                raise SystemExit
            return original(writer, *arguments)

        patch.setattr(StackWriter, method, die)
        patch.setattr(StackWriter, "leave", lambda *_: None)  # a killed process writes nothing
        with pytest.raises(SystemExit):
            Stack(members, 3).fit(killed)
    assert [status(run)["status"] for run in killed].count("pruned") == (4 if smaller else 0)
    members, killed = make("killed", *RUNS)
    Stack(members, 3).fit(killed)
    for run, other in zip(directories, killed, strict=True):
        states = [status(run), status(other)]
        for state in states:
            state["checksums"].pop("metrics.json", None)  # it has the seconds
            assert state.pop("began") <= state.pop("written")
        assert states[0] == states[1]
        assert run.history.read_bytes() == other.history.read_bytes()


def test_chunks_keep_the_seeds_of_a_trial(make):
    from tests.launch.test_sweep import Job

    runs = [f"optimizer.lr={rate} seed={seed}" for rate in RATES for seed in (0, 1)]
    members, directories = make("plan", *runs)
    jobs = [Job(None, [], str(run.path), member, None) for member, run in zip(members, directories, strict=True)]
    for halving, whole in ((None, False), (3, True)):
        chunks, _ = plan(jobs, 2, 5, halving=halving)
        numbers = [set(chunk.jobs) for chunk in chunks]
        assert max(map(len, numbers)) <= 5
        assert whole == all((2 * i in one) == (2 * i + 1 in one) for one in numbers for i in range(7))
