"""Compute the loss and its gradient, and steps of Adam, on a CPU, by the package's C++ file `kernel.cpp`.

The reference is eager: `losses.loss_and_gradient`, and the steps of `runge.optimizers`. Both are equal to round-off.
`torch.compile` is no alternative: with an activation of the user's own, 16 members, and 64 to 256 points in
1 -> 64 -> 64 -> 1, a step is 1.3 to 1.5 times as fast, but after 8 to 10 s.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from runge.process.machine import carried, compiling_pays, step_seconds
from runge.sobolev import losses
from runge.sobolev.library import Struct, library_of, suits_the_machine
from runge.sobolev.losses import LossAndGradient
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

__all__ = ["ACTIVATIONS", "AdamSteps", "Compile", "Kernel", "layout", "step_function"]

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of each result of a member, by name."""

ACTIVATIONS = ("tanh", "relu", "gelu", "sigmoid", "silu", "softplus", "sin")
"""The activations in the C++ file; users may add others to `runge.sobolev.activations` only."""

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
        self._library, self._workspace = library_of(activation, dtype), torch.empty(0, dtype=dtype)

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

    def _evaluate(self, network: StackedMLP, inputs: Mapping[str, Any], shapes: Shapes) -> list[Tensor]:
        """Return results, members in front, in the order of their shapes."""
        stack, threads, tensors = self._stack(network, inputs, shapes)
        self._library.loss_and_gradient(stack, self._workspace.data_ptr(), threads)
        results, members = [tensors[name] for name in shapes], len(network.theta)
        return [result.unflatten(0, (members, -1)).sum(1) if len(result) > members else result for result in results]

    def _stack(
        self, network: StackedMLP, inputs: Mapping[str, Any], shapes: Shapes, batch: Tensor | None = None
    ) -> tuple[Struct, int, dict[str, Any]]:
        """Return the struct of a call, its threads, and the tensors that must be kept until the call ends.

        The loss and the gradient are those of each slice, (M slices, ...), the other results are (M, ...).
        """
        if network.theta.dtype != self.dtype:
            raise ValueError(f"the network must be in {self.dtype}, as its compiled step; got {network.theta.dtype}")
        if network.theta.device.type != "cpu":
            raise ValueError(f"the network must be on the CPU, as its compiled step; got {network.theta.device}")
        inputs = {**inputs, "theta": network.theta, "input_scale": network.scale, "input_shift": network.shift}
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
