"""The value and the Jacobian as one program of PyTorch, and what a file says about itself."""

import copy
import io
import json

import torch
from torch import Tensor, nn

from runge.configuration import flatten
from runge.function import Function

__all__ = ["ValueAndDerivative", "about", "program", "torch_program"]


class ValueAndDerivative(nn.Module):
    """A copy of a function whose call returns value and derivative, without gradients by its parameters.

    Example:
        >>> from runge.sobolev.network import Model
        >>> from runge.sobolev.stages import ResidualStages
        >>> network = ResidualStages(Model(), torch.tensor([[[-1.0, 1.0]]]), [torch.Generator()], torch.float32)
        >>> [part.shape for part in ValueAndDerivative(Function(network))(torch.zeros(5, 1))]
        [torch.Size([5]), torch.Size([5, 1])]
    """

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = copy.deepcopy(function).cpu().requires_grad_(False).eval()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return u, (N,), and du, (N, D), at x, (N, D); with P outputs (N, P) and (N, P, D)."""
        u, du = self.function.jet(x[None])
        return (u[0, :, 0], du[0, :, 0]) if self.function.network.outputs == 1 else (u[0], du[0])


def program(function: Function) -> torch.export.ExportedProgram:
    """Return u and du as a program of tensor operations, for any number of points."""
    x = torch.zeros(2, function.network.dimension, dtype=function.network.amplitude.dtype)
    traced = torch.export.export(ValueAndDerivative(function), (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names source files of this machine
    return traced


def torch_program(function: Function) -> dict[str, bytes]:
    """Return a file for `torch.export.load`; `about` is its extra file `about.json`."""
    buffer = io.BytesIO()
    torch.export.save(program(function), buffer, extra_files={"about.json": json.dumps(about(function))})
    return {".pt2": buffer.getvalue()}


def about(function: Function) -> dict[str, str]:
    """Return what an exported file says about itself.

    Returns:
        `inputs` and `outputs`, the names of the columns of x and of u and du, and `domain`, the bounds of each input,
        as JSON; and `target`, the target's formula, or its class.
    """
    stage, configuration = function.network.stage(0), flatten(function.configuration)
    names = ["x"] if stage.dimension == 1 else [f"x{d + 1}" for d in range(stage.dimension)]
    scale, shift = stage.scale.double().flatten(), stage.shift.double().flatten()
    digits = 15 if stage.scale.dtype == torch.float64 else 6
    bounds = [
        [float(f"{end:.{digits}g}") for end in pair]
        for pair in torch.stack([-1 - shift, 1 - shift], 1) / scale[:, None]
    ]
    return {
        "inputs": json.dumps(names),
        "outputs": json.dumps(["u", *(["du"] if stage.dimension == 1 else [f"du_d{name}" for name in names])]),
        "domain": json.dumps(bounds),
        "target": str(configuration.get("target.expr") or configuration.get("target", "")),
    }
