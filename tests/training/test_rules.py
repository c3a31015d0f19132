"""Overrides without effect: without them training ends with the same weights."""

import pytest
import torch

from runge.configuration.errors import ConfigurationError
from runge.training.announcement import announce
from runge.training.member import Member
from runge.training.prepare import prepare
from runge.training.settings import Settings
from runge.training.train import train
from tests.conftest import compose

SHORT = ("trainer.max_steps=20", "trainer.log_every=5", "model.width=4", "model.depth=1", "trainer.progress_bar=false")
FORMULA = ("data.n_train=16", "data.n_val=16", "data.n_test=51")
CONSTANT = (*FORMULA, "schedule=constant")
LOG = (*CONSTANT, "balance=log")
WEIGHTS = {}  # of the overrides of cases before
RANDOM = ("optimizer=random_features", "trainer.log_every=1", "trainer.max_steps=2", "model.width=20")


def trained(*overrides):
    """Return what is logged about a run's overrides, and its weights in the end."""
    if overrides not in WEIGHTS:
        stack = prepare([Member(Settings.of(compose(*SHORT, *overrides) | {"logger": {}}), overrides)])
        announce(stack, 0)
        train(stack)
        WEIGHTS[overrides] = torch.cat([x.flatten().double() for x in stack.module.network.state_dict().values()])
    return WEIGHTS[overrides]


@pytest.mark.parametrize(
    ("override", "others", "reason"),
    [
        ("balance=gradnorm", (*CONSTANT, "balance.every=20"), "20, and it is first applied after 20"),
        ("balance=gradnorm", (*CONSTANT, "balance.every=10"), None),
        ("resampling=region", (*FORMULA, "resampling.every=20"), "20, and no point moves before the end"),
        ("resampling=region", (*FORMULA, "resampling.every=10"), None),
        ("loss.lambda_d=5", ("balance=scale",), "Scale computes it before derivatives count; it still weighs val/loss"),
        ("loss.lambda_d=0", ("balance=scale",), None),
        ("loss.lambda_d=5", RANDOM, "its likelihood weighs values and derivatives"),
        ("loss.lambda_d=0", RANDOM, None),
        ("balance=scale", RANDOM, "its likelihood weighs values and derivatives"),
        ("loss.lambda_d=5", ("balance=fixed", *CONSTANT), None),
        ("loss.lambda_d=5", LOG, "with balance=log it only matters whether lambda_d is 0; it still weighs val/loss"),
        ("loss.derivative_scale=std", LOG, "whether lambda_d is 0; it still weighs val/loss"),
        ("loss.derivative_scale=std", (*CONSTANT, "balance=fixed"), None),
        ("loss.lambda_d=5", (*LOG, "resampling=residual", "resampling.every=5"), None),
        ("loss.lambda_d=0", LOG, None),
        ("trainer.patience=5", (*CONSTANT, "trainer.stop_at=15"), "trainer.stop_at sets the last step"),
        (
            "resampling=region",
            (*FORMULA, "resampling.every=2", "resampling.last_step=4"),
            "no point moves before the end",
        ),
        ("resampling=region", (*FORMULA, "resampling.every=2", "resampling.last_step=5"), None),
    ],
)
def test_an_override_has_no_effect_if_and_only_if_it_is_said(override, others, reason, caplog):
    weights = trained(*others, override)
    said = [one.getMessage() for one in caplog.records if "without effect" in one.getMessage()]
    if reason is None:
        assert not any(override in one for one in said)
    else:
        assert f"{override} (" in said[0]
        assert f"{reason})" in said[0]
    plain = [other for other in others if not other.startswith(f"{override.partition('=')[0]}.")]
    assert torch.allclose(trained(*plain), weights, rtol=1e-3, atol=1e-4) == (reason is not None)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["balance=gradnorm", "balance.every=21"], "balance.every: must be at most trainer.max_steps=20"),
        (
            [*FORMULA, "resampling=region", "resampling.every=21"],
            "resampling.every: must be at most trainer.max_steps=20",
        ),
        (["trainer.stop_at=21"], "trainer.stop_at: must be at most trainer.max_steps=20"),
        (
            ["schedule=two_stage_ramp", "schedule.ramp_steps=21"],
            "schedule.ramp_steps: must end by trainer.max_steps=20",
        ),
        (["schedule.at_step=5", "schedule.ramp_steps=16"], "got 16 after schedule.at_step=5"),
    ],
)
def test_steps_after_the_last_one_are_refused(overrides, message):
    with pytest.raises(ConfigurationError, match=message):
        Member(Settings.of(compose(*SHORT, *overrides) | {"logger": {}}))
