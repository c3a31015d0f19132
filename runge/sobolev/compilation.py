"""One optimiser step's loss and gradient as a compiled function, where that pays for itself.

On a processor it is the package's own (`kernel`). On a GPU, and where that one does not suit the machine, it is
what `torch.compile` makes of `losses.loss_and_gradient`, for each size of network and data anew; torch keeps it on the
disk.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from runge import machine
from runge.errors import RunError
from runge.sobolev import kernel, losses
from runge.sobolev.network import Model, StackedMLP
from runge.sobolev.points import Points

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]
LossAndGradient = Callable[[StackedMLP, Points, Tensor, Tensor | None], tuple[Tensor, Tensor]]


def step_function(
    how: Compile,
    model: Model,
    dtype: torch.dtype,
    *,
    neurons: int,
    steps: int,
    with_derivative: bool,
    on_gpu: bool = False,
) -> LossAndGradient:
    """Return `losses.loss_and_gradient`, compiled where that is wanted.

    Args:
        how: `on`, `off`, or `auto`: compile where it is expected to pay and there is a compiler.
        model: the shape of the network.
        dtype: its precision.
        neurons: the values and tangents of all hidden layers, over all points and members.
        steps: optimiser steps of the run.
        with_derivative: true if lambda_d is ever on.
        on_gpu: true if the step runs on a GPU.

    Returns:
        A function with the arguments of `losses.loss_and_gradient`.

    Raises:
        ValueError: `on`, but there is no compiler, or u' comes from autograd.
        RunError: when it is called: `on`, and the compiler fails.
    """
    there_is_one, by_autograd = machine.compiler() is not None, model.derivative == "autograd"
    if how == "on" and not there_is_one:
        raise ValueError("compile: must be auto or off where there is no C++ compiler (CXX, or g++), got 'on'")
    if how == "on" and by_autograd:
        raise ValueError("compile: must be auto or off with model.derivative=autograd, got 'on'")
    own = not on_gpu and kernel.suits_the_machine() and model.activation in kernel.ACTIVATIONS
    worth = how == "on" or machine.compiling_pays(neurons, steps, own_kernel=own)
    if how == "off" or not there_is_one or by_autograd or not worth:
        return losses.loss_and_gradient
    if own:
        return _OrPlain(how, kernel.Kernel(model.activation, dtype), kernel.CompilationError)
    return _by_torch(how, with_derivative, on_gpu)


class _OrPlain:
    """A compiled function, and from its first failure to compile on the plain one, or a `RunError` where it is `on`."""

    def __init__(self, how: Compile, function: LossAndGradient, failure: type[Exception]) -> None:
        self.how, self.function, self.failure = how, function, failure

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        try:
            return self.function(network, points, scale, lambda_d)
        except self.failure as error:
            reason = str(error).strip().partition("\n")[0]
            if self.how == "on":
                raise RunError(f"trainer.compile: the step cannot be compiled, auto does without ({reason})") from error
            log.warning("the step is not compiled: %s", reason)
            self.function = losses.loss_and_gradient
            return self.function(network, points, scale, lambda_d)


def _by_torch(how: Compile, with_derivative: bool, on_gpu: bool) -> LossAndGradient:
    """`losses.loss_and_gradient` through `torch.compile`.

    With two stages the first, of values alone, takes the same function with a lambda_d of 0. That costs less than
    values alone do otherwise, and a function of its own would have to be compiled as well.
    """
    import torch._dynamo.config  # late: a second that all else does without
    import torch._inductor
    from torch._dynamo.exc import BackendCompilerFailed

    # A sweep has many shapes.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1024
    options: Any = {
        "cpp.use_decompose_tanh": True,  # its own tanh takes five times as long as exp and a division
        "cpp.vec_isa_ok": True,  # else it compiles for five seconds to see whether the processor's word holds
        # One file for all kernels and what calls them takes two thirds of the time of a file for each, and calls them
        # sooner. Its headers are then read so seldom that to prepare them, five seconds, does not pay.
        "cpp_wrapper": not on_gpu,
        "cpp_cache_precompile_headers": False,
    }
    known = torch._inductor.list_options()  # which differ between versions
    options = {name: value for name, value in options.items() if name in known}
    function = torch.compile(losses.loss_and_gradient, dynamic=False, options=options)

    def call(network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None) -> tuple[Tensor, Tensor]:
        weight = torch.zeros_like(scale) if lambda_d is None and with_derivative else lambda_d
        return function(network, points, scale, weight)

    return _OrPlain(how, call, BackendCompilerFailed)
