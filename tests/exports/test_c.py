"""The C function gives what the fitted function gives, to 1e-12, and compiles without a warning."""

import ctypes
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from runge.exports import export
from runge.function.function import Function
from runge.records.calibration import Calibration
from runge.sobolev.activations import ACTIVATIONS
from tests.conftest import ROOT
from tests.exports.test_formats import DOUBLE, SINGLE, function, points

STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
ALL = list(itertools.product(ACTIVATIONS, (1, 2, 3, 4), (1, 2, 3, 4, 5, 6), (1, 2, 3)))
FEW = [(name, 1 + i % 3, 1 + i % 4, 1 + i % 3) for i, name in enumerate(ACTIVATIONS)]


def pytest_generate_tests(metafunc):
    if "network" in metafunc.fixturenames:
        metafunc.parametrize("network", ALL if metafunc.config.getoption("--exports") == "all" else FEW, ids=str)


def compiled(source: Path, *options: str, suffix: str) -> Path:
    file = source.with_suffix(suffix)
    subprocess.run(["cc", *STRICT, *options, str(source), "-o", str(file), "-lm"], check=True)
    return file


def called(source: Path, u: Function, x: np.ndarray, hessian: bool) -> list[np.ndarray]:
    """Call the compiled function of a file at x, (N, D)."""
    call = getattr(ctypes.CDLL(str(compiled(source, "-shared", "-fPIC", suffix=".so"))), source.stem)
    call.restype, call.argtypes = None, [np.ctypeslib.ndpointer(float, flags="C")] * (3 + hessian)
    d, p = len(u.inputs), len(u.outputs)
    results = [np.full((len(x), p, *[d] * order), np.nan) for order in range(2 + hessian)]
    for i, point in enumerate(x):
        call(point, *(result[i] for result in results))
    return results


def assert_equal(results, u: Function, x: np.ndarray) -> None:
    u = u.to(DOUBLE)
    for result, expected in zip(results, u.value_derivative_hessian(x[:, 0] if x.shape[1] == 1 else x), strict=False):
        error = np.abs(result - expected.reshape(result.shape)).max()
        assert error <= 1e-12 * max(1, np.abs(expected).max())


def of_several(**shape) -> Function:
    """The mean of three architectures."""
    shapes = [("gelu", 2, True, DOUBLE), ("softplus", 1, False, DOUBLE), ("tanh", 3, True, SINGLE)]
    keys = ("activation", "depth", "units", "dtype")
    networks = [function(**dict(zip(keys, one, strict=True)), **shape).networks[0] for one in shapes]
    return Function(networks, outputs=function(**shape).outputs)


def test_every_network(network, tmp_path):
    u = function(*network, units=True)
    x = points(u).numpy()
    for hessian in (False, True):
        source = export(u, "c", tmp_path / f"u{hessian}", hessian=hessian)
        assert_equal(called(source, u, x, hessian), u, x)
        assert all(np.isfinite(part).all() for part in called(source, u, 1e200 * x, hessian))
        assert all(np.isnan(part).any() for part in called(source, u, np.nan * x[:1], hessian)[:1])


def test_means_of_several_networks(tmp_path):
    u = of_several(dimension=2, outputs=3)
    x = points(u).numpy()
    assert_equal(called(export(u, "c", tmp_path / "mean.c", hessian=True), u, x, True), u, x)


THREADS = """
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include "mean.h"

static double results[4][21];

static void *run(void *result)
{
    double x[2] = {0.3, 0.4}, u[3], du[3][2], d2u[3][2][2];
    for (int i = 0; i < 1000; i++) mean(x, u, du, d2u);
    memcpy(result, u, sizeof u);
    memcpy((double *)result + 3, du, sizeof du);
    memcpy((double *)result + 9, d2u, sizeof d2u);
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, run, results[i]);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 21; j++) printf("%.17g ", results[i][j]);
    return 0;
}
"""


def test_threads_and_memory(tmp_path):
    u, x = of_several(dimension=2, outputs=3), np.array([0.3, 0.4])
    export(u, "c", tmp_path / "mean.c", hessian=True)
    (tmp_path / "main.c").write_text(THREADS)
    checks = ("-fsanitize=undefined,address", "-fno-sanitize-recover=all", "-pthread", str(tmp_path / "mean.c"))
    printed = subprocess.run([compiled(tmp_path / "main.c", *checks, suffix="")], capture_output=True, check=True)
    expected = np.concatenate([part.ravel() for part in u.to(DOUBLE).value_derivative_hessian(x)])
    np.testing.assert_allclose(np.reshape(printed.stdout.split(), (4, 21)).astype(float), [expected] * 4, rtol=1e-12)


def test_the_card_and_the_numbers(tmp_path):
    network = function(dimension=2, dtype=SINGLE).networks[0]
    with torch.no_grad():
        network.theta[0, 18:22] = torch.tensor([0.5, -1e-9, 0.0, -0.123456789])  # of the second layer
    u = Function(network, inputs=['a*/"b', "c??/\\é\n"])
    source = export(u, "c", tmp_path / "u")
    lines = (ctypes.c_char_p * 1000).in_dll(
        ctypes.CDLL(str(compiled(source, "-shared", "-fPIC", suffix=".so"))), "u_card"
    )
    text = b"\n".join(itertools.takewhile(lambda line: line is not None, lines)).decode()
    assert json.loads(text) == json.loads((tmp_path / "u.json").read_text())
    assert "\n.5,-1e-09f,0,-.12345679f," in source.read_text()


@pytest.mark.skipif(shutil.which("gfortran") is None, reason="needs gfortran")
def test_fortran(tmp_path):
    """The program of docs/howto/export.md."""
    u = function(dimension=2, outputs=3)
    source = export(u, "c", tmp_path / "wing.c", hessian=True)
    program = re.search(r"```fortran\n(.*?)```", (ROOT / "docs/howto/export.md").read_text(), re.DOTALL)
    assert program is not None
    (tmp_path / "main.f90").write_text(program[1])
    compiled(source, "-c", suffix=".o")
    build = ["gfortran", "-std=f2008", "-Wall", "-Werror", "main.f90", "wing.o", "-o", "main", "-lm"]
    subprocess.run(build, cwd=tmp_path, check=True)
    printed = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    u0, du, d2u = u.value_derivative_hessian(np.array([0.1, 0.2]))
    np.testing.assert_allclose([float(word) for word in printed.split()], [u0[1], du[1, 0], d2u[1, 0, 1]], rtol=1e-12)


def test_what_has_no_function_in_c(tmp_path, monkeypatch):
    rule = "path, --out: the file's name is that of the function: it must be a C identifier .*; got "
    for name in ("my-run", "3d", "été", "int", "class", "tanh", "main", "time", "size_t", "NAN", "NULL", "_x", "u.h"):
        with pytest.raises(ValueError, match=rule + repr(name)):
            export(function(), "c", tmp_path / name)
    found = Calibration((0.1,) * 2, ((0.5, 1.0),) * 2, (2,) * 2, local=False)
    u = Function(function().networks[0], calibration=found)
    with pytest.raises(ValueError, match="interval: c has the mean alone; onnx, torch, numpy have intervals"):
        export(u, "c", tmp_path / "u", interval=0.5)
    monkeypatch.setitem(ACTIVATIONS, "mine", ACTIVATIONS["sin"])
    with pytest.raises(ValueError, match=r"model\.activation: c supports tanh, .*, got 'mine'; onnx and torch"):
        export(function("mine"), "c", tmp_path / "u")
    assert not list(tmp_path.iterdir())
