"""The trained function, an ordinary module that can be called, differentiated and built upon."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from runge.configuration import unimported
from runge.errors import ConfigurationError
from runge.records.checkpoints import read_checkpoint
from runge.records.directories import RunDirectory
from runge.sobolev.network import Model
from runge.sobolev.stages import ResidualStages

__all__ = ["Function", "load"]


class Function(nn.Module):
    """A trained u: R^D -> R with its derivative.

    In one dimension x may have any shape, and `u(x)` and `u.derivative(x)` have the same. In D dimensions x has the
    shape (..., D); `u(x)` has (...) and `u.derivative(x)` has (..., D). Both can be differentiated by autograd.

    Args:
        network: a stack of one.
        configuration: its run's configuration, as plain data.

    Example:
        >>> network = ResidualStages(Model(), torch.tensor([[[-1.0, 1.0]]]), [torch.Generator()], torch.float64)
        >>> Function(network).derivative(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
    """

    def __init__(self, network: ResidualStages, configuration: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        self.network, self.configuration = network, configuration

    def forward(self, x: Tensor | float) -> Tensor:
        """Return the value u(x)."""
        points, shape = self._points(x)
        return self.network(points)[0].reshape(shape)

    def derivative(self, x: Tensor | float) -> Tensor:
        """Return the derivative u'(x); in D dimensions the gradient."""
        points, shape = self._points(x)
        du = self.network.value_and_derivative(points)[1][0]
        return du.reshape(shape if self.network.dimension == 1 else (*shape, self.network.dimension))

    def _points(self, x: Tensor | float) -> tuple[Tensor, torch.Size]:
        """Return x as points (1, N, D) in the network's precision and on its device, and the shape of u(x)."""
        x, dimension = torch.as_tensor(x).to(self.network.amplitude), self.network.dimension
        if dimension > 1 and (x.ndim == 0 or x.shape[-1] != dimension):
            raise ValueError(f"x: must have the shape (..., {dimension}), one column per input; got {tuple(x.shape)}")
        return x.reshape(1, -1, dimension), x.shape if dimension == 1 else x.shape[:-1]


def load(run_directory: str | os.PathLike[str]) -> Function:
    """Load the trained function of a run: the weights with the lowest validation loss.

    It is on the CPU, in evaluation mode, and in the precision that it was trained in.

    Raises:
        FileNotFoundError: the directory has no checkpoint.
        ConfigurationError: the checkpoint is damaged, or names an activation whose module is not imported.
    """
    path = RunDirectory(run_directory).best
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: {run_directory} is not a run, or its run saved no checkpoint")
    checkpoint, prefix = read_checkpoint(path), "network."
    try:
        model = checkpoint["configuration"]["model"]
        if named := unimported(model):
            how = f"for safety; import {named[0].rpartition('.')[0]} before"
            raise ConfigurationError(f"{path} refers to {named[0]}, which is not imported automatically, {how}")
        weights = checkpoint["state_dict"].items()
        state = {name.removeprefix(prefix): x for name, x in weights if name.startswith(prefix)}
        network = ResidualStages(
            Model(**model),
            domains=torch.tensor([-1.0, 1.0]).expand(*state["stages.0.scale"].shape[::2], 2),
            generators=[torch.Generator()] * len(state["amplitude"]),
            dtype=state["amplitude"].dtype,
        )
        network.load_state_dict(state)
    except ConfigurationError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RuntimeError) as error:
        raise ConfigurationError(f"{path} does not hold the weights of a run ({error})") from error
    return Function(network.eval(), checkpoint["configuration"])
