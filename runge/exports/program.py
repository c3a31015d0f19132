"""The value and the Jacobian as one program of PyTorch."""

import copy
import io
import json

import torch
from torch import Tensor, nn

from runge.exports.card import card
from runge.function.function import Function
from runge.sobolev.jet import mean_over, std_over

__all__ = ["names", "program", "torch_program"]


class _ValueAndDerivative(nn.Module):
    def __init__(self, function: Function, interval: float | None, order: int) -> None:
        super().__init__()
        self.interval, self.order = interval, order
        self.function = copy.deepcopy(function).cpu().requires_grad_(False).eval()

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        jet = self.function.jet(x[None], self.order)
        means = [mean_over(tensor)[0] for tensor in jet]
        results, pair = [*means], jet[:2]
        if self.function.members > 1:
            results += [std_over(tensor)[0] for tensor in pair]
        if self.interval is not None:
            halves = [half[0] for half in self.function.half_widths(pair, self.interval)]
            results += [end for mean, half in zip(means, halves, strict=False) for end in (mean - half, mean + half)]
        return tuple(tensor[:, 0] if len(self.function.outputs) == 1 else tensor for tensor in results)


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
    """Return a file for `torch.export.load`; the card is its extra file `card.json`."""
    buffer = io.BytesIO()
    extra = {"card.json": json.dumps(card(function, interval), indent=2)}
    torch.export.save(program(function, interval, hessian), buffer, extra_files=extra)
    return {".pt2": buffer.getvalue()}
