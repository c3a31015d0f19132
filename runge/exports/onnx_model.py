"""Write the value and the Jacobian as an ONNX model."""

import copy
import json
import logging
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from numpy.polynomial import chebyshev
from scipy import special
from torch import Tensor, nn

from runge.exports.card import card
from runge.function.function import Function
from runge.sobolev.jet import mean_over, std_over

__all__ = ["onnx_model"]


def onnx_model(function: Function, interval: float | None, hessian: bool, name: str) -> dict[str, bytes]:
    """Return a file with the input `x` and the outputs of `_names`; its metadata are the keys of the card, as JSON."""
    try:
        import onnx
        import onnxscript
    except ImportError as error:
        need = f"onnx needs the package {error.name}; install it with pip install -e '.[onnx]'"
        raise ImportError(need) from error
    with warnings.catch_warnings(action="ignore"):  # on packages that the exporter does not need, and on its own code
        before = logging.root.manager.disable
        logging.disable(max(before, logging.WARNING))
        try:
            exported = torch.onnx.export(
                _program(function, interval, hessian),
                dynamo=True,
                verbose=False,
                input_names=["x"],
                output_names=_names(function, interval, hessian),
                optimize=False,  # its rules drop an added number below 1e-8, and a factor close to 1
                custom_translation_table=_translations(),
            )
            assert exported is not None
            onnxscript.optimizer.fold_constants(exported.model)
            onnxscript.optimizer.remove_unused_nodes(exported.model)
        finally:
            logging.disable(before)
    model = exported.model_proto
    model.graph.ClearField("value_info")
    for entry in (*model.graph.node, *model.graph.input, *model.graph.output, model.graph):
        entry.ClearField("metadata_props")  # it names source files of this machine
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    facts = {name: json.dumps(content) for name, content in card(function, interval).items()}
    onnx.helper.set_model_props(model, facts)
    onnx.checker.check_model(model, full_check=True)
    return {".onnx": model.SerializeToString()}


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


def _names(function: Function, interval: float | None, hessian: bool) -> list[str]:
    """Return the names of the results."""
    names = ["u", "du", *["d2u"] * hessian, *["u_std", "du_std"] * (function.members > 1)]
    return names + ["u_low", "u_high", "du_low", "du_high"] * (interval is not None)


def _program(function: Function, interval: float | None, hessian: bool) -> torch.export.ExportedProgram:
    """Return the results that `export` describes as a program of tensor operations, for any number of points.

    Its input has the precision of the function's units, if it has any: 17 digits before their mean is subtracted.
    """
    x = torch.zeros(2, len(function.inputs), dtype=function.like.dtype)
    module = _ValueAndDerivative(function, interval, 2 if hessian else 1)
    return torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))


_MIDDLE = 3.0
"""The x at which y is 0, the middle of the polynomial."""

_ERFCX = chebyshev.cheb2poly(
    chebyshev.chebinterpolate(lambda y: special.erfcx(2 * _MIDDLE / (1 + y) - _MIDDLE), 20)
).tolist()
"""The coefficients of exp(x^2) erfc(x) as a polynomial in y = 6 / (3 + x) - 1, to round-off for all x >= 0."""


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return translations in the place of torch's: numbers keep all digits, and ONNX Runtime has all operations.

    Version 1.32 has neither erf nor softplus in double precision.
    """
    from onnx import TensorProto, helper
    from onnxscript import opset20

    op: Any = opset20

    def number(s: float, dtype: int = TensorProto.DOUBLE, **_: object) -> Any:
        return op.Constant(value=helper.make_tensor("number", int(dtype), [], [s]))  # torch's is in single precision

    def erf(x: Any, dtype: int | None = None) -> Any:
        if (dtype or x.dtype) != TensorProto.DOUBLE:
            return op.Erf(x)
        size, total = op.Abs(x), number(_ERFCX[-1])
        y = op.Sub(op.Div(number(2 * _MIDDLE), op.Add(size, number(_MIDDLE))), number(1))
        for coefficient in _ERFCX[-2::-1]:
            total = op.Add(op.Mul(total, y), number(coefficient))
        return op.Mul(op.Sign(x), op.Sub(number(1), op.Mul(op.Exp(op.Neg(op.Mul(x, x))), total)))

    def normal(x: Any) -> Any:
        total = erf(op.Mul(x, number(math.sqrt(0.5), x.dtype)), x.dtype)
        return op.Mul(op.Add(total, number(1, x.dtype)), number(0.5, x.dtype))

    def gelu(x: Any, approximate: str = "none") -> Any:
        return op.Mul(x, normal(x))

    def softplus(x: Any, beta: float = 1, threshold: float = 20) -> Any:
        scaled = op.Mul(x, number(beta, x.dtype))
        tail = op.Log(op.Add(op.Exp(op.Neg(op.Abs(scaled))), number(1, x.dtype)))
        return op.Div(op.Add(op.Relu(scaled), tail), number(beta, x.dtype))

    aten = torch.ops.aten
    return {
        aten.scalar_tensor.default: number,
        aten.erf.default: erf,
        aten.special_erf.default: erf,
        aten.special_ndtr.default: normal,
        aten.gelu.default: gelu,
        aten.softplus.default: softplus,
    }
