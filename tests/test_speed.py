"""The scripts of the benchmarks of speed: what they run, and that their loops take steps."""

import importlib
import sys

import pytest

from tests.conftest import ROOT


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/speed"))
    return importlib.import_module


@pytest.mark.parametrize("names", [[], ["grid", "peers"], ["page"]])
def test_the_page_is_written_after_the_benchmarks_that_are_named_or_all(script, monkeypatch, names):
    run, done = script("run"), []
    monkeypatch.setattr(run.subprocess, "run", lambda command, check: done.append(command[1:]))
    monkeypatch.setattr(run, "write", lambda: done.append("page"))
    monkeypatch.setattr(sys, "argv", ["run.py", *names])
    run.main()
    asked = [run.BENCHMARKS[name] for name in names or run.BENCHMARKS if name != "page"]
    assert done == [[str(run.HERE / file), *more, "--keep"] for file, *more in asked] + ["page"]


def test_an_unknown_benchmark_is_refused_before_any_is_run(script, monkeypatch, capsys):
    run = script("run")
    monkeypatch.setattr(run.subprocess, "run", lambda *_, **__: pytest.fail("a benchmark was run"))
    monkeypatch.setattr(sys, "argv", ["run.py", "grid", "gird"])
    with pytest.raises(SystemExit):
        run.main()
    assert "no benchmark gird; there are seeds, grid, " in capsys.readouterr().err


@pytest.mark.parametrize("loop", ["bare_loop", "torch_loop"])
def test_the_loops_that_a_run_is_compared_with_take_steps(script, loop):
    assert getattr(script("overhead"), loop)(2) > 0
