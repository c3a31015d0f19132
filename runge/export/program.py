"""The value and the Jacobian as one program of PyTorch, and what a file says about itself."""

import copy
import io
import json
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
import torch
from torch import Tensor, nn

from runge.configuration import flatten
from runge.function import Function
from runge.records.fits import Columns
from runge.sobolev.jet import mean_over, std_over

__all__ = ["about", "names", "program", "torch_program"]


class _ValueAndDerivative(nn.Module):
    def __init__(self, function: Function, interval: float | None, order: int) -> None:
        super().__init__()
        self.interval, self.order = interval, order
        self.function = copy.deepcopy(function).cpu().requires_grad_(False).eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        parts = self.function.jet(x[None], self.order)
        means = [mean_over(part, self.function.weights)[0] for part in parts]
        results, pair = [*means], parts[:2]
        if self.function.members > 1:
            results += [std_over(part, self.function.weights)[0] for part in pair]
        if self.interval is not None:
            halves = [half[0] for half in self.function.half_widths(pair, self.interval)]
            results += [end for mean, half in zip(means, halves, strict=False) for end in (mean - half, mean + half)]
        return tuple(part[:, 0] if len(self.function.outputs) == 1 else part for part in results)


def names(function: Function, interval: float | None, hessian: bool) -> list[str]:
    """Return the names of the results."""
    several = ["u_std", "du_std"] if function.members > 1 else []
    return [
        "u",
        "du",
        *["d2u"] * hessian,
        *several,
        *([] if interval is None else ["u_low", "u_high", "du_low", "du_high"]),
    ]


def program(function: Function, interval: float | None = None, hessian: bool = False) -> torch.export.ExportedProgram:
    """Return the results that `export` describes as a program of tensor operations, for any number of points.

    Its input has the precision of the function's units, if it has any: 17 digits before their mean is subtracted.
    """
    x = torch.zeros(2, len(function.inputs), dtype=function.like.dtype)
    module = _ValueAndDerivative(function, interval, 2 if hessian else 1)
    traced = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names source files of this machine
    return traced


def torch_program(
    function: Function, interval: float | None = None, hessian: bool = False, name: str = "function"
) -> dict[str, bytes]:
    """Return a file for `torch.export.load`; `about` is its extra file `about.json`."""
    buffer = io.BytesIO()
    extra = {"about.json": json.dumps(about(function, interval))}
    torch.export.save(program(function, interval, hessian), buffer, extra_files=extra)
    return {".pt2": buffer.getvalue()}


def about(function: Function, interval: float | None = None) -> dict[str, str]:
    """Return what an exported file says about itself, as docs/howto/export.md describes it."""
    configuration, columns = flatten(function.configuration), Columns.of(function.inputs, function.outputs)
    facts = {"inputs": json.dumps(columns.inputs), "outputs": json.dumps(columns.fits + columns.fit_slopes)}
    if interval is not None:
        facts["interval"] = repr(interval)
    if function.members > 1:
        facts["members"] = str(function.members)
    if function.weights is not None:
        facts["weights"] = json.dumps(function.weights.tolist())
    if file := configuration.get("data.file"):
        facts["data"] = PurePath(str(file)).name
    else:
        formulas = [str(value) for key, value in configuration.items() if key.split(".")[:2] == ["target", "expr"]]
        facts["target"] = ", ".join(formulas) or str(configuration.get("target", ""))
    stages = [network.stage(0) for network in function.networks]
    digits = 15 if all(stage.scale.dtype == torch.float64 for stage in stages) else 6

    def mean(parts: Sequence[Tensor]) -> str:
        values = torch.cat([part.double() for part in parts]).mean(0)
        return json.dumps(np.vectorize(lambda x: float(f"{x:.{digits}g}"))(values.numpy(force=True)).tolist())

    units = [network.units for network in function.networks]
    if "target" not in configuration and (known := [one for one in units if one is not None]):
        return facts | {"mean": mean([one.x_mean for one in known]), "std": mean([one.x_std for one in known])}
    boxes = [torch.stack([-1 - stage.shift, 1 - stage.shift], 3)[:, 0] / stage.scale.mT for stage in stages]
    restored = [
        box if one is None else one.x_mean[..., None] + one.x_std[..., None] * box.double()
        for box, one in zip(boxes, units, strict=True)
    ]
    return facts | {"domain": mean(restored)}
