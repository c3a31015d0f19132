"""The journal of a sweep: its trials and its clock, again after a kill."""

import json
import math
from types import SimpleNamespace

import pytest

from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.records.directories import JOURNAL
from runge.sweeps.journal import Batch, EndedRun, Journal
from tests.refusals import refuses

FIRST, SECOND = Batch([["a=1"], ["a=2"]]), Batch([["a=3"], ["a=4"], ["a=5"]])
VALUES = [1 / 3, (0.1, math.inf)], [DivergedError("the loss is nan"), RunError("no space"), None]


@pytest.fixture
def clock(monkeypatch):
    """A clock that is set."""
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr("runge.sweeps.journal.time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def journal(folder, *, adaptive=True, began=100.0, **description):
    return Journal(folder, description, adaptive, began)


def plain(trials):
    return [(*trial[:2], repr(trial.value)) for trial in trials]


@pytest.fixture
def written(tmp_path, clock):
    """The trials of two batches that end at 7 s and 18 s."""
    begun = journal(tmp_path, seed=0)
    trials = []
    for batch, values, seconds in zip((FIRST, SECOND), VALUES, (7, 18), strict=True):
        assert begun.replay(batch) is None
        clock.now = 100 + seconds
        trials.append(begun.end(values))
    return trials


def continued(folder):
    """Return the journal of a sweep that is continued after its first batch."""
    again = journal(folder, seed=0)
    assert len(again.replay(FIRST)) == 2
    return again


def content_of(folder):
    return json.loads((folder / JOURNAL).read_text())


def test_trials_and_clock_are_the_same_again(written, tmp_path, clock):
    first, second = written
    assert [trial.number for trial in (*first, *second)] == [0, 1, 2, 3, 4]
    assert first == [EndedRun(0, ["a=1"], 1 / 3), EndedRun(1, ["a=2"], (0.1, math.inf))]
    clock.now = 1000.0
    again = journal(tmp_path, seed=0, began=995.0)
    assert (again.seconds, again.first) == (0, 0)
    assert plain(again.replay(FIRST)) == plain(first)
    assert (again.seconds, again.first) == (7, 2)
    repeated = again.replay(SECOND)
    assert plain(repeated) == plain(second)
    assert {type(trial.value) for trial in repeated} >= {DivergedError, RunError}
    clock.now = 1002.0  # the time between is not counted
    assert (again.seconds, again.elapsed, again.first) == (18, 20, 5)


@pytest.mark.usefixtures("written")
def test_a_batch_that_has_not_ended_begins_again_at_its_time(tmp_path):
    content = content_of(tmp_path)
    content["batches"][1] |= {"seconds": None, "results": []}
    (tmp_path / JOURNAL).write_text(json.dumps(content))
    again = continued(tmp_path)
    assert again.replay(SECOND) is None
    assert (again.seconds, again.first) == (7, 2)


def test_an_error_is_the_one_that_was_raised(tmp_path):
    begun, error = journal(tmp_path), ZeroDivisionError("division by zero")
    begun.replay(FIRST)
    assert [trial.value for trial in begun.end([error, 1.0])] == [error, 1.0]
    first, second = journal(tmp_path).replay(FIRST)
    assert isinstance(first.value, RunError)
    assert str(first.value) == "ZeroDivisionError: division by zero"
    assert second.value == 1


def test_the_last_batch_grows_and_shrinks_with_the_trials_of_a_command(written, tmp_path):
    assert plain(continued(tmp_path).replay(Batch(SECOND.jobs[:2]))) == plain(written[1][:2])
    more = continued(tmp_path)
    assert more.replay(Batch([*SECOND.jobs, ["a=6"]])) is None
    assert [trial.number for trial in more.end([0.0] * 4)] == [2, 3, 4, 5]
    assert len(content_of(tmp_path)["batches"]) == 2


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    "batches",
    [
        [SECOND],
        [FIRST, Batch([["a=7"]])],
        [Batch([*FIRST.jobs, ["a=3"]])],
        [FIRST, SECOND._replace(jobs=[["a=3"], []])],
    ],
)
def test_another_batch_is_refused(batches, tmp_path):
    before = (tmp_path / JOURNAL).read_bytes()
    with refuses("hydra.sweep.dir", str(tmp_path), "holds another sweep"):
        list(map(journal(tmp_path, seed=0).replay, batches))
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_a_grid_is_not_read_again_and_does_not_replace_the_journal_of_a_search(tmp_path):
    for _ in range(2):
        begun = journal(tmp_path, adaptive=False)
        assert begun.replay(SECOND) is None
        begun.end([0.0] * 3)
    (search := tmp_path / "search").mkdir()
    journal(search, seed=0).replay(FIRST)
    with refuses("hydra.sweep.dir", str(search), "choose another directory"):
        journal(search, adaptive=False)


def test_what_is_kept_is_that_of_the_beginning(tmp_path):
    for given in (3, 4):
        begun = journal(tmp_path)
        assert begun.keep("search.batch", given) == 3
        begun.replay(FIRST)


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "[]", "{}", '{"batches": 3}', '{"batches": [3]}', '{"batches": [{"jobs": []}]}'),
        '{"batches": [{"jobs": 1, "seconds": 1, "results": []}]}',
        '{"batches": [{"jobs": [["a=1"]], "seconds": 1, "results": []}]}',
        '{"batches": [{"jobs": [["a=1"]], "seconds": "1", "results": [1]}]}',
    ],
)
def test_a_damaged_file_is_refused(content, tmp_path):
    (tmp_path / JOURNAL).write_text(content)
    with pytest.raises(ConfigurationError, match=r"journal\.json is damaged"):
        journal(tmp_path)


def test_secrets_of_loggers_are_not_in_the_journal(tmp_path, clock):
    """A policy has them again when the sweep is resumed."""
    jobs = [["a=1", "+logger.wandb.api_key=abcdef"]]
    begun = journal(tmp_path, overrides=jobs[0])
    begun.replay(Batch(jobs))
    begun.end([0.5])
    assert "abcdef" not in (tmp_path / JOURNAL).read_text()
    assert journal(tmp_path, overrides=jobs[0]).replay(Batch(jobs)) == [EndedRun(0, jobs[0], 0.5)]
