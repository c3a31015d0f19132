"""Runs and sweeps that are ended, tampered with, moved, doubled, resumed and compared in any order.

`pytest tests/sweeps/test_stateful.py --nightly --sequences 300 --hypothesis-seed random` does 300 sequences of up to 6
steps, which are others each time; without a seed they are the same. Commands are forked from a process that has loaded
everything; the server of a sweep's workers is for `test_endings.py`.
"""

import shutil
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

import runge
from runge.configuration.errors import ConfigurationError
from runge.records.checkpoints import read_checkpoint
from runge.records.directories import RunDirectory
from runge.records.reading import find, read
from tests.sweeps.commands import Command
from tests.sweeps.test_killed import SMALL, check_files, check_same
from tests.sweeps.test_run import figures

FEW = (*SMALL, "model.width=8", "trainer.checkpoint_seconds=0.02")
TWO = ("-m", "hydra.launcher.processes=2", "search.compare=false")
LM = ("optimizer=levenberg_marquardt", "trainer.log_every=5")
KINDS = {
    "run": (*FEW, "trainer.max_steps=400", "data.batch_size=5", "pictures=false"),
    "levenberg_marquardt": (*FEW, *LM, "trainer.max_steps=30"),
    "sweep": (*TWO, *FEW, "trainer.max_steps=300", "seed=range(2)", "resampling=none,residual"),
    "one stack": (*TWO, *FEW, *LM, "trainer.max_steps=20", "seed=range(2)"),
}
ROUND_OFF = "same to round-off"
"""Part of the warning that a run cannot end with the same bits."""


@cache
def undisturbed(kind):
    """Train a run or a sweep once; return its directory and the seconds that it takes."""
    folder = Path(tempfile.mkdtemp(prefix="runge-undisturbed"))
    began = time.monotonic()
    where = "hydra.sweep.dir=whole" if "-m" in KINDS[kind] else "hydra.run.dir=whole"
    status, printed = Command(folder, *KINDS[kind], where).wait()
    assert status == 0, printed
    return folder / "whole", time.monotonic() - began


class Disturbed(RuleBasedStateMachine):
    """A run or a sweep; no process of it is alive between two steps."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="runge-disturbed"))
        self.directory, self.moves, self.tampered = self.folder / "d0", 0, []
        self.rounded = False

    @initialize(kind=st.sampled_from(sorted(KINDS)))
    def choose(self, kind):
        self.kind, self.is_sweep = kind, "-m" in KINDS[kind]
        self.whole, self.seconds = undisturbed(kind)

    def command(self):
        """Return the arguments that begin or resume it, or None if there is nothing left to do."""
        if self.is_sweep:
            return *KINDS[self.kind], f"hydra.sweep.dir={self.directory.name}"
        if (self.directory / "metrics.json").exists():
            return None
        if (self.directory / ".hydra").exists():
            return (f"resume={self.directory.name}",)
        return *KINDS[self.kind], f"hydra.run.dir={self.directory.name}"

    def runs(self):
        return [run.path for run in find(self.directory)] if self.directory.exists() else []

    def judge(self, status, printed, *, ended=False):
        """Check a command's exit status and its words."""
        assert "Traceback" not in printed, printed
        self.rounded |= ROUND_OFF in printed
        if status not in (0, 1, 2):
            assert ended
            assert status in (-2, -9, -15), printed
        if status in (1, 2):
            assert ended or self.tampered, printed
            assert "error: " in printed or "failed" in printed, printed

    # Rules without preconditions: what can be done depends on time, and the draws of hypothesis may not.
    @rule(
        after=st.floats(0, 1.1),
        how=st.sampled_from(["KILL", "TERM", "INT"]),
        whom=st.sampled_from(["command", "group", "worker", "all"]),
    )
    def end(self, after, how, whom):
        if (arguments := self.command()) is None:
            return
        command = Command(self.folder, *arguments)
        command.process.join(after * self.seconds)
        command.end(how, whom)
        status, printed = command.wait()
        self.judge(status, printed, ended=True)
        self.look()

    @rule()
    def resume(self):
        if (arguments := self.command()) is not None:
            self.judge(*Command(self.folder, *arguments).wait())
            self.look()

    @rule(after=st.floats(0.1, 0.9))
    def double(self, after):
        if (arguments := self.command()) is None:
            return
        first = Command(self.folder, *arguments)
        first.process.join(after * self.seconds)
        second = Command(self.folder, *(self.command() or arguments))
        status, printed = second.wait()
        assert "Traceback" not in printed, printed
        assert first.process.exitcode is not None or status == 0 or "error: " in printed, printed
        self.judge(*first.wait())
        self.look()

    @rule(number=st.integers(0, 999), how=st.sampled_from(["truncate", "delete", "garbage", "empty"]))
    def tamper(self, number, how):
        files = sorted(path for path in self.directory.rglob("*") if path.is_file()) if self.runs() else []
        if not files:
            return
        path = files[number % len(files)]
        content = path.read_bytes()
        if how == "delete":
            path.unlink()
        else:
            path.write_bytes(
                {"truncate": content[: len(content) // 2], "garbage": bytes(range(256)) * 2, "empty": b""}[how]
            )
        self.tampered.append(path.relative_to(self.directory))
        self.look()

    @rule()
    def move(self):
        if not self.directory.exists():
            return
        self.moves += 1
        self.directory = self.directory.rename(self.folder / f"d{self.moves}")

    @rule()
    def compare(self):
        if not self.runs():
            return
        status, printed = Command(self.folder, "compare", self.directory.name).wait()
        assert status == 0, printed
        assert "Traceback" not in printed, printed

    def look(self):
        """Check that all can be read, or that a message says why not."""
        for path in self.runs():
            record = read(RunDirectory(path))
            if not self.tampered:
                early = "there is no status.json" in record.message  # it was killed before its first step
                assert record.status != "unreadable" or early, record.message
                check_files(path)
            with suppress(ConfigurationError, FileNotFoundError):
                runge.load(path)

    def teardown(self):
        if not hasattr(self, "kind"):
            return
        status, printed = 0, ""
        for _ in range(2 + len(self.tampered)):
            if (arguments := self.command()) is None:
                break
            status, printed = Command(self.folder, *arguments).wait()
            self.judge(status, printed)
            if status == 0:
                break
            # The message names the file, without which the run begins again.
            named = [path for path in self.tampered if path.name in printed]
            assert named or self.tampered, printed
            for path in named:
                (self.directory / path).unlink(missing_ok=True)
        self.look()
        if not self.tampered:
            assert status == 0, printed
        for theirs in find(self.whole):
            ours = RunDirectory(self.directory / theirs.path.relative_to(self.whole))
            if not self.tampered:
                assert ours.metrics.exists()
                check_same(ours.path, theirs.path)
            elif not self.rounded:
                self.check_bits(ours, theirs)
        shutil.rmtree(self.folder)

    def check_bits(self, ours, theirs):
        """Check that what can be read is what it would be."""
        unverified = any("status.json" in path.parts for path in self.tampered)
        with suppress(ConfigurationError, FileNotFoundError):
            ours.read_metrics()
            assert unverified or figures(ours.path) == figures(theirs.path), (ours.path, self.tampered)
        if not ours.metrics.exists():
            return
        with suppress(ConfigurationError, FileNotFoundError):
            ours.read(ours.history)
            assert unverified or ours.history.read_bytes() == theirs.history.read_bytes(), (ours.path, self.tampered)
        for name in ("last", "best"):
            with suppress(ConfigurationError, FileNotFoundError):
                states = [read_checkpoint(getattr(run, name))["state_dict"] for run in (ours, theirs)]
                assert all(bool((x == states[1][key]).all()) for key, x in states[0].items() if key != "history")


@pytest.mark.nightly
def test_any_order(pytestconfig):
    run_state_machine_as_test(
        Disturbed,
        settings=settings(
            max_examples=pytestconfig.getoption("sequences"),
            stateful_step_count=6,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            derandomize=pytestconfig.getoption("--hypothesis-seed") is None,
            suppress_health_check=list(HealthCheck),
        ),
    )
