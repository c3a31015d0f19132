"""Formulas as a target, and the search for their poles."""

from collections.abc import Callable, Mapping, Sequence

import sympy
import torch
from torch import Tensor

from runge.domain import sobol
from runge.targets.formulas import parse
from runge.targets.target import Target

__all__ = ["Expression", "find_pole"]

_LARGEST = 1e15  # whose square, and that of a gradient of the loss, are numbers in 32 bits
_MOST_OUTPUTS = 100


class Expression(Target):
    """A formula as a target, or one for each of several outputs; sympy differentiates it.

    A formula is parsed as arithmetic (numbers, + - * / **, the inputs, pi, e, and the functions of
    `runge.targets.formulas.FUNCTIONS`) and built from the syntax tree: no text is evaluated as Python.

    Args:
        expr: the formula in x; in more dimensions in x, y, z or x1, x2, ..., xD. A list of formulas for the outputs f1,
            f2, ..., or a mapping from the outputs' names to their formulas.
        domain: (lower, upper), or one such pair for each input.

    Raises:
        ValueError: `expr` is not such a formula or formulas, or one of them or its derivative is not finite, or larger
            than 1e15, on the domain.

    Example:
        >>> Expression("x**2").derivative(torch.tensor([[3.0]]))
        tensor([[6.]])
        >>> Expression("x*y", domain=[(0, 1), (0, 2)])
        Expression('x*y', [[0.0, 1.0], [0.0, 2.0]])
        >>> Expression({"force": "-sin(x)", "energy": "1-cos(x)"}).derivative(torch.tensor([[0.0]])).tolist()
        [[[-1.0], [0.0]]]
    """

    def __init__(
        self,
        expr: str | Sequence[str] | Mapping[str, str],
        domain: Sequence[float] | Sequence[Sequence[float]] = (-1.0, 1.0),
    ) -> None:
        super().__init__(domain)
        symbols = [sympy.Symbol(f"x{i + 1}", real=True) for i in range(self.dimension)]
        self.expr, formulas = expr, _named(expr, [symbol.name for symbol in symbols])
        self.outputs = tuple(formulas)
        self._values: list[Callable[[Tensor], Tensor]] = []
        self._gradients: list[Callable[[Tensor], Tensor]] = []
        for text in formulas.values():
            value, gradient = _differentiate(text, symbols)
            self._values.append(value)
            self._gradients.append(gradient)
            for name, function in ((repr(text), value), (f"the derivative of {text!r}", gradient)):
                if (pole := find_pole(function, self.domain)) is not None:
                    raise ValueError(
                        f"expr: {name} must be finite on the domain {self.domain.tolist()}, and within {_LARGEST:g} of "
                        f"0; it is not at {pole}"
                    )

    def __repr__(self) -> str:
        domain = self.domain.tolist()
        return f"Expression({self.expr!r}{'' if domain == [[-1, 1]] else f', {domain}'})"

    def value(self, x: Tensor) -> Tensor:
        """Return the formula's value at x of shape (..., D), as a tensor of shape (...); of P > 1 formulas (..., P)."""
        values = [value(x) for value in self._values]
        return values[0] if len(values) == 1 else torch.stack(values, dim=-1)

    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient at x of shape (..., D), as a tensor of that shape; of P > 1 formulas (..., P, D)."""
        gradients = [gradient(x) for gradient in self._gradients]
        return gradients[0] if len(gradients) == 1 else torch.stack(gradients, dim=-2)


def find_pole(function: Callable[[Tensor], Tensor], domain: Tensor) -> list[float] | None:
    """Return a point (D,) at or next to a pole of a function, or where it is above 1e15; None if none is found.

    The function is evaluated on a grid, which then shrinks around the largest |f| until its spacing is close to
    round-off. A regular function is constant on this last grid; near a pole it still differs from point to point. For
    D > 3 Sobol points take the grid's place, and a pole at a single point, other than the centre and two opposite
    corners, may be missed.

    Args:
        function: x of shape (n, D) -> a tensor whose first dimension is n.
        domain: the box, of shape (D, 2).
    """
    box, dimension, (lower, upper) = domain, len(domain), domain.T
    count = max(5, round(20001 ** (1 / dimension))) if dimension <= 3 else min(2**12, 2**21 // dimension)
    scattered, peak = sobol(count if dimension > 3 else 0, domain, None), upper
    while True:
        if dimension <= 3:
            axes = [torch.linspace(low, high, count, dtype=torch.float64) for low, high in box.tolist()]
            x = torch.cartesian_prod(*axes).reshape(-1, dimension)
        else:
            t = (scattered[:count] - lower) / (upper - lower)
            x = torch.cat([box[:, 0] + t * (box[:, 1] - box[:, 0]), peak[None]])
        size = function(x).reshape(len(x), -1).abs().amax(-1)
        if not (size <= _LARGEST).all():
            return x[~(size <= _LARGEST)][0].tolist()
        peak = x[size.argmax()]
        spacing = (box[:, 1] - box[:, 0]) / (count - 1 if dimension <= 3 else 4)
        if bool((spacing < 1e-12 * (upper - lower)).all()):
            return peak.tolist() if size.max() > 1.1 * size.min() else None
        box = torch.stack([torch.maximum(lower, peak - spacing), torch.minimum(upper, peak + spacing)], dim=1)
        count = 9 if dimension <= 3 else min(2**8, count)


def _named(expr: str | Sequence[str] | Mapping[str, str], inputs: Sequence[str]) -> dict[str, str]:
    """Return the formulas by the names of their outputs."""
    if isinstance(expr, Mapping):
        formulas = dict(expr)
    elif isinstance(expr, str) or not isinstance(expr, Sequence):  # `parse` refuses what is no text
        formulas = {"f": expr}
    else:
        formulas = {f"f{i + 1}" if len(expr) > 1 else "f": formula for i, formula in enumerate(expr)}
    if not 1 <= len(formulas) <= _MOST_OUTPUTS:
        raise ValueError(f"expr: must have from 1 to {_MOST_OUTPUTS} formulas, got {len(formulas)}")
    if taken := formulas.keys() & {"x", *inputs}:
        raise ValueError(f"expr: an output's name must differ from those of the inputs, got {', '.join(sorted(taken))}")
    for name in formulas:
        if not (isinstance(name, str) and name.isidentifier() and name.isascii()):
            raise ValueError(f"expr: an output's name must be of letters, digits and _, got {name!r}")
    return formulas


def _differentiate(
    text: str, symbols: Sequence[sympy.Symbol]
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return a formula's value and its gradient, as functions of x (..., D)."""
    formula = parse(text, symbols)
    try:
        partials = [sympy.diff(formula, symbol) for symbol in symbols]
        value, *gradient = [sympy.N(part, 17) for part in (formula, *partials)]
        of_value, of_gradient = (sympy.lambdify(symbols, part, modules="torch") for part in (value, gradient))
    except (OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"expr: {text!r} or its derivative cannot be computed ({error})") from error
    if any(part.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo) for part in (formula, *partials)):
        raise ValueError(f"expr: {text!r} and its derivative must be real and finite; got {formula} and {partials}")

    def like(number: Tensor | float, x: Tensor) -> Tensor:
        return torch.as_tensor(number, dtype=x.dtype, device=x.device).expand(x.shape[:-1])

    return (
        lambda x: like(of_value(*x.unbind(-1)), x),
        lambda x: torch.stack([like(partial, x) for partial in of_gradient(*x.unbind(-1))], dim=-1),
    )
