"""The scripts of the benchmarks of speed: what they run."""

import importlib
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/speed"))
    return importlib.import_module


@pytest.mark.parametrize("names", [[], ["steps"], ["page"]])
def test_the_page_is_written_after_the_benchmarks_that_are_named_or_all(script, monkeypatch, names):
    run, done = script("run"), []
    monkeypatch.setattr(run.subprocess, "run", lambda command, check: done.append(command[1:]))
    monkeypatch.setattr(run, "write", lambda: done.append("page"))
    monkeypatch.setattr(sys, "argv", ["run.py", *names])
    run.main()
    asked = [run.BENCHMARKS[name] for name in names or run.BENCHMARKS if name != "page"]
    assert done == [[str(run.HERE / file), "--keep"] for file in asked] + ["page"]


def test_an_unknown_benchmark_is_refused_before_any_is_run(script, monkeypatch, capsys):
    run = script("run")
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: pytest.fail("a benchmark was run"))
    monkeypatch.setattr(sys, "argv", ["run.py", "steps", "setps"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark setps; there are seeds, steps, " in capsys.readouterr().err
