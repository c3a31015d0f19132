"""The trained function, an ordinary module that can be called, differentiated and built upon."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runge.configuration import unimported
from runge.errors import ConfigurationError, command
from runge.records.checkpoints import read_checkpoint
from runge.records.columns import input_names
from runge.records.directories import RunDirectory
from runge.sobolev.network import Model
from runge.sobolev.stages import ResidualStages
from runge.sobolev.units import Units

__all__ = ["Function", "load", "load_finished"]


Argument = Tensor | np.ndarray | np.generic | float

_CHUNK = 2**12
"""The number of points that are evaluated at a time; what a layer makes of them fits the CPU's cache."""


class Function(nn.Module):
    """A trained u: R^D -> R^P with its derivative, in the units of the data.

    With one input x may have any shape, and with one output `u(x)` and `u.derivative(x)` have the same. With D inputs x
    has the shape (..., D); with one output `u(x)` has (...) and `u.derivative(x)` has (..., D). With P outputs `u(x)`
    has (..., P) and `u.derivative(x)` has (..., P, D).

    A tensor or number gives a tensor, on the device and in the precision of the parameters or, if the run was trained
    in standardised units, of these, float64; `to` changes both. The result can be differentiated by x if x requires
    gradients, and by the parameters after `u.requires_grad_()`, and keeps what this needs in memory; otherwise millions
    of points are evaluated in chunks. A NumPy array gives an array, without gradients.

    It can be copied, pickled, saved by `torch.save`, compiled by `torch.compile` and exported by `torch.export`.

    Args:
        network: a stack of one.
        configuration: its run's configuration, as plain data.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
        outputs: the names of the outputs.

    Attributes:
        inputs: the names of the inputs.
        outputs: the names of the outputs.

    Example:
        >>> network = ResidualStages(Model(), torch.tensor([[[-1.0, 1.0]]]), [torch.Generator()], torch.float64)
        >>> Function(network).derivative(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(
        self,
        network: ResidualStages,
        configuration: Mapping[str, Any] = MappingProxyType({}),
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] = ("f",),
    ) -> None:
        super().__init__()
        self.network, self.configuration = network, dict(configuration)  # a mapping proxy cannot be pickled
        self.inputs = input_names(network.dimension) if inputs is None else tuple(inputs)
        self.outputs = tuple(outputs)

    def forward(self, x: Argument) -> Any:
        """Return the value u(x)."""
        (u,) = self._evaluate(x, lambda points: (self.jet(points, with_derivative=False)[0],))
        return u[..., 0] if self.network.outputs == 1 else u

    def derivative(self, x: Argument) -> Any:
        """Return the derivative u'(x): with D inputs the gradient, with P outputs the Jacobian."""
        return self.value_and_derivative(x)[1]

    def value_and_derivative(self, x: Argument) -> tuple[Any, Any]:
        """Return u(x) and u'(x) from one pass."""
        u, du = self._evaluate(x, self.jet)
        if self.network.outputs > 1:
            return u, du
        return u[..., 0], du[..., 0, 0] if self.network.dimension == 1 else du[..., 0, :]

    def jet(self, x: Tensor, *, with_derivative: bool = True) -> tuple[Tensor, Tensor]:
        """Return u, (1, N, P), and u', (1, N, P, D), at points x, (1, N, D); u' is empty without derivative."""
        units, like = self.network.units, self.network.amplitude
        inside = (x if units is None else units.standardise_inputs(x)).to(like)
        if with_derivative:
            u, du = self.network.value_and_derivative(inside)
        else:
            u, du = self.network(inside), like.new_empty(0)
        if units is None:
            return u, du
        unit_f, unit_df = units.of_outputs()  # not rounded to float32, nor is the sum: the mean may be large
        return units.y_mean[:, None] + unit_f * u, unit_df * du if with_derivative else du

    def _evaluate(self, x: Argument, function: Callable[[Tensor], tuple[Tensor, ...]]) -> list[Any]:
        """Return the results of a function of points (1, N, D) at x, with the shape of x in the place of (1, N)."""
        if isinstance(x, (np.ndarray, np.generic)):
            with torch.no_grad():
                results = self._evaluate(torch.from_numpy(np.array(x, float)), function)
            return [result.numpy(force=True) for result in results]
        if not isinstance(x, Tensor):
            x = torch.as_tensor(x, dtype=torch.float64)  # numbers; by default torch would round them to float32
        dimension = self.network.dimension
        # In standardised units inputs keep their precision: their mean is subtracted first.
        x = x.to(self.network.amplitude if self.network.units is None else self.network.units.x_mean)
        if dimension > 1 and (x.ndim == 0 or x.shape[-1] != dimension):
            raise ValueError(f"x: must have the shape (..., {dimension}), one column per input; got {tuple(x.shape)}")
        shape, points = x.shape if dimension == 1 else x.shape[:-1], x.reshape(1, -1, dimension)
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and self._differentiable(points)):
            results = function(points)
        else:
            chunks = [function(chunk) for chunk in points.split(_CHUNK, dim=1)]
            results = [torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True)]
        return [result.reshape((*shape, *result.shape[2:])) for result in results]

    def _differentiable(self, points: Tensor) -> bool:
        return points.requires_grad or any(parameter.requires_grad for parameter in self.parameters())


def load(run_directory: str | os.PathLike[str]) -> Function:
    """Load the trained function of a run: the weights with the lowest validation loss.

    It is on the CPU, in evaluation mode, and in the precision that it was trained in, and its parameters require no
    gradients: `load(...).requires_grad_()` trains it further. Its derivative is computed in
    forward mode, also if the run's `model.derivative` is `autograd`.

    Raises:
        FileNotFoundError: the directory has no checkpoint.
        ConfigurationError: the checkpoint is damaged, or names an activation whose module is not imported.
    """
    path = RunDirectory(run_directory).best
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {run_directory} is not a run, or its run saved no checkpoint")
    checkpoint, prefix = read_checkpoint(path), "network."
    columns = checkpoint.get("columns", {})
    try:
        model = checkpoint["configuration"]["model"]
        if named := unimported(model):
            how = f"for safety; import {named[0].rpartition('.')[0]} before"
            raise ConfigurationError(f"{path} refers to {named[0]}, which is not imported automatically, {how}")
        weights = checkpoint["state_dict"].items()
        state = {name.removeprefix(prefix): x for name, x in weights if name.startswith(prefix)}
        network = ResidualStages(
            Model(**model | {"derivative": "forward"}),  # which can be exported
            domains=torch.tensor([-1.0, 1.0]).expand(*state["stages.0.scale"].shape[::2], 2),
            generators=[torch.Generator()] * len(state["amplitude"]),
            dtype=state["amplitude"].dtype,
            outputs=len(columns.get("outputs", ["f"])),
            units=Units(*units) if (units := [state[name] for name in state if name.startswith("units.")]) else None,
        )
        network.load_state_dict(state)
        network.drop_unused()
    except ConfigurationError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{path} does not hold the weights of a run ({error})") from error
    return Function(network.requires_grad_(False).eval(), checkpoint["configuration"], **columns)


def load_finished(run_directory: str, key: str) -> Function:
    """Load the trained function of a run that has finished.

    Args:
        run_directory: the run's directory.
        key: the name of the argument, with which the messages begin.

    Raises:
        ConfigurationError: there is no such run, it has not finished, or its files are damaged.
    """
    run = RunDirectory(run_directory)
    state = None if run.metrics.exists() else run.read_state()
    if state is not None:
        after = "" if state.status == "diverged" else f"; continue it with {command()} resume={run_directory}"
        status = f"{state.status} at step {state.step}, without {run.metrics.name}"
        raise ConfigurationError(f"{key}: must be a finished run, got {run_directory!r} ({status}){after}")
    try:
        return load(run_directory)
    except FileNotFoundError as error:
        message = f"{key}: must be the directory of a finished run, got {run_directory!r} ({error})"
        raise ConfigurationError(message) from error
