import itertools
import json
import math
import os
import shlex
import shutil

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory, RunState, resumable
from runge.records.files import copy_directory, locked, read_json, read_yaml, write


def test_write_is_atomic(tmp_path):
    path = tmp_path / "file"
    write(path, "old")
    with pytest.raises(TypeError):
        write(path, None)
    assert path.read_text() == "old"
    write(path, b"new")
    assert path.read_text() == "new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_directory_is_copied_whole_or_not_at_all(tmp_path, monkeypatch):
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    (source / "a").write_text("content")

    def interrupt(*_, **__):
        assert not target.exists()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", interrupt)
        with pytest.raises(KeyboardInterrupt):
            copy_directory(source, target)
    assert [entry.name for entry in tmp_path.iterdir()] == ["source"]
    assert copy_directory(source, target) == target
    assert (target / "a").read_text() == "content"
    with pytest.raises(FileExistsError, match="target"):
        copy_directory(source, target)
    assert {entry.name for entry in tmp_path.iterdir()} == {"source", "target"}


def test_two_writers_of_a_file_publish_whole_files_in_turn(tmp_path, monkeypatch):
    """The second one writes while the first one waits for the disk."""
    path, original, contents = tmp_path / "file", os.fsync, ["second"]

    def fsync(descriptor):
        if contents:
            write(path, contents.pop())
            assert path.read_text() == "second"
        original(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(path, "first")
    assert path.read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_parts_of_a_process_that_was_killed_are_removed(tmp_path):
    left, young = tmp_path / ".fit.csv.12345678.part", tmp_path / ".metrics.json.12345678.part"
    for path in (left, young):
        path.touch()
    os.utime(left, (1e9, 1e9))
    with locked(tmp_path, "hydra.run.dir"):
        assert (left.exists(), young.exists()) == (False, True)  # another process may still write that one


def test_a_file_is_written_over_a_link_and_not_through_it(tmp_path):
    outside, path = tmp_path / "outside", tmp_path / "file"
    outside.write_text("old")
    path.symlink_to(outside)
    write(path, "new")
    assert (path.read_text(), path.is_symlink(), outside.read_text()) == ("new", False, "old")


NO_FILES = {
    "a pipe": (os.mkfifo, "no regular file"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), "a link out of its directory"),
    "a link": (lambda path: path.symlink_to(path.parents[1] / "outside"), "a link out of its directory"),
    "a large file": (lambda path: path.write_bytes(b" " * (2**22 + 1)), r"too large \(4194305 bytes; 4194304 are"),
    "an integer": (lambda path: path.write_text('{"step": 1' + "0" * 400 + "}"), "more than 64 bits"),
}


@pytest.mark.parametrize("name", NO_FILES)
def test_only_regular_files_of_a_directory_are_read(name, tmp_path):
    make, reason = NO_FILES[name]
    (tmp_path / "outside").write_text("{}")
    (tmp_path / "run").mkdir()
    make(tmp_path / "run" / "metrics.json")
    with pytest.raises(ConfigurationError, match=reason):
        read_json(tmp_path / "run" / "metrics.json")


def test_yaml_has_no_aliases_and_no_objects(tmp_path):
    file = tmp_path / "multirun.yaml"
    bomb = ["a: &a [0]", *(f"{b}: &{b} [*{a}, *{a}, *{a}]" for a, b in itertools.pairwise("abcdefghijklmnop"))]
    for text in (
        "\n".join(bomb),
        "!!python/object/apply:os.system [touch owned]",
        "[" * 10**6,
        "- " * 60 + "a",
        "\x00",
    ):
        file.write_text(text)
        with pytest.raises(ConfigurationError, match=r"multirun\.yaml is damaged"):
            read_yaml(file)
    file.write_text("hydra: {mode: RUN}")
    assert read_yaml(file) == {"hydra": {"mode": "RUN"}}


def test_secrets_of_loggers_are_in_no_file_of_a_run(tmp_path):
    run, secrets = RunDirectory(tmp_path), ("me:1234", "abcdef")
    uri, key = (f"logger.mlflow.tracking_uri=https://{secrets[0]}@host", f"+logger.wandb.api_key={secrets[1]}")
    loggers = {"mlflow": {"tracking_uri": f"https://{secrets[0]}@host"}, "wandb": {"api_key": secrets[1]}}
    run.hydra_part.mkdir()
    for name, content in {"config": {"logger": loggers}, "hydra": {"overrides": {"task": [uri, key]}}}.items():
        (run.hydra_part / f"{name}.yaml").write_text(yaml.dump(content))
    configuration = {"data": {"derivatives": {"y": {"token": "dy"}}}, "logger": loggers}
    run.begin(configuration, ["model.width=8", uri, key], {})
    texts = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(texts) == 3
    assert not any(secret in text for secret in secrets for text in texts)
    recorded, overrides, _ = run.read_configuration()
    assert recorded["data"] == configuration["data"]
    assert overrides == ["model.width=8", "logger.mlflow.tracking_uri=https://***@host", "+logger.wandb.api_key=***"]


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
    run.read(run.fit)
    run.fit.write_text("x,f\n")
    with pytest.raises(ConfigurationError, match=r"fit\.csv is damaged"):
        run.read(run.fit)


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
            "runge.records.directories.write", lambda path, text, **_: path == run.history and path.write_text(text)
        )
        run.write(RunState("finished", 2), {"step": [1, 2]})
    assert run.history.read_text() == "step\n1\n2\n"
    run.read(run.history)
