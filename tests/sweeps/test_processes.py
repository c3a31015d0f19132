"""Tasks in processes, with functions that these can import."""

import os
import sys
import time
from contextlib import closing, suppress
from functools import partial

import pytest

from runge.configuration.errors import RunError
from runge.sweeps.processes import run_tasks
from tests.sweeps.commands import PATIENCE


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
            time.sleep(PATIENCE)
        time.sleep(PATIENCE)
    if argument == "loaded":
        return "runge.training.train" in sys.modules
    return os.getpid() if argument == "who" else argument * 2


def run(arguments, report, processes):
    return run_tasks([partial(work, argument) for argument in arguments], report, processes)


@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_results_and_reports(processes):
    heard = []
    assert dict(run(range(5), heard.append, processes)) == {i: 2 * i for i in range(5)}
    assert sorted(heard) == [("began", i) for i in range(5)]
    results = dict(run(["who", "fail", "who"], lambda _: None, processes))
    assert str(results[1]) == "ValueError: no"
    assert len({results[0], results[2], os.getpid()}) == (1 if processes == 1 else 3)


def test_a_process_that_dies_takes_no_other_task_with_it():
    """On Linux their server has loaded what they need; elsewhere each process imports it."""
    results = dict(run([1, "die", 2, "leave", 3, "odd", "loaded"], lambda _: None, 2))
    assert [results[i] for i in (0, 2, 4)] == [2, 4, 6]
    assert isinstance(results[1], RunError)
    assert "exit code 3" in str(results[1])
    assert str(results[3]) == "asked to"
    assert str(results[5]) == "OddError: 1 2"
    assert results[6] or sys.platform != "linux"


@pytest.mark.nightly
def test_a_process_that_loses_an_interruption_is_interrupted_again():
    def stop(message):
        raise RuntimeError(str(message))

    with pytest.raises(RuntimeError, match="deaf"), closing(run(["deaf"], stop, 2)) as results:
        list(results)
