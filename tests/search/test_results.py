"""Trials: their results, the files of those that have ended, and the processes that train them."""

import math
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from runge.configuration.errors import RunError
from runge.data.channels import Channels
from runge.data.rows import read
from runge.data.table import Table
from runge.function.loading import load
from runge.records.metrics import ERRORS
from runge.search import tasks
from runge.search.results import Move, Publication, Result, read_trials, write_trial
from runge.search.tasks import publish, train_trial
from runge.search.workers import TIME_OVER, Workers
from tests.search.made_up import candidate, result, state
from tests.search.test_search import rows, save


@pytest.fixture
def table(tmp_path, monkeypatch):
    """Return the rows of a table of 30 rows."""
    monkeypatch.chdir(tmp_path)
    save(rows())
    return read(Table(file="t.csv"))


def trial(seconds=1e5, **changes):
    """Return a trial of 20 steps in 8 neurons."""
    one = candidate("a", "optimizer=levenberg_marquardt", "model.width=8", "model.depth=1", "trainer.max_steps=20")
    return state(listed=[one], outputs=2, inputs=2).trial(Move("a", {}, 0, seconds)._replace(**changes))


def test_a_trial_continues_with_the_weights_of_the_best_step_of_another_one(table, monkeypatch):
    """Its error is then at most a little larger, and its curve goes on, as if it had been one training."""
    first = train_trial(trial(), table)
    assert (first.end, first.steps, first.rows, len(first.left_out)) == ("steps", 20, 24, 6)
    later = train_trial(trial()._replace(start=first), table)
    assert later.history["step"][: first.best + 1].tolist() == first.history["step"][: first.best + 1].tolist()
    assert later.history["step"][first.best + 1] > first.best_step
    assert (np.diff(later.history["step"]) > 0).all()
    assert (np.diff(later.history["seconds"]) > 0).all()
    assert later.errors[first.best + 1] < 0.5 * first.errors[0]
    assert later.error <= 1.01 * first.error
    assert later.metric("val/loss") == later.history["val/loss"][later.best]
    solved = train_trial(trial()._replace(start=replace(first, unfinished=np.zeros((0, 0)))), table)
    assert first.unfinished.shape == first.weights["theta"].shape
    assert not np.array_equal(first.unfinished, first.weights["theta"])  # whose last layer is solved exactly
    assert later.errors[first.best + 1] != solved.errors[first.best + 1]
    monkeypatch.setattr(tasks, "LEAST_RUN_SECONDS", 1e-12)
    short = train_trial(trial(seconds=0.0), table)
    assert (short.end, short.steps) == ("time", 1)


def test_levenberg_marquardt_continues_as_if_it_had_not_been_cut(table):
    """Its damping, and the size of its systems, are those of the trial before, if its best step is the last one."""
    whole, half = (train_trial(_steps(trial(), count), table) for count in (8, 4))
    assert (half.best_step, half.method["at_rest"].tolist()) == (4, [0.0])
    later = train_trial(_steps(trial(), 4)._replace(start=half), table)
    np.testing.assert_allclose(later.unfinished, whole.unfinished, rtol=1e-9)
    assert later.method["damping"] == pytest.approx(whole.method["damping"], rel=1e-9)
    without = train_trial(_steps(trial(), 4)._replace(start=replace(half, method={})), table)
    assert not np.allclose(without.unfinished, whole.unfinished, rtol=1e-3)


def test_a_trial_that_overfits_its_rows_has_more_of_them_at_once(table):
    """Its curve continues, and it knows on how many rows it has ended."""
    few = trial(share=0.1, seconds=5.0)._replace(most_share=0.5)
    assert few.settings.data.split["train"] == 0.1
    one = train_trial(few, table)
    kept = train_trial(few._replace(most_share=0.0), table)
    assert (kept.share, kept.rows) == (0.1, 3)
    assert one.rows > 3
    assert one.share is None or one.share > 0.1
    assert one.error < kept.error
    assert (np.diff(one.history["step"]) > 0).all()
    assert one.total > one.seconds
    assert len(one.left_out) == 6 + (0 if one.share is None else 24 - one.rows)


def test_a_further_training_that_does_not_help_is_no_set_up(table, monkeypatch):
    """The first result is returned, and the time of the other one is not part of its total."""
    found = iter([result(1.0, end="rest", seconds=0.5), result(2.0, seconds=1000.0)])
    monkeypatch.setattr(tasks, "_trained", lambda *_: next(found))
    one = train_trial(trial(share=0.1, seconds=5.0)._replace(most_share=0.5), table)
    assert (one.error, one.seconds) == (1.0, 0.5)
    assert one.total < 0  # because no time has passed, and 1000 s are taken away


def _steps(one, count):
    trainer = replace(one.settings.trainer, max_steps=count, log_every=4)
    return one._replace(settings=replace(one.settings, trainer=trainer))


def test_each_output_may_have_a_network_of_its_own(table, tmp_path):
    """It is trained as if it were the only output, and the run of the answer has all of them as one network."""
    two = replace(
        table,
        y=np.concatenate([table.y, 3 * table.y**2 + 1], axis=1),
        dydx=np.concatenate([table.dydx, 6 * table.y[:, :, None] * table.dydx], axis=1),
        outputs=("y", "z"),
    )
    listed = candidate("a", "optimizer=levenberg_marquardt", "model.width=8", "model.depth=2", "trainer.max_steps=20")
    one = state(listed=[listed], outputs=2, inputs=2)
    separate = one.trial(Move("a", {"separate": True}, 0, 1e5))
    first = train_trial(separate, two)
    alone = [train_trial(separate._replace(separate=False), part) for part in two.by_output()]
    for name in ERRORS:
        assert first.metric(name) == pytest.approx(np.mean([x.metric(name) for x in alone]))
        assert first.metric(f"{name}/z") == pytest.approx(alone[1].metric(name))
    np.testing.assert_allclose(first.residuals[:, :2], np.stack([x.residuals[:, 0] for x in alone], 1), atol=1e-9)
    later = train_trial(separate._replace(start=first), two)
    assert later.error < first.error
    run = tmp_path / "run"
    publish(Publication(separate.settings, later, str(run), listed.overrides, {}, separate=True), two)
    left_out, function = later.left_out, load(run)
    np.testing.assert_allclose(function(two.x[left_out]) - two.y[left_out], later.residuals[:, :2], atol=1e-9)
    assert function.outputs == ("y", "z")


def test_the_step_at_which_derivatives_begin_to_count_is_counted_from_drawn_weights(table):
    """A trial that was cut before it has none."""
    own = "optimizer=adam", "model.width=4", "trainer.max_steps=20", "schedule=two_stage_step", "schedule.at_step=8"
    one = state(listed=[candidate("a", *own)]).trial(Move("a", {}, 0, 1e5))
    first = train_trial(one, table)
    cut, whole = (train_trial(one._replace(start=replace(first, switched_on=x)), table) for x in (None, 8))
    assert first.switched_on == whole.switched_on
    assert cut.switched_on == first.best_step + first.switched_on


def test_a_trial_with_an_activation_of_torch_continues_too(table):
    own = "optimizer=adam", "model.activation=torch.nn.Mish", "model.width=4", "trainer.max_steps=3"
    one = state(listed=[candidate("a", *own)]).trial(Move("a", {}, 0, 1e5))
    first = train_trial(one, table)
    later = train_trial(one._replace(start=first), table)
    assert later.history["step"].tolist() == [
        *first.history["step"][: first.best + 1],
        *first.best_step + np.arange(1, 4),
    ]


def test_the_residuals_are_those_of_the_rows_that_a_trial_was_not_trained_on(table):
    """With a share of the rows some are neither for training nor for validation."""
    one, every = (train_trial(trial(share=0.4, of_answer=of_answer), table) for of_answer in (False, True))
    assert (one.rows, len(one.left_out), one.validated.sum()) == (12, 6, 6)
    assert (every.rows, len(every.left_out), every.validated.sum()) == (12, 18, 6)
    np.testing.assert_array_equal(every.residuals[every.validated], one.residuals)


@pytest.mark.parametrize("separate", [False, True])
def test_all_trials_of_a_table_have_errors_over_the_same_standard_deviations(table, separate):
    """A run has them over those of its own rows, by which two trials of different rows could not be compared."""
    z, dz = 3 * table.y**2 + 1, 6 * table.y[:, :, None] * table.dydx
    z[::5], dz[::7, :, 1] = np.nan, np.nan
    two = replace(table, y=np.c_[table.y, z], dydx=np.concatenate([table.dydx, dz], 1), outputs=("y", "z"))
    channels, changes = Channels.of(two.x, two.y, two.dydx), {"separate": True} if separate else {}
    one = trial(share=0.4, changes=changes)._replace(separate=separate)
    own, shared = (train_trial(one._replace(channels=x), two) for x in (None, channels))
    labels = np.c_[two.y, two.dydx.reshape(30, -1)][shared.left_out]
    errors = channels.nrmse(np.where(np.isnan(labels), np.nan, shared.residuals))
    for name, of_outputs in zip(ERRORS, errors, strict=True):
        assert shared.metric(name) == pytest.approx(of_outputs.mean(), rel=1e-9)
        assert own.metric(name) != pytest.approx(of_outputs.mean(), rel=1e-2)
        ratio = shared.history[name] / own.history[name]
        np.testing.assert_allclose(ratio, ratio[0])
        if separate:
            assert shared.metric(f"{name}/z") == pytest.approx(of_outputs[1], rel=1e-9)


def test_the_error_is_the_geometric_mean_of_those_that_are_known():
    value, derivative = (np.array(x) for x in ([1.0, math.nan, 0.1, 0.2], [4.0, math.nan, 0.1, math.nan]))
    one = Result({ERRORS[0]: value, ERRORS[1]: derivative}, best=2)
    np.testing.assert_allclose(one.errors, [2.0, math.inf, 0.1, 0.2])
    assert one.error == pytest.approx(0.1)


def test_the_file_of_a_trial_has_all_of_it_and_a_damaged_one_is_ignored(tmp_path, caplog):
    one = replace(
        result(2.0, 1.0),
        weights={"theta": torch.arange(3.0)},
        left_out=np.array([3, 5]),
        validated=np.array([True, False]),
        residuals=np.array([[1.0, math.nan], [2.0, 3.0]]),
    )
    assert one.error == 1.0  # which it keeps
    move = Move("a", {"model.width": 32}, None, 1.5, 0.25, start=3, seed=1, of_answer=True)
    write_trial(tmp_path, 7, move, one, 12.5)
    write_trial(tmp_path, 11, move, Result(failure="it has failed"), 13.5)
    found = read_trials(tmp_path)
    assert list(found) == [7, 11]
    again, read_back, ended = found[7]
    assert (again, ended, found[11][1].failure) == (move, 12.5, "it has failed")
    for name, value in vars(one).items():
        if isinstance(value, dict):
            assert {key: x.tolist() for key, x in value.items()} == {
                key: x.tolist() for key, x in getattr(read_back, name).items()
            }
        else:
            np.testing.assert_array_equal(getattr(read_back, name), value)
    path = tmp_path / "trials" / "7.pt"
    content = torch.load(path, weights_only=True)
    plain = content["configuration"]
    for wrong in (
        {"result": plain["result"] | {"best": 5}},
        {"result": plain["result"] | {"seconds": "x"}},
        {"result": plain["result"] | {"history": {}}},
        {"move": {}},
        {"move": plain["move"] | {"changes": {"model.init": 1}}},
        {"ended": None},
    ):
        torch.save(content | {"configuration": plain | wrong}, path)
        assert list(read_trials(tmp_path)) == [11]
        assert "7.pt does not hold a trial" in caplog.records[-1].getMessage()


def collect(workers, count):
    """Wait for some pieces of work."""
    found = {}
    while len(found) < count:
        found |= workers.wait()
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes of the test are forked")
def test_a_process_trains_one_trial_after_another_and_another_one_takes_its_place(table, monkeypatch):
    """A trial that takes longer than its time is ended, and one whose process dies has failed."""
    import multiprocessing

    def train(call, known):
        assert known is table or known.checksum == table.checksum
        if call.move.seconds == 1.0:
            time.sleep(60)
        if call.move.seconds == 2.0:
            os._exit(3)
        return Result(steps=os.getpid())

    monkeypatch.setattr("runge.search.tasks.train_trial", train)
    monkeypatch.setattr("runge.search.workers.start_loading", lambda: multiprocessing.get_context("fork").Process)
    with Workers(2, table) as workers:
        for number in range(2):
            workers.submit(number, trial(0.0), math.inf)
        pids = {one.steps for one in collect(workers, 2).values()}
        workers.submit(2, trial(0.0), math.inf)
        assert len(pids) == 2
        assert collect(workers, 1)[2].steps in pids
        workers.submit(3, trial(1.0), time.monotonic())
        workers.submit(4, trial(2.0), math.inf)
        ended = collect(workers, 2)
        assert [str(ended[number]) for number in (3, 4)] == [TIME_OVER, "its process died with exit code 3"]
        assert all(isinstance(one, RunError) for one in ended.values())
        workers.submit(5, trial(0.0), math.inf)
        assert collect(workers, 1)[5].steps not in pids
        idle = workers._idle[-1].process
        idle.kill()  # as the kernel does if memory runs out
        idle.join()
        workers.submit(6, trial(0.0), math.inf)
        assert "its process was killed by SIGKILL" in str(collect(workers, 1)[6])
    assert workers.busy == 0
