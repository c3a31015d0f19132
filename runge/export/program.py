"""The value and the Jacobian as one program of PyTorch, and what a file says about itself."""

import copy
import io
import json
from pathlib import PurePath

import torch
from torch import Tensor, nn

from runge.configuration import flatten
from runge.function import Function, mean_over, std_over
from runge.records.fits import Columns

__all__ = ["about", "program", "torch_program"]


class _ValueAndDerivative(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = copy.deepcopy(function).cpu().requires_grad_(False).eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = self.function.jet(x[None])
        results = [mean_over(part)[0] for part in parts]
        if self.function.members > 1:
            results += [std_over(part)[0] for part in parts]
        return tuple(part[:, 0] if self.function.network.outputs == 1 else part for part in results)


def program(function: Function) -> torch.export.ExportedProgram:
    """Return the results that `export` describes as a program of tensor operations, for any number of points.

    Its input has the precision of the function's units, if it has any: 17 digits before their mean is subtracted.
    """
    network = function.network
    precision = (network.amplitude if network.units is None else network.units.x_mean).dtype
    x = torch.zeros(2, network.dimension, dtype=precision)
    traced = torch.export.export(_ValueAndDerivative(function), (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names source files of this machine
    return traced


def torch_program(function: Function) -> dict[str, bytes]:
    """Return a file for `torch.export.load`; `about` is its extra file `about.json`."""
    buffer = io.BytesIO()
    torch.export.save(program(function), buffer, extra_files={"about.json": json.dumps(about(function))})
    return {".pt2": buffer.getvalue()}


def about(function: Function) -> dict[str, str]:
    """Return what an exported file says about itself, as docs/howto/export.md describes it."""
    network, configuration = function.network, flatten(function.configuration)
    stage, units, names = network.stage(0), network.units, Columns.of(function.inputs, function.outputs)
    facts = {"inputs": json.dumps(names.inputs), "outputs": json.dumps(names.fits + names.fit_slopes)}
    if function.members > 1:
        facts["members"] = str(function.members)
    if file := configuration.get("data.file"):
        facts["data"] = PurePath(str(file)).name
    else:
        formulas = [str(value) for key, value in configuration.items() if key.split(".")[:2] == ["target", "expr"]]
        facts["target"] = ", ".join(formulas) or str(configuration.get("target", ""))
    digits = 15 if stage.scale.dtype == torch.float64 else 6

    def shown(values: Tensor) -> str:
        return json.dumps([[float(f"{x:.{digits}g}") for x in row] for row in values.tolist()])

    scale, shift = stage.scale.double().mean(0)[0], stage.shift.double().mean(0)[0]
    bounds = torch.stack([-1 - shift, 1 - shift], 1) / scale[:, None]
    if units is None:
        return facts | {"domain": shown(bounds)}
    mean, std = units.x_mean.double().mean(0), units.x_std.double().mean(0)
    if "target" in configuration:  # its domain is [-1, 1]^D in standardised units
        return facts | {"domain": shown(mean[:, None] + std[:, None] * bounds)}
    return facts | {"mean": shown(mean[None])[1:-1], "std": shown(std[None])[1:-1]}
