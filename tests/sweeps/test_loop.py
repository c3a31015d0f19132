"""The loop of a sweep, with a policy that doubles the value of its best run."""

import math
import time
from types import SimpleNamespace

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from runge.configuration.errors import ConfigurationError, RunError
from runge.interruption import interruption
from runge.sweeps.journal import Batch
from runge.sweeps.loop import sweep
from runge.sweeps.policies.policy import Policy, SweepCommand


class Doubling(Policy):
    """Three batches of two runs, which follow from the results."""

    compares = False

    def __init__(self, until=math.inf):
        self.until, self.trials, self.concluded, self.state = until, [], 0, ""

    def propose(self, journal):
        value = 1.0
        for _ in range(3):
            trials = yield Batch([[f"x={value}"], [f"x={value + 1}"]], self.until)
            self.trials += trials
            value = 2 * max((trial.value for trial in trials if not isinstance(trial.value, Exception)), default=0)

    def conclude(self):
        self.concluded += 1

    def so_far(self):
        return self.state


class Launcher:
    """It returns the values x of runs, and does something else at one of the batches."""

    def __init__(self, folder, at=None, what=None):
        self.folder, self.at, self.what, self.batches = folder, at, what, []

    def __call__(self, jobs, first):
        if len(self.batches) == self.at:
            self.what()
        self.batches.append(first)
        for number in range(first, first + len(jobs)):
            (self.folder / str(number)).mkdir(exist_ok=True)
        values = [float(overrides[0].partition("=")[2]) for overrides in jobs]
        returns = [JobReturn(status=JobStatus.COMPLETED) for _ in values]
        for returned, value in zip(returns, values, strict=True):
            returned.return_value = value
        return returns


def of(folder):
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}})
    return SweepCommand(SimpleNamespace(), config, [], time.monotonic(), 1)


def fails(error):
    def fail():
        raise error

    return fail


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "sweep"


VALUES = [1.0, 2.0, 4.0, 5.0, 10.0, 11.0]


def test_batches_follow_from_the_results(folder):
    policy, launcher = Doubling(), Launcher(folder)
    sweep(policy, of(folder), launcher, {})
    assert [trial.value for trial in policy.trials] == VALUES
    assert [trial.number for trial in policy.trials] == list(range(6))
    assert launcher.batches == [0, 2, 4]
    assert policy.concluded == 1
    assert (folder / "multirun.yaml").exists()


@pytest.mark.parametrize(
    ("at", "error", "compared"),
    [
        (0, ConfigurationError("it holds another sweep"), False),
        (1, OSError("the disk is full"), True),
        (1, ConfigurationError("a later mistake"), True),
    ],
)
def test_a_command_that_is_refused_is_not_followed_by_the_table_of_other_runs(at, error, compared, folder, monkeypatch):
    calls = []
    monkeypatch.setattr("runge.sweeps.loop.compare", lambda *given: calls.append(given))
    policy = Doubling()
    policy.compares = True
    with pytest.raises(type(error)):
        sweep(policy, of(folder), Launcher(folder, at, fails(error)), {})
    assert bool(calls) == compared


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_sweep_that_was_killed_continues_with_the_same_trials(at, folder):
    killed = Launcher(folder, at, fails(GeneratorExit))  # which nothing handles
    with pytest.raises(GeneratorExit):
        sweep(Doubling(), of(folder), killed, {})
    policy, launcher = Doubling(), Launcher(folder)
    sweep(policy, of(folder), launcher, {})
    assert [trial.value for trial in policy.trials] == VALUES
    assert launcher.batches == [0, 2, 4][at:]
    whole = Doubling()
    sweep(whole, of(folder), fails(AssertionError), {})  # it has ended: nothing is trained
    assert whole.trials == policy.trials


def test_an_interrupted_sweep_says_what_it_has(folder):
    policy = Doubling()
    policy.state = "one batch has ended"
    with pytest.raises(SystemExit) as end:
        sweep(policy, of(folder), Launcher(folder, 1, fails(KeyboardInterrupt)), {})
    how = f"to continue, run the same command with hydra.sweep.dir={folder}"
    assert end.value.code == f"error: interrupted; one batch has ended; {how}"
    assert policy.concluded == 1
    with pytest.raises(KeyboardInterrupt):
        sweep(Doubling(), of(folder), Launcher(folder, 0, fails(KeyboardInterrupt)), {})


def test_an_error_is_raised_after_the_end_of_the_sweep(folder, monkeypatch):
    compared = []
    monkeypatch.setattr("runge.sweeps.loop.compare", lambda *_: compared.append(policy.concluded))
    policy = Doubling()
    policy.compares = True
    with pytest.raises(RunError, match="no space"):
        sweep(policy, of(folder), Launcher(folder, 1, fails(RunError("no space"))), {})
    assert compared == [1]


def test_nothing_is_left_if_nothing_has_begun(folder):
    with pytest.raises(ConfigurationError):
        sweep(Doubling(), of(folder), Launcher(folder, 0, fails(ConfigurationError("seed: must be"))), {})
    assert not folder.exists()


def test_a_batch_whose_time_is_over_has_failed(folder):
    """The launcher ends when the time is over, or before it begins; further batches have none either."""
    policy = Doubling(until=-1.0)
    sweep(policy, of(folder), lambda jobs, first: interruption.check(), {})
    assert {str(trial.value) for trial in policy.trials} == {"the time of the search was over"}
    assert len(policy.trials) == 6
    assert interruption.deadline == math.inf
