"""The trained function of a run, or of several that differ only in their seeds: an ordinary module."""

import os
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from runge.configuration import unimported
from runge.domain import numbered
from runge.errors import ConfigurationError, command
from runge.records.checkpoints import join, read_checkpoint
from runge.records.directories import RunDirectory
from runge.records.ensemble import members
from runge.records.reading import find
from runge.sobolev.network import Model
from runge.sobolev.stages import ResidualStages
from runge.sobolev.units import Units

__all__ = ["Function", "load", "load_finished", "mean_over", "std_over"]


Argument = Any
"""A tensor, an array, numbers, or a table such as a DataFrame, whose columns are taken by the names of the inputs."""

_CHUNK = 2**12  # points that are evaluated at a time; what a layer makes of them fits the CPU's cache


class Function(nn.Module):
    """A trained u: R^D -> R^P with its derivative, in the units of the data.

    It is the mean over its members, networks that were trained with other seeds; one run has one member.

    With one input x may have any shape, and with one output `u(x)` and `u.derivative(x)` have the same. With D inputs x
    has the shape (..., D); with one output `u(x)` has (...) and `u.derivative(x)` has (..., D). With P outputs `u(x)`
    has (..., P) and `u.derivative(x)` has (..., P, D).

    A tensor or number gives a tensor, on the device and in the precision of the parameters or, if the run was trained
    in standardised units, of these, float64; `to` changes both. It can be differentiated by x if x requires gradients,
    and by the parameters after `u.requires_grad_()`; otherwise points are evaluated in chunks. A NumPy array gives an
    array, and so does a table with a column for each input, such as a DataFrame.

    It can be copied, pickled, saved by `torch.save`, compiled by `torch.compile` and exported by `torch.export`.

    Args:
        network: the members, as a stack.
        configuration: the configuration of the first member's run, as plain data.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
        outputs: the names of the outputs.
        runs: the directories of the members' runs.

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
        runs: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.network, self.configuration = network, dict(configuration)  # a mapping proxy cannot be pickled
        self.inputs = numbered("x", network.dimension) if inputs is None else tuple(inputs)
        self.outputs, self.runs = tuple(outputs), tuple(runs)

    @property
    def members(self) -> int:
        """The number of members M."""
        return self.network.amplitude.shape[0]

    def forward(self, x: Argument) -> Any:
        """Return the value u(x)."""
        (u,) = self._evaluate(x, lambda points: (mean_over(self.jet(points, with_derivative=False)[0]),))
        return u[..., 0] if self.network.outputs == 1 else u

    def derivative(self, x: Argument) -> Any:
        """Return the derivative u'(x): with D inputs the gradient, with P outputs the Jacobian."""
        return self.value_and_derivative(x)[1]

    def value_and_derivative(self, x: Argument) -> tuple[Any, Any]:
        """Return u(x) and u'(x) from one pass."""
        return self._pair(x, mean_over)

    def std(self, x: Argument) -> Any:
        """Return the standard deviation of u(x), as `value_and_derivative_std`."""
        return self.value_and_derivative_std(x)[0]

    def derivative_std(self, x: Argument) -> Any:
        """Return the standard deviation of each component of u'(x), likewise."""
        return self.value_and_derivative_std(x)[1]

    def value_and_derivative_std(self, x: Argument) -> tuple[Any, Any]:
        """Return the standard deviations of u(x) and u'(x) over the members, with M - 1 in the denominator.

        Raises:
            ValueError: there is one member.
        """
        return self._pair(x, std_over)

    def _pair(self, x: Argument, statistic: Callable[[Tensor], Tensor]) -> tuple[Any, Any]:
        u, du = self._evaluate(x, lambda points: tuple(statistic(part) for part in self.jet(points)))
        if self.network.outputs > 1:
            return u, du
        return u[..., 0], du[..., 0, 0] if self.network.dimension == 1 else du[..., 0, :]

    def jet(self, x: Tensor, *, with_derivative: bool = True) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), of each member at x, (1, N, D); u' is empty without derivative."""
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
        if hasattr(x, "columns"):
            if missing := [name for name in self.inputs if name not in x.columns]:
                raise ValueError(f"x: must have a column for each input, {', '.join(self.inputs)}; missing: {missing}")
            x = np.stack([np.asarray(x[name], float) for name in self.inputs], axis=-1)
            x = x[:, 0] if len(self.inputs) == 1 else x
        if isinstance(x, (np.ndarray, np.generic)):
            with torch.no_grad():
                results = self._evaluate(torch.from_numpy(np.array(x, float)), function)
            return [result.numpy(force=True) for result in results]
        # As float64 numbers are not rounded, and in standardised units inputs keep their precision for their mean.
        x = x if isinstance(x, Tensor) else torch.as_tensor(x, dtype=torch.float64)
        x = x.to(self.network.amplitude if self.network.units is None else self.network.units.x_mean)
        dimension = self.network.dimension
        if dimension > 1 and (x.ndim == 0 or x.shape[-1] != dimension):
            raise ValueError(f"x: must have the shape (..., {dimension}), one column per input; got {tuple(x.shape)}")
        shape, points = x.shape if dimension == 1 else x.shape[:-1], x.reshape(1, -1, dimension)
        differentiable = points.requires_grad or any(parameter.requires_grad for parameter in self.parameters())
        if torch.compiler.is_compiling() or (torch.is_grad_enabled() and differentiable):
            results = function(points)
        else:
            chunks = [function(chunk) for chunk in points.split(max(1, _CHUNK // self.members), dim=1)]
            results = [torch.cat(parts, dim=1) for parts in zip(*chunks, strict=True)]
        return [result.reshape((*shape, *result.shape[2:])) for result in results]


def mean_over(members: Tensor) -> Tensor:
    """Return the mean over members, (1, ...), of (M, ...); of one member its very bits."""
    return members if len(members) == 1 else members.mean(0, keepdim=True)


def std_over(members: Tensor) -> Tensor:
    """Return the standard deviation over members, (1, ...), of (M, ...)."""
    if len(members) == 1:
        raise ValueError("a standard deviation needs several members: load a sweep over seeds, not one run")
    return ((members - members.mean(0, keepdim=True)).square().sum(0, keepdim=True) / (len(members) - 1)).sqrt()


def load(directory: str | os.PathLike[str]) -> Function:
    """Load the trained function of a run, or of a sweep over seeds: the weights with the lowest validation loss.

    Of a sweep it is the mean over its finished runs, which may differ only in their seeds. It is on the CPU, in the
    precision of the training, and its parameters require no gradients.

    Raises:
        FileNotFoundError: the directory has no checkpoint, and no runs with one.
        ConfigurationError: a checkpoint is damaged, or names an activation whose module is not imported; or the runs of
            a sweep differ in more than their seeds, or in the rows of their tables.
    """
    return _load(_runs(directory))


def load_finished(directory: str, key: str, like: str | None = None) -> Function:
    """Load as `load` does, if the run has finished; runs of a sweep that are not `like` a run are left out.

    Raises:
        ConfigurationError: there is no such function; the message begins with the key.
    """
    run = RunDirectory(directory)
    rule = f"{key}: must be the directory of a finished run, got {directory!r}"
    if not run.metrics.exists() and (state := run.read_state()) is not None:
        after = "" if state.status == "diverged" else f"; continue it with {command()} resume={directory}"
        raise ConfigurationError(f"{rule} ({state.status} at step {state.step}, without {run.metrics.name}){after}")
    try:
        return _load(_runs(directory, like))
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {error}") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{rule} ({error})") from error


def _runs(directory: str | os.PathLike[str], like: str | None = None) -> list[RunDirectory]:
    """Return the runs whose mean a directory is: itself, or those of the sweep."""
    run = RunDirectory(directory)
    if like is None and run.best.is_file():
        return [run]
    if like is not None or (run.path.is_dir() and any(one.path != run.path for one in find(directory))):
        return members(directory, None if like is None else RunDirectory(like))
    raise FileNotFoundError(f"{run.best} is missing: {run.path} is not a run, or its run saved no checkpoint")


def _load(runs: Sequence[RunDirectory]) -> Function:
    """Load the trained functions of some runs as the members of one."""
    checkpoints = [read_checkpoint(run.best) for run in runs]
    path, first, prefix = runs[0].best, checkpoints[0], "network."
    columns = first.get("columns", {})
    try:
        model = first["configuration"]["model"]
        if named := unimported(model):
            how = f"for safety; import {named[0].rpartition('.')[0]} before"
            raise ConfigurationError(f"{path} refers to {named[0]}, which is not imported automatically, {how}")
        weights = join([one["state_dict"] for one in checkpoints]) if len(runs) > 1 else first["state_dict"]
        state = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
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
    directories = [str(run.path) for run in runs]
    return Function(network.requires_grad_(False).eval(), first["configuration"], **columns, runs=directories)
