"""One optimiser step's loss and gradient as a compiled function, where that pays for itself.

The compiler fuses the passes over the points between two matrix products, which are half the time of a step. What it
made is kept on the disk by torch, so that a second run of the same shape has it at once.
"""

import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from runge import losses
from runge.errors import RunError
from runge.machine import has_compiler
from runge.network import Derivative, StackedMLP
from runge.points import Points

log = logging.getLogger(__name__)

Compile = Literal["auto", "on", "off"]
LossAndGradient = Callable[[StackedMLP, Points, Tensor, Tensor | None], tuple[Tensor, Tensor]]

_SAVED_A_STEP, _SAVED_A_VALUE, _COST = 1.5e-4, 2.4e-9, 3.5
"""Seconds that compiling saves, for each step and each neuron's value in it, and those that it takes."""


def pays(neurons: int, steps: int) -> bool:
    """Whether compiling is expected to save more time than it takes.

    Args:
        neurons: the values and tangents of all hidden layers, over all points and members.
        steps: optimiser steps of the run.
    """
    return steps * (_SAVED_A_STEP + neurons * _SAVED_A_VALUE) > _COST


def compiled(
    compile: Compile,  # noqa: A002
    *,
    derivative: Derivative,
    neurons: int,
    steps: int,
    with_derivative: bool,
    on_gpu: bool = False,
) -> LossAndGradient:
    """`losses.loss_and_gradient`, compiled where that is wanted.

    With two stages the first, of values alone, takes the same function with a lambda_d of 0: compiled, it costs less
    than values alone do otherwise, and a function of its own would have to be compiled as well.

    Args:
        compile: `on`, `off`, or `auto`: where it is expected to pay and there is a compiler.
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
    if compile == "on" and not has_compiler():
        raise ValueError("compile: must be auto or off where there is no C++ compiler, got 'on'")
    if compile == "on" and derivative == "autograd":
        raise ValueError("compile: must be auto or off with model.derivative=autograd, got 'on'")
    possible = has_compiler() and derivative == "forward"
    if compile == "off" or not possible or (compile == "auto" and not pays(neurons, steps)):
        return losses.loss_and_gradient
    return _Compiled(compile, with_derivative, on_gpu)


class _Compiled:
    """The compiled function, and the plain one for want of a compiler that works."""

    def __init__(self, how: Compile, with_derivative: bool, on_gpu: bool) -> None:
        import torch._dynamo.config  # late: a second that most single runs do without
        import torch._inductor

        self.how, self.with_derivative = how, with_derivative
        # A sweep has many shapes.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1024
        options: Any = {
            "cpp.use_decompose_tanh": True,  # its own tanh takes five times as long as exp and a division
            "cpp.vec_isa_ok": True,  # else it compiles for five seconds to see whether the processor's word holds
            # One file for all kernels and what calls them takes two thirds of the time of a file for each, and calls
            # them sooner. Its headers are then read so seldom that to prepare them, five seconds, does not pay.
            "cpp_wrapper": not on_gpu,
            "cpp_cache_precompile_headers": False,
        }
        known = torch._inductor.list_options()  # which differ between versions
        options = {name: value for name, value in options.items() if name in known}
        self.function: LossAndGradient = torch.compile(losses.loss_and_gradient, dynamic=False, options=options)

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        from torch._dynamo.exc import BackendCompilerFailed

        weight = torch.zeros_like(scale) if lambda_d is None and self.with_derivative else lambda_d
        try:
            return self.function(network, points, scale, weight)
        except BackendCompilerFailed as error:
            reason = str(error).strip().splitlines()[0]
            if self.how == "on":
                raise RunError(f"trainer.compile: the compiler fails, auto does without it ({reason})") from error
            log.warning("the step is not compiled: %s", reason)
            self.function, self.with_derivative = losses.loss_and_gradient, False
            return self.function(network, points, scale, lambda_d)
