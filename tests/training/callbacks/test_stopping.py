"""The end of a member: by patience, as it would alone, by its time, with a clock of the tests, or at a step."""

import math
from itertools import count
from types import SimpleNamespace

import pytest
import torch

import runge
from runge.optimizers.levenberg_marquardt.method import LevenbergMarquardt
from runge.records.directories import RunDirectory
from runge.records.metrics import VAL_LOSS
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.prepare import prepare
from runge.training.saving import StateFile
from runge.training.settings import Settings
from tests.conftest import fit_stack
from tests.sweeps.test_run import at_step, figures, fit_alone, history, state
from tests.sweeps.test_sweep import new_run

SMALL = (
    *("model.width=10", "data.n_train=12", "data.n_val=32", "data.n_test=41", "data.noise_f=0.3", "pictures=false"),
    *("trainer.precision=64", "trainer.log_every=10", "trainer.max_steps=800", "trainer.progress_bar=false"),
    *("trainer.compile=off", "trainer.diagnostics_every=20", "logger=csv"),
)
FAST = ("trainer.patience=20", "optimizer.lr=0.02")
LM = ("optimizer=levenberg_marquardt", "schedule=constant")
KINDS = {
    "adam": ("schedule=constant", *FAST),
    "two_stage": ("schedule.latest_step=60", "balance=gradnorm", "balance.every=20", *FAST),
    "minibatches": (
        *(*FAST, "trainer.patience=30", "data.batch_size=5", "resampling=residual", "resampling.last_step=50"),
    ),
    "levenberg_marquardt": (
        *(*LM, "trainer.max_steps=400", "trainer.patience=20", "data.noise_f=0.01"),
        *("trainer.log_every=5", "trainer.diagnostics_every=10"),
    ),
}


@pytest.fixture
def stack(configuration, tmp_path):
    """Train members with options of their own and common ones as a stack; return their directories."""
    numbers = count()

    def run(own, *common):
        members = [Member(Settings.of(configuration(*SMALL, *common, *options))) for options in own]
        runs = [new_run(tmp_path / str(next(numbers))) for _ in own]
        for run, member in zip(runs, members, strict=True):
            run.begin(member.settings.configuration, (), {})
        fit_stack(prepare(members), runs)
        return [run.path for run in runs]

    return run


def waited(directory):
    """Return the last step, and how many steps before it the validation loss was lowest."""
    rows = history(directory)
    best, last = (int(row["step"]) for row in (min(rows, key=lambda row: float(row["val/loss"])), rows[-1]))
    assert state(directory)["step"] == last
    return last, last - best


def numbers(row):
    return {key: float(value) for key, value in row.items() if value}


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_stops_as_it_would_alone(kind, stack):
    other = ["seed=1"] if kind == "levenberg_marquardt" else ["seed=2", "loss.lambda_d=0.001"]
    own, ends = (["seed=0"], other), []
    for options, together in zip(own, stack(own, *KINDS[kind]), strict=True):
        (alone,) = stack([options], *KINDS[kind])
        expected = {k: x if x is None else pytest.approx(x, rel=1e-6, abs=1e-12) for k, x in figures(alone).items()}
        assert figures(together) == expected
        rows = history(together)
        for row, other in zip(rows, history(alone), strict=True):
            assert numbers(row) == pytest.approx(numbers(other), rel=1e-6, abs=1e-12)
        logged = (together / "csv/version_0/metrics.csv").read_text().splitlines()
        assert len(logged) == 1 + len(rows) + 1  # with the test figures
        ends.append(waited(together))
        assert ends[-1] == waited(alone)
    assert ends[0] != ends[1]
    assert min(ends)[0] < (400 if kind == "levenberg_marquardt" else 800)
    if kind == "adam":  # the others count from a later step
        assert {since for end, since in ends if end < 800} == {20}


def test_a_member_that_has_stopped_resumes_to_its_end(stack, configuration, monkeypatch):
    """Its stack continued for another one when both were interrupted; it takes no further step."""
    monkeypatch.setattr(StateFile, "remove_checkpoint", lambda *_: None)
    runs = stack((["seed=0"], ["seed=1"]), *KINDS["adam"])
    ends = [waited(run)[0] for run in runs]
    first = ends.index(min(ends))
    before, rows = figures(runs[first]), history(runs[first])
    for name in ("metrics.json", "history.csv"):
        (runs[first] / name).unlink()
    again = prepare([Member(Settings.of(configuration(*SMALL, *KINDS["adam"], f"seed={seed}"))) for seed in (0, 1)])
    fit_stack(again, [*map(RunDirectory, runs)])
    assert int(again.module.step) == max(ends)
    assert figures(runs[first]) == before
    assert history(runs[first]) == rows


def measured(monkeypatch, losses):
    """Replace the validation losses of a stack by those of a function of it."""
    measure = SobolevRegression.measure
    monkeypatch.setattr(SobolevRegression, "measure", lambda self, *a: measure(self, *a) | {VAL_LOSS: losses(self)})


def test_steps_do_not_count_before_the_problem_is_the_last_one(stack, monkeypatch):
    measured(monkeypatch, lambda module: torch.ones(len(module.lambda_d)))
    steps = ("trainer.max_steps=100", "trainer.patience=20")
    schedules = (
        ("schedule=two_stage_step", "schedule.at_step=60"),  # its best weights begin at 70
        ("schedule=two_stage", "schedule.patience=99", "schedule.latest_step=null"),  # the switch never comes
        ("schedule=two_stage_ramp", "schedule.at_step=20", "schedule.ramp_steps=30"),
    )
    resampled = ("schedule=constant", "resampling=residual", "resampling.last_step=50")
    runs = stack(schedules, *steps) + stack([resampled], *steps)
    assert [int(history(run)[-1]["step"]) for run in runs] == [90, 100, 60, 70]


def test_later_improvements_are_not_those_of_a_member_that_has_stopped(stack, monkeypatch):
    def low_again(module):
        return torch.tensor([1.0 if module.step < 80 else 0.1, 1 / float(module.step)])[: len(module.lambda_d)]

    measured(monkeypatch, low_again)
    steps = ("schedule=constant", "trainer.max_steps=100", "trainer.patience=40")
    runs = stack((["seed=0"], ["seed=1"]), *steps) + stack([["seed=0"]], *steps)
    assert [int(history(run)[-1]["step"]) for run in runs] == [50, 100, 50]
    assert figures(runs[0])["test/mse_f"] == pytest.approx(figures(runs[2])["test/mse_f"], rel=1e-9)


def test_a_run_that_stops_at_a_step_keeps_its_weights(stack):
    short = ("trainer.max_steps=120", "optimizer.lr=0.5", "schedule=constant")
    (whole,) = map(history, stack([[]], *short))
    for step in (35, 120):
        (run,) = stack([[]], *short, f"trainer.stop_at={step}")
        part = history(run)
        assert int(part[-1]["step"]) == step
        assert part[: step // 10] == whole[: step // 10]  # the schedules are those of all steps
        losses = [float(row["val/loss"]) for row in part]
        assert figures(run)["val/loss"] == pytest.approx(losses[-1], 1e-12)
        assert losses[-1] > min(losses)  # whose weights would else be kept


CLOCK = ("schedule=constant", "logger=[]", "trainer.max_steps=60", "trainer.checkpoint_seconds=1000")


@pytest.fixture
def ticking(monkeypatch):
    """A clock that a second passes between any two looks at it, which are after each step and when a state is saved."""
    clock = SimpleNamespace(monotonic=map(float, count()).__next__)
    monkeypatch.setattr("runge.training.callbacks.stopping.time", clock)


@pytest.mark.parametrize("optimizer", ["adam", "levenberg_marquardt"])
def test_a_run_ends_with_what_it_has_when_its_time_is_over(optimizer, ticking, stack, monkeypatch):
    """Also in the middle of a block; the optimiser finishes, and the schedule is that of all steps."""
    finished, finish = [], LevenbergMarquardt.finish
    monkeypatch.setattr(LevenbergMarquardt, "finish", lambda *a: (finished.append(1), finish(*a))[1])
    (run,) = stack([[f"optimizer={optimizer}"]], *CLOCK, "trainer.max_seconds=25")
    assert len(finished) == (optimizer == "levenberg_marquardt")
    (whole,) = stack([[f"optimizer={optimizer}"]], *CLOCK)
    assert state(run) == state(run) | {"status": "finished", "step": 25}
    assert [int(row["step"]) for row in history(run)] == [10, 20, 25]
    assert history(run)[:2] == history(whole)[:2]
    assert math.isfinite(runge.load(run)(0.5))


def test_members_of_a_stack_have_as_much_time_each(ticking, stack):
    runs = stack((["seed=0"], ["seed=1"]), *CLOCK, "trainer.max_seconds=15")
    assert [state(run)["step"] for run in runs] == [30, 30]


def test_an_interrupted_run_has_the_rest_of_its_time(ticking, tmp_path):
    """And one that was killed after its time takes no further step."""
    run, options = tmp_path / "run", (*SMALL, *CLOCK, "trainer.max_seconds=40")
    fit_alone(run, *options, interrupt=at_step(15))
    begun = state(run)
    assert begun["status"] == "interrupted"
    fit_alone(run, *options)
    assert state(run)["status"] == "finished"
    assert begun["step"] < state(run)["step"] <= 40
    before, rows = figures(run), history(run)
    for name in ("metrics.json", "history.csv"):
        (run / name).unlink()
    fit_alone(run, *options)
    assert (figures(run), history(run)) == (before, rows)
