"""The callback that switches on lambda_d, with a Trainer of Lightning."""

import csv
import logging
import re

import lightning
import pytest
import torch
import yaml
from hydra.utils import instantiate
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runge.schedules import NEVER, Constant, TwoStage
from runge.schedules.derivative_loss import DerivativeLoss
from runge.training.module import SobolevRegression
from tests.training.test_lightning import parts, trainer

AT_25 = TwoStage(at_step=25)
FLAT = TwoStage(smoothing=0.0, threshold=0.9, patience=2)


def fit(tmp_path, *schedule, seed=0, lambda_d=0.1, **options):
    module, data = parts(seed=seed, lambda_d=lambda_d)
    made = trainer(tmp_path, *schedule, **options)
    made.fit(module, data)
    return module, made


def logged(tmp_path):
    """Return the steps of the rows in which a logger of Lightning has the step of the switch, and that step."""
    rows = csv.DictReader((tmp_path / "csv/version_0/metrics.csv").read_text().splitlines())
    return [(row["step"], row["switched_on_step"]) for row in rows if row["switched_on_step"]]


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("runge")]


def test_without_the_callback_lambda_d_is_constant(tmp_path, caplog):
    module, data = parts()
    off = {"logger": False, "enable_checkpointing": False}
    lightning.Trainer(max_epochs=4, default_root_dir=tmp_path, accelerator="cpu", **off).fit(module, data)
    with caplog.at_level(logging.INFO, "runge"):
        constant, _ = fit(tmp_path, Constant())
    assert said(caplog) == []
    for name, value in module.state_dict().items():
        assert torch.equal(value, constant.state_dict()[name]), name
    assert module.figures["lambda_d"].tolist() == [0.1]
    assert module.switched_on.tolist() == [0]


@pytest.mark.parametrize(
    ("schedule", "factors", "switches"),
    [
        (TwoStage(at_step=25, ramp_steps=10), [0] * 25 + [step / 10 for step in range(1, 10)] + [1] * 6, [25]),
        (TwoStage(at_step=40), [0] * 40, []),
    ],
    ids=["switch", "never"],
)
def test_lambda_d_is_that_of_the_schedule_at_each_step(schedule, factors, switches, tmp_path, monkeypatch, caplog):
    """Also where a block has steps of both stages; the step of the switch is logged once."""
    taken, take_steps = [], SobolevRegression._take_steps

    def noted(module, block, first, factors):
        taken.append(factors[:, 0])
        return take_steps(module, block, first, factors)

    monkeypatch.setattr(SobolevRegression, "_take_steps", noted)
    loggers = [TensorBoardLogger(tmp_path, name="board"), CSVLogger(tmp_path, name="csv")] if switches else False
    with caplog.at_level(logging.INFO, "runge"):
        module, _ = fit(tmp_path, schedule, logger=loggers, log_every_n_steps=1)
    assert torch.cat(taken).tolist() == pytest.approx(factors)
    assert module.figures["lambda_d"].tolist() == pytest.approx([0.1 * factors[-1]])
    assert said(caplog) == [f"lambda_d on from step {step}" for step in switches]
    if switches:
        assert module.switched_on.tolist() == switches
        events = EventAccumulator(str(tmp_path / "board/version_0")).Reload()
        assert [(event.step, event.value) for event in events.Scalars("switched_on_step")] == [(25, 25)]
        assert [switch for _, switch in logged(tmp_path)] == ["25.0"]


def test_the_members_of_a_stack_switch_at_their_own_steps(tmp_path):
    """The logged step is the median of those with lambda_d, once it is on for all of them."""
    schedules = [AT_25, TwoStage(at_step=5), Constant(), TwoStage(at_step=60), TwoStage(at_step=31)]
    options = {"logger": CSVLogger(tmp_path, name="csv"), "log_every_n_steps": 1}
    lambda_d = torch.tensor([0.1, 0.1, 0.1, 0.0, 0.1])
    module, _ = fit(tmp_path, schedules, seed=range(5), lambda_d=lambda_d, **options)
    assert module.switched_on.tolist() == [25, 5, 0, NEVER, 31]
    assert logged(tmp_path) == [("31", "5.0")]


def callback(made):
    return next(one for one in made.callbacks if isinstance(one, DerivativeLoss))


def test_a_checkpoint_restores_the_state_of_each_member(tmp_path):
    """Each fit begins again without one, also by a callback that has seen another fit."""
    _, together = fit(tmp_path, [FLAT, AT_25, FLAT], seed=[0, 1, 2])
    module, made = fit(tmp_path, FLAT, seed=2)
    used, of_stack = callback(made), callback(together).state_dict()
    assert of_stack["switched_on"].tolist() == [30, 25, 30]
    of_last = {name: state[[2]] for name, state in of_stack.items()}
    torch.testing.assert_close(of_last, used.state_dict(), rtol=1e-4, atol=0)
    made.save_checkpoint(tmp_path / "end.ckpt")
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]["DerivativeLoss"]
    assert saved["switched_on"].tolist() == module.switched_on.tolist() == [30]
    short = trainer(tmp_path, max_epochs=2)
    short.callbacks = [used]
    short.fit(*parts())
    assert used.state_dict()["switched_on"].tolist() == [NEVER]
    used.load_state_dict(saved)
    torch.testing.assert_close(used.state_dict(), saved)
    assert used.state_dict()["plateau"] is not saved["plateau"]  # which may be that of a file's content


def test_the_configuration_in_the_docstring_makes_the_callback():
    text = re.search(r"code-block:: yaml\n\n(.*?)\n\n    The step", DerivativeLoss.__doc__, re.DOTALL)[1]
    (entry,) = yaml.safe_load(text)["callbacks"]
    assert instantiate(entry).schedule == TwoStage(patience=3, latest_step=2000)
