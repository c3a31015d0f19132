"""The module with a Trainer of the user's own, and Lightning's own callbacks and loggers."""

import csv

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, LambdaCallback, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

import runge
from runge.configuration.objects import build
from runge.data.sampled import Data
from runge.optimizers import Adam, LevenbergMarquardt
from runge.schedules import Constant, TwoStage
from runge.schedules.derivative_loss import DerivativeLoss
from runge.sobolev.network import Model
from runge.targets import Runge
from runge.training.datamodule import SobolevDataModule
from runge.training.member import Member
from runge.training.module import SobolevRegression
from runge.training.plan import Plan
from runge.training.prepare import prepare
from runge.training.settings import Settings
from tests.conftest import fit_stack
from tests.sweeps.test_sweep import new_run

SIZES = {"n_train": 16, "n_val": 16, "n_test": 31}


def parts(seed=0, dtype=torch.float32, **settings):
    settings = {"width": 8, "plan": Plan(steps_per_block=10, diagnostics_every=20), "dtype": dtype} | settings
    data = SobolevDataModule(Runge(), seed=seed, dtype=dtype, **SIZES)
    return SobolevRegression(Runge().domain, seed=seed, **settings), data


def trainer(tmp_path, schedule=None, callbacks=(), **options):
    options |= {"callbacks": [DerivativeLoss(schedule), *callbacks]}
    quiet = dict.fromkeys(("enable_progress_bar", "enable_model_summary", "enable_checkpointing", "logger"), False)
    return lightning.Trainer(**{"max_epochs": 4, "default_root_dir": tmp_path, "accelerator": "cpu"} | quiet | options)


def test_the_defaults_are_those_of_the_configuration(configuration):
    composed = configuration()
    assert Data() == build("data", composed["data"], Data)
    assert Model() == build("model", composed["model"], Model)
    member = Member(Settings.of(composed))
    assert Adam() == member.settings.optimizer
    assert LevenbergMarquardt() == Settings.of(configuration("optimizer=levenberg_marquardt")).optimizer
    assert TwoStage(latest_step=2000) == member.settings.schedule
    module = SobolevRegression(Runge().domain)
    plan = module.plan
    assert (plan.steps_per_block, plan.diagnostics_every) == (member.settings.trainer.log_every, 200)
    assert float(module.lambda_d) == member.settings.loss.lambda_d


def test_a_plain_trainer_takes_the_steps_of_a_run(tmp_path, configuration):
    """The same bits, from the same settings, in both ways."""
    module, data = parts()
    fit = trainer(tmp_path)
    (before,) = fit.validate(module, data, verbose=False)
    fit.fit(module, data)
    short = ("model.width=8", *(f"data.{key}={n}" for key, n in SIZES.items()), "trainer.compile=off", "logger=[]")
    composed = configuration(*short, "trainer.max_steps=40", "trainer.log_every=10", "trainer.progress_bar=false")
    stack = prepare([Member(Settings.of(composed))])
    fit_stack(stack, [new_run(tmp_path / "run")])
    for name, value in stack.module.best.state_dict().items():
        assert torch.equal(value, module.best.state_dict()[name])
    assert torch.equal(stack.module.switched_on, module.switched_on)
    assert int(module.step) == 40
    (after,) = fit.validate(module, data, verbose=False)
    assert after["val/mse_f"] < before["val/mse_f"]
    u, points = runge.Function(module.network), data.dataset.val
    error = (u(points.x[0, :, 0]).detach() - points.f[0, :, 0]).square().mean()
    assert float(error) == pytest.approx(after["val/mse_f"], rel=1e-4)


def test_callbacks_and_loggers_of_lightning(tmp_path):
    module, data = parts()
    checkpoint = ModelCheckpoint(tmp_path / "best", monitor="val/mse_df", save_top_k=1)
    monitors = [checkpoint, EarlyStopping("train/loss", patience=100), LearningRateMonitor()]
    logger = CSVLogger(tmp_path, name="csv")
    fit = trainer(tmp_path, callbacks=monitors, logger=logger, log_every_n_steps=1, enable_checkpointing=True)
    fit.fit(module, data)
    assert (fit.global_step, int(module.step)) == (4, 40)  # blocks, and optimiser steps
    assert {"val/mse_df", "val/loss", "train/mse_f/left", "lambda_d", "lr"} <= fit.callback_metrics.keys()
    assert fit.callback_metrics["val/mse_df"] == module.figures["val/mse_df"][0]
    assert checkpoint.best_model_score == min(checkpoint.best_k_models.values())
    (tested,) = fit.test(module, data, verbose=False)
    (best,) = fit.test(module, data, ckpt_path="best", verbose=False)
    assert tested.keys() == best.keys() >= {"test/mse_f", "test/mse_df/peak"}
    rows = list(csv.DictReader((tmp_path / "csv/version_0/metrics.csv").read_text().splitlines()))
    for split in ("val", "train"):
        assert [int(row["step"]) for row in rows if row[f"{split}/mse_df"]] == [10, 20, 30, 40]
    assert [row["grad_norm/f"] != "" for row in rows if row["train/mse_df"]] == [False, True, False, True]
    module, data = parts(optimizer=Adam(lr=1e-12))
    fit = trainer(tmp_path, max_epochs=50, callbacks=[EarlyStopping("val/mse_df", patience=2)])
    fit.fit(module, data)
    assert int(module.step) == 30


def test_the_steps_are_those_of_the_trainer(tmp_path):
    module, data = parts()
    trainer(tmp_path, max_epochs=-1, max_steps=25).fit(module, data)
    assert int(module.step) == module.max_steps == 25
    trainer(tmp_path, max_epochs=2).fit(module, data)  # a second fit starts at step 0, from these weights
    assert int(module.step) == module.max_steps == 20
    module, data = parts(max_steps=15)
    trainer(tmp_path, max_epochs=100).fit(module, data)
    assert int(module.step) == 15
    for options, message in (({"max_epochs": -1}, "max_steps: must"), ({"precision": "64-true"}, "32-true.*float64")):
        with pytest.raises(ValueError, match=message):
            trainer(tmp_path, **options).fit(*parts())


def test_a_resumed_fit_ends_with_the_same_bits(tmp_path):
    plateau = TwoStage(smoothing=0.0, threshold=0.9, patience=2)
    (whole, data), (half, of_half), (resumed, of_resumed) = parts(), parts(), parts()
    trainer(tmp_path, plateau).fit(whole, data)
    assert int(whole.switched_on) == 30
    stop = LambdaCallback(on_train_epoch_end=lambda fit, _: setattr(fit, "should_stop", fit.current_epoch == 1))
    first = trainer(tmp_path, plateau, callbacks=[stop])
    first.fit(half, of_half)
    assert int(half.step) == 20
    first.save_checkpoint(tmp_path / "half.ckpt")
    trainer(tmp_path, plateau).fit(resumed, of_resumed, ckpt_path=tmp_path / "half.ckpt")
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_stack_logs_the_median_of_its_members(tmp_path):
    (module, data), (alone, of_alone) = parts(seed=[0, 1, 2]), parts(seed=1)
    fit = trainer(tmp_path, Constant())
    fit.fit(module, data)
    assert module.figures["val/mse_df"].shape == (3,)
    assert fit.callback_metrics["val/mse_df"] == module.figures["val/mse_df"].median()
    trainer(tmp_path, Constant()).fit(alone, of_alone)
    torch.testing.assert_close(alone.figures["val/mse_df"][0], module.figures["val/mse_df"][1], rtol=1e-3, atol=0)


def test_levenberg_marquardt_works_in_a_plain_trainer(tmp_path):
    own = LevenbergMarquardt(damping=1.0, decrease=3.0, increase=2.0, acceleration=0.75, readout=True)
    module, data = parts(dtype=torch.float64, optimizer=own, derivative="autograd")
    fit = trainer(tmp_path, callbacks=[LearningRateMonitor()], logger=CSVLogger(tmp_path), log_every_n_steps=1)
    fit.fit(module, data)
    assert int(module.step) == 40
    assert torch.isfinite(fit.callback_metrics["val/loss"])
