"""`runge export`: where it writes, and its messages."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import runge
from runge.commands.export import main
from runge.exports import FORMATS
from runge.function.ensemble import write_answer
from tests.refusals import refuses


def exported(*arguments, to="numpy"):
    main([*map(str, arguments), "--to", to])


def test_a_run_whose_derivatives_were_those_of_autograd(run, capsys):
    before = {path.name for path in run.iterdir()}
    exported("run")
    assert {path.name for path in run.iterdir()} - before == {"function.json", "function.npz", "function.py"}
    assert capsys.readouterr().out == "numpy: run/function.py\n"
    u, x = runge.load("run"), torch.linspace(-1, 1, 9)[:, None]
    results = runpy.run_path("run/function.py")["value_and_derivative"](x)
    for result, expected in zip(results, (u(x), u.derivative(x)), strict=True):
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6)


def test_runs_that_cannot_be_exported(run, refusal, monkeypatch):
    rule = "RUN_OR_SWEEP: must be the directory of a finished run, got 'nowhere' (nowhere/checkpoints/best.ckpt is mis"
    assert rule in refusal(main, "nowhere", "--to", "onnx")
    assert "--to: invalid choice: 'pdf' (choose from" in refusal(main, "run", "--to", "pdf")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "onnx", None)
        rule = "onnx needs the package onnx; install it with pip install -e '.[onnx]'"
        assert rule in refusal(main, "run", "--to", "onnx")
        exported("run", "--out", "u")
    checkpoint = (path := run / "checkpoints/best.ckpt").read_bytes()
    path.write_bytes(b"nothing")
    assert "best.ckpt is damaged" in refusal(main, "run", "--to", "numpy")
    path.write_bytes(checkpoint)
    (run / "metrics.json").unlink()
    rule = "(finished at step 4, without metrics.json); continue it with runge train resume=run"
    for to in FORMATS:
        assert rule in refusal(main, "run", "--to", to)
    status = json.loads((run / "status.json").read_text()) | {"status": "diverged", "message": "the loss is not finite"}
    (run / "status.json").write_text(json.dumps(status))
    assert "continue" not in refusal(main, "run", "--to", "numpy")
    assert not list(run.glob("function*"))


@pytest.mark.parametrize(
    ("out", "to", "rule"),
    [
        ("missing/u.py", "numpy", "--out: a file cannot be read or written (No such file or directory"),
        ("run", "numpy", "cannot be read or written (Is a directory (run))"),
        ("u", "numpy", "cannot be read or written (Is a directory (u.py))"),
        ("my-fit", "numpy", "--out: must be a file that Python can import: letters,"),
    ],
)
def test_files_that_cannot_be_written_or_imported(out, to, rule, run, tmp_path, refusal):
    (tmp_path / "u.py").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert rule in refusal(main, "run", "--to", to, "--out", out)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_export_overwrites_nothing_without_force_except_its_model_card(run, refusal, monkeypatch):
    made = {"onnx": {".onnx": b"model"}, "casadi": {".npz": b"", ".casadi": b"", ".py": b"import casadi\n"}}
    for to, files in made.items():  # which need further packages
        monkeypatch.setitem(FORMATS, to, lambda *_, files=files: files)

    def refused(file, to, *options, how="--force overwrites it", out="run/own"):
        said = refusal(main, "run", "--to", to, *out and ("--out", out), *options)
        assert f"'run/{file}" in said
        assert how in said

    metrics, own = (run / "metrics.json").read_bytes(), b"import numpy\n"
    exported("run", "--out", "my-fit", to="onnx")
    for force in ([], ["--force"]):
        refused("metrics.json", "onnx", *force, how="--out FILE names another", out="run/metrics")
    assert (run / "metrics.json").read_bytes() == metrics
    for file, to in (("own.py", "numpy"), ("own.npz", "casadi"), ("own.onnx", "onnx")):
        (run / file).write_bytes(own)
        refused(file, to)
        assert ((run / file).read_bytes(), (run / "own.json").exists()) == (own, False)
        exported("run", "--out", "run/own", "--force", to=to)
        assert (run / file).read_bytes() != own
        for path in run.glob("own.*"):
            path.unlink()
    for to in ("onnx", "numpy", "c"):  # whose model card is the same
        exported("run", to=to)
    module = (run / "function.py").read_bytes()
    for to in ("numpy", "casadi"):
        refused("function.", to, out="", how="--force overwrites it")
    assert (run / "function.py").read_bytes() == module


def test_an_interrupted_export_leaves_no_part_of_a_file(run, monkeypatch):
    def interrupt(descriptor):
        if len(before) < len(list(run.iterdir())) - 1:  # beside the part of the second file
            raise KeyboardInterrupt

    before = {path.name for path in run.iterdir()}
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(SystemExit, match="error: interrupted"):
        exported("run")
    assert {path.name for path in run.iterdir()} - before == {"function.json"}
    json.loads((run / "function.json").read_text())


def test_a_sweep_over_seeds_and_an_answer(sweep, tmp_path):
    x = np.linspace(-1, 1, 5)

    def results():
        exported("sweep", "--force")
        return runpy.run_path("sweep/function.py")["value_and_derivative"](x[:, None])

    for answer in (None, ["1", "0"]):
        if answer:
            write_answer("sweep", answer)
        u = runge.load("sweep")
        expected = [*u.value_and_derivative(x), *u.value_and_derivative_std(x)]
        for result, part in zip(results(), expected, strict=True):
            np.testing.assert_allclose(result.reshape(5), part, rtol=0, atol=1e-6)
    assert sorted(path.suffix for path in sweep.glob("function*")) == [".json", ".npz", ".py"]
    write_answer("sweep", ["1"])
    assert len(results()) == 2
    # From Python, the same files.
    exported("sweep", "--hessian", "--out", "commanded", to="c")
    assert runge.export("sweep", "c", "called", hessian=True) == Path("called.c")
    assert Path("commanded.c").read_text().replace("commanded", "called") == Path("called.c").read_text()
    assert runge.export(Path("sweep"), "numpy", force=True) == Path("sweep/function.py")
    assert runge.export(u.double(), "numpy", tmp_path / "u") == tmp_path / "u.py"
    with refuses("path", "", "must be given for a function, which has no directory"):
        runge.export(u, "numpy")
