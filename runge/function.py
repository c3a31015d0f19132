"""The trained function of a run, or the mean over several runs: an ordinary module."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from runge.configuration import unimported
from runge.domain import numbered
from runge.errors import ConfigurationError, command
from runge.records.checkpoints import join, read_checkpoint
from runge.records.directories import RunDirectory
from runge.records.ensemble import members, read_answer
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

    It is the mean over its members, with equal or other weights: the networks of runs with other seeds, or of any runs
    that were fitted to the same. One run has one member.

    With one input x may have any shape, and with one output `u(x)` and `u.derivative(x)` have the same. With D inputs x
    has the shape (..., D); with one output `u(x)` has (...) and `u.derivative(x)` has (..., D). With P outputs `u(x)`
    has (..., P) and `u.derivative(x)` has (..., P, D).

    A tensor or number gives a tensor, on the device and in the precision of the parameters or, if the run was trained
    in standardised units or the members have weights, of these, float64; `to` changes both. It can be differentiated by
    x if x requires gradients, and by the parameters after `u.requires_grad_()`; otherwise points are evaluated in
    chunks. A NumPy array gives an array, and so does a table with a column for each input, such as a DataFrame.

    It can be copied, pickled, saved by `torch.save`, compiled by `torch.compile` and exported by `torch.export`.

    Args:
        networks: the members, as a stack, or a stack for each of their architectures.
        configuration: the configuration of the first member's run, as plain data.
        inputs: the names of the inputs; None: x, or x1, ..., xD.
        outputs: the names of the outputs.
        runs: the directories of the members' runs, in the order of the stacks.
        weights: the weight w of each member, > 0, in the same order; they sum to 1. None: all are equal.

    Example:
        >>> network = ResidualStages(Model(), torch.tensor([[[-1.0, 1.0]]]), [torch.Generator()], torch.float64)
        >>> Function(network).derivative(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
    """

    weights: Tensor | None

    def __init__(
        self,
        networks: ResidualStages | Sequence[ResidualStages],
        configuration: Mapping[str, Any] = MappingProxyType({}),
        inputs: Sequence[str] | None = None,
        outputs: Sequence[str] = ("f",),
        runs: Sequence[str] = (),
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        stacks = [networks] if isinstance(networks, ResidualStages) else [*networks]
        self.networks = cast(Sequence[ResidualStages], nn.ModuleList(stacks))
        self.configuration = dict(configuration)  # a mapping proxy cannot be pickled
        self.inputs = numbered("x", stacks[0].dimension) if inputs is None else tuple(inputs)
        self.outputs, self.runs = tuple(outputs), tuple(runs)
        if weights is None and len(stacks) > 1:
            weights = [1 / self.members] * self.members
        self.register_buffer("weights", None if weights is None else torch.tensor(weights, dtype=torch.float64))

    @property
    def members(self) -> int:
        """The number of members M."""
        return sum(len(network.amplitude) for network in self.networks)

    @property
    def like(self) -> Tensor:
        """A tensor on the device and in the precision in which it takes x."""
        if self.weights is not None:
            return self.weights
        units = self.networks[0].units
        return self.networks[0].amplitude if units is None else units.x_mean

    def forward(self, x: Argument) -> Any:
        """Return the value u(x)."""
        (u,) = self._evaluate(x, lambda points: (mean_over(self.jet(points, with_derivative=False)[0], self.weights),))
        return u[..., 0] if len(self.outputs) == 1 else u

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
        r"""Return the standard deviations of u(x) and u'(x) over the members.

        .. math:: \sqrt{\sum_m w_m (u_m - \bar u)^2 / (1 - \sum_m w_m^2)}, \quad \bar u = \sum_m w_m u_m,

        and likewise of each component of u'. With equal weights, w = 1 / M, the denominator is that of M - 1.

        Raises:
            ValueError: there is one member.
        """
        return self._pair(x, std_over)

    def _pair(self, x: Argument, statistic: Callable[[Tensor, Tensor | None], Tensor]) -> tuple[Any, Any]:
        u, du = self._evaluate(x, lambda points: tuple(statistic(part, self.weights) for part in self.jet(points)))
        if len(self.outputs) > 1:
            return u, du
        return u[..., 0], du[..., 0, 0] if len(self.inputs) == 1 else du[..., 0, :]

    def jet(self, x: Tensor, *, with_derivative: bool = True) -> tuple[Tensor, Tensor]:
        """Return u, (M, N, P), and u', (M, N, P, D), of each member at x, (1, N, D); u' is empty without derivative."""
        parts = [_jet(network, x, with_derivative) for network in self.networks]
        if self.weights is None:
            return parts[0]
        u, du = (torch.cat([one.to(self.weights) for one in part]) for part in zip(*parts, strict=True))
        return u, du

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
        x, dimension = x.to(self.like), len(self.inputs)
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


def _jet(network: ResidualStages, x: Tensor, with_derivative: bool) -> tuple[Tensor, Tensor]:
    units, like = network.units, network.amplitude
    inside = (x if units is None else units.standardise_inputs(x)).to(like)
    u, du = network.value_and_derivative(inside) if with_derivative else (network(inside), like.new_empty(0))
    if units is None:
        return u, du
    unit_f, unit_df = units.of_outputs()  # not rounded to float32, nor is the sum: the mean may be large
    return units.y_mean[:, None] + unit_f * u, unit_df * du if with_derivative else du


def mean_over(members: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean over members, (1, ...), of (M, ...), with weights, (M,), or equal ones; of one its very bits."""
    if weights is not None:
        return torch.tensordot(weights, members, 1)[None]
    return members if len(members) == 1 else members.mean(0, keepdim=True)


def std_over(members: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the standard deviation over members, (1, ...), of (M, ...), as `Function.value_and_derivative_std`."""
    if len(members) == 1:
        raise ValueError("a standard deviation needs several members: load a sweep over seeds, or an answer of several")
    squares = (members - mean_over(members, weights)).square()
    if weights is None:
        return (squares.sum(0, keepdim=True) / (len(members) - 1)).sqrt()
    return (mean_over(squares, weights) / (weights * (1 - weights)).sum()).sqrt()  # 1 - sum w^2, as they sum to 1


def load(directory: str | os.PathLike[str]) -> Function:
    """Load the trained function of a run or of a sweep: the weights with the lowest validation loss.

    Of a sweep it is the weighted mean of the runs in its `answer.json`; without that, the mean over its finished runs,
    which may differ only in seed and fold. It is on the CPU, and its parameters require no gradients.

    Raises:
        FileNotFoundError: the directory has no checkpoint, and no runs with one.
        ConfigurationError: a checkpoint or the answer is damaged, or a checkpoint names an activation whose module is
            not imported; or runs without an answer differ in more than seed and fold, or in the rows of their tables.
    """
    return _load(*_runs(directory))


def load_finished(directory: str, key: str, like: str | None = None) -> Function:
    """Load as `load` does, if the run has finished; of a sweep, the mean over the runs that are `like` a run.

    Raises:
        ConfigurationError: there is no such function; the message begins with the key.
    """
    run, rule = RunDirectory(directory), f"{key}: must be the directory of a finished run, got {directory!r}"
    if not run.metrics.exists() and (state := run.read_state()) is not None:
        after = "" if state.status == "diverged" else f"; continue it with {command()} resume={directory}"
        raise ConfigurationError(f"{rule} ({state.status} at step {state.step}, without {run.metrics.name}){after}")
    try:
        return _load(*_runs(directory, like))
    except ConfigurationError as error:
        raise ConfigurationError(f"{key}: {error}") from error
    except FileNotFoundError as error:
        raise ConfigurationError(f"{rule} ({error})") from error


def _runs(
    directory: str | os.PathLike[str], like: str | None = None
) -> tuple[Sequence[RunDirectory], Sequence[float] | None]:
    """Return the runs whose mean a directory is, itself or some of a sweep, and their weights if they have any."""
    run = RunDirectory(directory)
    if like is not None:
        return members(directory, RunDirectory(like)), None
    if run.best.is_file():
        return [run], None
    if answer := read_answer(directory):
        runs, weights = zip(*answer, strict=True)
        return runs, weights if len(runs) > 1 else None
    if run.path.is_dir() and any(one.path != run.path for one in find(directory)):
        return members(directory), None
    raise FileNotFoundError(f"{run.best} is missing: {run.path} is not a run, or its run saved no checkpoint")


def _load(runs: Sequence[RunDirectory], weights: Sequence[float] | None = None) -> Function:
    """Load the trained functions of some runs as the members of one; those of one architecture share a stack."""
    checkpoints, stacks = [read_checkpoint(run.best) for run in runs], dict[str, list[int]]()
    columns = checkpoints[0].get("columns", {})
    for i, (run, one) in enumerate(zip(runs, checkpoints, strict=True)):
        if one.get("columns", {}) != columns:
            raise ConfigurationError(f"{run.path} must have the inputs and the outputs of {runs[0].path}")
        stacks.setdefault(_architecture(run, one), []).append(i)
    order = [i for stack in stacks.values() for i in stack]
    return Function(
        [_network([runs[i] for i in stack], [checkpoints[i] for i in stack]) for stack in stacks.values()],
        checkpoints[order[0]]["configuration"],
        **columns,
        runs=[str(runs[i].path) for i in order],
        weights=weights and [weights[i] for i in order],
    )


def _architecture(run: RunDirectory, checkpoint: Mapping[str, Any]) -> str:
    """Return what is equal of members that can share a stack."""
    with _explained(run):
        model = [checkpoint["configuration"]["model"].get(key) for key in ("activation", "depth", "width", "stages")]
        return repr((model, [(name, x.shape[1:], x.dtype) for name, x in checkpoint["state_dict"].items()]))


def _network(runs: Sequence[RunDirectory], checkpoints: Sequence[Mapping[str, Any]]) -> ResidualStages:
    """Return the networks of runs of one architecture as a stack."""
    first, prefix = checkpoints[0], "network."
    model = first["configuration"]["model"]
    if named := unimported(model):
        how = f"for safety; import {named[0].rpartition('.')[0]} before"
        raise ConfigurationError(f"{runs[0].best} refers to {named[0]}, which is not imported automatically, {how}")
    with _explained(runs[0]):
        weights = join(one["state_dict"] for one in checkpoints)
        state = {name.removeprefix(prefix): x for name, x in weights.items() if name.startswith(prefix)}
        network = ResidualStages(
            Model(**model | {"derivative": "forward"}),  # which can be exported
            domains=torch.tensor([-1.0, 1.0]).expand(*state["stages.0.scale"].shape[::2], 2),
            generators=[torch.Generator()] * len(state["amplitude"]),
            dtype=state["amplitude"].dtype,
            outputs=len(first.get("columns", {}).get("outputs", ["f"])),
            units=Units(*units) if (units := [state[name] for name in state if name.startswith("units.")]) else None,
        )
        network.load_state_dict(state)
        network.drop_unused()
    return network.requires_grad_(False).eval()


@contextmanager
def _explained(run: RunDirectory) -> Iterator[None]:
    """Name the checkpoint that does not hold what it should."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{run.best} does not hold the weights of a run ({error})") from error
