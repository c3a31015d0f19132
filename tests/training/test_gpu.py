"""When a run is trained on a GPU, with a card that is only named, and the script that tests one."""

import importlib
import json
import logging
import os
from datetime import date

import pytest
import torch

import runge
from runge.sweeps.run import announce, make_stack
from runge.training import gpu
from runge.training.member import Member
from tests.conftest import ROOT
from tests.refusals import refuses


@pytest.fixture
def card(monkeypatch, tmp_path):
    """A machine with a card that torch has only the name of, and without a record."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RUNGE_CACHE_DIR", str(folder))
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "Card 1")
    return folder / "gpu.json"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks/speed"))
    return importlib.import_module("gpu")


def test_without_a_card_there_is_nothing_to_decide_and_to_test(script, monkeypatch, configuration, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert not gpu.is_taken("auto")
    assert gpu.reason() == ""
    with refuses("trainer.accelerator", "'gpu'", "auto or cpu"):
        Member(configuration("trainer.accelerator=gpu"))
    monkeypatch.setattr(script, "tests_pass", None)
    assert script.main([]) == 2
    out, err = capsys.readouterr()
    assert (out, err[:28]) == ("", "error: torch finds no GPU wi")


def test_auto_takes_a_card_that_has_passed_its_test_with_these_versions(card, monkeypatch, configuration):
    assert [gpu.is_taken(how) for how in ("auto", "cpu", "gpu")] == [False, False, True]
    assert gpu.reason().startswith("trained on the processor: python benchmarks/speed/gpu.py has not passed")
    gpu.record(passed=True)
    assert [gpu.is_taken(how) for how in ("auto", "cpu", "gpu")] == [True, False, True]
    assert f"which passed python benchmarks/speed/gpu.py on {date.today()};" in gpu.reason()
    assert Member(configuration()).on_gpu()
    assert not Member(configuration("trainer.accelerator=cpu")).on_gpu()
    other = {"torch.__version__": "0", "runge.__version__": "0", "torch.cuda.get_device_name": lambda: "Card 2"}
    for what, value in other.items():
        with monkeypatch.context() as patch:
            patch.setattr(what, value)
            assert not gpu.is_taken("auto")
            if callable(value):
                gpu.record(passed=True)
    gpu.record(passed=False)  # which leaves the other's
    assert list(json.loads(card.read_text())) == [f"Card 2, torch {torch.__version__}, runge {runge.__version__}"]
    assert not gpu.is_taken("auto")


def test_a_record_that_is_damaged_or_that_others_could_have_written_is_none(card, monkeypatch):
    """Without one CUDA is not initialised: a process that has initialised it cannot be forked."""
    with monkeypatch.context() as patch:
        patch.setattr("torch.cuda.get_device_name", None)
        assert not gpu.is_taken("auto")
    for text in ("", "[]", "{", '{"x": 1}', "\0\xff"):
        gpu.record(passed=True)
        assert gpu.is_taken("auto")
        card.write_text(text.replace("x", next(iter(json.loads(card.read_text())))))
        assert not gpu.is_taken("auto"), text
    gpu.record(passed=True)
    os.chmod(card.parent, 0o777)
    assert not gpu.is_taken("auto")
    with pytest.raises(OSError, match="RUNGE_CACHE_DIR"):
        gpu.record(passed=True)


def test_a_run_says_where_it_is_trained(card, configuration, caplog):
    with caplog.at_level(logging.INFO, "runge"):
        announce(make_stack([Member(configuration("trainer.max_steps=1"))]), 0)
    assert "trained on the processor: python benchmarks/speed/gpu.py has not passed" in caplog.text


def test_the_script_records_whether_the_tests_pass(script, card, monkeypatch, capsys):
    times = {1024: {script.PROCESSOR: [2.0, 1.0, 3.0], "runge on the GPU": [0.5]}, 8192: {"runge on the GPU": [0.5]}}
    monkeypatch.setattr(script, "measure", lambda _, members, *__: times[members])
    for passed in (True, False):
        monkeypatch.setattr(script, "tests_pass", lambda accelerator, _, passed=passed: passed and accelerator == "gpu")
        assert script.main([]) == (not passed)
        assert gpu.is_taken("auto") == passed
    out, err = capsys.readouterr()
    assert "- GPU: Card 1, driver " in out
    assert "| 1024 | runge on the GPU | 0.5 | 0.5 to 0.5 | 4 |" in out
    assert "| 8192 | runge on the GPU | 0.5 | 0.5 to 0.5 | - |" in out, "the processor's has failed"
    assert err == "error: the tests fail on this GPU; trainer.accelerator=auto stays on the processor\n"


def test_what_the_script_measures_and_tests(script):
    assert script.contenders("cpu", 2)[-1].make()(2) is None
    for path, _, name in (test.partition("::") for test in script.TESTS):
        assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text()
