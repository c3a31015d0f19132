import shlex
import shutil
from datetime import datetime

import pytest
import yaml

from runge.comparison.origin import origin_of
from runge.comparison.ranking import Ranking, collect
from runge.records.directories import RunDirectory, RunState

BEGAN = datetime(2026, 3, 1, 9, 30).timestamp()
GIVEN = ["target.expr='sin(x) + x**2'", "~callbacks.rich", "+model.note=a b", "logger=wandb", "+logger.api_key=secret"]
TYPED = ["hydra.mode=MULTIRUN", "seed=range(3)", "trainer.progress_bar=false", "objective=val/loss"]


@pytest.fixture
def sweep(tmp_path):
    """The directory of a sweep of three runs."""
    for number in range(3):
        run = RunDirectory(tmp_path / str(number))
        run.path.mkdir()
        run.begin({"seed": number, "model": {"width": 8}}, [*GIVEN, f"seed={number}"], {})
        run.write(RunState("diverged", 1, versions="runge 1, torch 2", began=BEGAN + 60 * number))
    overrides = {"hydra": TYPED[:1], "task": TYPED[1:]}
    (tmp_path / "multirun.yaml").write_text(yaml.dump({"hydra": {"overrides": overrides}}))
    return tmp_path


def origin(*paths):
    return origin_of(Ranking(collect(paths)))


def given(*paths):
    """Return the arguments of the command."""
    return [part for part in shlex.split(origin(*paths).command) if "=" in part or part.startswith(("-", "~"))]


def test_the_command_can_be_pasted_and_is_that_of_these_runs(sweep):
    assert given(sweep) == ["-m", "seed=range(3)", "objective=val/loss"]
    assert given(sweep / "1") == [*GIVEN[:3], "seed=1"]
    assert "\"target.expr='sin(x) + x**2'\" '~callbacks.rich' '+model.note=a b'" in origin(sweep / "1").command
    assert origin(sweep / "0", sweep / "1").command == ""
    assert origin(sweep).fixed == ["model.width=8"]


def test_the_only_run_of_a_sweep_or_one_of_a_race(sweep):
    shutil.rmtree(sweep / "2")
    run = RunDirectory(sweep / "1")
    run.begin({"seed": 1}, ["search=best", "data=table", "data.file=a.csv", "data.fold=0"], {})
    assert given(run.path) == ["data=table", "data.file=a.csv", "data.fold=0"]
    shutil.rmtree(sweep / "0")
    assert given(run.path) == ["-m", "seed=range(3)", "objective=val/loss"]


@pytest.mark.parametrize("content", ["[" * 600, "hydra: 1", "hydra: {overrides: {hydra: [], task: 1}}", "a: [", "\0"])
def test_a_damaged_record_of_the_sweep(sweep, content):
    (sweep / "multirun.yaml").write_text(content)
    assert origin(sweep).command == ""


def test_the_time_is_that_of_the_status(sweep, monkeypatch):
    run = RunDirectory(sweep / "2")
    monkeypatch.setattr("time.time", lambda: BEGAN + 3600 * 24)
    run.write(run.read_state())
    monkeypatch.undo()
    assert origin(sweep).trained.startswith("2026-03-01 09:30 to ")
    assert origin(sweep / "2").trained == "2026-03-01 09:32 to 2026-03-02 09:30"
    assert origin(sweep).versions == "runge 1, torch 2"
    run.status.write_text('{"status": "diverged", "step": 1}')  # of an earlier version
    assert origin(run.path)[2:4] == ("", "")
    run.status.write_text('{"status": "diverged", "step": 1, "began": 1e300, "written": 1e300}')
    assert origin(run.path).trained == ""
