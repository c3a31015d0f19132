"""A stack that is trained together, against the same members alone; and its blocks of steps and mini-batches."""

import random
from dataclasses import replace
from functools import partial
from unittest.mock import patch

import lightning.pytorch as pl
import pytest
import torch

from runge.data.seed import Seed
from runge.optimizers import LBFGS, Adam
from runge.process.machine import step_seconds
from runge.sampling import Random
from runge.schedules import TwoStage
from runge.schedules.derivative_loss import DerivativeLoss
from runge.sobolev import kernel
from runge.sobolev.kernel import Kernel
from runge.sobolev.network import StackedMLP
from runge.targets import Runge
from runge.training.datamodule import Block, Repeated, SobolevDataModule
from runge.training.module import SobolevRegression
from runge.training.plan import Plan, SobolevLoss
from tests.conftest import model
from tests.sobolev.test_kernel import suited
from tests.sobolev.test_losses import some_points

ADAM = Adam(lr=0.01, lr_schedule="cosine", clip_norm=1.0, betas=[0.9, 0.999])
PLAIN = Adam(lr=0.01, lr_schedule="constant", clip_norm=None, betas=[0.9, 0.999])
PLATEAU = TwoStage(at_step=None, smoothing=0.0, threshold=0.05, patience=1, latest_step=40, ramp_steps=15)
OFF = ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary", "use_distributed_sampler")


class Pause(pl.Callback):
    """Leaves a block at random."""

    def __init__(self):
        self.choose = partial(random.Random(0).choice, [None, "pause"])

    def after_step(self):
        return self.choose()


def fit(seeds, lambdas, *, schedule=None, batch_size=None, steps=60, every=10, callbacks=(), **settings):
    """Train a stack; the other settings are those of the module's plan, or of its loss, or its own."""
    sizes = {"n_train": 24, "n_val": 16, "n_test": 31, "batch_size": batch_size}
    data = SobolevDataModule(Runge(), Random(), seed=seeds, dtype=torch.float64, batches_per_epoch=10**9, **sizes)
    plan = Plan(every, settings.pop("stop_at", None), diagnostics_every=20)
    loss = SobolevLoss(loss_and_gradient=settings.pop("loss_and_gradient", None))
    own = {"max_steps": steps, "plan": plan, "loss": loss, "dtype": torch.float64}
    own |= {"optimizer": ADAM, **settings, **vars(model(width=12))}
    module = SobolevRegression(Runge().domain, seed=seeds, lambda_d=torch.tensor(lambdas), **own)
    once = {"max_epochs": 1, "max_steps": steps, "val_check_interval": 1, "num_sanity_val_steps": 0}
    callbacks = [*callbacks, *([] if schedule is None else [DerivativeLoss(schedule)])]
    common = {"accelerator": "cpu", "devices": 1, "callbacks": callbacks, "log_every_n_steps": 1}
    trainer = pl.Trainer(**common, **once, **dict.fromkeys(OFF, False))
    trainer.fit(module, data)
    return module, trainer


@suited
@pytest.mark.parametrize("batch_size", [None, 7])
def test_the_steps_that_the_kernel_takes_at_once_are_those_of_torch(batch_size):
    """Stop in the middle of blocks too, in calls of different lengths: the bits do not depend on it."""
    own = Kernel("tanh", torch.float64)
    run = partial(fit, [0, 1, 2], [0.1, 0.0, 1.0], schedule=PLATEAU, batch_size=batch_size)
    kernels, its_trainer = run(loss_and_gradient=own)
    torchs, trainer = run(loss_and_gradient=lambda *arguments: own(*arguments))
    assert torch.equal(kernels.switched_on, torchs.switched_on)
    torch.testing.assert_close(kernels.state_dict(), torchs.state_dict(), rtol=1e-8, atol=1e-10)
    states = (one.optimizers[0].state_dict()["state"] for one in (its_trainer, trainer))
    torch.testing.assert_close(*states, rtol=1e-8, atol=1e-10)
    with patch.object(kernel, "_CALL_SECONDS", 4 * 3 * step_seconds(batch_size or 24, 2, 12, 1, 1, "tanh")):
        paused, _ = run(loss_and_gradient=own, callbacks=[Pause()])
    for name, now in kernels.state_dict().items():
        assert torch.equal(paused.state_dict()[name], now)


class Recorder(pl.Callback):
    """Records the calls of a block, halves lambda_d, and gives one of some answers after each step."""

    def __init__(self, answers):
        self.answers, self.calls = iter(answers), []

    def at_block_start(self, module, steps):
        self.calls.append(("start", steps.tolist()))
        return module.factor.new_full((len(steps), len(module.factor)), 0.5)

    def after_step(self):
        answer = next(self.answers, None)
        self.calls.append(answer)
        return answer

    def at_block_end(self, module):
        self.calls.append(("end", int(module.step), module.figures["val/mse_f"].shape))


def test_a_block_calls_the_callbacks_which_may_leave_it_and_end_the_fit():
    recorder = Recorder([None, None, None, "pause", None, "end"])
    module, trainer = fit([0, 1], [0.1, 0.2], steps=9, every=3, callbacks=[recorder, Recorder([])])
    assert recorder.calls == [
        *(("start", [0, 1, 2]), None, None, None, ("end", 3, (2,))),
        *(("start", [3, 4, 5]), "pause", ("start", [4, 5]), None, "end", ("end", 6, (2,))),
    ]
    assert (int(module.step), bool(module.ended), module.is_over, trainer.should_stop) == (6, True, True, True)
    assert module.factor.tolist() == [0.25, 0.25]  # the product of both
    torch.testing.assert_close(module.figures["lambda_d"], torch.tensor([0.025, 0.05], dtype=torch.float64))


def test_lambda_zero_is_values_alone(monkeypatch):
    """Against a plain loop that knows of no derivative, which is not computed in training, with a schedule either."""
    asked, step = [], Adam.step
    monkeypatch.setattr(Adam, "step", lambda *a: (asked.append(a[2].lambda_d), step(*a))[1])
    (module, trainer), (two_stage, _) = (fit([0], [0.0], optimizer=PLAIN, schedule=one) for one in (None, PLATEAU))
    assert asked == [None] * 120
    assert torch.equal(module.network.theta, two_stage.network.theta)
    generators = [Seed(seed=0).generator("weights")]
    start = StackedMLP(model(width=12), domains=Runge().domain[None], generators=generators, dtype=torch.float64)
    first = start.theta.detach().clone()
    points = trainer.datamodule.dataset.train
    optimizer = torch.optim.Adam([start.theta], 0.01, fused=True)
    for _ in range(60):
        with torch.no_grad():
            u, _, tape = start.propagate(points.x, with_derivative=False)
            start.theta.grad = start.adjoint(tape, 2 * (points.weight_f * (u - points.f)), None)
        optimizer.step()
    torch.testing.assert_close(module.network.theta, start.theta, rtol=1e-9, atol=1e-11)
    assert not torch.equal(first, start.theta)


def test_lbfgs_has_one_member_and_forgets_the_curvature_of_another_loss():
    """A step right after the switch goes down the new gradient, as the first step of all does."""
    switch = TwoStage(at_step=5, smoothing=0.0, threshold=0.0, patience=1, latest_step=None, ramp_steps=0)
    lbfgs = LBFGS(lr=1.0, lr_schedule="constant", clip_norm=None, history_size=10, max_eval=25)
    with pytest.raises(ValueError, match="one network at a time"):
        fit([0, 1], [0.1, 0.1], optimizer=lbfgs)
    _, trainer = fit([0], [0.1], optimizer=lbfgs, schedule=switch, steps=6, every=1)
    (state,) = trainer.optimizers[0].state.values()
    assert state["n_iter"] == 1


def test_validation_loss_carries_the_full_lambda_before_the_switch():
    module, _ = fit([0], [0.5], schedule=TwoStage(at_step=1000), steps=10)
    figures = {name: figure.item() for name, figure in module.figures.items()}
    assert figures["lambda_d"] == 0
    assert figures["train/loss"] == pytest.approx(figures["train/mse_f"])
    assert figures["val/loss"] == pytest.approx(figures["val/mse_f"] + 0.5 * figures["val/mse_df"])


def test_the_best_weights_are_those_of_a_step_with_lambda_d(monkeypatch):
    """The validation loss grows: the best step is the first one after the switch, or of all where f' is not in it."""
    measure = SobolevRegression.measure

    def growing(self, split, *arguments):
        return measure(self, split, *arguments) | {f"{split}/loss": self.step + torch.zeros_like(self.best_loss)}

    monkeypatch.setattr(SobolevRegression, "measure", growing)
    schedules = [TwoStage(at_step=25), TwoStage(at_step=20, ramp_steps=30), TwoStage(at_step=25), TwoStage(at_step=60)]
    module, _ = fit(range(4), [0.1, 0.1, 0.0, 0.1], schedule=schedules)
    assert module.best_step.tolist() == module.best_loss.tolist() == [30, 30, 10, 10]
    alone, _ = fit([0], [0.1], schedule=schedules[0], stop_at=30)
    assert torch.allclose(module.best.theta[0], alone.network.theta[0], rtol=1e-9)


def test_minibatches_go_through_all_points_once_an_epoch_and_depend_on_the_step_alone():
    block = Block(some_points(n=10), seeds=(1, 2), size=4)
    index = block.batches(0, 5)  # 20 draws: two epochs
    assert index.shape == (5, 2, 4)
    for member in range(2):
        order = index[:, member].flatten().tolist()
        assert sorted(order[:10]) == sorted(order[10:]) == list(range(10))
        assert order[:10] != order[10:]
    assert not torch.equal(index[:, 0], index[:, 1])
    assert torch.equal(block.batches(0, 12)[7:], block.batches(7, 5))
    assert replace(block, size=None).batches(3, 4) is None


def test_repeated_asks_for_each_batch_when_it_is_due():
    letters = iter("abc")
    loader = Repeated(lambda: next(letters), 2)
    first = iter(loader)
    assert (next(first), next(letters), list(first), len(loader)) == ("a", "b", ["c"], 2)
