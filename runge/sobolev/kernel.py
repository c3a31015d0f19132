"""The loss and its gradient as machine code, from a C++ file of the package: the step of a run on a processor.

It takes 0.4 s to compile, once for each activation and precision, whatever the size of the network, and is kept on the
disk: in `RUNGE_CACHE_DIR`, or else with the user's other caches.
"""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from runge.machine import compiler
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

_SOURCE = Path(__file__).with_suffix(".cpp")
_FLAGS = ["-std=c++17", "-O2", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC"]
# GCC 12 makes one call of sin z and cos z, of which there is none for vectors.
_FLAGS += [f"-fno-builtin-{name}" for name in ("sin", "cos", "sinf", "cosf")]
_REAL = {torch.float32: "float", torch.float64: "double"}

ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin")
"""The activations that the file has; a user may have added others to `runge.sobolev.activations` alone."""

_NUMBERS, _POINTS = 2**13, 64
"""About so many values and tangents of a layer are passed at a time, that the cache may hold those of all layers; but
those of about so many points at the least, for the sake of the matrix products."""
_ROWS = 8
"""The file fills up a block to so many points, or a divisor of that."""
_BLOCKS = 8
"""So many blocks make a slice, at the least."""


class CompilationError(Exception):
    """The step cannot be compiled, or what was compiled cannot be loaded."""


class _Stack(ctypes.Structure):
    """`Stack` of the C++ file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("members", "points", "dimension", "depth", "width", "block", "slices")),
        *((name, ctypes.c_void_p) for name in ("theta", "x", "f", "df", "weight_f", "weight_df")),
        *((name, ctypes.c_void_p) for name in ("input_scale", "input_shift", "scale", "lambda_d", "loss", "gradient")),
    )


@cache
def suits_the_machine() -> bool:
    """Whether there is what the file asks for: GCC, and glibc with functions of vectors, on x86."""
    system = sys.platform == "linux" and platform.machine() == "x86_64" and platform.libc_ver()[0] == "glibc"
    return system and (command := compiler()) is not None and "clang" not in Path(command[0]).name


class Kernel:
    """`losses.loss_and_gradient`, compiled; the bits do not depend on the threads nor on the other members.

    Args:
        activation: one of `ACTIVATIONS`.
        dtype: float32 or float64.

    Raises:
        CompilationError: when it is called first.
    """

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        self.activation, self.dtype = activation, dtype
        self._workspace = torch.empty(0, dtype=dtype)

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The loss, (M,), and its gradient, (M, P); the arguments are those of `losses.loss_and_gradient`."""
        library = _library(self.activation, self.dtype)
        (members, n, dimension), (_, width) = points.x.shape, network.shapes[0]
        given = [network.theta, points.x, points.f, points.df, points.weight_f, points.weight_df]
        given = [self._contiguous(tensor) for tensor in (*given, network.scale, network.shift, scale)]
        weight = None if lambda_d is None else self._contiguous(lambda_d)
        blocks = -(-n // max(_POINTS, _NUMBERS // ((1 + dimension) * width)))
        block = -(-n // (blocks * _ROWS)) * _ROWS  # equal ones, but for the last
        slices = max(1, -(-n // block) // _BLOCKS)
        loss = torch.empty(members * slices, dtype=self.dtype)
        gradient = torch.empty(members * slices, network.theta.shape[1], dtype=self.dtype)
        stack = _Stack(
            *(members, n, dimension, len(network.shapes) - 1, width, block, slices),
            *(tensor.data_ptr() for tensor in given),
            *(None if weight is None else weight.data_ptr(), loss.data_ptr(), gradient.data_ptr()),
        )
        threads = min(torch.get_num_threads(), members * slices)
        needed = threads * library.workspace_of_a_thread(stack)
        if len(self._workspace) < needed:
            self._workspace = torch.empty(needed, dtype=self.dtype)
        library.loss_and_gradient(stack, self._workspace.data_ptr(), threads)
        if slices > 1:
            loss, gradient = (part.unflatten(0, (members, slices)).sum(1) for part in (loss, gradient))
        return loss, gradient

    def _contiguous(self, tensor: Tensor) -> Tensor:
        ready = tensor.dtype == self.dtype and tensor.is_contiguous()
        return tensor if ready else tensor.detach().to(self.dtype).contiguous()


@cache
def _library(activation: str, dtype: torch.dtype) -> ctypes.CDLL:
    """The compiled file, from the disk if it is there and whole."""
    flags = [*_FLAGS, f"-DACTIVATION={activation}_", f"-DReal={_REAL[dtype]}"]
    try:
        library = _load(flags)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        said = said or [f"{error.cmd[0]} ended with status {error.returncode} and no word"]
        raise CompilationError(next((line for line in said if "error" in line), said[0])) from error
    except OSError as error:
        raise CompilationError(str(error)) from error
    library.workspace_of_a_thread.argtypes = (ctypes.POINTER(_Stack),)
    library.workspace_of_a_thread.restype = ctypes.c_int64
    library.loss_and_gradient.argtypes = (ctypes.POINTER(_Stack), ctypes.c_void_p, ctypes.c_int64)
    library.loss_and_gradient.restype = None
    return library


def _load(flags: Sequence[str]) -> ctypes.CDLL:
    if (command := compiler()) is None:
        raise CompilationError("there is no C++ compiler")
    kept = None if (folder := _folder()) is None else folder / f"{_key(command, flags)}.so"
    if kept is not None and kept.exists():
        try:
            return ctypes.CDLL(str(kept))
        except OSError:  # it is damaged
            kept.unlink()
    with tempfile.TemporaryDirectory(dir=folder, prefix="runge-") as private:
        made = Path(private) / "kernel.so"
        call = [*command, str(_SOURCE), *flags, "-o", str(made), "-lm"]
        # Ctrl-C is for this process, which ends when its step is done.
        subprocess.run(call, check=True, capture_output=True, start_new_session=True)
        library = ctypes.CDLL(str(made))
        if kept is not None:
            made.replace(kept)
        return library


def _folder() -> Path | None:
    """Where compiled files are kept, if that can be written to, and by nobody else: they are run."""
    try:
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(os.environ.get("RUNGE_CACHE_DIR") or Path(caches) / "runge").absolute()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except (OSError, RuntimeError):  # the latter where the user has no home
        return None
    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
    return folder if ours and os.access(folder, os.W_OK) else None


def _key(command: Sequence[str], flags: Sequence[str]) -> str:
    """Of all that a compiled file depends on, and of the processor and the C library too, for a home may be shared."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    processor = [line for line in first_core.splitlines() if line.startswith(("model name", "flags"))]
    made = os.stat(command[0])
    compiler_is = [*command, str(made.st_size), str(made.st_mtime_ns), *platform.libc_ver()]
    return hashlib.sha256("\0".join([_SOURCE.read_text(), *flags, *compiler_is, *processor]).encode()).hexdigest()[:24]
