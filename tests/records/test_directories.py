import json
import math
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory, RunState, resumable
from runge.records.files import write


def test_write_is_atomic(tmp_path):
    path = tmp_path / "file"
    write(path, "old")
    with pytest.raises(TypeError):
        write(path, None)
    assert path.read_text() == "old"
    write(path, b"new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_tables_keep_all_digits_and_metrics_are_strict_json(tmp_path):
    run, third = RunDirectory(tmp_path), 1 / 3
    run.write(
        RunState("finished", 2),
        history={"step": [1, 2], "a,b": [0.1, math.nan]},
        points={"step": [0], "x": [2.0]},
        fit={"x": [third, -1e-300], "f": [math.inf, 1.0]},
        metrics={"a": 1.5, "b": math.nan, "c": math.inf, "d": None},
    )
    assert run.history.read_text() == 'step,"a,b"\n1,0.1\n2,\n'
    assert run.points.read_text() == "step,x\n0,2.0\n"
    assert run.fit.read_text() == f"x,f\n{third!r},inf\n-1e-300,1.0\n"
    metrics = json.loads(run.metrics.read_text(), parse_constant=pytest.fail)
    assert metrics == {"a": 1.5, "b": None, "c": None, "d": None}
    run.verify(run.fit)
    run.fit.write_text("x,f\n")
    with pytest.raises(ConfigurationError, match=r"fit\.csv is damaged"):
        run.verify(run.fit)


def test_discard_keeps_directories_of_training_and_the_working_directory(tmp_path, monkeypatch):
    runs = [RunDirectory(tmp_path / name) for name in ("a/b/empty", "used", "here")]
    for run in runs:
        run.hydra.mkdir(parents=True)
        run.log.touch()
    empty, used, here = runs
    used.write(RunState("running", 0))
    empty.discard()
    used.discard()
    monkeypatch.chdir(here.path)
    RunDirectory(".").discard()
    assert {entry.name for entry in tmp_path.iterdir()} == {"used", "here"}
    assert (used.hydra.exists(), here.hydra.exists()) == (True, False)


def test_an_advised_path_can_be_typed():
    with pytest.raises(ConfigurationError) as error:
        resumable("my runs/it's 0")
    override = OverridesParser.create().parse_override(shlex.split(str(error.value))[-1])
    assert (override.key_or_group, str(override.value())) == ("hydra.run.dir", "my runs/it's 0")


def test_a_history_is_ahead_of_its_status_when_the_run_is_killed_between_them(tmp_path, monkeypatch):
    run = RunDirectory(tmp_path)
    run.write(RunState("interrupted", 1), {"step": [1]})
    run.write(RunState("running", 1))
    run.write(RunState("running", 1), {"step": [1]})
    with monkeypatch.context() as patch:
        patch.setattr(
            "runge.records.directories.write", lambda path, text: path == run.history and path.write_text(text)
        )
        run.write(RunState("finished", 2), {"step": [1, 2]})
    assert run.history.read_text() == "step\n1\n2\n"
    run.verify(run.history)
