"""Functions to export, and their files of every format as functions of NumPy arrays, compared with the originals."""

import copy
import ctypes
import importlib
import itertools
import runpy
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from runge.exports import export
from runge.function.function import Function
from runge.sobolev.activations import ACTIVATIONS
from runge.sobolev.network import StackedMLP
from runge.sobolev.units import Units
from tests.conftest import model

DOUBLE, SINGLE = torch.float64, torch.float32
FORMATS = ("c", "casadi", "numpy", "onnx")
STRICT = ("-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic")
# The activation, depth, inputs, outputs, units and precision of a network.
KINDS = (False, DOUBLE), (True, SINGLE), (False, SINGLE)
ALL = list(itertools.product(ACTIVATIONS, (1, 2, 3, 4), (1, 2, 3, 4, 5, 6), (1, 2, 3), KINDS))
FEW = [(name, 1 + i % 3, 1 + i % 4, 1 + i % 3, KINDS[i % 3]) for i, name in enumerate(ACTIVATIONS)]
# Its operations are not in ONNX Runtime in double precision, as those of softplus, which other tests export.
FEW_ONNX = [("gelu", 2, 2, 3, (True, SINGLE))]


def function(
    activation="tanh", depth=2, dimension=1, outputs=1, dtype=DOUBLE, units=False, logs=None, **configuration
) -> Function:
    lengths, heights = torch.arange(1, 1 + dimension, dtype=DOUBLE), torch.arange(1, 1 + outputs, dtype=DOUBLE)
    made = Units(*(part[None] for part in (lengths / 7, lengths / 3, 2 - heights, heights * 0.3)), logs=logs)
    network = StackedMLP(
        model(activation=activation, depth=depth, width=6, init="knots"),
        domains=torch.tensor([[-1.0, 1.1], [0.0, 3.0], [10.0, 10.5]], dtype=DOUBLE).repeat(3, 1)[None, :dimension],
        generators=[torch.Generator().manual_seed(0)],
        dtype=dtype,
        outputs=outputs,
        units=made if units else None,
    )
    return Function(network, configuration, outputs=["f"] if outputs == 1 else list("abc")[:outputs]).eval()


def architectures(**shape) -> list[Function]:
    """Return functions with different networks: one has another precision, and one no units."""
    shapes = [("gelu", 2, True, DOUBLE), ("softplus", 1, False, DOUBLE), ("tanh", 3, True, SINGLE)]
    keys = ("activation", "depth", "units", "dtype")
    return [function(**dict(zip(keys, one, strict=True)), **shape) for one in shapes]


def points(u: Function, n: int = 50) -> np.ndarray:
    """Return points in and around the box of u, (n, D), in the precision that it takes."""
    network = u.networks[0]
    lower, upper = np.tile([[-2.0, -1.0, 9.5], [2.0, 4.0, 11.0]], 2)[:, : network.dimension]
    x = np.random.default_rng(n).uniform(lower, upper, (n, network.dimension))
    return torch.from_numpy(x).to(network.theta if network.units is None else DOUBLE).numpy()


def compiled(source: Path, *options: str, suffix: str) -> Path:
    file = source.with_suffix(suffix)
    subprocess.run(["cc", *STRICT, *options, str(source), "-o", str(file), "-lm"], check=True)
    return file


def library(source: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(compiled(source, "-shared", "-fPIC", suffix=".so")))


def needs(to: str) -> None:
    """Skip a test if the packages of a format are missing."""
    for package in {"casadi": ["casadi"], "onnx": ["onnx", "onnxscript", "onnxruntime"]}.get(to, []):
        pytest.importorskip(package, reason=f"needs the package {package}")


def load(u: Function, to: str, path: Path, *, hessian: bool = False, **options) -> Callable[[np.ndarray], list]:
    """Export u, and return the file's function of x, (N, D): a list of u, (N, P), du, (N, P, D), and so on.

    The axis of one output is left out in files for tables of points (NumPy and ONNX), and here for the others. The
    test is skipped if the packages of the format are missing.
    """
    needs(to)
    file = export(u, to, path, hessian=hessian, force=True, **options)
    if to == "numpy":
        return runpy.run_path(str(file))["value_and_derivative"]
    if to == "onnx":
        session = importlib.import_module("onnxruntime").InferenceSession(file)
        return lambda x: session.run(None, {"x": x})
    call = _of_c(file, len(u.outputs), hessian) if to == "c" else _of_casadi(file, len(u.outputs), hessian)
    return lambda x: [part[:, 0] if len(u.outputs) == 1 else part for part in call(x.astype(float))]


def _of_c(source: Path, outputs: int, hessian: bool) -> Callable[[np.ndarray], list]:
    call = getattr(library(source), source.stem)
    call.restype, call.argtypes = None, [np.ctypeslib.ndpointer(float, flags="C")] * (3 + hessian)

    def compute(x):
        results = [np.full((len(x), outputs, *x.shape[1:] * order), np.nan) for order in range(2 + hessian)]
        for i, point in enumerate(x):
            call(point, *(result[i] for result in results))
        return results

    return compute


def _of_casadi(file: Path, outputs: int, hessian: bool) -> Callable[[np.ndarray], list]:
    whole = runpy.run_path(str(file))["function"](hessian=hessian)

    def compute(x):
        n, d = x.shape
        u, du, *d2u = whole.call([x.T])
        return [
            u.full().T,
            np.moveaxis(du.full().reshape(outputs, n, d), 1, 0),
            *(np.moveaxis(part.full().reshape(outputs, d, n, d), 2, 0) for part in d2u),
        ]

    return compute


def exact(u: Function, to: str, x: np.ndarray, hessian: bool = False) -> tuple[np.ndarray, ...]:
    """Return what the file of u must give at x, in the precision in which the format computes."""
    original = u if to == "onnx" else copy.deepcopy(u).to(DOUBLE)  # ONNX has the precision of the network
    x = x if to == "onnx" else x.astype(float)
    return original.value_derivative_hessian(x) if hessian else original.value_and_derivative(x)


def matches(
    results: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    tolerance: float = 1e-12,
    elsewhere: Sequence[np.ndarray] = (),
) -> None:
    """Compare results at points with the expected ones, relative to their size, also at other points, if it is above 1.

    Round-off is that of the terms of a derivative, which may cancel at a point.
    """
    assert len(results) == len(expected)
    for result, part, more in zip(results, expected, elsewhere or expected, strict=True):
        assert np.size(result) == np.size(part)
        assert len(result) == len(part)
        error = np.abs(np.asarray(result) - part.reshape(np.shape(result))).max(initial=0)
        assert error <= tolerance * max(1, np.abs(part).max(initial=0), np.abs(more).max(initial=0))
