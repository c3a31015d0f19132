"""`runge export`: where it writes, and its messages."""

import json
import runpy
import shutil
import sys

import numpy as np
import pytest
import torch

import runge
from runge.commands.export import main
from runge.exports import FORMATS
from runge.records.ensemble import write_answer

SHORT = ("model.width=8", "trainer.max_steps=4", "trainer.progress_bar=false", "pictures=false", "hydra.run.dir=run")


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a finished run, in the present directory."""
    shutil.copytree(trained(*SHORT, "model.derivative=autograd")[0] / "run", tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "run"


@pytest.mark.parametrize(("to", "names"), [("torch", [".json", ".pt2"]), ("numpy", [".json", ".npz", ".py"])])
def test_files(run, to, names, capsys):
    before = {path.name for path in run.iterdir()}
    main(["run", "--to", to])
    assert sorted({path.name for path in run.iterdir()} - before) == [f"function{name}" for name in names]
    assert capsys.readouterr().out == f"{to}: run/function{names[-1]}\n"
    u, x = runge.load("run"), torch.linspace(-1, 1, 9)[:, None]
    if to == "numpy":
        module = runpy.run_path(str(run / "function.py"))
        assert module["CARD"] == json.loads((run / "function.json").read_text())
        value, derivative = module["value_and_derivative"](x.numpy())
    else:
        value, derivative = torch.export.load(run / "function.pt2").module()(x)
    np.testing.assert_allclose(value, u(x)[:, 0], rtol=0, atol=1e-6)
    np.testing.assert_allclose(derivative, u.derivative(x), rtol=0, atol=1e-6)


def test_runs_that_cannot_be_exported(run, refusal):
    rule = "RUN_OR_SWEEP: must be the directory of a finished run, got 'nowhere' (nowhere/checkpoints/best.ckpt is mis"
    assert rule in refusal(main, "nowhere", "--to", "onnx")
    assert "--to: invalid choice: 'pdf' (choose from" in refusal(main, "run", "--to", "pdf")
    checkpoint = (run / "checkpoints" / "best.ckpt").read_bytes()
    (run / "checkpoints" / "best.ckpt").write_bytes(b"nothing")
    assert "best.ckpt cannot be read" in refusal(main, "run", "--to", "numpy")
    (run / "checkpoints" / "best.ckpt").write_bytes(checkpoint)
    (run / "metrics.json").unlink()
    rule = "(finished at step 4, without metrics.json); continue it with runge train resume=run"
    for to in FORMATS:
        assert rule in refusal(main, "run", "--to", to)
    status = json.loads((run / "status.json").read_text()) | {"status": "diverged", "message": "the loss is not finite"}
    (run / "status.json").write_text(json.dumps(status))
    assert "continue" not in refusal(main, "run", "--to", "numpy")
    assert not list(run.glob("function*"))


def test_a_missing_package(run, monkeypatch, refusal):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    rule = "onnx needs the package onnxscript; install it with pip install -e '.[onnx]'"
    assert rule in refusal(main, "run", "--to", "onnx")
    main(["run", "--to", "numpy"])


def test_files_that_cannot_be_written(run, tmp_path, refusal):
    expected = "--out: a file cannot be read or written (No such file or directory"
    assert expected in refusal(main, "run", "--to", "numpy", "--out", "missing/u.py")
    assert "cannot be read or written (Is a directory (run))" in refusal(main, "run", "--to", "numpy", "--out", "run")
    (tmp_path / "u.py").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert "cannot be read or written (Is a directory (u.py))" in refusal(main, "run", "--to", "numpy", "--out", "u")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["my-fit", "numpy.py", "math", "class", "2d.py"])
def test_a_module_that_python_cannot_import_is_refused(name, run, refusal):
    for to in ("numpy", "casadi"):
        expected = "path, --out: must be a file that Python can import: letters, digits and _, and not the name of an"
        assert expected in refusal(main, "run", "--to", to, "--out", name)
    main(["run", "--to", "torch", "--out", name])


def test_an_export_overwrites_only_an_export_of_its_kind(run, refusal):
    metrics, own = (run / "metrics.json").read_bytes(), b"import numpy\n"
    for force in ([], ["--force"]):
        said = refusal(main, "run", "--to", "torch", "--out", "run/metrics", *force)
        assert "'run/metrics.json' exists, and is not from an export to torch; --out FILE names another" in said
    assert (run / "metrics.json").read_bytes() == metrics
    for file, to in (("own.py", "numpy"), ("own.npz", "casadi"), ("own.onnx", "onnx")):
        (run / file).write_bytes(own)
        said = refusal(main, "run", "--to", to, "--out", "run/own")
        assert f"'run/{file}' exists, and is not from an export to {to}; --force overwrites it" in said
        assert ((run / file).read_bytes(), (run / "own.json").exists()) == (own, False)
        if to == "onnx":  # which takes seconds
            continue
        main(["run", "--to", to, "--out", "run/own", "--force"])
        main(["run", "--to", to, "--out", "run/own"])
        (run / "own.json").unlink()
    main(["run", "--to", "torch", "--out", "run/own"])
    (run / "own.py").unlink()
    for file, to in (("own.c", "c"), ("own.npz", "numpy")):  # beside the card of another export
        (run / file).write_bytes(own)
        assert f"'run/{file}' exists, and is not from an" in refusal(main, "run", "--to", to, "--out", "run/own")
        assert (run / file).read_bytes() == own
        main(["run", "--to", to, "--out", "run/own", "--force"])
        main(["run", "--to", to, "--out", "run/own"])
    main(["run", "--to", "c", "--out", "run/own", "--hessian"])
    main(["run", "--to", "torch"])
    main(["run", "--to", "numpy"])
    module = (run / "function.py").read_bytes()
    assert "'run/function.py' exists, and is not from an" in refusal(main, "run", "--to", "casadi")
    assert (run / "function.py").read_bytes() == module


def test_an_interrupted_export_leaves_no_part_of_a_file(run, monkeypatch):
    def interrupt(descriptor):
        if len(before) < len(list(run.iterdir())) - 1:  # beside the part of the second file
            raise KeyboardInterrupt

    before = {path.name for path in run.iterdir()}
    monkeypatch.setattr("os.fsync", interrupt)
    with pytest.raises(SystemExit, match="error: interrupted"):
        main(["run", "--to", "numpy"])
    assert {path.name for path in run.iterdir()} - before == {"function.json"}
    json.loads((run / "function.json").read_text())


def test_a_sweep_over_seeds(trained, tmp_path, capsys):
    short = ("model.width=8", "trainer.max_steps=4", "trainer.progress_bar=false", "hydra.launcher.processes=1")
    folder, _ = trained("-m", "seed=0,1", *short, "search.compare=false", "hydra.sweep.dir=sweep")
    shutil.copytree(folder / "sweep", tmp_path / "sweep")
    main([str(tmp_path / "sweep"), "--to", "numpy"])
    results = runpy.run_path(str(tmp_path / "sweep" / "function.py"))["value_and_derivative"](np.zeros((3, 1)))
    u = runge.load(folder / "sweep")
    np.testing.assert_allclose(results[0], u(np.zeros(3)), rtol=1e-5)
    np.testing.assert_allclose(results[3][:, 0], u.derivative_std(np.zeros(3)), rtol=1e-4)
    write_answer(tmp_path / "sweep", ["1", "0"])
    main([str(tmp_path / "sweep"), "--to", "numpy"])
    module = runpy.run_path(str(tmp_path / "sweep" / "function.py"))
    u, x = runge.load(tmp_path / "sweep"), np.linspace(-1, 1, 5)
    expected = [*u.value_and_derivative(x), *u.value_and_derivative_std(x)]
    for result, part in zip(module["value_and_derivative"](x[:, None]), expected, strict=True):
        np.testing.assert_allclose(result.reshape(5), part, rtol=1e-4, atol=1e-6)
    write_answer(tmp_path / "sweep", ["1"])
    main([str(tmp_path / "sweep"), "--to", "numpy"])
    module = runpy.run_path(str(tmp_path / "sweep" / "function.py"))
    assert len(module["value_and_derivative"](x[:, None])) == 2
