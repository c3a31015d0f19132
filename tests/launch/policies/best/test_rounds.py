import json

import pytest

from runge.errors import ConfigurationError
from runge.launch.policies.best.rounds import Rounds
from runge.machine import interruption
from runge.records.directories import RunDirectory, State

JOBS = [["a=1"], ["a=2"]]


class Kill(BaseException):
    """A kill, after which nothing is done."""


class Trainer:
    """Trains the runs of a race in a directory, and can be killed, or cut off, before any of them."""

    def __init__(self, directory, end=None, at=None):
        self.directory, self.end, self.at, self.trained = directory, end, at, []

    def __call__(self, jobs, first):
        for number in range(first, first + len(jobs)):
            run = RunDirectory(self.directory / str(number))
            if run.metrics.exists():
                continue
            run.path.mkdir(exist_ok=True)
            if number == self.at:
                run.write(State("interrupted", 7, "continue with hydra.sweep.dir=race", "digest"))
                stacks = self.directory / ".stacks"
                stacks.mkdir(exist_ok=True)
                (stacks / "state.ckpt").touch()
                if self.end == "time":
                    interruption.deadline = 0
                    raise SystemExit
                raise self.end
            run.write(State("finished", 9), metrics={"val/loss": 1.0})
            self.trained.append(number)


def rounds(directory, trainer, **changes):
    place = {"overrides": ["seed=1"], "hydra.sweeper.timeout": 60.0} | changes
    return Rounds(directory, trainer, lambda _, number: directory / str(number), place)


def numbers(trained):
    return [run and int(run.path.name) for run in trained]


def test_a_round_is_in_the_journal_before_it_begins(tmp_path):
    def launch(jobs, first):
        assert json.loads((tmp_path / "race.json").read_text())["rounds"] == [{"runs": JOBS, "seconds": None}]
        Trainer(tmp_path)(jobs, first)

    assert numbers(rounds(tmp_path, launch).train(JOBS, 100)) == [0, 1]
    assert json.loads((tmp_path / "race.json").read_text())["rounds"][0]["seconds"] >= 0


@pytest.mark.parametrize("end", [Kill, KeyboardInterrupt, SystemExit])
def test_a_race_that_was_killed_repeats_what_it_did(tmp_path, end):
    first = rounds(tmp_path, Trainer(tmp_path, end, at=3))
    before = first.look(), numbers(first.train(JOBS, 100)), first.look(), first.look()
    with pytest.raises(end):
        first.train(JOBS, 100)
    again = rounds(tmp_path, trainer := Trainer(tmp_path))
    assert (again.look(), numbers(again.train(JOBS, 100)), again.look(), again.look()) == before
    assert not trainer.trained
    assert numbers(again.train(JOBS, 100)) == [2, 3]
    assert trainer.trained == [3]
    assert again.look() >= before[-1]


def test_runs_that_the_end_of_the_time_cuts_off_are_not_resumed(tmp_path):
    first = rounds(tmp_path, Trainer(tmp_path, "time", at=1))
    assert numbers(first.train(JOBS, 100)) == [0, None]
    state = RunDirectory(tmp_path / "1").read_state()
    assert (state.status, state.step, state.configuration) == ("interrupted", 7, "digest")
    assert state.message == "the time of the race was over"
    assert not (tmp_path / ".stacks").exists()
    assert interruption.deadline == float("inf")
    again = rounds(tmp_path, trainer := Trainer(tmp_path))
    assert numbers(again.train(JOBS, 100)) == [0, None]
    assert not trainer.trained


def test_a_race_that_is_killed_after_the_time_of_a_round_marks_its_runs_later(tmp_path, monkeypatch):
    def kill(*_):
        raise Kill

    first = rounds(tmp_path, Trainer(tmp_path, "time", at=1))
    with monkeypatch.context() as patched:
        patched.setattr(Rounds, "_leave_out", kill)
        with pytest.raises(Kill):
            first.train(JOBS, 100)
    again = rounds(tmp_path, trainer := Trainer(tmp_path))
    assert numbers(again.train(JOBS, 100)) == [0, None]
    assert not trainer.trained
    assert RunDirectory(tmp_path / "1").read_state().message == "the time of the race was over"
    assert not (tmp_path / ".stacks").exists()


def test_nothing_begins_after_the_time(tmp_path):
    assert numbers(rounds(tmp_path, trainer := Trainer(tmp_path)).train(JOBS, -1)) == [None, None]
    assert not trainer.trained


def test_another_race_is_refused(tmp_path):
    rounds(tmp_path, Trainer(tmp_path)).train(JOBS, 100)
    with pytest.raises(ConfigurationError, match=r"^hydra\.sweeper\.timeout: must be as when .* began, 60.0; got 10.0"):
        rounds(tmp_path, Trainer(tmp_path), **{"hydra.sweeper.timeout": 10.0})
    with pytest.raises(ConfigurationError, match="holds another race"):
        rounds(tmp_path, Trainer(tmp_path)).train(JOBS[:1], 100)


@pytest.mark.parametrize("text", ["[", "{}", '{"overrides": ["seed=1"], "hydra.sweeper.timeout": 60.0, "rounds": 3}'])
def test_a_damaged_journal_is_reported(tmp_path, text):
    (tmp_path / "race.json").write_text(text)
    with pytest.raises(ConfigurationError, match=r"damaged|must be as when"):
        rounds(tmp_path, Trainer(tmp_path))
