"""The compiled step for ARM, in an emulator, against torch's results on this machine."""

import ctypes
import itertools
import shutil
import subprocess
from functools import cache

import pytest
import torch

from runge.sobolev import kernel, losses
from runge.sobolev.kernel import Kernel
from runge.sobolev.likelihood import Likelihood
from tests.conftest import ROOT
from tests.sobolev.test_compilation import close, stack
from tests.test_at_once import METHODS, compiled, course, follow

COMPILER, EMULATOR, LIBRARIES = "aarch64-linux-gnu-g++", "qemu-aarch64", "/usr/aarch64-linux-gnu"
missing = [name for name in (COMPILER, EMULATOR) if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


class Emulated:
    """A file that is compiled for ARM, with the functions of the library that `Kernel` calls."""

    def __init__(self, activation, dtype, folder):
        self.path, self.arguments = folder / f"{activation}-{dtype}", folder / "arguments"
        self.size = dtype.itemsize
        source = ROOT / "tests" / "sobolev" / "emulated.cpp"
        flags = [flag for flag in kernel._FLAGS if flag != "-shared"]
        flags += ["-fopenmp", f"-DACTIVATION={activation}_", f"-DReal={kernel._REAL[dtype]}"]
        command = [COMPILER, *flags, f"-I{ROOT / 'runge' / 'sobolev'}", str(source), "-o", str(self.path), "-lm"]
        subprocess.run(command, check=True)

    def workspace_of_a_thread(self, _):
        return 0  # the emulated program has its own

    def loss_and_gradient(self, net, _, threads):
        self._call("l", net, kernel._Steps(), threads)

    def adam(self, net, steps, _, threads):
        self._call("a", net, steps, threads)

    def _call(self, name, net, steps, threads):
        m, n, d, p, width = net.members, net.all, net.dimension, net.outputs, net.width
        parameters = (d + 1) * width + (net.depth - 1) * (width + 1) * width + (width + 1) * p
        count, slices = max(1, steps.count), m * net.slices
        numbers = {"theta": m * parameters, "x": m * n * d, "f": m * n * p, "df": m * n * p * d}
        numbers |= {"weight_f": m * n * p, "weight_df": m * n * p * d, "input_scale": m * d, "input_shift": m * d}
        numbers |= {"scale": m, "lambda_d": count * m, "loss": slices, "gradient": slices * parameters}
        numbers |= {
            "of_channel": slices * p * (1 + d),
            "channels": slices * p * (1 + d),
            "u": m * n * p,
            "du": m * n * p * d,
            "batch": count * m * net.points,
            "rates": count * m,
        }
        numbers |= {"mean": m * parameters, "square": m * parameters}
        sizes = {key: 8 if key in ("batch", "rates") else self.size for key in numbers}
        parts = [
            (getattr(struct, key), numbers[key] * sizes[key] if getattr(struct, key) else 0)
            for struct, fields in ((net, kernel._Stack._fields_), (steps, kernel._Steps._fields_))
            for key, kind in fields
            if kind is ctypes.c_void_p
        ]
        head = [(ctypes.c_int64 * 2)(ord(name), threads), net, steps]
        tail = [
            part for at, size in parts for part in (ctypes.c_int64(size), ctypes.string_at(at, size) if size else b"")
        ]
        self.arguments.write_bytes(b"".join(bytes(part) for part in (*head, *tail)))
        subprocess.run([EMULATOR, "-L", LIBRARIES, str(self.path), str(self.arguments)], check=True)
        result = memoryview(self.arguments.read_bytes())
        for (address, size), end in zip(parts, itertools.accumulate(size for _, size in parts), strict=True):
            ctypes.memmove(address, bytes(result[end - size : end]), size)


@pytest.fixture
def emulated(monkeypatch, tmp_path):
    """Let each kernel be compiled for ARM and called in the emulator."""
    monkeypatch.setattr(kernel, "_library", cache(lambda activation, dtype: Emulated(activation, dtype, tmp_path)))
    monkeypatch.setattr(kernel, "suits_the_machine", lambda: True)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_the_kernel_on_arm(emulated, dtype, tolerance):
    """Use several blocks and slices, inputs and outputs, and widths that fill panels, halves, and neither."""
    one, lambda_d = torch.ones(2, dtype=dtype), torch.tensor([0.5, 0], dtype=dtype)
    for sizes in (
        {"width": 64, "points": 1100},
        {"width": 19, "depth": 3, "dimension": 2, "outputs": 2},
        {"width": 8, "depth": 3},
    ):
        network, points = stack(2, **sizes, dtype=dtype)
        actual = Kernel("tanh", dtype)(network, points, one, lambda_d)
        close(actual, losses.loss_and_gradient(network, points, one, lambda_d), tolerance)


@pytest.mark.parametrize("activation", ["gelu", "softplus", "sin"])
def test_the_functions_of_vectors_on_arm(emulated, activation):
    network, points = stack(2, activation)
    arguments = network, points, torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)
    close(Kernel(activation, torch.float64)(*arguments), losses.loss_and_gradient(*arguments), 1e-14)


def test_the_steps_on_arm(emulated):
    method = METHODS["clipped adamw"]
    theta, _, calls = follow(method, course(compiled(), batch=7))
    assert calls == 1
    expected, _, _ = follow(method, course(losses.loss_and_gradient, batch=7))
    torch.testing.assert_close(theta, expected, rtol=1e-11, atol=1e-13)


def test_the_steps_of_the_likelihood_on_arm(emulated):
    sizes = {"points": 1100, "dimension": 2, "outputs": 5, "width": 19}
    theta, _, calls = follow(METHODS["adamw"], course(Likelihood(compiled()), **sizes), end=3)
    assert calls == 1
    expected, _, _ = follow(METHODS["adamw"], course(Likelihood(losses.loss_and_gradient), **sizes), end=3)
    torch.testing.assert_close(theta, expected, rtol=1e-8, atol=1e-10)
