"""However a sweep is ended, all of its processes end with it; and of two commands on one directory one is refused."""

import os
import re
import signal
import sys
from contextlib import contextmanager

import psutil
import pytest

from runge.records.files import locked
from tests.conftest import ROOT
from tests.sweeps.commands import Command, until
from tests.sweeps.test_killed import SMALL
from tests.sweeps.test_run import state

LONG = (*SMALL, "trainer.max_steps=100000", "trainer.checkpoint_seconds=0.1", "trainer.log_every=7", "model.width=8")
SWEEP = ("-m", *LONG, "optimizer=lbfgs", "seed=0,1", "hydra.launcher.processes=2")


@pytest.fixture
def command(tmp_path):
    """Start a command in an empty folder; what is left of it ends with the test."""
    started = []

    def begin(*arguments):
        started.append(Command(tmp_path, *arguments))
        return started[-1]

    yield begin
    for one in started:
        one.end("KILL", "all")
        one.wait()


@contextmanager
def stopped(command):
    """Let the processes of a command wait meanwhile, which else train, and take the time of others."""
    members = command.members()
    for one in members:
        one.suspend()
    yield members
    for one in members:
        one.resume()


def training(sweep):
    return len(list(sweep.glob("*/checkpoints/last.ckpt"))) == 2  # each run is a stack


@pytest.mark.nightly
@pytest.mark.parametrize(("moment", "how"), [("loading", "INT"), ("training", "TERM"), ("training", "KILL")])
def test_all_processes_of_a_sweep_end_with_it(moment, how, tmp_path):
    """As a command of its own with the server of its workers, signalled as by a terminal; `kill -9` is for it alone."""
    words = [sys.executable, str(ROOT / "train.py"), *SWEEP, "hydra.sweep.dir=sweep"]
    with (tmp_path / "output").open("wb") as output:
        process = psutil.Popen(words, cwd=tmp_path, stdout=output, stderr=output, start_new_session=True)
    until(lambda: training(tmp_path / "sweep") if moment == "training" else len(process.children()) == 2)
    everyone = [process, *process.children(recursive=True)]
    assert len(everyone) == (5 if moment == "training" else 3)
    (os.kill if how == "KILL" else os.killpg)(process.pid, getattr(signal, f"SIG{how}"))
    assert process.wait() == (-9 if how == "KILL" else 1)
    until(lambda: not any(one.is_running() for one in everyone))
    printed = (tmp_path / "output").read_text()
    assert "Traceback" not in printed
    assert printed.count("error: interrupted") == (how != "KILL")


def test_second_command_on_a_sweep_is_refused_and_its_workers_wait_for_others_and_end_with_it(command, tmp_path):
    """Others are such as a worker of a sweep that was killed, which still saves its checkpoint."""
    sweep, words = tmp_path / "sweep", (*SWEEP, "hydra.sweep.dir=sweep")
    with locked(sweep / "1", "resume"):
        first = command(*words)
        until((sweep / "0" / "checkpoints" / "last.ckpt").exists)
        assert [path.name for path in (sweep / "1").iterdir()] == [".lock"]
    until(lambda: training(sweep))
    assert "is in use" not in first.printed()
    record = (sweep / "multirun.yaml").read_bytes()
    with stopped(first) as members:
        assert len(members) == 3  # with both workers
        status, printed = command(*words, "seed=range(9)").wait()
        assert (status, printed.count("error: ")) == (2, 1)
        assert f"hydra.sweep.dir: 'sweep' is in use by process {first.process.pid} of " in printed
        assert (sweep / "multirun.yaml").read_bytes() == record
        status, printed = command("resume=sweep/0").wait()
        assert (status, printed.count("error: ")) == (2, 1)
        assert re.search(r"error: resume: '.*sweep/0' is in use by process \d+ of ", printed)
    first.end("KILL", "command")
    assert "Traceback" not in first.wait()[1]  # which waits for the workers, too
    again = command(*words)
    until(lambda: [state(sweep / run)["status"] for run in "01"] == ["running", "running"])
    again.end("TERM", "group")
    assert "Traceback" not in again.wait()[1]


@pytest.mark.nightly
def test_second_command_on_a_run_is_refused(command, tmp_path):
    first = command(*LONG, "hydra.run.dir=run")
    until((tmp_path / "run" / "checkpoints" / "last.ckpt").exists)
    with stopped(first):
        for words in (("resume=run",), (*LONG, "hydra.run.dir=run")):
            status, printed = command(*words).wait()
            assert (status, printed.count("error: ")) == (2, 1)
            key = words[-1].partition("=")[0]
            assert re.search(rf"error: {key}: '.*run' is in use by process {first.process.pid} of ", printed)
    first.end("KILL", "command")
    first.wait()
    third = command("resume=run")  # what a dead process leaves is no obstacle
    until(lambda: f"process {third.process.pid} of" in (tmp_path / "run" / ".lock").read_text())
    third.end("TERM", "command")
    assert "error: interrupted" in third.wait()[1]
