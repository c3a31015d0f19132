"""Runs written by version 0.1, before the package had folders, still load, compare and resume."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import runge
from runge.compare.__main__ import main

RUNS = Path(__file__).with_name("runs_0.1")


@pytest.fixture
def runs(tmp_path):
    return Path(shutil.copytree(RUNS, tmp_path / "runs"))


def test_load(runs):
    u = runge.load(runs / "finished")
    metrics = json.loads((runs / "finished" / "metrics.json").read_text())
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    f, df = 1 / (1 + 25 * x**2), -50 * x / (1 + 25 * x**2) ** 2
    assert float((u(x).detach() - f).square().mean()) == pytest.approx(metrics["test/mse_f"], rel=1e-10)
    assert float((u.derivative(x).detach() - df).square().mean()) == pytest.approx(metrics["test/mse_df"], rel=1e-10)


def test_compare(runs, capsys):
    main([str(runs)])
    assert "2 runs by test/mse_df" in capsys.readouterr().out
    table = runge.runs(runs)
    assert table["status"].tolist() == ["finished", "interrupted"]
    assert table["resampling"].tolist() == ["Region", "Region"]


def test_resume(runs, train):
    """The interrupted run ends like the uninterrupted one with the same settings."""
    status, _, errors = train(f"resume={runs / 'interrupted'}")
    assert status == 0, errors
    resumed, whole = (json.loads((runs / name / "metrics.json").read_text()) for name in ("interrupted", "finished"))
    for key in whole.keys() - {"seconds/fit", "seconds/total"}:
        assert resumed[key] == pytest.approx(whole[key], rel=1e-8, nan_ok=True), key
