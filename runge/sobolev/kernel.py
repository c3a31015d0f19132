"""The loss and its gradient, and steps of Adam, on a CPU, by the package's C++ file `kernel.cpp`.

The reference is eager: `losses.loss_and_gradient`, and the steps of `runge.optimizers`. Both are equal to round-off.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import torch
from torch import Tensor

from runge.machine import compiler, compiling_pays, step_seconds
from runge.sobolev import compilation, losses
from runge.sobolev.compilation import CompilationError, Library
from runge.sobolev.losses import LossAndGradient
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

__all__ = ["AdamSteps", "Compile", "Kernel", "step_function"]

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]

# A block of points has about 2**13 values and tangents per layer, so that all layers fit in the cache, but at least
# about 64 points, so that the matrix products are efficient. It is padded to a multiple of 8 points, or of a divisor of
# 8. A slice, the work of a thread, has at least 8 blocks, or a share of them with 15 inputs or more.
_NUMBERS, _POINTS, _ROWS, _BLOCKS = 2**13, 64, 8, 8
_INPUTS = ("theta", "x", "f", "df", "weight_f", "weight_df", "input_scale", "input_shift", "scale", "lambda_d")
_OUTPUTS = ("of_channel", "loss", "gradient", "channels", "u", "du")
_SECONDS = 0.05  # about how long the steps of one call take


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
    likelihood: bool = False  # true: the loss is that of `runge.sobolev.likelihood`, where lambda_d is 0 or 1


class Kernel:
    """A compiled `losses.loss_and_gradient`; a member's bits do not depend on the threads or on the other members.

    Args:
        activation: one of `compilation.ACTIVATIONS`.
        dtype: float32 or float64, that of the networks.

    Raises:
        CompilationError: it cannot be compiled.
    """

    def __init__(self, activation: str, dtype: torch.dtype) -> None:
        self.activation, self.dtype = activation, dtype
        self._library, self._workspace = _library(activation, dtype), torch.empty(0, dtype=dtype)

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the loss, (M,), and its gradient, (M, W), as `losses.loss_and_gradient` does."""
        results = {"loss": (), "gradient": network.theta.shape[1:]}
        loss, gradient = self._call(network, points, scale, lambda_d, results)
        return loss, gradient

    def channels(self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None) -> Tensor:
        """Return the error of each channel, (M, P, 1 + D), as `losses.channel_errors` does."""
        return self._call(network, points, scale, lambda_d, {"channels": (network.outputs, 1 + network.dimension)})[0]

    def predict(self, network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), at x, (M, N, D), as `StackedMLP.value_and_derivative` does."""
        one, shape = torch.ones(len(x), dtype=self.dtype), (x.shape[1], network.outputs)
        u, du = self._call(network, x, one, one, {"u": shape, "du": (*shape, x.shape[2])})
        return u, du

    def adam(self, network: StackedMLP, points: Points, scale: Tensor, steps: AdamSteps) -> int:
        """Take the first of these steps, and return their number.

        They take about a twentieth of a second, so that the caller can react to signals; but it is at least one step.
        """
        size = points.x.shape[1] if steps.batch is None else steps.batch.shape[2]
        depth, (dimension, width) = len(network.shapes) - 1, network.shapes[0]
        seconds = len(points.x) * step_seconds(size, depth, width, dimension, self.activation)
        seconds *= 1.4 if steps.likelihood else 1  # the errors come first
        count = max(1, min(len(steps.rates), int(_SECONDS / seconds)))
        results = {"loss": (), "gradient": network.theta.shape[1:]}
        if steps.likelihood:
            results |= dict.fromkeys(("channels", "of_channel"), (network.outputs, 1 + dimension))
        self._call(network, points, scale, steps.lambda_d, results, steps, count)
        torch.autograd.graph.increment_version(network.theta)
        return count

    def _call(
        self,
        network: StackedMLP,
        points: Points | Tensor,
        scale: Tensor,
        lambda_d: Tensor | None,
        results: Mapping[str, tuple[int, ...]],
        steps: AdamSteps | None = None,
        count: int = 1,
    ) -> list[Tensor]:
        """Return results by name, each of a member's shape, members in front; or take steps and return none."""
        if network.theta.dtype != self.dtype:
            raise ValueError(
                f"the network must be in {self.dtype}, that of its compiled step; got {network.theta.dtype}"
            )
        x, inputs = (points, {}) if isinstance(points, Tensor) else (points.x, points.tensors())
        inputs |= {"theta": network.theta, "input_scale": network.scale, "input_shift": network.shift}
        inputs |= {"x": x, "scale": scale, "lambda_d": lambda_d}
        tensors = {name: _as(inputs.get(name), self.dtype) for name in _INPUTS}
        batch = None if steps is None or steps.batch is None else steps.batch.contiguous()
        (members, total, dimension), (_, width) = x.shape, network.shapes[0]
        n = total if batch is None else batch.shape[2]
        blocks = -(-n // max(_POINTS, _NUMBERS // ((1 + dimension) * width)))
        block = -(-n // (blocks * _ROWS)) * _ROWS  # all blocks but the last are equal
        blocks = -(-n // block)
        slices = max(1, min(blocks, blocks * max(1, (1 + dimension) // 8) // _BLOCKS))
        sizes = {"members": members, "points": n, "all": total, "dimension": dimension, "outputs": network.outputs}
        sizes |= {"depth": len(network.shapes) - 1, "width": width, "block": block, "slices": slices}
        rows = {name: members if name in ("u", "du") else members * slices for name in results}
        outputs = {name: torch.empty(rows[name], *shape, dtype=self.dtype) for name, shape in results.items()}
        tensors |= {"batch": batch, **dict.fromkeys(_OUTPUTS), **outputs}
        stack = self._library.stack(**sizes, **_addresses(tensors))
        threads = min(torch.get_num_threads(), members * slices)
        needed = threads * self._library.workspace_of_a_thread(stack)
        if len(self._workspace) < needed:
            self._workspace = torch.empty(needed, dtype=self.dtype)
        if steps is not None:
            options = {"before": steps.taken, "decay": steps.decay, "longest": steps.longest, "count": count}
            options |= {"beta_1": steps.betas[0], "beta_2": steps.betas[1]}
            state = _addresses({"rates": steps.rates, "mean": steps.mean, "square": steps.square})
            self._library.adam(stack, self._library.steps(**options, **state), self._workspace.data_ptr(), threads)
            return []  # what lies in the outputs is of the last step, and of no use
        self._library.loss_and_gradient(stack, self._workspace.data_ptr(), threads)
        parts = outputs.values()
        return [part.unflatten(0, (members, -1)).sum(1) if len(part) > members else part for part in parts]


@cache
def _library(activation: str, dtype: torch.dtype) -> Library:
    return Library(activation, dtype)


def _as(tensor: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if tensor is None else tensor.detach().to(dtype).contiguous()


def _addresses(tensors: Mapping[str, Tensor | None]) -> dict[str, int | None]:
    return {name: None if tensor is None else tensor.data_ptr() for name, tensor in tensors.items()}


def step_function(
    how: Compile, model: Model, dtype: torch.dtype, *, neurons: int, steps: int, on_gpu: bool = False
) -> LossAndGradient:
    """Return `losses.loss_and_gradient`, or a `Kernel`, which takes the same arguments.

    Args:
        how: `on`, `off`, or `auto`: the kernel where it can be used and is expected to save time.
        model: the shape of the network.
        dtype: the precision.
        neurons: the number of values and tangents of all hidden layers, over all points and members.
        steps: the optimiser steps of the run.
        on_gpu: true if the step runs on a GPU.

    Raises:
        ValueError: `on`, but there is no kernel for this run, or it cannot be compiled.
    """
    if how == "off" or (how == "auto" and not compiling_pays(neurons, steps)):
        return losses.loss_and_gradient
    if (reason := _reason_without(model, on_gpu)) is None:
        try:
            return Kernel(model.activation, dtype)
        except CompilationError as error:
            reason = f"the step cannot be compiled: {str(error).strip().splitlines()[0]}"
            if how == "auto":
                log.warning("%s; the run continues uncompiled", reason)
    if how == "on":
        raise ValueError(f"compile: must be auto or off, got 'on', but {reason}")
    return losses.loss_and_gradient


def _reason_without(model: Model, on_gpu: bool) -> str | None:
    """Say why there is no kernel for a run; None if there is one."""
    if compiler() is None:
        return "there is no C++ compiler (CXX, or g++)"
    if model.derivative == "autograd":
        return "model.derivative is autograd"
    if on_gpu or not compilation.suits_the_machine():
        return "the compiled step is for Linux, on a CPU with 64 bits (x86 or ARM)"
    if model.activation not in compilation.ACTIVATIONS:
        return f"the compiled step knows no model.activation={model.activation}"
    return None
