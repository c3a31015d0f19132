"""Metrics, callbacks and penalties of a user's own, in single runs and in stacks."""

import csv
from typing import ClassVar

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from runge.configuration.objects import digest
from runge.sobolev.points import Points
from runge.training.own_parts import check_metrics
from tests.refusals import refuses
from tests.sweeps.test_run import SHORT, at_step, figures, fit_alone, history, only_run, state
from tests.test_loggers import RECORDER, calls

HERE = "tests.sweeps.test_own_parts"
WORST = (f"+metrics.worst._target_={HERE}.worst", "+metrics.worst.power=2.0")
SWEEP = ("-m", "seed=0,1", "hydra.launcher.processes=1", *SHORT[:-1], "schedule=constant", "hydra.sweep.dir=sweep")


def worst(u, du, points, power=1.0):
    return (u - points.f).abs().amax((1, 2)) ** power


def huber(r, delta=0.1):
    return torch.nn.functional.huber_loss(r, torch.zeros_like(r), reduction="none", delta=delta)


def total(r):
    return r.square().sum()


def scalar(u, du, points):
    return (u - points.f).abs().max()


def shared_error(u, du, points):
    error = (u - points.f).square().sum((1, 2))
    return error / error.sum()


def shared_scale(u, du, points):
    return (u - points.f).abs().amax((1, 2)) / points.f.abs().max()


def shared_weight(u, du, points):
    return (points.weight_df * (du - points.df).square()).sum((1, 2, 3)) / points.weight_df.mean()


def shared_nan(u, du, points):
    return (u - points.f).sum((1, 2)) + (torch.nan if len(u) > 1 else 0.0)


def undefined(u, du, points):
    return torch.full_like(u[:, 0, 0], torch.nan)


def infinite(u, du, points):
    return torch.ones_like(u[:, 0, 0]) / 0


def round_off(u, du, points):
    """Return the largest value, with an error of round-off that depends on the size of the stack."""
    largest = u.abs().amax((1, 2))
    return largest + len(u) * torch.finfo(u.dtype).eps * largest


def count(u, du, points):
    return ((u - points.f).abs() > 1).sum((1, 2))


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
            self.seen.append((int(pl_module.step), self.blocks, float(one), each.tolist()))
            trainer.should_stop |= bool((each < self.goal).all())

    def state_dict(self):
        return {"blocks": self.blocks}

    def load_state_dict(self, state_dict):
        self.blocks = state_dict["blocks"]


class Broken(Callback):
    def on_train_start(self, trainer, pl_module):
        raise RuntimeError("no luck")


def made_up(members, dtype=torch.float64, scale=1.0):
    """Return points of members that differ."""
    x = torch.linspace(-1, 1, 9, dtype=dtype)[None, :, None] * torch.arange(1, members + 1)[:, None, None]
    df = scale * torch.cos(x)[..., None]
    return Points(x, scale * torch.sin(x), df, torch.ones_like(x), torch.ones_like(df), torch.ones_like(x.mT))


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6, 0.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_metric_that_mixes_members_is_found_in_any_stack(members, scale, dtype):
    points = made_up(members, dtype, scale)
    for name in (shared_error, shared_nan, shared_weight, *([shared_scale] if scale else [])):
        with refuses("metrics.mine", "", "must not depend on the other members of a stack"):
            check_metrics({"mine": name}, points)
    check_metrics({f.__name__: f for f in (worst, undefined, infinite, round_off, count)}, points)


WATCH = f"+callbacks.watch._target_={HERE}.Watch"


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Watch, "seen", [])
    return Watch.seen


def test_a_callback_and_a_metric_see_every_block_of_a_resumed_run_and_leave_its_bits(train, trained, tmp_path, seen):
    """The metric is a figure like the others, of which the loggers hear, too."""
    run = tmp_path / "run"
    fit_alone(run, *SHORT, WATCH, *WORST, interrupt=at_step(61))
    assert train("resume=run", RECORDER)[0] == 0
    found, rows = figures(run), history(run)
    assert [(step, blocks) for step, blocks, *_ in seen] == [(20 * n, n) for n in range(1, 7)]
    assert [each for *_, each in seen] == [[pytest.approx(float(row["val/mse_f"]))] for row in rows]
    assert {key: x for key, x in found.items() if "worst" not in key} == figures(only_run(trained(*SHORT)[0]))
    assert found["test/worst"] == pytest.approx(found["test/max_f"] ** 2)
    assert {"train/worst", "val/worst"} <= found.keys()
    assert [float(row["val/worst"]) for row in rows] == pytest.approx([float(row["val/max_f"]) ** 2 for row in rows])
    assert calls(run, "figures")[-1][0]["test/worst"] == found["test/worst"]


def test_a_callback_sees_a_whole_stack_and_may_end_it_as_is_logged_and_its_metric_is_compared(finish, tmp_path, seen):
    finish(*SWEEP, WATCH, "+callbacks.watch.goal=1e9", *WORST)
    ((step, _, one, each),) = seen
    assert step == 20
    assert one == pytest.approx(min(each))
    assert len(each) == 2
    for number in "01":
        status, log = state(tmp_path / "sweep" / number), (tmp_path / "sweep" / number / "train.log").read_text()
        assert (status["status"], status["step"]) == ("finished", 20)
        assert "ended at step 20 of 120; " in log
        assert "lambda_d on" not in log  # it was from the start
    rows = list(csv.DictReader((tmp_path / "sweep/comparison.csv").read_text().splitlines()))
    assert len({row["test/worst"] for row in rows}) == 2
    for row in rows:
        assert float(row["test/worst"]) == pytest.approx(float(row["test/max_f"]) ** 2)
    assert "test/worst" in (tmp_path / "sweep/comparison.html").read_text()


def test_early_stopping_of_lightning(fit):
    name = "lightning.pytorch.callbacks.EarlyStopping"
    stop = (f"+callbacks.stop._target_={name}", "+callbacks.stop.monitor=train/loss", "+callbacks.stop.min_delta=1e9")
    run = fit("run", *SHORT, *stop, "+callbacks.stop.patience=2")
    assert [int(row["step"]) for row in history(run)] == [20, 40, 60]


def test_a_callback_that_fails_fails_its_runs(tmp_path):
    with pytest.raises(RuntimeError, match="no luck"):
        fit_alone(tmp_path / "run", *SHORT, f"+callbacks.x._target_={HERE}.Broken")
    status = state(tmp_path / "run")
    assert status["status"] == "failed"
    assert "no luck" in status["message"]


def test_a_penalty_takes_the_place_of_the_squares(fit, trained):
    own = (f"+penalty._target_={HERE}.huber", "+penalty.delta=1e-2")
    found, plain = figures(fit("run", *SHORT, *own)), figures(only_run(trained(*SHORT)[0]))
    assert found["test/mse_f"] != plain["test/mse_f"]
    assert found["val/loss"] < found["val/mse_f"] + 0.1 * found["val/mse_df"]
    squares = (f"+penalty._target_={HERE}.huber", "+penalty.delta=1e9", "loss.lambda_d=0")
    found = figures(fit("squares", *SHORT, *squares, "trainer.max_steps=20"))
    assert found["val/loss"] == pytest.approx(found["val/mse_f"] / 2)


def test_only_the_own_parts_of_a_run_identify_it(configuration):
    plain = configuration()
    assert not {"metrics", "callbacks", "penalty"} & plain.keys()
    for own in (WORST, [WATCH], [f"+penalty._target_={HERE}.huber"]):
        assert digest(configuration(*own)) != digest(plain)
