"""`answer.json`: what is written is read, and nothing else is trusted."""

import json

import pytest

from runge.configuration.errors import ConfigurationError
from runge.function.ensemble import members, read_answer, write_answer
from runge.records.directories import RunDirectory, RunState


@pytest.fixture
def sweep(tmp_path):
    """A sweep with two finished runs and one that has not ended, beside a run of another."""
    for name in ("sweep/0", "sweep/best/1", "sweep/2", "other"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "metrics.json").write_text("{}")
    (tmp_path / "sweep/2/metrics.json").unlink()
    (tmp_path / "sweep/link").symlink_to(tmp_path / "other")
    return tmp_path / "sweep"


def test_a_copy_is_not_a_member(tmp_path):
    for name, seed in (("0", 0), ("1", 1), ("2/1", 1)):
        run = RunDirectory(tmp_path / name)
        run.path.mkdir(parents=True)
        run.begin({"seed": seed}, [], {})
        run.write(RunState("finished", 1), metrics={"test/mse_f": 1.0})
    assert [run.path for run in members(tmp_path)] == [tmp_path / "0", tmp_path / "1"]


def test_only_what_names_each_run_once_is_written_and_it_is_read(sweep):
    for runs in ([], ["0", "./0"]):
        with pytest.raises(ValueError, match="runs must name at least one run, and each once"):
            write_answer(sweep, runs)
    assert read_answer(sweep) is None
    write_answer(sweep, ["best/1", "0"])
    runs, intervals = read_answer(sweep)
    assert [run.path for run in runs] == [sweep / "best/1", sweep / "0"]
    assert intervals is None
    assert json.loads((sweep / "answer.json").read_text())["runs"] == ["best/1", "0"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ("[" * 10**5, "damaged"),
        ('{"runs": []}', "runs must name at least one run"),
        ('{"other": 1}', "damaged"),
        ('{"runs": {"0": 1}}', r"damaged \(runs: Input should be a valid array"),
        ('{"runs": [3]}', r"damaged \(runs\.0: Input should be a valid string"),
        ('{"runs": ["0", "./0"]}', "and each once"),
        ('{"runs": ["../other"]}', r"must name runs in its directory, got '.*\.\./other'"),
        ('{"runs": ["/tmp"]}', "must name runs in its directory, got '/tmp'"),
        ('{"runs": ["link"]}', "must name runs in its directory, got '.*link'"),
        ('{"runs": ["."]}', "must name runs in its directory"),
        ('{"runs": ["\\u0000"]}', "null"),
        ('{"runs": ["2"]}', "must name finished runs, got '.*sweep/2'"),
        ('{"runs": ["9"]}', "must name finished runs, got '.*sweep/9'"),
    ],
)
def test_what_is_not_trusted(sweep, content, reason):
    (sweep / "answer.json").write_text(content)
    with pytest.raises(ConfigurationError, match=reason) as error:
        read_answer(sweep)
    assert str(error.value).startswith(str(sweep / "answer.json"))
