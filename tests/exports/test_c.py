"""The C function in threads, with its card, and in Fortran."""

import ctypes
import itertools
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import torch

from runge.exports import export
from runge.function.function import Function
from tests.conftest import ROOT
from tests.exports.formats import DOUBLE, SINGLE, architectures, compiled, function, library

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
    several, x = architectures(dimension=2, outputs=3), np.array([0.3, 0.4])
    u = Function([one.networks[0] for one in several], outputs=several[0].outputs)
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
    lines = (ctypes.c_char_p * 1000).in_dll(library(source), "u_card")
    text = b"\n".join(itertools.takewhile(lambda line: line is not None, lines)).decode()
    assert json.loads(text) == json.loads((tmp_path / "u.json").read_text())
    # Doubles, because a compiler may read -1e-09f with more digits than 32 bits have.
    assert "\n.5,-9.999999717180685e-10,0,-.12345679104328156," in source.read_text()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_the_program_of_the_page_from_a_solver_to_c(tmp_path):
    u = function(dimension=7, outputs=2)
    export(u, "c", tmp_path / "wing.c")
    page = (ROOT / "docs/howto/solver_to_c.md").read_text()
    program, build = re.search(r"```c\n(.*?)```", page, re.DOTALL), re.search(r"\$ (gcc .*) && ./main", page)
    assert program is not None
    assert build is not None
    (tmp_path / "main.c").write_text(program[1].replace("1000000", "100"))
    subprocess.run([*build[1].split(), "-Wall", "-Werror"], cwd=tmp_path, check=True)
    lines = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, check=True, text=True).stdout.splitlines()
    u0, du = u.value_and_derivative(np.array([250, 3, 0.7, 1e6, 0, 2, 4]))
    printed = [float(word) for word in lines[0].split()[1::2]]  # after the names
    np.testing.assert_allclose(printed, [*u0, du[0, 1], 0], rtol=0, atol=1e-6)
    assert lines[2] == "alpha 9: outside 1"


@pytest.mark.skipif(shutil.which("gfortran") is None, reason="needs gfortran")
def test_fortran(tmp_path):
    """The program of docs/howto/export.md."""
    u = function(dimension=7, outputs=2)
    source = export(u, "c", tmp_path / "wing.c", hessian=True)
    program = re.search(r"```fortran\n(.*?)```", (ROOT / "docs/howto/export.md").read_text(), re.DOTALL)
    assert program is not None
    (tmp_path / "main.f90").write_text(program[1])
    compiled(source, "-c", suffix=".o")
    build = ["gfortran", "-std=f2008", "-Wall", "-Werror", "main.f90", "wing.o", "-o", "main", "-lm"]
    subprocess.run(build, cwd=tmp_path, check=True)
    printed = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, check=True, text=True).stdout
    u0, du, d2u = u.value_derivative_hessian(np.array([250, 3, 0.7, 1e6, 0, 2, 4]))
    np.testing.assert_allclose([float(word) for word in printed.split()], [u0[1], du[1, 0], d2u[1, 0, 1]], rtol=1e-12)
