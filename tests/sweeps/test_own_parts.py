"""Metrics, callbacks and penalties of a user's own, in single runs and in stacks."""

import csv
from typing import ClassVar

import pytest
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from runge.configuration.objects import digest
from tests.refusals import refuses
from tests.sweeps.test_bad_input import prepare
from tests.sweeps.test_run import SHORT, figures, history, only_run, state
from tests.test_loggers import RECORDER, calls

HERE = "tests.sweeps.test_own_parts"
WORST = (f"+metrics.worst._target_={HERE}.worst", "+metrics.worst.power=2.0")
SWEEP = ("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT, "hydra.sweep.dir=sweep")


def worst(u, du, points, power=1.0):
    return (u - points.f).abs().amax((1, 2)) ** power


def huber(r, delta=0.1):
    return torch.nn.functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=delta)


def total(r):
    return r.square().sum()


def scalar(u, du, points):
    return (u - points.f).abs().max()


def broken(u, du, points):
    raise KeyError("nothing")


class Watch(Callback):
    """Note what a callback sees at the end of each block, and stop once all members have reached a goal."""

    seen: ClassVar[list] = []

    def __init__(self, goal=0.0):
        self.goal, self.blocks = goal, 0

    def on_validation_end(self, trainer, pl_module):
        if pl_module.block_ended:
            self.blocks += 1
            one, each = trainer.callback_metrics["val/mse_f"], pl_module.figures["val/mse_f"]
            self.seen.append((trainer.global_step, self.blocks, float(one), each.tolist()))
            trainer.should_stop |= bool((each < self.goal).all())

    def state_dict(self):
        return {"blocks": self.blocks}

    def load_state_dict(self, state_dict):
        self.blocks = state_dict["blocks"]


class Broken(Callback):
    def on_train_start(self, trainer, pl_module):
        raise RuntimeError("no luck")


WATCH = f"+callbacks.watch._target_={HERE}.Watch"


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Watch, "seen", [])
    return Watch.seen


def test_a_callback_sees_every_block(fit, trained, seen):
    run = fit("run", *SHORT, WATCH)
    assert [step for step, *_ in seen] == [20, 40, 60, 80, 100, 120]
    rows = history(run)
    assert [each for *_, each in seen] == [[pytest.approx(float(row["val/mse_f"]))] for row in rows]
    assert figures(run) == figures(only_run(trained(*SHORT)[0]))


def test_a_callback_sees_a_whole_stack_and_may_end_it_and_its_metric_is_compared(finish, tmp_path, seen):
    finish(*SWEEP, WATCH, "+callbacks.watch.goal=1e9", *WORST)
    ((step, _, one, each),) = seen
    assert step == 20
    assert one == pytest.approx(min(each))
    assert len(each) == 2
    for number in "01":
        status = state(tmp_path / "sweep" / number)
        assert (status["status"], status["step"]) == ("finished", 20)
    rows = list(csv.DictReader((tmp_path / "sweep/comparison.csv").read_text().splitlines()))
    assert len({row["test/worst"] for row in rows}) == 2
    for row in rows:
        assert float(row["test/worst"]) == pytest.approx(float(row["test/max_f"]) ** 2)
    assert "test/worst" in (tmp_path / "sweep/comparison.html").read_text()


def test_a_run_with_a_callback_and_a_metric_resumes(train, tmp_path, seen):
    assert train(*SHORT, WATCH, *WORST, "hydra.run.dir=run", interrupt=61)[0] == 1
    assert train("resume=run")[0] == 0
    assert [blocks for _, blocks, *_ in seen] == [1, 2, 3, 4, 5, 6]
    assert figures(tmp_path / "run")["test/worst"] > 0


def test_early_stopping_of_lightning(fit):
    name = "lightning.pytorch.callbacks.EarlyStopping"
    stop = (f"+callbacks.stop._target_={name}", "+callbacks.stop.monitor=train/loss", "+callbacks.stop.min_delta=1e9")
    run = fit("run", *SHORT, *stop, "+callbacks.stop.patience=2")
    assert [int(row["step"]) for row in history(run)] == [20, 40, 60]


def test_a_callback_that_fails_fails_its_runs(train, tmp_path):
    status, _, err = train(*SHORT, f"+callbacks.x._target_={HERE}.Broken", "hydra.run.dir=run")
    assert status == 1
    assert "no luck" in err
    assert state(tmp_path / "run")["status"] == "failed"
    assert "no luck" in state(tmp_path / "run")["message"]


def test_a_metric_is_a_figure_like_the_others(fit, trained):
    run, plain = fit("run", *SHORT, *WORST, RECORDER), only_run(trained(*SHORT)[0])
    found = figures(run)
    assert found["test/worst"] == pytest.approx(found["test/max_f"] ** 2)
    assert {"train/worst", "val/worst"} <= found.keys()
    assert {key: x for key, x in found.items() if "worst" not in key} == figures(plain)
    rows = history(run)
    assert [float(row["val/worst"]) for row in rows] == pytest.approx([float(row["val/max_f"]) ** 2 for row in rows])
    assert calls(run, "figures")[-1][0]["test/worst"] == found["test/worst"]


def test_a_penalty_takes_the_place_of_the_squares(fit, trained):
    own = (f"+penalty._target_={HERE}.huber", "+penalty.delta=1e-2")
    found, plain = figures(fit("run", *SHORT, *own)), figures(only_run(trained(*SHORT)[0]))
    assert found["test/mse_f"] != plain["test/mse_f"]
    assert found["val/loss"] < found["val/mse_f"] + 0.1 * found["val/mse_df"]
    squares = (f"+penalty._target_={HERE}.huber", "+penalty.delta=1e9", "loss.lambda_d=0")
    found = figures(fit("squares", *SHORT, *squares))
    assert found["val/loss"] == pytest.approx(found["val/mse_f"] / 2)


def test_only_the_own_parts_of_a_run_identify_it(configuration):
    plain = configuration()
    assert not {"metrics", "callbacks", "penalty"} & plain.keys()
    assert digest(plain) != digest(configuration(*WORST))
    assert digest(plain) != digest(configuration(WATCH))
    assert digest(plain) != digest(configuration(f"+penalty._target_={HERE}.huber"))


@pytest.mark.parametrize(
    ("overrides", "refusal"),
    [
        ([f"+metrics.x._target_={HERE}.scalar"], ["metrics.x", "()", "(M,), one figure per member, here (1,)"]),
        ([f"+metrics.x._target_={HERE}.broken"], ["metrics.x", "nothing", "cannot be computed"]),
        ([f"+callbacks.x._target_={ModelCheckpoint.__module__}.ModelCheckpoint"], ["callbacks.x", "checkpoints"]),
        ([f"+penalty._target_={HERE}.total"], ["penalty", "", "for each residual, of the same shape"]),
        (["+penalty._target_=os.getcwd"], ["penalty", "", "differentiable by autograd"]),
        (
            [f"+penalty._target_={HERE}.huber", "optimizer=levenberg_marquardt", "trainer.precision=64"],
            ["penalty", "", "must be absent with LevenbergMarquardt, which needs squares"],
        ),
        ([f"+penalty._target_={HERE}.huber", "trainer.compile=on"], ["trainer.compile", "with a penalty"]),
        (["+callbacks.x._target_=runge.sampling.Random"], ["callbacks.x._target_", "", "derived from Callback"]),
    ],
)
def test_wrong_parts_are_refused(overrides, refusal):
    with refuses(*refusal):
        prepare([*SHORT, *overrides])
