"""The loss and its gradient, and steps of Adam, on a CPU, compiled from the package's C++ file `kernel.cpp`.

Compiling takes 0.4 s, once per activation and precision, for networks of any size. The result is cached on disk, in
`RUNGE_CACHE_DIR` or in the user's cache directory.
"""

import ctypes
import hashlib
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from runge.cache import cache_folder
from runge.machine import compiler, step_seconds
from runge.sobolev.network import StackedMLP
from runge.sobolev.points import Points

_SOURCE = Path(__file__).with_suffix(".cpp")
_PARTS = (_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp")))
_FLAGS = ("-std=c++17", "-O2", "-w", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_NATIVE = {"x86_64": ("-march=native",), "aarch64": ()}
"""By processor: what lets the compiler use all of its vectors; ARM's are in every one of 64 bits."""
_REAL = {torch.float32: "float", torch.float64: "double"}

ACTIVATIONS = tuple(re.findall(r"^struct (\w+)_ {$", _SOURCE.with_name("activations.hpp").read_text(), re.MULTILINE))
"""The activations in the C++ file; users may add others to `runge.sobolev.activations` only."""

_NUMBERS, _POINTS = 2**13, 64
"""The size of a block of points: about 2**13 values and tangents per layer, so that all layers fit in the cache, but at
least about 64 points, so that the matrix products are efficient."""
_ROWS, _BLOCKS = 8, 8
"""A block is padded to a multiple of 8 points, or of a divisor of 8, and a slice, the work of a thread, has at least
8 blocks, or a share of them with 15 inputs or more, where a block takes longer."""
_SECONDS = 0.05
"""About how long the steps of one call take."""


class CompilationError(Exception):
    """The step cannot be compiled, or the compiled file cannot be loaded."""


_SIZES = ("members", "points", "dimension", "outputs", "depth", "width", "block", "slices", "all")


class _Stack(ctypes.Structure):
    """The struct `Stack` of the C++ file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in ("theta", "x", "f", "df", "weight_f", "weight_df")),
        *((name, ctypes.c_void_p) for name in ("input_scale", "input_shift", "scale", "lambda_d", "of_channel")),
        *((name, ctypes.c_void_p) for name in ("loss", "gradient", "channels", "u", "du", "batch")),
    )


class _Steps(ctypes.Structure):
    """The struct `Steps` of the C++ file."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("count", "before")),
        *((name, ctypes.c_double) for name in ("beta_1", "beta_2", "epsilon", "decay", "longest")),
        *((name, ctypes.c_void_p) for name in ("rates", "mean", "square")),
    )


@dataclass(frozen=True)
class AdamSteps:
    """Consecutive steps of Adam or AdamW.

    Attributes:
        lambda_d: the weight of MSE_df at each step, (K, M).
        batch: the points of each step's mini-batch, (K, M, B); None: all points at each step.
        rates: the learning rates, (K, M), in float64.
        taken: the number of steps before these.
        mean: the average of the gradient, (M, W), which is updated.
        square: the average of its square, (M, W), likewise.
        betas: the decay rates of both averages.
        epsilon: what is added to the root of the square.
        decay: the weight decay in units of the learning rate.
        longest: the norm to which a member's gradient is clipped; infinity: no limit.
        likelihood: true: minimise the loss of `runge.sobolev.likelihood`, where lambda_d is 0 or 1.
    """

    lambda_d: Tensor
    batch: Tensor | None
    rates: Tensor
    taken: int
    mean: Tensor
    square: Tensor
    betas: tuple[float, float]
    epsilon: float
    decay: float
    longest: float
    likelihood: bool = False

    def as_struct(self) -> _Steps:
        """Return the struct, with the addresses of these tensors."""
        return _Steps(
            *(len(self.rates), self.taken, *self.betas, self.epsilon, self.decay, self.longest),
            *(self.rates.data_ptr(), self.mean.data_ptr(), self.square.data_ptr()),
        )


@cache
def suits_the_machine() -> bool:
    """Return whether the file is for this machine, Linux on x86 or ARM, and there is a compiler."""
    return sys.platform == "linux" and platform.machine() in _NATIVE and compiler() is not None


class Kernel:
    """A compiled `losses.loss_and_gradient`; a member's bits do not depend on the threads or on the other members.

    Args:
        activation: one of `ACTIVATIONS`.
        dtype: float32 or float64.

    Raises:
        CompilationError: in the first call.
    """

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        self.activation, self.dtype = activation, dtype
        self._workspace = torch.empty(0, dtype=dtype)

    def prepare(self) -> None:
        """Compile or load the file now, and not in the first call."""
        _library(self.activation, self.dtype)

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, (M,), and its gradient, (M, W), as `losses.loss_and_gradient` does."""
        results = {"loss": (), "gradient": network.theta.shape[1:]}
        loss, gradient = self._call(network, points.x, _labels(points), scale, lambda_d, results)
        return loss, gradient

    def channels(self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None) -> Tensor:
        """Return the error of each channel, (M, P, 1 + D), as `losses.channel_errors` does."""
        shape = network.outputs, 1 + points.x.shape[2]
        return self._call(network, points.x, _labels(points), scale, lambda_d, {"channels": shape})[0]

    def predict(self, network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), at x, (M, N, D), as `StackedMLP.value_and_derivative` does."""
        one, shape = torch.ones(len(x), dtype=self.dtype), (x.shape[1], network.outputs)
        u, du = self._call(network, x, (None,) * 4, one, one, {"u": shape, "du": (*shape, x.shape[2])})
        return u, du

    def adam(self, network: StackedMLP, points: Points, scale: Tensor, steps: AdamSteps) -> int:
        """Take the first of these steps, as torch's fused Adam does from the same gradients; return their number.

        They take about a twentieth of a second, so that the caller can react to signals; but it is at least one step.

        Raises:
            ValueError: the network does not have the kernel's precision.
        """
        if network.theta.dtype != self.dtype:
            raise ValueError(
                f"the network must be in {self.dtype}, that of its compiled step; got {network.theta.dtype}"
            )
        size = points.x.shape[1] if steps.batch is None else steps.batch.shape[2]
        depth, (dimension, width) = len(network.shapes) - 1, network.shapes[0]
        seconds = len(points.x) * step_seconds(size, depth, width, dimension, self.activation)
        seconds *= 1.4 if steps.likelihood else 1  # the errors come first
        count = max(1, min(len(steps.rates), int(_SECONDS / seconds)))
        results = {"loss": (), "gradient": network.theta.shape[1:]}
        if steps.likelihood:
            results |= dict.fromkeys(("channels", "of_channel"), (network.outputs, 1 + dimension))
        some = replace(steps, rates=steps.rates[:count])
        self._call(network, points.x, _labels(points), scale, steps.lambda_d, results, some)
        torch.autograd.graph.increment_version(network.theta)
        return count

    def _call(
        self,
        network: StackedMLP,
        x: Tensor,
        labels: Sequence[Tensor | None],
        scale: Tensor,
        lambda_d: Tensor | None,
        results: Mapping[str, tuple[int, ...]],
        steps: AdamSteps | None = None,
    ) -> list[Tensor]:
        """Return results by name, each of a member's shape, members in front; or take steps and return none."""
        library = _library(self.activation, self.dtype)
        (members, total, dimension), (_, width) = x.shape, network.shapes[0]
        inputs = network.theta, x, *labels, network.scale, network.shift, scale, lambda_d
        inputs = [None if tensor is None else self._contiguous(tensor) for tensor in inputs]
        batch = None if steps is None or steps.batch is None else steps.batch.contiguous()
        n = total if batch is None else batch.shape[2]
        blocks = -(-n // max(_POINTS, _NUMBERS // ((1 + dimension) * width)))
        block = -(-n // (blocks * _ROWS)) * _ROWS  # all blocks but the last are equal
        blocks = -(-n // block)
        slices = max(1, min(blocks, blocks * max(1, (1 + dimension) // 8) // _BLOCKS))
        counts = {name: members if name in ("u", "du") else members * slices for name in results}
        outputs = {name: torch.empty(counts[name], *shape, dtype=self.dtype) for name, shape in results.items()}
        addresses = {name: tensor.data_ptr() for name, tensor in outputs.items()}
        stack = _Stack(
            *(members, n, dimension, network.outputs, len(network.shapes) - 1, width, block, slices, total),
            *(None if tensor is None else tensor.data_ptr() for tensor in inputs),
            *(addresses.get(name) for name in ("of_channel", "loss", "gradient", "channels", "u", "du")),
            None if batch is None else batch.data_ptr(),
        )
        threads = min(torch.get_num_threads(), members * slices)
        needed = threads * library.workspace_of_a_thread(stack)
        if len(self._workspace) < needed:
            self._workspace = torch.empty(needed, dtype=self.dtype)
        if steps is not None:
            library.adam(stack, steps.as_struct(), self._workspace.data_ptr(), threads)
            return []  # what lies in the outputs is of the last step, and of no use
        library.loss_and_gradient(stack, self._workspace.data_ptr(), threads)
        parts = outputs.values()
        return [part.unflatten(0, (members, -1)).sum(1) if len(part) > members else part for part in parts]

    def _contiguous(self, tensor: Tensor) -> Tensor:
        ready = tensor.dtype == self.dtype and tensor.is_contiguous()
        return tensor if ready else tensor.detach().to(self.dtype).contiguous()


def _labels(points: Points) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return points.f, points.df, points.weight_f, points.weight_df


@cache
def _library(activation: str, dtype: torch.dtype) -> ctypes.CDLL:
    """Return the compiled file with its signatures declared."""
    flags = [*_FLAGS, *_NATIVE[platform.machine()], f"-DACTIVATION={activation}_", f"-DReal={_REAL[dtype]}"]
    try:
        library = _load(flags)
    except subprocess.CalledProcessError as error:
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        lines = lines or [f"{error.cmd[0]} ended with status {error.returncode} without a message"]
        raise CompilationError(next((line for line in lines if "error" in line), lines[0])) from error
    except OSError as error:
        raise CompilationError(str(error)) from error
    library.workspace_of_a_thread.argtypes = (ctypes.POINTER(_Stack),)
    library.workspace_of_a_thread.restype = ctypes.c_int64
    library.loss_and_gradient.argtypes = (ctypes.POINTER(_Stack), ctypes.c_void_p, ctypes.c_int64)
    library.loss_and_gradient.restype = None
    library.adam.argtypes = (ctypes.POINTER(_Stack), ctypes.POINTER(_Steps), ctypes.c_void_p, ctypes.c_int64)
    library.adam.restype = None
    return library


def _load(flags: Sequence[str]) -> ctypes.CDLL:
    """Load the compiled file from the cache, or compile it."""
    if (command := compiler()) is None:
        raise CompilationError("there is no C++ compiler")
    cached = None if (folder := cache_folder()) is None else folder / f"{_key(command, flags)}.so"
    if cached is not None and cached.exists():
        try:
            return ctypes.CDLL(str(cached))
        except OSError:  # it is damaged
            cached.unlink()
    with tempfile.TemporaryDirectory(dir=folder, prefix="runge-") as private:
        compiled = Path(private) / "kernel.so"
        call = [*command, str(_SOURCE), *flags, "-o", str(compiled), "-lm"]
        try:
            _run([*call, "-fopenmp"])
        except subprocess.CalledProcessError as error:
            try:
                _run(call)  # clang may lack OpenMP's library; the step then has one thread
            except subprocess.CalledProcessError:
                raise error from None
            cached = None  # the library may be installed later
        library = ctypes.CDLL(str(compiled))
        if cached is not None:
            compiled.replace(cached)
        return library


def _run(call: Sequence[str]) -> None:
    """Run the compiler, in a new session, which keeps Ctrl-C from it: this process handles it after the step."""
    subprocess.run(call, check=True, capture_output=True, start_new_session=True)


def _key(command: Sequence[str], flags: Sequence[str]) -> str:
    """Hash all that the compiled file depends on, CPU and C library too: machines may share a home directory."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    processor = [line for line in first_core.splitlines() if line.startswith(("model name", "flags"))]  # on x86
    status = os.stat(command[0])
    tools = [*command, str(status.st_size), str(status.st_mtime_ns), *platform.libc_ver()]
    return hashlib.sha256(
        "\0".join([*(part.read_text() for part in _PARTS), *flags, *tools, *processor]).encode()
    ).hexdigest()[:24]
