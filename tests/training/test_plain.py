"""The plain module: its steps are those of the blocks, and what Lightning can do with a step works in it."""

import csv
import math
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import (
    Callback,
    EarlyStopping,
    EMAWeightAveraging,
    LambdaCallback,
    LearningRateMonitor,
    ModelCheckpoint,
)
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import runge
from runge.optimizers import SGD, Adam, LevenbergMarquardt
from runge.schedules import TwoStage
from runge.schedules.derivative_loss import DerivativeLoss
from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.any_network import AnyNetwork
from runge.targets import Runge
from runge.training.datamodule import SobolevDataModule
from runge.training.member import Member
from runge.training.module import SobolevRegression, make_stack
from runge.training.plain import PlainRegression
from runge.training.plan import Labels, SobolevLoss
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import ROOT, fit_stack, generator, model
from tests.sweeps.test_sweep import new_run

SHORT = ("model.width=6", "trainer.compile=off", "logger=[]", "trainer.max_steps=12", "trainer.log_every=4")
SHORT += ("trainer.diagnostics_every=8", "trainer.precision=64", "trainer.progress_bar=false")
FORMULA = ("data.n_train=16", "data.n_val=9", "data.n_test=11")
PLANE = ("target=expression", "target.expr=['sin(x)*y','x**2*y']", "target.domain=[[-1,1],[0,2]]", "sampling=sobol")
TABLE = ("data=table", f"data.file={ROOT / 'examples/wing.csv'}", "optimizer=adam", "data.batch_size=7", "balance=log")

HUBER = "tests.sweeps.test_own_parts.huber"

ROUND_OFF = 12 * 16 * 6 * torch.finfo(torch.float64).eps
"""What 12 steps may add to the relative error of a sum over 16 points of sums over 6 neurons."""


@pytest.mark.parametrize(
    "overrides",
    [
        *([f"optimizer={name}"] for name in ("adam", "adamw", "sgd")),
        *([f"optimizer._target_=torch.optim.{name}", "~optimizer.betas"] for name in ("RMSprop", "Adagrad")),
        ["optimizer.clip_norm=0.01", "optimizer.lr_schedule=constant"],
        *([f"model.activation={name}", "model.depth=3"] for name in ACTIVATIONS),
        *(["schedule=two_stage_ramp"], ["schedule=constant", "loss.lambda_d=0"], ["schedule.at_step=5"]),
        *([f"balance={name}", "balance.every=4"] for name in ("gradnorm", "relobralo", "log")),
        *(["balance=scale"], ["loss.derivative_scale=std", "loss.sample_weight=derivative"]),
        *(
            ["data.batch_size=5"],
            ["data.n_derivative=20"],
            [f"+penalty._target_={HUBER}", "+penalty.delta=0.1"],
        ),
        *(["resampling=residual", "resampling.every=4"], [*PLANE, "model.init=knots"], [*PLANE, "data.batch_size=6"]),
        *(TABLE, ["trainer.stop_at=7"], ["trainer.patience=4", "schedule=constant"]),
    ],
    ids=" ".join,
)
def test_steps_are_those_of_the_blocks(overrides, tmp_path, configuration):
    """The same rows of the history, by closed forms and by automatic differentiation of torch's layers."""
    rows, sizes = [], () if "data=table" in overrides else FORMULA
    for loop in ("blocks", "steps"):
        composed = configuration(*SHORT, *sizes, *overrides, f"trainer.loop={loop}")
        stack = prepare([Member(Settings.of(composed))])
        assert type(stack.module) is (PlainRegression if loop == "steps" else SobolevRegression)
        fit_stack(stack, [new_run(tmp_path / loop)])
        rows.append(stack.history.member(0))
    assert rows[0].keys() == rows[1].keys()
    assert len(rows[0]["step"]) >= 2
    for key, column in rows[0].items():
        np.testing.assert_allclose(column, rows[1][key], rtol=ROUND_OFF, atol=0, err_msg=key)


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch warns of itself
@pytest.mark.parametrize(("dimension", "outputs"), [(1, 1), (3, 2), (2, 5)])
def test_a_network_of_layers_has_the_derivatives_of_the_stack_and_of_forward_mode(dimension, outputs):
    domain = torch.tensor([[0.0, 3.0]]).expand(dimension, 2)
    stack = make_stack(domain, 0, Labels(outputs), torch.float64, model(width=6, depth=3))
    network, x = AnyNetwork.of_layers(stack), torch.rand(1, 9, dimension, dtype=torch.float64, generator=generator())
    assert torch.equal(network.theta.sort().values, stack.theta.detach().sort().values)
    sums = []
    for function in (stack, network):
        u, du = function.value_and_derivative(x)
        gradient = function.gradient((u.square().sum() + du.sin().sum())[None])
        sums.append((u, du, gradient.square().sum()))
    for theirs, ours in zip(*sums, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-13, atol=1e-13)
    tangents = [torch.func.jvp(network, (x,), (direction.expand_as(x),))[1] for direction in torch.eye(dimension).to(x)]
    torch.testing.assert_close(torch.stack(tangents, dim=-1), sums[1][1], rtol=1e-13, atol=1e-13)
    u = runge.Function(network.requires_grad_(False), outputs="abcde"[:outputs])
    assert not u.derivative(x[0]).requires_grad


def data(batches=10, **sizes):
    return SobolevDataModule(Runge(), **{"n_train": 16, "n_val": 16, "n_test": 31} | sizes, batches_per_epoch=batches)


def trained(tmp_path, module, *callbacks, points=None, ckpt_path=None, **options):
    """Train a module with a Trainer of one's own, three epochs of ten steps, and return the Trainer."""
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    quiet |= {"max_epochs": 3, "default_root_dir": tmp_path, "accelerator": "cpu", "num_sanity_val_steps": 2}
    trainer = lightning.Trainer(**quiet | options, callbacks=list(callbacks))
    trainer.fit(module, points or data(), ckpt_path=ckpt_path)
    return trainer


def network(width):
    """A network of one's own, whose initial weights follow from a seed."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(1, width), nn.Mish(), nn.Linear(width, 1))


def plain(**settings):
    return PlainRegression(Runge().domain, width=8, **settings)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        *(({}, 30), ({"accumulate_grad_batches": 2}, 15), ({"limit_train_batches": 0.5}, 15), ({"max_steps": 7}, 7)),
        *(({"precision": "bf16-mixed"}, 30), ({"fast_dev_run": True}, 1), ({"val_check_interval": 0.5}, 30)),
    ],
)
def test_options_of_the_trainer(options, steps, tmp_path):
    module = plain()
    trainer = trained(tmp_path, module, **options)
    assert (int(module.progress.step), trainer.global_step) == (steps, steps)
    assert trainer.callback_metrics["val/mse_f"] == module.figures["val/mse_f"][0]
    (before,) = trained(tmp_path, plain(), max_epochs=0).validate(plain(), data(), verbose=False)
    assert trainer.callback_metrics["val/mse_f"] < before["val/mse_f"]


def test_the_trainer_clips(tmp_path):
    """With SGD a clipped gradient makes small steps."""
    module, before = plain(optimizer=SGD(momentum=0.0, lr=1.0, lr_schedule="constant")), plain()
    trained(tmp_path, module, gradient_clip_val=1e-6)
    assert 0 < float((module.network.theta - before.network.theta).norm()) <= 31e-6


class Calls(Callback):
    """A callback that counts the calls of hooks of a step."""

    def __init__(self):
        self.calls, self.norms = [], []

    def on_after_backward(self, trainer, pl_module):
        self.norms.append(float(torch.cat([p.grad.flatten() for p in pl_module.network.parameters()]).norm()))

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.calls.append("step")

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.calls.append("batch")


def test_callbacks_of_steps_are_called_at_each_step(tmp_path):
    calls, rates = Calls(), LearningRateMonitor(logging_interval="step")
    logger = CSVLogger(tmp_path)
    trained(tmp_path, plain(), calls, rates, logger=logger, log_every_n_steps=1)
    assert (calls.calls, len({*calls.norms})) == (["step", "batch"] * 30, 30)
    table = (Path(logger.log_dir) / "metrics.csv").read_text().splitlines()
    seen = [float(row["lr-AdamW"]) for row in csv.DictReader(table) if row["lr-AdamW"]]
    assert seen == pytest.approx([0.005 * (1 + math.cos(math.pi * step / 30)) for step in range(30)])


def test_the_average_of_the_weights_is_validated_and_kept(tmp_path):
    module, other = plain(), plain()
    trained(tmp_path, module, EMAWeightAveraging(decay=0.9))
    trained(tmp_path, other)
    assert int(module.step) == 30
    assert not torch.equal(module.network.theta, other.network.theta)
    (figures,) = trained(tmp_path, plain(), max_epochs=0).validate(module, data(), verbose=False)
    assert figures["val/mse_f"] == pytest.approx(float(module.figures["val/mse_f"][0]))
    assert torch.equal(module.best.theta, module.network.theta)


def test_early_stopping_and_checkpoints(tmp_path):
    saved = ModelCheckpoint(tmp_path, monitor="val/mse_df", save_top_k=1)
    stop = EarlyStopping("val/mse_f", patience=1, min_delta=10.0)
    module = plain()
    assert trained(tmp_path, module, saved, stop, max_epochs=20, enable_checkpointing=True).global_step == 20
    loaded = PlainRegression.load_from_checkpoint(saved.best_model_path)
    assert (loaded.hparams["width"], loaded.hparams["lambda_d"]) == (8, 0.1)
    x = torch.linspace(-1, 1, 5)[:, None]
    torch.testing.assert_close(loaded(x), runge.Function(loaded.network)(x[:, 0])[:, None])
    assert saved.best_model_score == loaded.measure("val", data().dataset.val, loaded.lambda_d)["val/mse_df"]
    module = PlainRegression(Runge().domain, network(4), dtype=torch.float64)
    trainer = trained(tmp_path, module, points=data(dtype=torch.float64), max_steps=3)
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    own = PlainRegression.load_from_checkpoint(tmp_path / "own.ckpt", network=network(4), dtype=torch.float64)
    assert torch.equal(own(x.double()), module(x.double()))


@pytest.mark.filterwarnings("ignore:Be aware that when using .ckpt_path.")  # of the one that saves
def test_a_resumed_fit_ends_with_the_same_bits(tmp_path):
    """From a checkpoint in the middle of an epoch and of the two stages."""
    schedule = TwoStage(latest_step=20)
    whole, half, resumed = plain(max_steps=30), plain(max_steps=30), plain(max_steps=30)
    points = {"points": data(batch_size=5)}
    trained(tmp_path, whole, DerivativeLoss(schedule), **points)
    saved = ModelCheckpoint(tmp_path, filename="half", every_n_train_steps=14)
    trained(tmp_path, half, DerivativeLoss(schedule), saved, max_steps=14, enable_checkpointing=True, **points)
    trained(tmp_path, resumed, DerivativeLoss(schedule), ckpt_path=tmp_path / "half.ckpt", **points)
    assert (int(half.step), int(resumed.step), int(resumed.switched_on)) == (14, 30, 20)
    assert torch.equal(whole.network.theta, resumed.network.theta)


class Overridden(PlainRegression):
    """A module with an optimiser and a schedule of its own."""

    rate = 0.0

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), self.rate)
        return [optimizer], [{"scheduler": torch.optim.lr_scheduler.StepLR(optimizer, 10), "interval": "step"}]


def test_a_subclass_chooses_the_optimiser_and_the_loss(tmp_path):
    module, before = Overridden(Runge().domain, width=8), plain()
    trained(tmp_path, module)
    assert torch.equal(module.network.theta, before.network.theta)
    module.rate = 0.1
    trainer = trained(tmp_path, module)
    assert not torch.equal(module.network.theta, before.network.theta)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(1e-4)


def test_further_terms_and_a_network_of_ones_own(tmp_path):
    """A term that pulls u to 3, which outweighs the data."""

    def pull(module, points):
        return (module.network(points.x) - 3).square().mean()

    loss, adam = SobolevLoss(terms=[(1e6, pull)]), Adam(lr=0.1)
    module = PlainRegression(Runge().domain, network(16), loss=loss, optimizer=adam, lambda_d=0.0)
    trained(tmp_path, module, max_epochs=10)
    assert module(torch.zeros(1, 1)).item() == pytest.approx(3, abs=0.2)
    with pytest.raises(ValueError, match="takes its steps itself"):
        trained(tmp_path, plain(optimizer=LevenbergMarquardt()))


def test_a_checkpoint_has_its_precision(tmp_path):
    for made in (plain(dtype=torch.float64), SobolevRegression(Runge().domain, width=8, dtype=torch.float64)):
        trainer = trained(tmp_path, made, points=data(dtype=torch.float64))
        trainer.save_checkpoint(tmp_path / "whole.ckpt")
        loaded = type(made).load_from_checkpoint(tmp_path / "whole.ckpt")
        assert torch.equal(loaded.network.theta, made.network.theta)
        assert torch.equal(loaded.best.theta, made.best.theta)
        x = torch.tensor([[0.3]], dtype=torch.float64)
        assert torch.equal(loaded(x), made(x))
    stack = loaded.network.stacked() if isinstance(loaded, PlainRegression) else None
    assert stack is None or stack.theta.dtype == torch.float64


def test_the_state_moves_with_the_weights():
    module = plain().to("meta")
    assert {tensor.device.type for tensor in module.progress} == {"meta"}


def test_what_a_stack_would_ignore_is_refused(tmp_path):
    names = ("configure_optimizers", "training_step", "on_after_backward", "optimizer_step", "on_train_batch_end")
    for name in names:
        with pytest.raises(TypeError, match=rf"{name} would have no effect .*plain\.PlainRegression"):
            type("Mine", (SobolevRegression,), {name: lambda *_: None})(Runge().domain)
    stack = SobolevRegression(Runge().domain)
    hook = LambdaCallback(on_before_optimizer_step=lambda *_: None)
    for callback in (Calls(), hook, EMAWeightAveraging()):
        with pytest.raises(TypeError, match=r"would not see the single steps .*plain\.PlainRegression"):
            trained(tmp_path, stack, callback)
    with pytest.raises(ValueError, match="precision of the Trainer: must be 32-true or bf16-mixed"):
        trained(tmp_path, plain(), precision="64-true")
    with pytest.raises(ValueError, match=r"loss.terms: must be empty, because only PlainRegression has them; got 1"):
        SobolevRegression(Runge().domain, loss=SobolevLoss(terms=[(1.0, max)]))
    with pytest.raises(ValueError, match=r"loss.compiled: must be None, because only SobolevRegression has"):
        plain(loss=SobolevLoss(compiled=max))
    module = plain()
    for compiled in (stack, module):  # as Lightning does with the steps of a compiled module
        vars(compiled)["training_step"] = lambda *_: None
    with pytest.raises(TypeError, match=r"cannot be compiled.*plain\.PlainRegression"):
        trained(tmp_path, stack)
    with pytest.warns(UserWarning, match="only forward is compiled"):
        assert trained(tmp_path, module, max_steps=2).global_step == 2
