"""The loss and gradient of an optimiser step as a compiled function, where compiling saves time.

On a CPU it is the package's own kernel (`kernel`). On a GPU, and where the kernel does not support the machine or the
activation, `torch.compile` compiles `losses.loss_and_gradient`, once per size of network and data; torch caches it on
disk.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
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
    """Return `losses.loss_and_gradient` or a compiled function with the same arguments.

    Args:
        how: `on`, `off`, or `auto`: compile if there is a compiler and it is expected to save time.
        model: the shape of the network.
        dtype: the precision.
        neurons: the number of values and tangents of all hidden layers, over all points and members.
        steps: the optimiser steps of the run.
        with_derivative: true if lambda_d is ever on.
        on_gpu: true if the step runs on a GPU.

    Raises:
        ValueError: `on`, but there is no compiler, or u' comes from autograd.
        RunError: in a call of the returned function: `on`, and the compiler fails.
    """
    no_compiler, by_autograd = machine.compiler() is None, model.derivative == "autograd"
    if how == "on" and no_compiler:
        raise ValueError("compile: must be auto or off where there is no C++ compiler (CXX, or g++), got 'on'")
    if how == "on" and by_autograd:
        raise ValueError("compile: must be auto or off with model.derivative=autograd, got 'on'")
    own = not on_gpu and _has_kernel(model)
    if no_compiler or by_autograd or not _worth(how, neurons, steps, own):
        return losses.loss_and_gradient
    if own:
        return _OrPlain(how, kernel.Kernel(model.activation, dtype), kernel.CompilationError)
    return _by_torch(how, with_derivative, on_gpu)


def compile_ahead(how: Compile, model: Model, dtype: torch.dtype, *, neurons: int, steps: int) -> None:
    """Compile the package's own kernel, if `step_function` would, so that other processes find it on the disk."""
    if model.derivative != "autograd" and _has_kernel(model) and _worth(how, neurons, steps, True):
        with suppress(kernel.CompilationError):  # they report it
            kernel.Kernel(model.activation, dtype).prepare()


def _has_kernel(model: Model) -> bool:
    return kernel.suits_the_machine() and model.activation in kernel.ACTIVATIONS


def _worth(how: Compile, neurons: int, steps: int, own: bool) -> bool:
    return how == "on" or (how == "auto" and machine.compiling_pays(neurons, steps, own_kernel=own))


def own_kernel(function: LossAndGradient) -> LossAndGradient | None:
    """Return a result of `step_function` if it is the package's own kernel, which takes points of any number."""
    return function if isinstance(function, _OrPlain) and isinstance(function.function, kernel.Kernel) else None


class _OrPlain:
    """A compiled function that falls back to the plain one if compilation fails, or raises `RunError` with `on`."""

    def __init__(self, how: Compile, function: LossAndGradient, failure: type[Exception]) -> None:
        self.how, self.function, self.failure = how, function, failure

    def __call__(
        self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        return self._attempt("__call__", losses.loss_and_gradient, network, points, scale, lambda_d)

    def channels(self, network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None) -> Tensor:
        """Return `losses.channel_errors`, by the compiled function if it can."""
        return self._attempt("channels", losses.channel_errors, network, points, scale, lambda_d)

    def predict(self, network: StackedMLP, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return `StackedMLP.value_and_derivative`, without gradients, by the compiled function if it can."""
        return self._attempt("predict", StackedMLP.value_and_derivative, network, x)

    @property
    def adam(self) -> Callable[[StackedMLP, Points, Tensor, kernel.AdamSteps], int] | None:
        """The method `kernel.Kernel.adam`; None if the function is another, or cannot be compiled."""
        if not isinstance(self.function, kernel.Kernel):
            return None
        try:
            self.function.prepare()
        except self.failure as error:
            self._give_up(error)
            return None
        return self.function.adam

    def _attempt(self, name: str, plain: Callable[..., Any], *arguments: Any) -> Any:
        """Call the compiled function or its method of this name; if it has none, or fails, the plain function."""
        try:
            return getattr(self.function, name, plain)(*arguments)
        except self.failure as error:
            self._give_up(error)
            return plain(*arguments)

    def _give_up(self, error: Exception) -> None:
        message = "the step cannot be compiled: " + str(error).strip().partition("\n")[0]
        if self.how == "on":
            raise RunError(f"trainer.compile: {message}; with auto the run continues uncompiled") from error
        log.warning("%s; the run continues uncompiled", message)
        self.function = losses.loss_and_gradient


def _by_torch(how: Compile, with_derivative: bool, on_gpu: bool) -> LossAndGradient:
    """Compile `losses.loss_and_gradient` with `torch.compile`.

    In a two-stage run, the first stage calls the same function with lambda_d = 0: this is faster than the uncompiled
    loss of values alone, and saves a second compilation.
    """
    import torch._dynamo.config  # late: it takes a second, which only this function needs
    import torch._inductor
    from torch._dynamo.exc import BackendCompilerFailed

    # A sweep has many shapes.
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = 1024
    options: Any = {
        "cpp.use_decompose_tanh": True,  # torch's own tanh takes five times as long as exp and a division
        "cpp.vec_isa_ok": True,  # otherwise it compiles for five seconds to test the CPU's vector instructions
        # One file for all kernels and their caller compiles in two thirds of the time of one file per kernel, and calls
        # them faster. Precompiling its headers, five seconds, then does not pay.
        "cpp_wrapper": not on_gpu,
        "cpp_cache_precompile_headers": False,
    }
    supported = torch._inductor.list_options()  # they differ between torch's versions
    options = {name: value for name, value in options.items() if name in supported}
    function = torch.compile(losses.loss_and_gradient, dynamic=False, options=options)

    def call(network: StackedMLP, points: Points, scale: Tensor, lambda_d: Tensor | None) -> tuple[Tensor, Tensor]:
        weight = torch.zeros_like(scale) if lambda_d is None and with_derivative else lambda_d
        return function(network, points, scale, weight)

    return _OrPlain(how, call, BackendCompilerFailed)
