"""Runs that are killed at random moments resume to the same bits; sweeps are in `policies/test_contract.py`.

`pytest tests/sweeps/test_killed.py --nightly --kills 25` does it with 50 runs.
"""

import csv
import json
import time

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from runge.records.directories import RunDirectory
from tests.sweeps.commands import Command
from tests.sweeps.test_run import figures

SMALL = ("data.n_train=16", "data.n_val=16", "data.n_test=101", "trainer.log_every=50", "trainer.progress_bar=false")
RUNS = {
    "mini-batches": (
        *(*SMALL, "trainer.max_steps=500", "data.batch_size=5", "schedule.ramp_steps=300", "pictures=false"),
    ),
    "levenberg_marquardt": (
        *(*SMALL, "optimizer=levenberg_marquardt", "trainer.max_steps=600"),
        *("model.width=16", "data.n_train=40", "trainer.log_every=7"),
    ),
}


def finish(folder, *arguments):
    """Train a run or a sweep to its end; return the seconds that it takes."""
    began = time.monotonic()
    status, printed = Command(folder, *arguments).wait()
    assert status == 0, printed[-3000:]
    return time.monotonic() - began


def kill(folder, seconds, *arguments):
    """Start a command, and kill all of its processes after some seconds, unless it has ended by then."""
    command = Command(folder, *arguments)
    command.process.join(seconds)
    command.end("KILL", "all")
    command.wait()


def check_files(directory):
    """Check that all files with final names can be read."""
    run = RunDirectory(directory)
    for path in directory.rglob("*"):
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".ckpt" and not path.name.startswith("."):
            torch.load(path, weights_only=True)
        elif path.suffix == ".yaml" and ".part" not in str(path):
            assert yaml.safe_load(path.read_text()) is not None
        elif path.suffix == ".png":
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    if run.history.exists():
        run.read(run.history)
        list(csv.DictReader(run.history.read_text().splitlines(), strict=True))
    if run.metrics.exists():
        run.read_metrics()
    if run.tensorboard.exists():
        for place in run.tensorboard.iterdir():
            EventAccumulator(str(place)).Reload()


def check_same(ours, theirs):
    assert figures(ours) == figures(theirs)
    assert (ours / "history.csv").read_bytes() == (theirs / "history.csv").read_bytes()
    names = {path.name for path in (theirs / "checkpoints").iterdir()}
    assert "best.ckpt" in names
    assert names == {path.name for path in (ours / "checkpoints").iterdir()}
    for name in names:  # a stack's own state is removed at its end
        states = [torch.load(run / "checkpoints" / name, weights_only=True)["state_dict"] for run in (ours, theirs)]
        torch.testing.assert_close(*map(dict, states), rtol=0, atol=0, equal_nan=True)
    steps = []
    for run in (ours, theirs):
        (place,) = (run / "tensorboard").iterdir()
        steps.append({event.step for event in EventAccumulator(str(place)).Reload().Scalars("val/loss")})
    assert steps[0] == steps[1]


@pytest.mark.parametrize("name", ["mini-batches", pytest.param("levenberg_marquardt", marks=pytest.mark.nightly)])
def test_killed_runs(name, tmp_path, pytestconfig, draws):
    arguments = RUNS[name]
    seconds = finish(tmp_path, *arguments, "hydra.run.dir=whole")
    for trial in range(pytestconfig.getoption("kills")):
        chance, directory = draws(trial), tmp_path / f"run{trial}"
        cadence = chance.choice((0, 0.01, 0.1, 1, 30))
        command = (*arguments, f"trainer.checkpoint_seconds={cadence}", f"hydra.run.dir={directory.name}")
        kill(tmp_path, chance.uniform(0, 0.98 * seconds), *command)
        if not (directory / ".hydra").exists():  # nothing was begun
            finish(tmp_path, *command)
        elif not (directory / "metrics.json").exists():
            check_files(directory)
            finish(tmp_path, f"resume={directory.name}")
        check_files(directory)
        check_same(directory, tmp_path / "whole")
