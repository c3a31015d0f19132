"""A formula as a target, and the search for its poles."""

from collections.abc import Callable, Sequence

import sympy
import torch
from torch import Tensor

from runge.targets.formulas import parse
from runge.targets.target import Target

__all__ = ["Expression", "find_pole"]

_LARGEST = 1e15  # whose square, and that of a gradient of the loss, are numbers in 32 bits


class Expression(Target):
    """A formula as a target; sympy differentiates it.

    The formula is parsed as arithmetic (numbers, + - * / **, the inputs, pi, e, and the functions of
    `runge.targets.formulas.FUNCTIONS`) and built from the syntax tree: no text is evaluated as Python.

    Args:
        expr: the formula in x; in more dimensions in x, y, z or x1, x2, ..., xD.
        domain: (lower, upper), or one such pair for each input.

    Raises:
        ValueError: `expr` is not such a formula, or it or its derivative is not finite, or larger than 1e15, on
            the domain.

    Example:
        >>> Expression("x**2").derivative(torch.tensor([[3.0]]))
        tensor([[6.]])
        >>> Expression("x*y", domain=[(0, 1), (0, 2)])
        Expression('x*y', [[0.0, 1.0], [0.0, 2.0]])
    """

    def __init__(self, expr: str, domain: Sequence[float] | Sequence[Sequence[float]] = (-1.0, 1.0)) -> None:
        super().__init__(domain)
        symbols = [sympy.Symbol(f"x{i + 1}", real=True) for i in range(self.dimension)]
        formula = parse(expr, symbols)
        try:
            partials = [sympy.diff(formula, symbol) for symbol in symbols]
            self._value = _compile(symbols, formula)
            self._partials = [_compile(symbols, partial) for partial in partials]
        except (OverflowError, RecursionError, ValueError) as error:
            raise ValueError(f"expr: {expr!r} or its derivative cannot be computed ({error})") from error
        if any(part.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo) for part in (formula, *partials)):
            raise ValueError(f"expr: {expr!r} and its derivative must be real and finite; got {formula} and {partials}")
        self.expr = expr
        for name, function in ((repr(expr), self.value), (f"the derivative of {expr!r}", self.derivative)):
            if (pole := find_pole(function, self.domain)) is not None:
                raise ValueError(
                    f"expr: {name} must be finite on the domain {self.domain.tolist()}, and within {_LARGEST:g} of 0; "
                    f"it is not at {pole}"
                )

    def __repr__(self) -> str:
        domain = self.domain.tolist()
        return f"Expression({self.expr!r}{'' if domain == [[-1, 1]] else f', {domain}'})"

    def value(self, x: Tensor) -> Tensor:
        """Return the formula's value at x of shape (..., D), as a tensor of shape (...)."""
        return self._value(x)

    def derivative(self, x: Tensor) -> Tensor:
        """Return the formula's gradient at x of shape (..., D), as a tensor of that shape."""
        return torch.stack([partial(x) for partial in self._partials], dim=-1)


def find_pole(function: Callable[[Tensor], Tensor], domain: Tensor) -> list[float] | None:
    """Return a point (D,) at or next to a pole of a function, or where it is above 1e15; None if there is none.

    The function is evaluated on a grid, which then shrinks around the largest |f| until its spacing is close to
    round-off. A regular function is constant on this last grid; near a pole it still differs from point to point.

    Args:
        function: x of shape (n, D) -> a tensor whose first dimension is n.
        domain: the box, of shape (D, 2).
    """
    box, dimension, (lower, upper) = domain, len(domain), domain.T
    per_axis = max(5, round(20001 ** (1 / dimension)))
    while True:
        axes = [torch.linspace(low, high, per_axis, dtype=torch.float64) for low, high in box.tolist()]
        x = torch.cartesian_prod(*axes).reshape(-1, dimension)
        size = function(x).reshape(len(x), -1).abs().amax(-1)
        if not (size <= _LARGEST).all():
            return x[~(size <= _LARGEST)][0].tolist()
        peak = x[size.argmax()]
        spacing = (box[:, 1] - box[:, 0]) / (per_axis - 1)
        if bool((spacing < 1e-12 * (upper - lower)).all()):
            return peak.tolist() if size.max() > 1.1 * size.min() else None
        box = torch.stack([torch.maximum(lower, peak - spacing), torch.minimum(upper, peak + spacing)], dim=1)
        per_axis = 9 if dimension <= 3 else 5


def _compile(symbols: Sequence[sympy.Symbol], formula: sympy.Expr) -> Callable[[Tensor], Tensor]:
    function = sympy.lambdify(symbols, sympy.N(formula, 17), modules="torch")
    return lambda x: torch.as_tensor(function(*x.unbind(-1)), dtype=x.dtype, device=x.device).expand(x.shape[:-1])
