"""Write a trained function for other programs, its value and derivatives: as ONNX, PyTorch, NumPy, CasADi or C."""

import errno
import os
from pathlib import Path

from runge.export.c_source import c_source
from runge.export.casadi_source import casadi_source
from runge.export.numpy_source import numpy_source
from runge.export.onnx_model import onnx_model
from runge.export.program import torch_program
from runge.function import Function
from runge.records.files import write

__all__ = ["FORMATS", "export"]

FORMATS = {
    "onnx": onnx_model,
    "torch": torch_program,
    "numpy": numpy_source,
    "casadi": casadi_source,
    "c": c_source,
}
"""The formats by name: each returns the content of its files by their suffixes, last the one that a user opens."""

WITH_INTERVALS = ("onnx", "torch", "numpy")


def export(
    function: Function, to: str, path: str | os.PathLike[str], interval: float | None = None, hessian: bool = False
) -> Path:
    """Write a function's value and Jacobian for another program, each file completely or not at all.

    N points are the rows of x, (N, D); the results are u, (N,), and du, (N, D), or with P > 1 outputs (N, P) and
    (N, P, D). Of a sweep's function they are the means over its members; the standard deviations of both follow.
    With the Hessian d2u, (N, D, D) or (N, P, D, D), it is the third result.

    Args:
        function: a trained function, from `runge.load`; `to` changes its precision.
        to: the format, a key of `FORMATS`.
        path: the file; the format's suffix is added if it is missing, and the result is returned.
        interval: the level of intervals, such as 0.9, whose lower and upper ends follow, of u and then of du, as
            `Function.value_and_derivative_interval`; None: without them.
        hessian: whether the Hessian is written too, as `Function.value_derivative_hessian`.

    Raises:
        ValueError: there is no such format, or it does not support the function's activation, or intervals; or there
            are too few rows for their level; or the file's name cannot be that of a function in C.
        ImportError: the packages of the extra `onnx` are missing.
        OSError: the file cannot be written.
    """
    if to not in FORMATS:
        raise ValueError(f"to: must be one of {', '.join(FORMATS)}, got {to!r}")
    if interval is not None:
        if to not in WITH_INTERVALS:
            raise ValueError(f"interval: {to} has the mean alone; {', '.join(WITH_INTERVALS)} have intervals")
        function.calibration.factors(interval)
    files = FORMATS[to](function, interval, hessian, os.path.basename(path))
    *_, last = files
    stem = os.fspath(path).removesuffix(last)
    for name in filter(os.path.isdir, (os.fspath(path), stem + last)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
    for suffix, content in files.items():
        write(Path(stem + suffix), content)
    return Path(stem + last)
