"""A run that is resumed with a larger `trainer.max_steps`."""

import json
import shutil
from unittest.mock import Mock

import pytest

from runge.composing.extension import asks_for_more_steps
from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory
from tests.refusals import check_refusal
from tests.sweeps.test_run import SHORT, at_step, check_equal, fit_alone, only_run, state

CONSTANT = (*SHORT, "optimizer.lr_schedule=constant", "data.batch_size=5", "sampling=random")
MOVING = ("balance=gradnorm", "resampling=residual", "resampling.every=20", "resampling.last_step=140")
MORE = "trainer.max_steps=200"


def check_extended(run, whole):
    check_equal(run, whole, ["history.csv", *(path.name for path in whole.glob("points.csv"))])
    configuration, overrides, _ = RunDirectory(run).read_configuration()
    assert configuration == RunDirectory(whole).read_configuration()[0]
    assert [override for override in overrides if override.startswith("trainer.max_steps")] == [MORE]
    assert (state(run)["step"], state(run)["status"]) == (200, "finished")


@pytest.mark.parametrize("has_state", [True, False])
def test_an_interrupted_run_equals_the_one_that_had_them_from_the_start(has_state, finish, trained, tmp_path):
    """Interrupted within a block, or before its first checkpoint, with a balance and with points that move."""
    run, whole = tmp_path / "run", only_run(trained(*CONSTANT, *MOVING, MORE)[0])
    fit_alone(run, *CONSTANT, *MOVING, interrupt=at_step(61))
    if not has_state:
        (run / "checkpoints" / "last.ckpt").unlink()
    finish("resume=run", MORE)
    check_extended(run, whole)


def test_a_finished_run_equals_the_one_that_had_them_from_the_start(fail, finish, trained, tmp_path, monkeypatch):
    """Also if it is killed while it gets them."""
    run = shutil.copytree(only_run(trained(*CONSTANT)[0]), tmp_path / "run")
    whole = only_run(trained(*CONSTANT, MORE)[0])
    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "begin", Mock(side_effect=ConfigurationError("killed")))
        fail("resume=run", MORE)
    assert not (run / "metrics.json").exists()
    finish("resume=run", MORE)
    check_extended(run, whole)


LM = ("optimizer=levenberg_marquardt", "trainer.precision=64")
WRONG = {
    "the rate": (SHORT, 200, ("optimizer.lr_schedule=cosine depends on the last step", "trainer.start=DIR")),
    "the method": ((*SHORT, *LM), 200, ("LevenbergMarquardt depends on the last step", "trainer.start=DIR")),
    "a share": (
        (*CONSTANT, "resampling=region"),
        200,
        ("resampling.every, resampling.last_step would be larger",),
    ),
    "rows": ((*CONSTANT, "trainer.log_every=50"), 200, ("trainer.log_every=50 does not divide it",)),
    "last step": ((*CONSTANT, *MOVING), 200, ("the balance would have changed",)),
    "ended": ((*CONSTANT, "trainer.stop_at=40"), 200, ("ended at an earlier step",)),
    "fewer": (CONSTANT, 100, ("which is finished",)),
    "equal": (CONSTANT, 120, ("which is finished",)),
    "no number": (CONSTANT, "many", ("which is finished",)),
}


def test_the_patience_of_a_table_is_no_share_of_its_steps():
    """The command that gives a run on a table more steps is composed without the table."""
    begun, composed = ({"trainer": {"max_steps": n, "patience": x}} for n, x in ((120, 2000), (200, None)))
    assert asks_for_more_steps(composed, ["trainer.max_steps=200"], begun, ["data=table"])


def content(run):
    files = [path for path in run.rglob("*") if path.is_file() and path.name not in ("train.log", ".lock")]
    return {path: path.read_bytes() for path in files}


@pytest.mark.parametrize("mistake", WRONG)
def test_more_steps_are_refused_with_the_reason(mistake, fail, fit):
    overrides, steps, allowed = WRONG[mistake]
    run = fit("run", *overrides)
    before = content(run)
    _, err = fail("resume=run", f"trainer.max_steps={steps}")
    key = "resume" if mistake in ("fewer", "equal", "no number") else "trainer.max_steps"
    check_refusal(err[err.index("error: ") :], key, "", *allowed)
    assert content(run) == before


def test_fewer_steps_of_an_unfinished_run_are_refused(fail, tmp_path):
    fit_alone(tmp_path / "run", *CONSTANT, interrupt=at_step(61))
    _, err = fail("resume=run", "trainer.max_steps=100")
    check_refusal(err[err.index("error: ") :], "resume", "", "remove trainer.max_steps=100")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["trainer"]["max_steps"] == 120
