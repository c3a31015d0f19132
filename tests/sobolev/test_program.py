"""The C++ file as a program of its own: with sanitizers on this machine, and for ARM in an emulator."""

import ctypes
import itertools
import shutil
import subprocess
from functools import cache

import pytest
import torch

from runge.sobolev import kernel, library, losses
from runge.sobolev.kernel import Kernel
from tests.conftest import ROOT
from tests.sobolev.test_adam import METHODS, course, follow
from tests.sobolev.test_kernel import compare, no_kernel, problem

ARM = ["aarch64-linux-gnu-g++"], ["qemu-aarch64", "-L", "/usr/aarch64-linux-gnu"]
SANITIZED = ["g++", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"], []
missing = [name for name in (ARM[0][0], ARM[1][0]) if shutil.which(name) is None]


class Program:
    """A program with the functions of `library.Library`, whose data it reads from a file and writes back."""

    def __init__(self, compiler, runner, activation, dtype, folder):
        self.run, self.arguments = [*runner, str(folder / f"{activation}-{dtype}")], folder / "data"
        self.size = dtype.itemsize
        own = library.Library(activation, dtype)
        self.stack, self.steps = own.stack, own.steps
        flags = [flag for flag in library.flags_of(activation, dtype) if flag not in ("-shared", "-O2")]
        source = ROOT / "tests" / "sobolev" / "program.cpp"
        paths = [f"-I{ROOT / 'runge' / 'sobolev'}", str(source), "-o", self.run[-1]]
        subprocess.run([*compiler, "-O0", "-fopenmp", *flags, *paths, "-lm"], check=True)

    def workspace_of_a_thread(self, _):
        return 0  # the program has its own

    def loss_and_gradient(self, net, _, threads):
        self._call("l", net, self.steps(**{name: 0 for name, _ in self.steps._fields_}), threads)

    def adam(self, net, steps, _, threads):
        self._call("a", net, steps, threads)

    def _call(self, name, net, steps, threads):
        m, n, d, p, width = net.members, net.all, net.dimension, net.outputs, net.width
        parameters = (d + 1) * width + (net.depth - 1) * (width + 1) * width + (width + 1) * p
        count, slices = max(1, steps.count), m * net.slices
        numbers = dict.fromkeys(("f", "weight_f", "u"), m * n * p)
        numbers |= dict.fromkeys(("df", "weight_df", "du"), m * n * p * d)
        numbers |= dict.fromkeys(("theta", "mean", "square"), m * parameters)
        numbers |= dict.fromkeys(("input_scale", "input_shift"), m * d) | {"x": m * n * d, "scale": m, "loss": slices}
        numbers |= {"gradient": slices * parameters, "lambda_d": count * m}
        numbers |= {"batch": count * m * net.points, "rates": count * m}
        parts = []
        for struct in (net, steps):
            for key, kind in struct._fields_:
                if kind is ctypes.c_void_p:
                    size = 8 if key in ("batch", "rates") else self.size
                    parts.append((getattr(struct, key), numbers[key] * size if getattr(struct, key) else 0))
        head = [(ctypes.c_int64 * 2)(ord(name), threads), net, steps]
        tail = [part for at, n in parts for part in (ctypes.c_int64(n), ctypes.string_at(at, n) if n else b"")]
        self.arguments.write_bytes(b"".join(bytes(part) for part in (*head, *tail)))
        done = subprocess.run([*self.run, str(self.arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        result = memoryview(self.arguments.read_bytes())
        for (address, size), end in zip(parts, itertools.accumulate(size for _, size in parts), strict=True):
            ctypes.memmove(address, bytes(result[end - size : end]), size)


@pytest.fixture(
    params=[
        pytest.param(
            SANITIZED,
            id="sanitized",
            marks=[pytest.mark.nightly, pytest.mark.skipif(no_kernel, reason="Linux only")],
        ),
        pytest.param(
            ARM,
            id="ARM",
            marks=[pytest.mark.nightly, pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")],
        ),
    ]
)
def _program(request, monkeypatch, tmp_path):
    monkeypatch.setattr(kernel, "library_of", cache(lambda *kind: Program(*request.param, *kind, tmp_path)))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)


@pytest.mark.usefixtures("_program")
def test_the_program_equals_the_reference():
    """Use several blocks and slices, inputs and outputs, widths that fill panels, halves, and neither; and Adam."""
    for sizes in ({"width": 64, "points": 1100}, {"width": 19, "depth": 3, "dimension": 2, "outputs": 5}):
        compare(problem(2, "gelu", **sizes), "gelu")
    for name, sizes in (
        ("clipped adamw", {"batch": 7}),
        ("adamw", {"points": 1100, "dimension": 2, "outputs": 5, "width": 19}),
    ):
        functions = Kernel("gelu", torch.float64), losses.loss_and_gradient
        courses = [course(function, activation="gelu", **sizes) for function in functions]
        theta, expected = (follow(METHODS[name], steps, end=3)[0] for steps in courses)
        torch.testing.assert_close(theta, expected, rtol=1e-8, atol=1e-10)
