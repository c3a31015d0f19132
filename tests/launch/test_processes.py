"""Worker processes, with functions that they can import."""

import os
import time
from contextlib import suppress

import pytest

from runge.errors import RunError
from runge.launch.processes import InProcess, Pool


class OddError(Exception):
    """Cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def work(argument, report):
    report(("began", argument))
    if argument == "die":
        os._exit(3)
    if argument == "fail":
        raise ValueError("no")
    if argument == "odd":
        raise OddError(1, 2)
    if argument == "leave":
        raise SystemExit("error: asked to")
    if argument == "deaf":
        with suppress(KeyboardInterrupt):
            time.sleep(60)
        time.sleep(60)
    if argument == "slow":
        time.sleep(0.3)
        return os.getpid()
    return os.getpid() if argument == "who" else argument * 2


@pytest.mark.parametrize("processes", [1, 2])
def test_results_and_reports(processes):
    heard = []
    with Pool(work, processes) as pool:
        results = dict(pool.run(range(5), heard.append))
        again = dict(pool.run(["who"] * 6, lambda _: None))
    assert results == {i: 2 * i for i in range(5)}
    assert sorted(heard) == [("began", i) for i in range(5)]
    assert 1 <= len(set(again.values())) <= processes
    assert os.getpid() not in again.values()


def test_a_worker_that_dies_takes_no_other_task_with_it():
    with Pool(work, 2) as pool:
        results = dict(pool.run([1, "die", 2, "fail", "leave", 3, "odd"], lambda _: None))
    assert [results[i] for i in (0, 2, 5)] == [2, 4, 6]
    assert isinstance(results[1], RunError)
    assert "exit code 3" in str(results[1])
    assert str(results[3]) == "ValueError: no"
    assert str(results[4]) == "asked to"
    assert str(results[6]) == "OddError: 1 2"


def test_a_worker_that_loses_an_interruption_is_asked_again(monkeypatch):
    monkeypatch.setattr("runge.launch.processes._PATIENCE", 0.2)
    began = time.monotonic()

    def stop(message):
        raise RuntimeError(str(message))

    with pytest.raises(RuntimeError, match="deaf"), Pool(work, 1) as pool:
        list(pool.run(["deaf"], stop))
    assert time.monotonic() - began < 50


def test_in_process():
    heard = []
    with InProcess(work) as pool:
        results = dict(pool.run(["who", "fail"], heard.append))
    assert results[0] == os.getpid()
    assert isinstance(results[1], ValueError)
    assert heard == [("began", "who"), ("began", "fail")]
