"""Patience: each member ends when its validation loss has not improved for a while, as it would alone."""

import json

import pytest
import torch

from runge.metrics import VAL_LOSS
from runge.records.checkpoints import state_path
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.saving import StateFile
from runge.training.stack import Stack
from tests.sweeps.test_run import check_resumed, figures, history
from tests.sweeps.test_sweep import new_run

SMALL = (
    *("model.width=10", "data.n_train=12", "data.n_val=32", "data.n_test=41", "data.noise_f=0.3"),
    *("trainer.precision=64", "trainer.log_every=10", "trainer.max_steps=800", "trainer.progress_bar=false"),
    *("trainer.compile=off", "pictures=false"),
    *("trainer.diagnostics_every=20", "trainer.checkpoint_seconds=0", "logger=csv"),
)
KINDS = {
    "adam": ("schedule=constant", "trainer.patience=40"),
    "two_stage": ("schedule.latest_step=150", "trainer.patience=40", "balance=gradnorm", "balance.every=30"),
    "minibatches": ("data.batch_size=5", "trainer.patience=70", "resampling=residual", "resampling.last_step=50"),
    "levenberg_marquardt": (
        *("optimizer=levenberg_marquardt", "trainer.max_steps=400", "trainer.patience=20", "schedule=constant"),
        *("trainer.log_every=5", "trainer.diagnostics_every=10", "data.noise_f=0.01"),
    ),
}


def waited(directory):
    """Return the last step, and how many steps before it the validation loss was lowest."""
    rows = history(directory)
    best = min(rows, key=lambda row: float(row["val/loss"]))
    assert json.loads((directory / "status.json").read_text())["step"] == int(rows[-1]["step"])
    return int(rows[-1]["step"]), int(rows[-1]["step"]) - int(best["step"])


def numbers(row):
    return {key: float(value) for key, value in row.items() if value}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_stops_as_it_would_alone(kind, configuration, tmp_path):
    own = ({"seed": 0}, {"seed": 1}, {"seed": 2, "loss.lambda_d": 0.001})
    members = [
        Member(configuration(*SMALL, *KINDS[kind], *(f"{key}={value}" for key, value in one.items()))) for one in own
    ]
    runs = [new_run(tmp_path / f"{i}") for i in range(len(members))]
    Stack(members).fit(runs, report=lambda _: None)
    ends = []
    for member, run in zip(members, runs, strict=True):
        alone = new_run(tmp_path / f"alone{len(ends)}")
        Stack([member]).fit([alone], report=lambda _: None)
        expected, together = figures(alone.path), figures(run.path)
        assert together == {k: x if x is None else pytest.approx(x, rel=1e-6, abs=1e-12) for k, x in expected.items()}
        rows, others = history(run.path), history(alone.path)
        assert len(rows) == len(others)
        for row, other in zip(rows, others, strict=True):
            assert numbers(row) == pytest.approx(numbers(other), rel=1e-6, abs=1e-12)
        logged = (run.path / "csv/version_0/metrics.csv").read_text().splitlines()
        assert len(logged) == 1 + len(rows) + 1  # with the test figures
        ends.append(waited(run.path))
        assert ends[-1] == waited(alone.path)
    assert len(set(ends)) > 1, ends
    assert min(ends)[0] < members[0].training.max_steps
    if kind == "adam":  # the others count from a later step
        assert {since for end, since in ends if end < members[0].training.max_steps} == {members[0].training.patience}


@pytest.mark.parametrize(("kind", "step"), [("two_stage", 185), ("levenberg_marquardt", 13)])
def test_resumed_run_equals_the_uninterrupted_one(kind, step, train, tmp_path):
    whole = check_resumed(train, tmp_path, (*SMALL, *KINDS[kind], "seed=1"), step)
    assert waited(whole)[0] < 800


def interrupt(module, _):
    module.ended.fill_(False)


def test_a_member_that_has_stopped_resumes_to_its_end(configuration, tmp_path, monkeypatch):
    """Its stack went on for another one when both were interrupted; alone it takes no further step."""
    pair = [Member(configuration(*SMALL, *KINDS["adam"], f"seed={seed}")) for seed in (0, 1)]
    runs = [new_run(tmp_path / f"{i}") for i in range(2)]
    monkeypatch.setattr(StateFile, "remove_checkpoint", lambda *_: None)
    Stack(pair).fit(runs, report=lambda _: None)
    ends = [waited(run.path)[0] for run in runs]
    first = ends.index(min(ends))
    before, rows = figures(runs[first].path), history(runs[first].path)
    for name in ("metrics.json", "history.csv"):
        (runs[first].path / name).unlink()
    alone = Stack([pair[first]])
    alone.module.register_load_state_dict_post_hook(interrupt)
    alone.fit([runs[first]], report=lambda _: None, state=state_path(runs))
    assert int(alone.module.step) == max(ends)
    assert figures(runs[first].path) == pytest.approx(before, rel=1e-9)
    assert history(runs[first].path) == rows


@pytest.mark.parametrize(
    ("overrides", "step"),
    [
        (("schedule=two_stage_step", "schedule.at_step=120"), 170),  # its best weights begin at 130
        (("schedule=two_stage", "schedule.patience=99", "schedule.latest_step=null"), 200),  # the switch never comes
        (("schedule=two_stage_ramp", "schedule.at_step=50", "schedule.ramp_steps=60"), 140),
        (("schedule=constant", "resampling=residual", "resampling.last_step=100"), 140),
    ],
)
def test_steps_do_not_count_before_the_problem_is_the_last_one(overrides, step, configuration, tmp_path, monkeypatch):
    measure = SobolevRegression.measure
    constant = {VAL_LOSS: torch.ones(1)}
    monkeypatch.setattr(SobolevRegression, "measure", lambda *arguments: measure(*arguments) | constant)
    run = new_run(tmp_path / "run")
    steps = ("trainer.max_steps=200", "trainer.patience=40", "trainer.log_every=10", "trainer.diagnostics_every=20")
    Stack([Member(configuration(*SMALL, *overrides, *steps))]).fit([run], report=lambda _: None)
    assert int(history(run.path)[-1]["step"]) == step


def test_later_improvements_are_not_those_of_a_member_that_has_stopped(configuration, tmp_path, monkeypatch):
    measure = SobolevRegression.measure

    def low_again(module, *arguments):
        step = float(module.step)
        losses = torch.tensor([1.0 if step < 80 else 0.1, 1 / step])[: len(module.lambda_d)]
        return measure(module, *arguments) | {VAL_LOSS: losses}

    monkeypatch.setattr(SobolevRegression, "measure", low_again)
    steps = ("schedule=constant", "trainer.max_steps=200", "trainer.patience=40")
    members = [Member(configuration(*SMALL, *steps, f"seed={seed}")) for seed in (0, 1)]
    runs = [new_run(tmp_path / name) for name in ("a", "b", "alone")]
    (together, _), (alone,) = Stack(members).fit(runs[:2]), Stack(members[:1]).fit(runs[2:])
    assert [int(history(run.path)[-1]["step"]) for run in runs] == [50, 200, 50]
    assert together["test/mse_f"] == pytest.approx(alone["test/mse_f"], rel=1e-9)


@pytest.mark.parametrize("step", [35, 120])
def test_a_run_that_stops_at_a_step_keeps_its_weights(finish, tmp_path, step):
    short = (*SMALL, "trainer.max_steps=120", "optimizer.lr=0.5", "schedule=constant")
    finish(*short, "hydra.run.dir=whole")
    finish(*short, f"trainer.stop_at={step}", "hydra.run.dir=part")
    whole, part = (history(tmp_path / name) for name in ("whole", "part"))
    assert int(part[-1]["step"]) == step
    assert part[: step // 10] == whole[: step // 10]  # the schedules are those of all steps
    metrics = json.loads((tmp_path / "part" / "metrics.json").read_text())
    assert metrics["val/loss"] == pytest.approx(float(part[-1]["val/loss"]), 1e-12)
    assert metrics["val/loss"] > min(float(row["val/loss"]) for row in part)  # whose weights would else be kept
