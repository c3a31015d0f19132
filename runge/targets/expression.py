"""Make targets of formulas: differentiate them by sympy, and search for poles."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from runge.sampling.domain import onto, sobol
from runge.targets.formula import parse, work
from runge.targets.target import Target

if TYPE_CHECKING:
    import sympy

__all__ = ["Expression", "find_pole"]

_LARGEST = 1e15
"""The largest value or derivative: its square, and the square of a gradient of the loss, are numbers in 32 bits."""

_JUMP_SHARE = 0.6
"""The share of 9 points along an axis beside a jump: 4 are on one side of it, and 2 may be the closest to a pole."""

_LEAST_POLE_RISE = 1.02
"""The least rise from there to the closest points, a third as far from a pole; log|x| rises by log(3) / 28."""

_MOST_ON_A_GRID = 3
"""The most inputs with a grid, whose number of points is a power of them."""

_MOST_OUTPUTS = 100
"""The most formulas of a target, a bound on the time of sympy."""

_MOST_WORK = 300_000
"""The most work of differentiating all of them, likewise."""


class Expression(Target):
    """A formula as a target, or one for each of several outputs; sympy differentiates it.

    A formula is arithmetic: numbers, + - * / **, the inputs, pi, e, and `FUNCTIONS` of one argument. No text is
    evaluated as Python.

    Args:
        expr: the formula in x; in more dimensions in x, y, z or x1, x2, ..., xD. A list of formulas for the outputs f1,
            f2, ..., or a mapping from the outputs' names to their formulas.
        domain: (lower, upper), or one such pair for each input.

    Raises:
        ValueError: `expr` is not such a formula or formulas, or takes long to differentiate, or one of them or its
            derivative is not defined, or larger than 1e15, somewhere on the domain. So is 0 in sin(x)/x, although it
            has a limit there: such formulas lose their digits next to the point.

    Example:
        >>> Expression("x**2").derivative(torch.tensor([[3.0]]))
        tensor([[6.]])
    """

    def __init__(
        self,
        expr: str | Sequence[str] | Mapping[str, str],
        domain: Sequence[float] | Sequence[Sequence[float]] = (-1.0, 1.0),
    ) -> None:
        import sympy  # late, here and below: it takes longer than all other imports that checking a run needs

        super().__init__(domain)
        symbols = [sympy.Symbol(f"x{i + 1}", real=True) for i in range(self.dimension)]
        self.expr, formulas = expr, _named(expr, [symbol.name for symbol in symbols])
        self.outputs = tuple(formulas)
        if (total := sum(map(work, formulas.values()))) > _MOST_WORK:
            raise ValueError(
                f"expr: the work of differentiating must be at most {_MOST_WORK}, got {total}; use fewer factors, and "
                "fewer functions of functions, or a table of values"
            )
        self._values: list[Callable[[Tensor], Tensor]] = []
        self._gradients: list[Callable[[Tensor], Tensor]] = []
        for text in formulas.values():
            formula = parse(text, symbols)
            value, gradient = _differentiate(text, formula, symbols)
            self._values.append(value)
            self._gradients.append(gradient)
            if (divisor := _divisor_with_zeros(formula, symbols, self.domain)) is not None:
                where = f"which is 0 somewhere on the domain {self.domain.tolist()}; choose a domain where it is not"
                raise ValueError(f"expr: {text!r} divides by {divisor}, {where}")
            for name, function in ((repr(text), value), (f"the derivative of {text!r}", gradient)):
                if (pole := find_pole(function, self.domain)) is not None:
                    raise ValueError(
                        f"expr: {name} must be finite on the domain {self.domain.tolist()}, and within {_LARGEST:g} of "
                        f"0; it is not at x = {pole}"
                    )

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
    round-off. Near a pole |f| is larger at a few points of this last grid than at most others; at a jump it is as large
    at all points on one side of it. For D > 3 Sobol points take the grid's place, and a pole at a single point, other
    than the centre and two opposite corners, may be missed. The function maps (n, D) to a tensor whose first dimension
    is n.
    """
    grid, (lower, upper) = len(domain) <= _MOST_ON_A_GRID, domain.T
    x, box = _spread_over(domain), domain
    t = (x - lower) / (upper - lower)
    while True:
        size = function(x).reshape(len(x), -1).abs().amax(-1)
        if not (size <= _LARGEST).all():
            return x[~(size <= _LARGEST)][0].tolist()
        peak = x[size.argmax()]
        per_axis = round(len(x) ** (1 / len(domain)))
        spacing = (box[:, 1] - box[:, 0]) / (per_axis - 1 if grid else 4)
        if bool((spacing < 1e-12 * (upper - lower)).all()):
            return peak.tolist() if size.max() > _LEAST_POLE_RISE * size.quantile(_JUMP_SHARE) else None
        box = torch.stack([torch.maximum(lower, peak - spacing), torch.minimum(upper, peak + spacing)], dim=1)
        if grid:
            axes = [torch.linspace(low, high, 9, dtype=torch.float64) for low, high in box.tolist()]
            x = torch.cartesian_prod(*axes).reshape(-1, len(domain))
        else:
            x = torch.cat([box[:, 0] + t[: 2**8] * (box[:, 1] - box[:, 0]), peak[None]])


def _spread_over(domain: Tensor) -> Tensor:
    """Return points on a domain, (n, D), its centre and its ends among them: a grid for D <= 3, else Sobol points."""
    dimension = len(domain)
    if dimension > _MOST_ON_A_GRID:
        return torch.cat([sobol(min(2**12, 2**21 // dimension), domain, None), domain[None, :, 1]])
    per_axis = max(5, 2 * round(20001 ** (1 / dimension) / 2) + 1)
    axis = torch.arange(1 - per_axis, per_axis, 2, dtype=torch.float64) / (per_axis - 1)  # `linspace` may miss 0
    return onto(domain, torch.cartesian_prod(*[axis] * dimension).reshape(-1, dimension))


def _divisor_with_zeros(
    formula: "sympy.Expr", symbols: "Sequence[sympy.Symbol]", domain: Tensor
) -> "sympy.Expr | None":
    """Return a part of a formula by which it divides and that changes its sign on the domain, or None."""
    import sympy

    bases = {power.base for power in formula.atoms(sympy.Pow) if power.exp.is_negative}
    columns = _spread_over(domain).unbind(-1)
    for divisor in sorted((base for base in bases if base.free_symbols), key=str):
        values = sympy.lambdify(symbols, sympy.N(divisor, 17), modules="torch")(*columns)
        if (values >= 0).any() and (values <= 0).any():
            return divisor
    return None


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
    text: str, formula: "sympy.Expr", symbols: "Sequence[sympy.Symbol]"
) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return a formula's value and its gradient, as functions of x (..., D)."""
    import sympy

    class Size(sympy.Function):
        """The absolute value of a real argument. `Abs` of what may be complex has derivatives of its real part."""

        def fdiff(self, argindex: int = 1) -> sympy.Expr:
            return sympy.sign(self.args[0])

    try:
        of_terms: dict[sympy.Basic, list[sympy.Expr]] = {symbol: [] for symbol in symbols}
        # `diff` of the whole sum would visit all terms for each symbol.
        for term in sympy.Add.make_args(formula):
            for symbol in term.free_symbols:
                partial: Any = sympy.diff(term.replace(sympy.Abs, Size), symbol)
                of_terms[symbol].append(partial.replace(Size, sympy.Abs))
        partials = [sympy.Add(*terms) for terms in of_terms.values()]
        # `N` does not evaluate sqrt(2) in sin(x + sqrt(2)), and the square root of torch takes no number.
        atoms = sympy.Tuple(formula, *partials).atoms(sympy.Pow, sympy.Function)
        numbers = {atom: atom.evalf(17) for atom in atoms if atom.is_number}
        value, *gradient = [sympy.N(expression.xreplace(numbers), 17) for expression in (formula, *partials)]
        of_value, of_gradient = (
            sympy.lambdify(symbols, expressions, modules="torch") for expressions in (value, gradient)
        )
    except (OverflowError, RecursionError, ValueError) as error:
        raise ValueError(f"expr: {text!r} or its derivative cannot be computed ({error})") from error
    if any(expression.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo) for expression in (formula, *partials)):
        raise ValueError(f"expr: {text!r} and its derivative must be real and finite; got {formula} and {partials}")

    def like(number: Tensor | float, x: Tensor) -> Tensor:
        return torch.as_tensor(number, dtype=x.dtype, device=x.device).expand(x.shape[:-1])

    return (
        lambda x: like(of_value(*x.unbind(-1)), x),
        lambda x: torch.stack([like(partial, x) for partial in of_gradient(*x.unbind(-1))], dim=-1),
    )
