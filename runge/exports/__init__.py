"""Write a trained function for other programs, its value and derivatives: as ONNX, NumPy, CasADi or C."""

import errno
import json
import keyword
import os
import sys
from pathlib import Path

from runge.configuration.errors import ConfigurationError
from runge.exports.c_source import c_source
from runge.exports.card import LICENSE, card
from runge.exports.casadi_source import casadi_source
from runge.exports.numpy_source import numpy_source
from runge.exports.onnx_model import onnx_model
from runge.function.function import Function
from runge.records.files import read_json, write
from runge.sobolev.any_network import AnyNetwork

__all__ = ["FORMATS", "card", "export"]

FORMATS = {"onnx": onnx_model, "numpy": numpy_source, "casadi": casadi_source, "c": c_source}
"""The formats by name: each returns the content of its files by their suffixes, last the file that a user opens."""

_WITH_INTERVALS = ("onnx", "numpy")
"""The formats with intervals."""

_IMPORTED = ("numpy", "casadi")
"""The formats that are modules of Python."""


def export(
    function: Function,
    to: str,
    path: str | os.PathLike[str],
    level: float | None = None,
    hessian: bool = False,
    *,
    force: bool = False,
) -> Path:
    """Write a function's value and Jacobian for another program, each file completely or not at all.

    Its model card, `card`, is written beside it, as a file of this name with the suffix .json.

    N points are the rows of x, (N, D); the results are u, (N,), and du, (N, D), or with P > 1 outputs (N, P) and
    (N, P, D). Of a sweep's function they are the means over its members; the standard deviations of both follow.
    With the Hessian d2u, (N, D, D) or (N, P, D, D), it is the third result.

    Args:
        function: a trained function, from `runge.load`; `to` changes its precision.
        to: the format, a key of `FORMATS`.
        path: the file; the format's suffix is added if it is missing, and the result is returned.
        level: the level of intervals, such as 0.9, whose lower and upper ends follow, of u and then of du, as
            `Function.value_and_derivative_interval`; None: without them.
        hessian: whether the Hessian is written too, as `Function.value_derivative_hessian`.
        force: whether to overwrite files; a card of an earlier export always is, another JSON file never.

    Raises:
        ValueError: there is no such format, or it does not support the function's activation, or intervals; there are
            too few rows for their level; the name is no name of a module in Python, or of a function in C; or a file
            would be overwritten.
        ImportError: the packages of the extra `onnx` are missing.
        OSError: the file cannot be written.
    """
    if to not in FORMATS:
        raise ValueError(f"to: must be one of {', '.join(FORMATS)}, got {to!r}")
    if own := [network.activation_name for network in function.networks if isinstance(network, AnyNetwork)]:
        raise ConfigurationError(
            f"model: must be an MLP of an Activation to be exported, got {own[0]}, a torch.nn.Module"
        )
    directory, name = os.path.split(path)
    if not os.path.isdir(directory or "."):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), directory)
    if to in _IMPORTED and not _can_be_imported(name.removesuffix(".py")):
        rule = "must be a file that Python can import: letters, digits and _, and not the name of another module"
        raise ValueError(f"path, --out: {rule}; got {name!r}")
    if level is not None:
        if to not in _WITH_INTERVALS:
            raise ValueError(f"level, --interval: {to} has the mean alone; {', '.join(_WITH_INTERVALS)} have intervals")
        function.calibration.factors(level)
    files = FORMATS[to](function, level, hessian, name)
    *_, last = files
    stem = os.fspath(path).removesuffix(last)
    facts = json.dumps(card(function, level), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    contents = {Path(stem + suffix): content for suffix, content in {".json": facts.encode(), **files}.items()}
    for file in filter(Path.is_dir, (Path(path), *contents)):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(file))
    for file in filter(Path.exists, contents):
        if file.suffix != ".json" and not force:
            raise ValueError(f"path, --out: {os.fspath(file)!r} exists; --force overwrites it")
        if file.suffix == ".json" and not _is_card(file):
            raise ValueError(f"path, --out: {os.fspath(file)!r} exists, and is no model card; --out FILE names another")
    for file, content in contents.items():
        write(file, content)
    return Path(stem + last)


def _can_be_imported(name: str) -> bool:
    taken = keyword.iskeyword(name) or name in sys.stdlib_module_names or name in _IMPORTED
    return name.isidentifier() and not taken


def _is_card(path: Path) -> bool:
    try:
        return read_json(path).get("license") == LICENSE
    except ConfigurationError:
        return False
