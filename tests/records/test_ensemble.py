"""`answer.json`: what is written is read, and nothing else is trusted."""

import json

import pytest

from runge.configuration.errors import ConfigurationError
from runge.records.directories import RunDirectory, State
from runge.records.ensemble import members, read_answer, write_answer


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
        run.write(State("finished", 1), metrics={"test/mse_f": 1.0})
    assert [run.path for run in members(tmp_path)] == [tmp_path / "0", tmp_path / "1"]


def test_what_is_written_is_read(sweep):
    assert read_answer(sweep) is None
    write_answer(sweep, {"best/1": 0.1 + 0.2, "0": 0.7})
    assert [(run.path, weight) for run, weight in read_answer(sweep)] == [
        (sweep / "best/1", 0.1 + 0.2),
        (sweep / "0", 0.7),
    ]
    assert json.loads((sweep / "answer.json").read_text())["members"][1] == {"run": "0", "weight": 0.7}


@pytest.mark.parametrize("weights", [{}, {"0": 1.1}, {"0": 0.5, "1": 0.4}, {"0": 1.0, "1": 0.0}, {"0": float("nan")}])
def test_no_other_weights_are_written(sweep, weights):
    with pytest.raises(ValueError, match=r"greater than 0|less than or equal to 1|must sum to 1"):
        write_answer(sweep, weights)
    assert not (sweep / "answer.json").exists()


HALF = '{"run": "0", "weight": 0.5}'


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "damaged"),
        ("[]", "damaged"),
        ("[" * 10**5, "damaged"),
        ('{"members": []}', r"must sum to 1, got 0\.0"),
        ('{"other": 1}', "damaged"),
        ('{"members": {"0": 1}}', r"damaged \(members: Input should be a valid array"),
        ('{"members": [3]}', r"damaged \(members\.0"),
        ('{"members": [{"run": 0, "weight": 1}]}', r"members\.0\.run: Input should be a valid string"),
        ('{"members": [{"run": "0"}]}', r"members\.0\.weight"),
        ('{"members": [{"run": "0", "weight": "1"}]}', r"members\.0\.weight"),
        ('{"members": [{"run": "0", "weight": NaN}]}', r"members\.0\.weight"),
        ('{"members": [{"run": "0", "weight": Infinity}]}', r"members\.0\.weight"),
        ('{"members": [{"run": "0", "weight": 1.5}, {"run": "best/1", "weight": -0.5}]}', r"members\.0\.weight"),
        (f'{{"members": [{HALF}]}}', r"the weights must sum to 1, got 0\.5"),
        (f'{{"members": [{HALF}, {{"run": "./0", "weight": 0.5}}]}}', "each run must be named once"),
        ('{"members": [{"run": "../other", "weight": 1}]}', r"must name runs in its directory, got '.*\.\./other'"),
        ('{"members": [{"run": "/tmp", "weight": 1}]}', "must name runs in its directory, got '/tmp'"),
        ('{"members": [{"run": "link", "weight": 1}]}', "must name runs in its directory, got '.*link'"),
        ('{"members": [{"run": ".", "weight": 1}]}', "must name runs in its directory"),
        ('{"members": [{"run": "\\u0000", "weight": 1}]}', "null"),
        ('{"members": [{"run": "2", "weight": 1}]}', "must name finished runs, got '.*sweep/2'"),
        ('{"members": [{"run": "9", "weight": 1}]}', "must name finished runs, got '.*sweep/9'"),
    ],
)
def test_what_is_not_trusted(sweep, content, reason):
    (sweep / "answer.json").write_text(content)
    with pytest.raises(ConfigurationError, match=reason) as error:
        read_answer(sweep)
    assert str(error.value).startswith(str(sweep / "answer.json"))
