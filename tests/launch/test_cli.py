"""The command's verbs, its help and version, and the name that it goes by in messages."""

import sys

import pytest
import yaml

import runge
from runge.configuration import flatten
from runge.errors import command
from runge.launch.cli import main
from tests.conftest import ROOT


@pytest.fixture(params=["/usr/bin/runge", "train.py"])
def name(request, monkeypatch):
    """Return the name by which the command is called."""
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "argv", [request.param])
    return "runge" if request.param != "train.py" else "python train.py"


def printed(capsys, *arguments):
    """Return what the command prints, and its exit status."""
    sys.argv[1:] = arguments
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code or 0
    return "".join(capsys.readouterr()), status


@pytest.mark.parametrize("verb", ["predict", "export", "compare"])
def test_verbs(verb, name, capsys):
    text, status = printed(capsys, verb, "--help")
    assert text.startswith(f"usage: {name} {verb} [-h] ")
    assert status == 0
    text, status = printed(capsys, verb, "nowhere", *{"predict": ["a.csv"], "export": ["--to", "numpy"]}.get(verb, []))
    assert f"{name} {verb}: error: " in text
    assert "nowhere" in text
    assert status == 2


def test_the_version_is_that_of_runge(name, capsys):
    assert printed(capsys, "--version") == (f"runge {runge.__version__}\n", 0)


def test_the_help_has_the_verbs_and_all_keys(name, capsys):
    text, status = printed(capsys, "--help")
    assert status == 0
    assert text.startswith(f"{runge.__doc__}\n\n  {name} [KEY=VALUE ...] ")
    assert all(f"\n  {name} {verb} " in text for verb in ("predict", "export", "compare"))
    assert "is powered by Hydra" not in text
    base = yaml.safe_load((ROOT / "conf" / "config.yaml").read_text())
    del base["hydra"], base["defaults"]
    assert all(f"{key.rpartition('.')[2]}:" in text for key in flatten(base))
    assert "--hydra-help" in text


@pytest.mark.parametrize("flags", [("--hydra-help",), ("--cfg", "job"), ("--info", "defaults")])
def test_the_flags_of_hydra_stay(flags, name, capsys):
    text, status = printed(capsys, *flags)
    assert status == 0
    assert not text.startswith(str(runge.__doc__))


def test_messages_advise_the_command_that_was_typed(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text, status = printed(capsys, "search=target")
    assert status == 1
    assert f"search: needs -m: {name} -m search=target" in text


@pytest.mark.parametrize(
    ("script", "expected"),
    [("../my code/train.py", "python '../my code/train.py'"), ("C:/bin/runge", "runge"), ("", "runge")],
)
def test_the_name_of_the_command(script, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", [script])
    assert command() == expected
