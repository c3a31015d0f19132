"""The settings of a run as objects, and their plain form."""

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from runge.configuration.objects import digest
from runge.data.seed import Seed
from runge.optimizers import LevenbergMarquardt
from runge.sampling import Random
from runge.training.member import Member
from runge.training.settings import Settings
from tests.conftest import compose

SECTIONS = (
    ("target=kink", "sampling=mixed", "schedule=two_stage_ramp", "optimizer=soap", "balance=gradnorm"),
    ("data=table", "data.file=rows.csv", "data.folds=5", "data.fold=1", "logger=csv", "pictures=false"),
    ("optimizer._target_=torch.optim.RMSprop", "~optimizer.betas", "resampling=residual"),
)


@pytest.mark.parametrize("overrides", SECTIONS, ids=" ".join)
def test_the_plain_form_is_what_they_were_made_of(overrides, configuration):
    plain = configuration(*overrides)
    settings = Settings.of(plain)
    assert settings.configuration == plain
    assert list(settings.configuration) == list(plain)  # also in its order, which is that of `run.json`
    assert pickle.loads(pickle.dumps(settings)).configuration == plain


def test_a_section_that_was_replaced_is_in_the_plain_form(configuration):
    settings = Settings.of(configuration("seed=3"))
    changed = replace(
        settings,
        seed=Seed(seed=4),
        model=replace(settings.model, width=9),
        trainer=replace(settings.trainer, max_steps=7),
        optimizer=LevenbergMarquardt(damping=2.0),
        sampling=Random(),
    )
    again = Settings.of(changed.configuration)
    assert (again.seed.seed, again.model.width, again.trainer.max_steps) == (4, 9, 7)
    assert again.optimizer == LevenbergMarquardt(damping=2.0)
    assert isinstance(again.sampling, Random)
    assert again.configuration == changed.configuration
    assert digest(changed.configuration) != digest(settings.configuration)
    composed = ("seed=4", "model.width=9", "trainer.max_steps=7", "trainer.log_every=100", "sampling=random")
    typed = configuration(
        *composed, "optimizer=levenberg_marquardt", "optimizer.damping=2.0", "schedule.latest_step=2000"
    )
    of_method = {"trainer": None}  # a method has its own precision
    assert changed.configuration | of_method == typed | of_method


def test_settings_do_not_change(configuration):
    with pytest.raises(FrozenInstanceError):
        Settings.of(configuration()).seed = Seed(seed=1)  # pyright: ignore[reportAttributeAccessIssue]


def test_remarks_change_neither_the_identity_of_a_run_nor_what_it_shares(configuration):
    plain, remarked = configuration(), configuration("tags=[paper,2d]", "note='of the first draft'", "logger=wandb")
    assert (remarked["tags"], remarked["note"]) == (["paper", "2d"], "of the first draft")
    assert remarked["logger"]["wandb"].items() >= {"notes": remarked["note"], "project": "runge"}.items()
    assert remarked["logger"]["wandb"]["tags"] == remarked["tags"]
    assert digest(remarked) == digest(plain)
    one, other = (Member(Settings.of({**content, "logger": {}})) for content in (plain, remarked))
    assert other.settings.configuration["note"] == "of the first draft"
    assert one.shared() == other.shared()
    assert one.kind() == other.kind()
    assert one.apart_from_seed() == other.apart_from_seed()


@pytest.mark.parametrize(("optimizer", "alike"), [("adam", True), ("levenberg_marquardt", False)])
def test_methods_that_solve_systems_share_a_stack_only_if_derivatives_count_in_the_same_steps(optimizer, alike):
    """By that they choose the points of their first steps: in one stack a run would differ from itself alone."""
    method = f"optimizer={optimizer}", "trainer.precision=64"
    for key, other in (("loss.lambda_d=1", "loss.lambda_d=0"), ("schedule=constant", "schedule=two_stage_step")):
        one, two = (Member(Settings.of(compose(*method, override) | {"logger": {}})) for override in (key, other))
        assert (one.shared() == two.shared()) == alike
