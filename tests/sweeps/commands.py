"""Commands as processes with a group of their own, forked from one that has loaded everything: 0.1 s instead of 6 s."""

import multiprocessing
import os
import runpy
import signal
import sys
import time
from contextlib import suppress

import psutil

from runge.sweeps import processes
from tests.conftest import ROOT

TINY_SEARCH = (
    *("search=best", "search.timeout=1e5", "data=table", "data.folds=3", "trainer.progress_bar=false"),
    *("~search.tables", '+search.tables={one: ["optimizer.lr=0.01"], two: ["optimizer.lr=0.003"]}'),
    *("trainer.max_steps=40", "model.width=8", "model.depth=2"),  # which are not varied then
    *("search.seeds=2", "hydra.launcher.processes=1"),  # others take seconds to start
)
"""Overrides of a search that ends long before its time."""

PATIENCE = 3600.0
"""The seconds after which a command hangs, on any machine; no test waits for as long unless it fails."""

SIGNALS = {"INT": signal.SIGINT, "TERM": signal.SIGTERM, "KILL": signal.SIGKILL}


class Command:
    """`python train.py ...` in a folder to whose file `output` it appends.

    The variables of `environment` are added to its own.
    """

    def __init__(self, folder, *arguments, environment=()):
        self.output = folder / "output"
        self.output.touch()  # a command may be killed before it writes
        self.before = self.output.stat().st_size
        make_process = processes.start_loading()  # starts the server, as a sweep does
        self.process = make_process(target=_run, args=(str(folder), arguments, dict(environment)))
        self.process.start()

    def wait(self):
        """Wait for the end of the command and all that it started; return the exit status and what was printed."""
        self.process.join(PATIENCE)
        assert self.process.exitcode is not None, f"still running: {self.printed()}"
        until(lambda: not self.members())
        return self.process.exitcode, self.printed()

    def printed(self):
        return self.output.read_bytes()[self.before :].decode(errors="replace")

    def members(self):
        """Return the processes of the command's session, which its workers share."""
        found = []
        for pid in psutil.pids():
            with suppress(psutil.NoSuchProcess, ProcessLookupError):
                if os.getsid(pid) == self.process.pid and (one := psutil.Process(pid)).status() != psutil.STATUS_ZOMBIE:
                    found.append(one)
        return found

    def end(self, how, whom):
        """Send a signal to the command, its group, one of its workers, or all of its processes."""
        with suppress(ProcessLookupError, psutil.NoSuchProcess):
            if whom == "command":
                os.kill(self.process.pid, SIGNALS[how])
            elif whom == "group":
                os.killpg(self.process.pid, SIGNALS[how])
            else:
                chosen = sorted(self.members(), key=lambda process: process.pid == self.process.pid)
                for process in chosen[:1] if whom == "worker" else chosen:
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(SIGNALS[how])


def until(condition):
    """Wait until something is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _run(folder, arguments, environment):
    os.setsid()
    os.environ.update(environment)
    for number in (signal.SIGINT, signal.SIGTERM):  # until the command asks for them
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.chdir(folder)
    os.environ.pop("HYDRA_FULL_ERROR", None)  # set while the server was started by a command of another test
    output = os.open("output", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    # The workers are forked from the command itself, instead of from a server of its own that loads everything again.
    processes.start_loading = lambda: multiprocessing.get_context("fork").Process
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(ROOT / "train.py"), run_name="__main__")
