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

from runge.records.checkpoints import take
from runge.schedules import NEVER, Constant, TwoStage
from runge.training.callbacks.derivative_loss import DerivativeLoss
from runge.training.module import SobolevRegression
from tests.training.test_lightning import parts, trainer

AT_25 = TwoStage(at_step=25)
FLAT = TwoStage(smoothing=0.0, threshold=0.9, patience=2)


def fit(tmp_path, *schedule, seed=0, **options):
    module, data = parts(seed=seed, lambda_d=options.pop("lambda_d", 0.1))
    made = trainer(tmp_path, *schedule, **options)
    made.fit(module, data)
    return module, made


def figures(module):
    """Return lambda_d in the figures of the last block, per member."""
    return module.figures["lambda_d"].tolist()


def messages(caplog):
    return [record.getMessage() for record in caplog.records if record.name.startswith("runge")]


def test_without_the_callback_lambda_d_is_constant(tmp_path):
    module, data = parts()
    plain = lightning.Trainer(
        max_epochs=4, default_root_dir=tmp_path, accelerator="cpu", logger=False, enable_checkpointing=False
    )
    plain.fit(module, data)
    constant, _ = fit(tmp_path, Constant())
    for name, value in module.state_dict().items():
        assert torch.equal(value, constant.state_dict()[name]), name
    assert figures(module) == [0.1]
    assert module.switched_on.tolist() == [0]


def test_lambda_d_is_that_of_the_schedule_at_each_step(tmp_path, monkeypatch):
    """Also where a block has steps of both stages."""
    taken, take_steps = [], SobolevRegression._take_steps
    monkeypatch.setattr(
        SobolevRegression,
        "_take_steps",
        lambda module, *arguments: (taken.append(module.factors[:, 0]), take_steps(module, *arguments))[1],
    )
    module, _ = fit(tmp_path, TwoStage(at_step=25, ramp_steps=10))
    ramp = [(step - 24) / 10 for step in range(25, 34)]
    assert torch.cat(taken).tolist() == pytest.approx([0] * 25 + ramp + [1] * 6)
    assert module.switched_on.tolist() == [25]
    assert figures(module) == [0.1]


def test_the_step_of_the_switch_is_logged_once(tmp_path, caplog):
    loggers = [TensorBoardLogger(tmp_path, name="board"), CSVLogger(tmp_path, name="csv")]
    with caplog.at_level(logging.INFO, "runge"):
        fit(tmp_path, AT_25, logger=loggers, log_every_n_steps=1)
    assert messages(caplog) == ["lambda_d on from step 25"]
    events = EventAccumulator(str(tmp_path / "board/version_0")).Reload()
    assert [(event.step, event.value) for event in events.Scalars("switched_on_step")] == [(25, 25)]
    rows = list(csv.DictReader((tmp_path / "csv/version_0/metrics.csv").read_text().splitlines()))
    assert [row["switched_on_step"] for row in rows if row["switched_on_step"]] == ["25.0"]


@pytest.mark.parametrize("schedule", [TwoStage(at_step=40), Constant()])
def test_there_is_no_line_without_a_switch(schedule, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "runge"):
        fit(tmp_path, schedule)
    assert not messages(caplog)


def test_the_members_of_a_stack_switch_at_their_own_steps(tmp_path):
    """The logged step is the median of those with lambda_d, once it is on for all of them."""
    schedules = [AT_25, TwoStage(at_step=5), Constant(), TwoStage(at_step=60), TwoStage(at_step=31)]
    lambda_d = torch.tensor([0.1, 0.1, 0.1, 0.0, 0.1])
    logger = CSVLogger(tmp_path, name="csv")
    options = {"logger": logger, "log_every_n_steps": 1, "lambda_d": lambda_d}
    module, _ = fit(tmp_path, schedules, seed=range(5), **options)
    assert module.switched_on.tolist() == [25, 5, 0, NEVER, 31]
    rows = list(csv.DictReader((tmp_path / "csv/version_0/metrics.csv").read_text().splitlines()))
    assert [(row["step"], row["switched_on_step"]) for row in rows if row["switched_on_step"]] == [("31", "5.0")]


def callback(made):
    return next(one for one in made.callbacks if isinstance(one, DerivativeLoss))


def test_the_state_of_a_member_is_a_row_of_that_of_its_stack(tmp_path):
    _, together = fit(tmp_path, [FLAT, AT_25, FLAT], seed=[0, 1, 2])
    _, alone = fit(tmp_path, FLAT, seed=2)
    assert callback(together).state_dict()["switched_on"].tolist() == [30, 25, 30]
    torch.testing.assert_close(
        take(callback(together).state_dict(), [2]), callback(alone).state_dict(), rtol=1e-4, atol=0
    )


def test_a_checkpoint_restores_the_state(tmp_path):
    """Each fit begins again without one, also by a callback that has seen another fit."""
    module, made = fit(tmp_path, FLAT)
    made.save_checkpoint(tmp_path / "end.ckpt")
    saved = torch.load(tmp_path / "end.ckpt", weights_only=True)["callbacks"]["DerivativeLoss"]
    assert saved["switched_on"].tolist() == module.switched_on.tolist() == [30]
    used = callback(made)
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
