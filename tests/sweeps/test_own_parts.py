"""Metrics, callbacks and penalties of a user's own, in single runs and in stacks."""

import csv
import shutil
import signal
from typing import ClassVar

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import runge
from runge.configuration.errors import ConfigurationError
from runge.configuration.objects import digest
from runge.sobolev.points import Points
from runge.training.member import Member
from runge.training.own_parts import check_metrics
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import ROOT, compose
from tests.refusals import refuses
from tests.sweeps.test_run import SHORT, at_step, check_equal, figures, fit_alone, history, only_run, state
from tests.test_loggers import RECORDER, calls

HERE, LIGHTNING = "tests.sweeps.test_own_parts", "lightning.pytorch.callbacks"
MUON = "optimizer._target_=torch.optim.Muon"
SWA = f"+callbacks.s._target_={LIGHTNING}.StochasticWeightAveraging"
LEVENBERG, TERM = "optimizer=levenberg_marquardt", "loss.terms=[{_target_: torch.rand_like, weight: big}]"
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


def of_data(u, du, points):
    """Return an error at points that must be those of the table."""
    assert points.x.max() > 100
    return worst(u, du, points)


def at_random(module, points):
    """Return a term at random points of the box."""
    return module.network(torch.rand_like(points.x)).square().mean()


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
    """Note what a callback sees at the end of each block."""

    seen: ClassVar[list] = []

    def __init__(self):
        self.blocks = 0

    def on_validation_end(self, trainer, pl_module):
        if pl_module.block_ended:
            self.blocks += 1
            one, each = trainer.callback_metrics["val/mse_f"], pl_module.figures["val/mse_f"]
            self.seen.append((int(pl_module.step), self.blocks, float(one), each.tolist()))

    def state_dict(self):
        return {"blocks": self.blocks}

    def load_state_dict(self, state_dict):
        self.blocks = state_dict["blocks"]


class Interrupt(Callback):
    """Send a Ctrl-C within a step, and note the norm of each gradient."""

    step: ClassVar[int] = 0

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        pl_module.log("norm", optimizer.param_groups[0]["params"][0].grad.norm())
        if int(pl_module.step) + 1 == self.step:
            signal.raise_signal(signal.SIGINT)


class Wave(torch.nn.Module):
    def __init__(self, width, frequency=2.0):
        super().__init__()
        self.frequency = frequency
        self.first, self.last = torch.nn.Linear(1, width), torch.nn.Linear(width, 1)

    def forward(self, x):
        return self.last(torch.sin(self.frequency * self.first(x)))


class Dropped(Wave):
    """A network with dropout."""

    def forward(self, x):
        return self.last(torch.dropout(torch.sin(self.first(x)), 0.3, self.training))


class Mixed(Wave):
    """A network that is no function of a point."""

    def forward(self, x):
        return super().forward(x - x.mean(0))


class Wide(Wave):
    def forward(self, x):
        return super().forward(x).expand(-1, 2)


def size(module, points, power=2):
    return sum(weight.abs().pow(power).sum() for weight in module.network.module.parameters())


def groups(network, lr=0.01):
    weights = {name.endswith("bias"): [] for name, _ in network.named_parameters()}
    for name, weight in network.named_parameters():
        weights[name.endswith("bias")].append(weight)
    return torch.optim.AdamW([{"params": weights[False], "weight_decay": 0.1}, {"params": weights[True]}], lr)


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


def test_a_callback_sees_a_whole_stack_and_its_metric_is_compared(finish, tmp_path, seen):
    finish(*SWEEP, WATCH, *WORST)
    assert [step for step, *_ in seen] == [20 * n for n in range(1, 7)]
    assert all(one == pytest.approx(min(each)) and len(each) == 2 for _, _, one, each in seen)
    rows = list(csv.DictReader((tmp_path / "sweep/comparison.csv").read_text().splitlines()))
    assert len({row["test/worst"] for row in rows}) == 2
    for row in rows:
        assert float(row["test/worst"]) == pytest.approx(float(row["test/max_f"]) ** 2)
    assert "test/worst" in (tmp_path / "sweep/comparison.html").read_text()


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_early_stopping_of_lightning_gives_each_run_of_a_sweep_the_bits_of_the_run_alone(
    processes, finish, fit, tmp_path
):
    """Their last steps differ. Such runs are trained step by step, as is said before."""
    stop = (f"+callbacks.stop._target_={LIGHTNING}.EarlyStopping", "+callbacks.stop.monitor=val/loss")
    stop += ("+callbacks.stop.stopping_threshold=0.21", "+callbacks.stop.patience=50", *SHORT[:-1], "schedule=constant")
    said = finish("-m", "seed=0,1", *stop, f"hydra.launcher.processes={processes}", "hydra.sweep.dir=sweep")
    assert "2 runs are trained step by step, because callbacks.stop may stop a run" in said
    steps = []
    for seed in (0, 1):
        alone, run = fit(f"alone{seed}", *stop, f"seed={seed}"), tmp_path / "sweep" / str(seed)
        check_equal(run, alone)
        log = (run / "train.log").read_text()
        steps.append(state(run)["step"])
        assert "trained step by step, because callbacks.stop may stop a run" in log
        assert f"ended at step {steps[-1]} of 120; " in log
    assert len({*steps}) == 2
    assert max(steps) < 120


def test_a_run_of_single_steps_resumes_after_a_signal_within_a_step(monkeypatch, tmp_path):
    """To the same bits; what its callback logs goes to the loggers of the run."""
    own = (f"+callbacks.x._target_={HERE}.Interrupt", "data.batch_size=5", "balance=relobralo", "balance.every=20")
    options = (*SHORT, *own, RECORDER)
    fit_alone(tmp_path / "whole", *options)
    monkeypatch.setattr(Interrupt, "step", 47)
    with pytest.raises(SystemExit, match="interrupted at step 47"):
        fit_alone(tmp_path / "run", *options)
    assert [int(row["step"]) for row in history(tmp_path / "run")] == [20, 40]
    monkeypatch.setattr(Interrupt, "step", 0)
    fit_alone(tmp_path / "run", *options)
    check_equal(tmp_path / "run", tmp_path / "whole")
    assert len([row for row, *_ in calls(tmp_path / "whole", "figures") if "norm" in row]) == 6


def test_a_network_a_term_and_groups_of_parameters_of_ones_own(finish, fit, tmp_path):
    """Two runs of a sweep equal each alone, and are loaded as one function."""
    own = (
        f"+model._target_={HERE}.Wave",
        "+model.frequency=3.0",
        f"optimizer._target_={HERE}.groups",
        "~optimizer.betas",
    )
    own += (f"loss.terms=[{{_target_: {HERE}.size, weight: 1e-6, power: 3}}]",)
    finish("-m", "seed=0,1", *SHORT, *own, "hydra.sweep.dir=sweep", "hydra.launcher.processes=1")
    alone = fit("alone", *SHORT, *own, "seed=1")
    check_equal(tmp_path / "sweep" / "1", alone)
    assert "because model names a network of one's own" in (tmp_path / "sweep" / "1" / "train.log").read_text()
    u = runge.load(tmp_path / "sweep")
    assert (u.members, u(torch.tensor(0.3)).requires_grad) == (2, False)
    rows, of_alone = list(csv.DictReader((alone / "fit.csv").read_text().splitlines())), runge.load(alone)
    x, *slopes = (np.array([float(row[name]) for row in rows]) for name in ("x", "du"))
    np.testing.assert_allclose(of_alone.derivative(x), *slopes, atol=1e-5)
    with pytest.raises(ConfigurationError, match=r"must be an MLP of an Activation to be exported, got Wave"):
        runge.export(alone, to="onnx")
    with pytest.raises(ValueError, match="no closed forms"):
        of_alone.hessian(0.1)
    without = fit("without", *SHORT, *own[:-1], "seed=1")
    assert figures(without) != figures(alone)


def test_random_numbers_of_own_parts_follow_the_seed_and_the_step(monkeypatch, tmp_path):
    """Also in a process that has drawn others, and after a resume; the random numbers of the host stay."""
    own = (f"+model._target_={HERE}.Dropped", f"loss.terms=[{{_target_: {HERE}.at_random, weight: 1.0}}]")
    options = (*SHORT, *own, f"+callbacks.x._target_={HERE}.Interrupt")
    before = torch.random.get_rng_state()
    fit_alone(tmp_path / "whole", *options)
    assert torch.equal(torch.random.get_rng_state(), before)
    with torch.random.fork_rng():
        torch.rand(3)
        monkeypatch.setattr(Interrupt, "step", 47)
        with pytest.raises(SystemExit, match="interrupted at step 47"):
            fit_alone(tmp_path / "run", *options)
        monkeypatch.setattr(Interrupt, "step", 0)
        fit_alone(tmp_path / "run", *options)
    check_equal(tmp_path / "run", tmp_path / "whole")


def test_a_metric_is_tried_at_points_in_the_units_of_the_data():
    table = ("data=table", f"data.file={ROOT / 'examples/wing.csv'}")
    prepare([Member(Settings.of(compose(*table, f"+metrics.mine._target_={HERE}.of_data")))])


def test_a_network_with_dropout_is_judged_without_it(fit):
    run = fit("run", *SHORT[:-1], f"+model._target_={HERE}.Dropped", "schedule=constant")
    found = figures(run)
    (best,) = [row for row in history(run) if float(row["step"]) == found["best_step"]]
    assert found["val/mse_f"] == pytest.approx(float(best["val/mse_f"]), rel=1e-6)


def test_an_activation_that_is_a_torch_module(fit):
    """It has parameters of its own, or none; SiLU is silu."""
    own = figures(fit("own", *SHORT, "model.activation=torch.nn.SiLU", "trainer.precision=64"))
    ours = figures(fit("ours", *SHORT, "model.activation=silu", "trainer.precision=64"))
    assert own["val/loss"] == pytest.approx(ours["val/loss"], rel=1e-9)
    assert runge.load("own").derivative(0.2) == pytest.approx(float(runge.load("ours").derivative(0.2)))


def test_a_folder_with_parts_of_all_kinds(finish, tmp_path, monkeypatch):
    """A sweep of the researcher's example: its report, and in TensorBoard what its callback logs."""
    shutil.copytree(ROOT / "examples/own", tmp_path, dirs_exist_ok=True)
    monkeypatch.syspath_prepend(tmp_path)
    short = ("trainer.max_steps=40", "trainer.log_every=10", "data.n_val=16", "data.n_test=31", "model.width=8")
    own = ("--config-dir", str(tmp_path / "conf"), "experiment=waves", "seed=0,1,2", *short)
    said = finish("-m", *own, "hydra.launcher.processes=1", "hydra.sweep.dir=sweep")
    assert "3 runs by test/mse_df" in said
    assert "test/largest" in (tmp_path / "sweep/comparison.html").read_text()
    for number in "012":
        (events,) = (tmp_path / "sweep" / number).rglob("events.out*")
        scalars = EventAccumulator(str(events)).Reload().Scalars("gradient_norm")
        assert [event.step for event in scalars] == [9, 19, 29, 39]
        assert all(event.value > 0 for event in scalars)
    finish("model.activation=parts.Swish", *short, "pictures=false")


@pytest.mark.parametrize(
    ("message", "overrides"),
    [
        ("model._target_: Wide must map inputs, (8, 1), to outputs, (8, 1), row by row; got (8, 2)", ["Wide"]),
        ("the first row of its outputs depends on other rows of its inputs", ["Mixed"]),
        ("model.depht: unknown key", ["Wave", "+model.depht=3"]),
        ("optimizer: must be one by the gradient, such as adam, trained step by step", ["Wave", LEVENBERG]),
        ("loss.terms[0]._target_: must name what can be imported", [None, "loss.terms=[{_target_: nowhere.at}]"]),
        ("trainer.compile: must be auto or off, trained step by step", ["Wave", "trainer.compile=on"]),
        ("loss.terms[0].weight: must be a finite number", [None, TERM]),
        ("model.activation: must be elementwise", [None, "model.activation=torch.nn.GLU"]),
        (
            "optimizer._target_: Muon does not accept its parameters",
            [None, "optimizer._target_=torch.optim.Muon", "~optimizer.betas"],
        ),
        (
            "callbacks.s: averages over epochs",
            [None, SWA, "+callbacks.s.swa_lrs=1"],
        ),
        ("penalty._target_: must have known parameters", [None, "+penalty._target_=torch.relu"]),
        ("callbacks.s: must not save checkpoints", [None, f"+callbacks.s._target_={LIGHTNING}.ModelCheckpoint"]),
    ],
)
def test_parts_of_ones_own_are_checked_before_the_first_step(message, overrides, fail):
    network, *others = overrides
    own = [f"+model._target_={HERE}.{network}"] if network else []
    assert message in fail(*SHORT, *own, *others)[1]


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
