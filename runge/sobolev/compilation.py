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

from runge.errors import RunError
from runge.machine import compiler
from runge.sobolev import kernel, losses
from runge.sobolev.network import Derivative, StackedMLP
from runge.sobolev.points import Points

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]
LossAndGradient = Callable[[StackedMLP, Points, Tensor, Tensor | None], tuple[Tensor, Tensor]]

_SAVED_A_STEP, _SAVED_A_VALUE = 1.5e-4, 2.4e-9
"""Seconds that compiling saves, for each step and each neuron's value in it: by either compiler, roughly."""
_KERNELS_COST, _TORCHS_COST = 0.5, 3.5
"""Seconds that it takes: the package's own function, and `torch.compile`."""


def pays(neurons: int, steps: int, cost: float) -> bool:
    """Whether compiling is expected to save more time than it takes.

    Args:
        neurons: the values and tangents of all hidden layers, over all points and members.
        steps: optimiser steps of the run.
        cost: the seconds that it takes.
    """
    return steps * (_SAVED_A_STEP + neurons * _SAVED_A_VALUE) > cost


def compiled(
    compile: Compile,  # noqa: A002
    *,
    activation: str,
    dtype: torch.dtype,
    derivative: Derivative,
    neurons: int,
    steps: int,
    with_derivative: bool,
    on_gpu: bool = False,
) -> LossAndGradient:
    """`losses.loss_and_gradient`, compiled where that is wanted.

    Args:
        compile: `on`, `off`, or `auto`: where it is expected to pay and there is a compiler.
        activation: the network's.
        dtype: the network's.
        derivative: how the network finds u'.
        neurons: the values and tangents of all hidden layers, over all points and members.
        steps: optimiser steps of the run.
        with_derivative: whether lambda_d is ever on.
        on_gpu: whether it is to run on a GPU.

    Returns:
        A function with the arguments of `losses.loss_and_gradient`.

    Raises:
        ValueError: `on`, where there is no compiler or u' comes from autograd.
        RunError: when it is called: `on`, and the compiler fails.
    """
    there_is_one = compiler() is not None
    if compile == "on" and not there_is_one:
        raise ValueError("compile: must be auto or off where there is no C++ compiler (CXX, or g++), got 'on'")
    if compile == "on" and derivative == "autograd":
        raise ValueError("compile: must be auto or off with model.derivative=autograd, got 'on'")
    own = not on_gpu and kernel.suits_the_machine() and kernel.has(activation)
    worth = compile == "on" or pays(neurons, steps, _KERNELS_COST if own else _TORCHS_COST)
    if compile == "off" or not there_is_one or derivative == "autograd" or not worth:
        return losses.loss_and_gradient
    if own:
        return _OrPlain(compile, kernel.Kernel(activation, dtype), kernel.CompilationError)
    return _by_torch(compile, with_derivative, on_gpu)


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
