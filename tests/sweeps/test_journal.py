"""The journal of a sweep: its trials and its clock, again after a kill."""

import json
import math
from itertools import count
from types import SimpleNamespace

import pytest

from runge.configuration.errors import ConfigurationError, DivergedError, RunError
from runge.sweeps.journal import JOURNAL, Batch, EndedRun, Journal

FIRST, SECOND = Batch([["a=1"], ["a=2"]]), Batch([["a=3"], ["a=4"], ["a=5"]])
VALUES = [1 / 3, (0.1, math.inf)], [DivergedError("the loss is nan"), RunError("no space"), None]
KINDS = {DivergedError, RunError}


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


def written(folder, clock):
    """Return the trials of two batches that end at 7 s and 18 s."""
    begun = journal(folder, seed=0)
    trials = []
    for batch, values, seconds in zip((FIRST, SECOND), VALUES, (7, 18), strict=True):
        assert begun.replay(batch) is None
        clock.now = 100 + seconds
        trials.append(begun.end(values))
    return trials


def test_trials_and_clock_are_the_same_again(tmp_path, clock):
    first, second = written(tmp_path, clock)
    assert [trial.number for trial in (*first, *second)] == [0, 1, 2, 3, 4]
    assert first == [EndedRun(0, ["a=1"], 1 / 3), EndedRun(1, ["a=2"], (0.1, math.inf))]
    clock.now = 1000.0
    again = journal(tmp_path, seed=0, began=995.0)
    assert (again.seconds, again.first) == (0, 0)
    assert plain(again.replay(FIRST)) == plain(first)
    assert (again.seconds, again.first) == (7, 2)
    repeated = again.replay(SECOND)
    assert plain(repeated) == plain(second)
    assert {type(trial.value) for trial in repeated} >= KINDS
    clock.now = 1002.0  # the time between is not counted
    assert (again.seconds, again.elapsed, again.first) == (18, 20, 5)


def test_a_batch_that_has_not_ended_begins_again_at_its_time(tmp_path, clock):
    written(tmp_path, clock)
    content = json.loads((tmp_path / JOURNAL).read_text())
    content["batches"][1] |= {"seconds": None, "results": []}
    (tmp_path / JOURNAL).write_text(json.dumps(content))
    again = journal(tmp_path, seed=0)
    again.replay(FIRST)
    assert again.replay(SECOND) is None
    assert (again.seconds, again.first) == (7, 2)


def test_a_batch_that_is_forgotten_begins_again(tmp_path, clock):
    written(tmp_path, clock)
    again = journal(tmp_path, seed=0)
    again.replay(FIRST)
    again.replay(SECOND)
    again.forget()
    repeated = journal(tmp_path, seed=0)
    assert len(repeated.replay(FIRST)) == 2
    assert repeated.replay(SECOND) is None


def test_an_error_is_the_one_that_was_raised(tmp_path):
    begun, error = journal(tmp_path), ZeroDivisionError("division by zero")
    begun.replay(FIRST)
    assert [trial.value for trial in begun.end([error, 1.0])] == [error, 1.0]
    first, second = journal(tmp_path).replay(FIRST)
    assert isinstance(first.value, RunError)
    assert str(first.value) == "ZeroDivisionError: division by zero"
    assert second.value == 1


def test_the_last_batch_grows_and_shrinks_with_the_trials_of_a_command(tmp_path, clock):
    _, second = written(tmp_path, clock)
    fewer = journal(tmp_path, seed=0)
    fewer.replay(FIRST)
    assert plain(fewer.replay(Batch(SECOND.jobs[:2]))) == plain(second[:2])
    more, longer = journal(tmp_path, seed=0), Batch([*SECOND.jobs, ["a=6"]])
    more.replay(FIRST)
    assert more.replay(longer) is None
    assert [trial.number for trial in more.end([0.0] * 4)] == [2, 3, 4, 5]
    assert len(json.loads((tmp_path / JOURNAL).read_text())["batches"]) == 2


@pytest.mark.parametrize(
    "batches",
    [
        [SECOND],
        [FIRST, Batch([["a=7"]])],
        [Batch([*FIRST.jobs, ["a=3"]])],
        [FIRST, SECOND._replace(jobs=[["a=3"], []])],
    ],
)
def test_another_batch_is_refused(batches, tmp_path, clock):
    written(tmp_path, clock)
    before = (tmp_path / JOURNAL).read_bytes()
    with pytest.raises(ConfigurationError, match=r"hydra\.sweep\.dir: .* holds another sweep"):
        list(map(journal(tmp_path, seed=0).replay, batches))
    assert (tmp_path / JOURNAL).read_bytes() == before


def test_another_description_is_refused(tmp_path, clock):
    written(tmp_path, clock)
    with pytest.raises(ConfigurationError, match=r"seed: must be as when the search in .* began, 0; got 1"):
        journal(tmp_path, seed=1)


def test_a_grid_does_not_replace_the_journal_of_a_search(tmp_path, clock):
    grid, place = {"adaptive": False}, tmp_path / "grid"
    place.mkdir()
    for _ in range(2):  # nothing is read again
        begun = journal(place, **grid)
        assert begun.replay(SECOND) is None
        begun.end([0.0] * 3)
    written(tmp_path, clock)
    with pytest.raises(ConfigurationError, match=r"hydra\.sweep\.dir: .* choose another directory"):
        journal(tmp_path, **grid)


def test_what_is_kept_is_that_of_the_beginning(tmp_path, clock):
    numbers, kept = count(3), []
    for _ in range(2):
        begun = journal(tmp_path)
        kept.append(begun.keep("search.batch", next(numbers)))
        begun.replay(FIRST)
    assert kept == [3, 3]


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
