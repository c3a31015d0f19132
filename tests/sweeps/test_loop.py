"""The loop of a sweep, with a policy that doubles the value of its best run."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from runge.composing.command import SweepCommand
from runge.configuration.errors import ConfigurationError, RunError
from runge.sweeps import loop
from runge.sweeps.journal import Batch
from runge.sweeps.policies.policy import Policy
from tests.sweeps.policies.made_up import Launcher

FOLDER = Path("sweep")
pytestmark = pytest.mark.usefixtures("in_folder")


class Doubling(Policy):
    """Three batches of two runs, which follow from the results."""

    compares = False

    def __init__(self):
        self.trials = []

    @property
    def values(self):
        return [trial.value for trial in self.trials]

    def propose(self, journal):
        value = 1.0
        for _ in range(3):
            trials = yield Batch([[f"x={value}"], [f"x={value + 1}"]])
            self.trials += trials
            value = 2 * max((trial.value for trial in trials if not isinstance(trial.value, Exception)), default=0)


def launcher(at=None, error=None):
    """Return a launcher whose runs have the values x, and which raises an error at one of the batches."""

    def result(number, overrides):
        if at is not None and number == 2 * at:
            raise error
        (FOLDER / str(number)).mkdir(exist_ok=True)
        return float(overrides["x"])

    return Launcher(result)


def sweep(policy, launch):
    hydra = {"sweep": {"dir": str(FOLDER)}, "hydra_logging": {"root": None}}
    config = OmegaConf.create({"hydra": hydra})
    loop.sweep(policy, SweepCommand(SimpleNamespace(), config, [], time.monotonic(), None, 1), launch, {})


VALUES = [1.0, 2.0, 4.0, 5.0, 10.0, 11.0]
BATCHES = [[{"x": "1.0"}, {"x": "2.0"}], [{"x": "4.0"}, {"x": "5.0"}], [{"x": "10.0"}, {"x": "11.0"}]]


def test_batches_follow_from_the_results():
    policy, launch = Doubling(), launcher()
    sweep(policy, launch)
    assert policy.values == VALUES
    assert [trial.number for trial in policy.trials] == list(range(6))
    assert launch.batches == BATCHES
    assert (FOLDER / "multirun.yaml").exists()


@pytest.mark.parametrize(
    ("at", "error"),
    [
        (0, ConfigurationError("it holds another sweep")),
        (1, OSError("the disk is full")),
        (1, ConfigurationError("a later mistake")),
        (1, RunError("no space")),
    ],
)
def test_an_error_is_raised_after_the_end_of_a_sweep_of_which_nothing_is_left_if_nothing_has_begun(
    at, error, monkeypatch
):
    """A command that is refused is not followed by the table of other runs."""
    compared = []
    monkeypatch.setattr("runge.sweeps.loop.compare", lambda *_: compared.append(1))
    policy = Doubling()
    policy.compares = True
    with pytest.raises(type(error), match=str(error)):
        sweep(policy, launcher(at, error))
    assert compared == [1] * at
    assert FOLDER.exists() == bool(at)


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_sweep_that_was_killed_continues_with_the_same_trials(at):
    with pytest.raises(GeneratorExit):
        sweep(Doubling(), launcher(at, GeneratorExit))  # which nothing handles
    policy, launch = Doubling(), launcher()
    sweep(policy, launch)
    assert policy.values == VALUES
    assert launch.batches == BATCHES[at:]
    whole = Doubling()
    sweep(whole, None)  # it has ended: nothing is trained
    assert whole.trials == policy.trials
