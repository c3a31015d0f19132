"""Compute the loss and its gradient, and steps of Adam, on a CPU, by the package's C++ file `kernel.cpp`.

The reference is eager: `losses.loss_and_gradient`, and the steps of `runge.optimizers`. Both are equal to round-off.
Compiling takes 0.4 s, once per activation and precision, for networks of any size. The result is cached on disk, in
`RUNGE_CACHE_DIR` or in the user's cache directory. `torch.compile` is no alternative: with an activation of the user's
own, 16 members, and 64 to 256 points in 1 -> 64 -> 64 -> 1, a step is 1.3 to 1.5 times as fast, but after 8 to 10 s.
"""

import ctypes
import hashlib
import logging
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from runge.machine import cache_folder, carried, compiler, compiling_pays, is_own, step_seconds
from runge.sobolev import losses
from runge.sobolev.losses import LossAndGradient
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

__all__ = ["ACTIVATIONS", "AdamSteps", "Compile", "Kernel", "step_function", "suits_the_machine"]

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]

ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin")
"""The activations in the C++ file; users may add others to `runge.sobolev.activations` only."""

_SOURCE = Path(__file__).with_name("kernel.cpp")
_PARTS = (_SOURCE, *sorted(_SOURCE.parent.glob("*.hpp")))
_FLAGS = ("-std=c++17", "-O2", "-w", "-fno-math-errno", "-fno-trapping-math", "-shared", "-fPIC")
_NATIVE = {"x86_64": ("-march=native",), "aarch64": ()}
"""The flags by processor with which the compiler uses all of its vectors; 64-bit ARM needs none."""
_REAL = {torch.float32: "float", torch.float64: "double"}

_BLOCK_NUMBERS = 2**13
"""The approximate values and tangents of a block of points in a layer, so that all layers fit in the cache."""

_BLOCK_POINTS = 64
"""The approximate least points of a block, so that the matrix products are efficient."""

_PADDED_POINTS = 8
"""The points of a block are a multiple of it, and so of the rows of a tile of the C++ file, which divide it."""

_SLICE_BLOCKS = 8
"""The least blocks of a slice, the work of a thread; with 15 inputs and outputs or more, a share of them."""

_INPUTS = ("theta", "x", "f", "df", "weight_f", "weight_df", "input_scale", "input_shift", "scale", "lambda_d")
_OUTPUTS = ("loss", "gradient", "u", "du")

_CALL_SECONDS = 0.05
"""The approximate time of the steps of one call, between which Python reacts to signals."""

_PATIENCE = 300.0  # the most seconds of the compiler, which needs less than one


@dataclass(frozen=True)
class AdamSteps:
    """Consecutive steps of Adam or AdamW."""

    lambda_d: Tensor  # the weight of MSE_df at each step, (K, M)
    batch: Tensor | None  # the points of each step's mini-batch, (K, M, B); None: all points at each step
    rates: Tensor  # the learning rates, (K, M), in float64
    taken: int  # the number of steps before these
    mean: Tensor  # the average of the gradient, (M, W), which is updated
    square: Tensor  # that of its square, likewise
    betas: Sequence[float]  # the decay rates of both averages
    decay: float  # of the weights, in units of the learning rate
    longest: float  # the norm to which a member's gradient is clipped; infinity: no limit


class Kernel:
    """A compiled `losses.loss_and_gradient` for one of `ACTIVATIONS`, and networks in float32 or float64.

    A member's bits do not depend on the threads or on the other members.

    Raises:
        OSError: it cannot be compiled or loaded.
    """

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        self.activation, self.dtype = activation, dtype
        self._library, self._workspace = _library(activation, dtype), torch.empty(0, dtype=dtype)

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, (M,), and its gradient, (M, W), as `losses.loss_and_gradient` does."""
        inputs = {**points.tensors(), "scale": scale, "lambda_d": lambda_d}
        loss, gradient = self._evaluate(network, inputs, {"loss": (), "gradient": network.theta.shape[1:]})
        return loss, gradient

    def predict(self, network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), at x, (M, N, D), as `StackedMLP.value_and_derivative` does."""
        unit, shape = torch.ones(len(x), dtype=self.dtype), (x.shape[1], network.outputs)
        inputs = {"x": x, "scale": unit, "lambda_d": unit}
        u, du = self._evaluate(network, inputs, {"u": shape, "du": (*shape, x.shape[2])})
        return u, du

    def adam(self, network: StackedMLP, points: Points, scale: Tensor, steps: AdamSteps) -> int:
        """Take one or more of these steps, for about 0.05 s, to react to signals; return their number."""
        size = points.x.shape[1] if steps.batch is None else steps.batch.shape[2]
        depth, (dimension, width) = len(network.shapes) - 1, network.shapes[0]
        seconds = len(points.x) * step_seconds(size, depth, width, dimension, network.outputs, self.activation)
        count = max(1, min(len(steps.rates), int(_CALL_SECONDS / seconds)))
        inputs = {**points.tensors(), "scale": scale, "lambda_d": steps.lambda_d}
        shapes = {"loss": (), "gradient": network.theta.shape[1:]}  # the results of the last step, which nobody reads
        stack, threads, _tensors = self._stack(network, inputs, shapes, steps.batch)
        options = {"before": steps.taken, "decay": steps.decay, "longest": steps.longest, "count": count}
        options |= {"beta_1": steps.betas[0], "beta_2": steps.betas[1]}
        state = _addresses({"rates": steps.rates, "mean": steps.mean, "square": steps.square})
        self._library.adam(stack, self._library.steps(**options, **state), self._workspace.data_ptr(), threads)
        torch.autograd.graph.increment_version(network.theta)
        return count

    def _evaluate(
        self, network: StackedMLP, inputs: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]
    ) -> list[Tensor]:
        """Return results, members in front, by the name and the shape of each for a member."""
        stack, threads, tensors = self._stack(network, inputs, shapes)
        self._library.loss_and_gradient(stack, self._workspace.data_ptr(), threads)
        results, members = [tensors[name] for name in shapes], len(network.theta)
        return [result.unflatten(0, (members, -1)).sum(1) if len(result) > members else result for result in results]

    def _stack(
        self,
        network: StackedMLP,
        inputs: Mapping[str, Any],
        shapes: Mapping[str, tuple[int, ...]],
        batch: Tensor | None = None,
    ) -> "tuple[Struct, int, dict[str, Any]]":
        """Return the struct of a call, its threads, and the tensors that must be kept until the call ends.

        The loss and the gradient are those of each slice, (M slices, ...), the other results are (M, ...).
        """
        if network.theta.dtype != self.dtype:
            raise ValueError(f"the network must be in {self.dtype}, as its compiled step; got {network.theta.dtype}")
        own = {"theta": network.theta, "input_scale": network.scale, "input_shift": network.shift}
        inputs = {**inputs, **own}
        tensors = {name: _as(inputs.get(name), self.dtype) for name in _INPUTS}
        batch = None if batch is None else batch.contiguous()
        (members, total, dimension), (_, width) = inputs["x"].shape, network.shapes[0]
        n = total if batch is None else batch.shape[2]
        block, slices = layout(n, dimension, network.outputs, width)
        sizes = {"members": members, "points": n, "all": total, "dimension": dimension, "outputs": network.outputs}
        sizes |= {"depth": len(network.shapes) - 1, "width": width, "block": block, "slices": slices}
        in_front = {name: members if name in ("u", "du") else members * slices for name in shapes}
        results = {name: torch.empty(in_front[name], *shape, dtype=self.dtype) for name, shape in shapes.items()}
        tensors |= {"batch": batch, **dict.fromkeys(_OUTPUTS), **results}
        stack = self._library.stack(**sizes, **_addresses(tensors))
        threads = min(torch.get_num_threads(), members * slices)
        needed = threads * self._library.workspace_of_a_thread(stack)
        if len(self._workspace) < needed:
            self._workspace = torch.empty(needed, dtype=self.dtype)
        return stack, threads, tensors


def layout(points: int, dimension: int, outputs: int, width: int) -> tuple[int, int]:
    """Return how many points a block has, and into how many slices the blocks of a member are divided.

    A thread computes a slice, block by block. All blocks but the last have the same number of points.
    """
    rows = carried(dimension, outputs)  # of a point
    blocks = -(-points // max(_BLOCK_POINTS, _BLOCK_NUMBERS // (rows * width)))
    block = -(-points // (blocks * _PADDED_POINTS)) * _PADDED_POINTS
    blocks = -(-points // block)
    return block, max(1, min(blocks, blocks * max(1, rows // 8) // _SLICE_BLOCKS))


def _as(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(dtype).contiguous()


def _addresses(tensors: Mapping[str, Tensor | None]) -> dict[str, int | None]:
    return {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}


def step_function(
    how: Compile, model: Model, dtype: torch.dtype, *, neurons: int, steps: int, on_gpu: bool = False
) -> LossAndGradient:
    """Return `losses.loss_and_gradient`, or a `Kernel`, which takes the same arguments.

    With `auto` it is the kernel where it can be used and is expected to save time: `neurons` is the number of values
    and tangents of all hidden layers, over all points and members, and `steps` that of the run.

    Raises:
        ValueError: `on`, but there is no kernel for this run, or it cannot be compiled.
    """
    if how == "off" or (how == "auto" and not compiling_pays(neurons, steps)):
        return losses.loss_and_gradient
    if model.derivative == "autograd":
        reason = "model.derivative is autograd"
    elif model.activation not in ACTIVATIONS:
        reason = f"the compiled step knows no model.activation={model.activation}"
    elif on_gpu or not suits_the_machine():
        reason = "the compiled step needs Linux, a CPU with 64 bits (x86 or ARM), and a C++ compiler (CXX, or g++)"
    else:
        try:
            return Kernel(model.activation, dtype)
        except OSError as error:
            reason = f"the step cannot be compiled: {str(error).strip().splitlines()[0]}"
            if how == "auto":
                log.warning("%s; the run continues uncompiled", reason)
    if how == "on":
        raise ValueError(f"compile: must be auto or off, got 'on', but {reason}")
    return losses.loss_and_gradient


def suits_the_machine() -> bool:
    """Return whether the file is for this machine, Linux on x86 or ARM, and there is a compiler."""
    return sys.platform == "linux" and platform.machine() in _NATIVE and compiler() is not None


class Library:
    """The functions of the compiled file, and its structs, which are made from its own list of their fields."""

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        file = _load(flags_of(activation, dtype))
        file.fields_of_stack.restype = file.fields_of_steps.restype = ctypes.c_char_p
        self.stack, self.steps = _struct(file.fields_of_stack()), _struct(file.fields_of_steps())
        self.workspace_of_a_thread, self.loss_and_gradient = file.workspace_of_a_thread, file.loss_and_gradient
        self.adam = file.adam
        stack, steps = ctypes.POINTER(self.stack), ctypes.POINTER(self.steps)
        workspace = ctypes.c_void_p, ctypes.c_int64
        self.workspace_of_a_thread.argtypes, self.workspace_of_a_thread.restype = (stack,), ctypes.c_int64
        self.loss_and_gradient.argtypes, self.loss_and_gradient.restype = (stack, *workspace), None
        self.adam.argtypes, self.adam.restype = (stack, steps, *workspace), None


class Struct(ctypes.Structure):
    """A struct of the C++ file; a field that is missing or unknown is an error, not a corrupt memory."""

    def __init__(self, **values: float | None) -> None:
        if values.keys() != (names := {name for name, *_ in self._fields_}):
            raise TypeError(f"the fields of the C++ struct are {sorted(names)}, got {sorted(values)}")
        super().__init__(**values)


def _struct(fields: bytes) -> type[Struct]:
    """Return the struct with these fields, such as `Index count;Real *mean;`."""
    kinds = {"Index": ctypes.c_int64, "double": ctypes.c_double}
    pairs = [field.replace("*", "* ").rsplit(maxsplit=1) for field in fields.decode().split(";")[:-1]]
    declared = [(name, ctypes.c_void_p if "*" in kind else kinds[kind]) for kind, name in pairs]
    return type("Struct", (Struct,), {"_fields_": declared})


_library = cache(Library)


def flags_of(activation: str, dtype: torch.dtype) -> list[str]:
    """Return the compiler's options, without those of the processor."""
    return [*_FLAGS, f"-DACTIVATION={activation}_", f"-DReal={_REAL[dtype]}"]


def _load(flags: Sequence[str]) -> ctypes.CDLL:
    """Load the compiled file from the cache, or compile it."""
    if (command := compiler()) is None:
        raise OSError("there is no C++ compiler")
    flags = [*flags, *_NATIVE[platform.machine()]]
    cached = None if (folder := cache_folder()) is None else folder / f"{_key(command, flags)}.so"
    if cached is not None and cached.is_file() and is_own(cached):
        try:
            return ctypes.CDLL(str(cached))
        except OSError:  # it is damaged
            cached.unlink()
    with tempfile.TemporaryDirectory(dir=folder, prefix="runge-") as private:
        compiled = Path(private) / "kernel.so"
        # The user's options come last, so that their `-march` takes the place of ours.
        call = [command[0], str(_SOURCE), *flags, *command[1:], "-o", str(compiled), "-lm"]
        if reason := _failure([*call, "-fopenmp"]):
            if _failure(call):
                raise OSError(reason)
            cached = None  # clang lacks OpenMP's library, which may be installed later; the step has one thread
        library = ctypes.CDLL(str(compiled))
        if cached is not None:
            compiled.chmod(0o700)
            with compiled.open("rb") as file:
                os.fsync(file.fileno())  # a power cut could leave empty pages, which crash each process that loads them
            compiled.replace(cached)
        return library


def _failure(call: Sequence[str]) -> str | None:
    """Run the compiler, in a new session, which keeps Ctrl-C from it, and return why it failed.

    Raises:
        OSError: it takes too long.
    """
    try:
        done = subprocess.run(call, capture_output=True, start_new_session=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise OSError(f"{call[0]} did not end within {_PATIENCE:g} seconds") from error
    if not done.returncode:
        return None
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    lines = lines or [f"{call[0]} ended with status {done.returncode} without a message"]
    return next((line for line in lines if "error" in line), lines[0])


def _key(command: Sequence[str], flags: Sequence[str]) -> str:
    """Hash all that the compiled file depends on, CPU and C library too: machines may share a home directory."""
    first_core = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    processor = [line for line in first_core.splitlines() if line.startswith(("model name", "flags"))]  # on x86
    status = os.stat(command[0])
    tools = [*command, str(status.st_size), str(status.st_mtime_ns), *platform.libc_ver()]
    contents = [*(source.read_text() for source in _PARTS), *flags, *tools, *processor]
    return hashlib.sha256("\0".join(contents).encode()).hexdigest()[:24]
