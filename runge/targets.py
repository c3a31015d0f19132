"""Target functions: a scalar f on a box, its gradient, and the regions in which errors are reported."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import sympy
import torch
from torch import Tensor

from runge.formulas import parse

END_SHARE = 0.1
"""The share of the domain's length that counts as an end: for [-1, 1] the ends are [-1, -0.8) and (0.8, 1]."""


_MOST_INPUTS, _FARTHEST = 6, 1e12


class Target(ABC):
    """A function f: R^D -> R on a box, with its gradient and named regions.

    A subclass gives `value` and `derivative`; it may add regions of its own.

    Args:
        domain: (lower, upper) in one dimension, or one such pair for each of D dimensions.

    Raises:
        ValueError: a bound is not finite, or a lower bound is not below its upper bound.
    """

    def __init__(self, domain: Sequence[float] | Sequence[Sequence[float]]) -> None:
        self.domain: Tensor = _box(domain)

    @property
    def dimension(self) -> int:
        """The number D of inputs."""
        return len(self.domain)

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """F at x of shape (..., D), as a tensor of shape (...)."""

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """The gradient of f at x of shape (..., D), as a tensor of shape (..., D)."""

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Masks of the named regions at x of shape (..., D), each of shape (...).

        In one dimension `left`, `middle` and `right` (the ends are a tenth of the domain each); in more, `boundary`
        (a coordinate in an outer tenth) and `interior`.
        """
        lower, upper = self.domain[:, 0].to(x), self.domain[:, 1].to(x)
        margin = END_SHARE * (upper - lower)
        left, right = (x < lower + margin).any(-1), (x > upper - margin).any(-1)
        if self.dimension == 1:
            return {"left": left, "middle": ~(left | right), "right": right}
        return {"boundary": left | right, "interior": ~(left | right)}


class Runge(Target):
    r"""Runge's function, f(x) = 1 / (1 + 25 x^2) and f'(x) = -50 x / (1 + 25 x^2)^2.

    On [-1, 1] the largest |f'| is 3.2476, at |x| = 1 / (5 sqrt 3) = 0.1155; at the ends |f'| is 0.0740. The region
    `peak`, |x| <= 0.25, holds 84 % of the integral of f'^2.

    Args:
        domain: (lower, upper).

    Raises:
        ValueError: the domain is not one interval with lower < upper.

    References:
        C. Runge (1901). Ueber empirische Funktionen und die Interpolation zwischen aequidistanten Ordinaten.
        https://archive.org/details/zeitschriftfrma12runggoog
    """

    def __init__(self, domain: Sequence[float] = (-1.0, 1.0)) -> None:
        super().__init__(domain)
        if self.dimension != 1:
            raise ValueError(
                f"domain: must be one pair (lower, upper), for Runge's function has one input; got {domain}"
            )

    def value(self, x: Tensor) -> Tensor:
        """1 / (1 + 25 x^2) at x of shape (..., 1), as a tensor of shape (...)."""
        return 1 / (1 + 25 * x[..., 0] ** 2)

    def derivative(self, x: Tensor) -> Tensor:
        """-50 x / (1 + 25 x^2)^2 at x of shape (..., 1), as a tensor of that shape."""
        return -50 * x / (1 + 25 * x**2) ** 2

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """`left`, `middle`, `right` and, where the domain meets |x| <= 0.25, `peak`."""
        lower, upper = self.domain[0].tolist()
        regions = super().regions(x)
        return regions | {"peak": x[..., 0].abs() <= 0.25} if lower < 0.25 and upper > -0.25 else regions


class Expression(Target):
    """A formula; its gradient comes from symbolic differentiation by sympy.

    The formula is parsed as arithmetic (numbers, + - * / **, the inputs, pi, e, and the functions of
    `runge.formulas.FUNCTIONS`) and built from that tree: no text is ever evaluated as Python.

    Args:
        expr: the formula in x; in more dimensions in x, y, z or x1, x2, ..., xD.
        domain: (lower, upper), or one such pair for each input.

    Raises:
        ValueError: `expr` is empty, cannot be parsed, holds a name or a construct that is not allowed, or it or its
            derivative is not finite everywhere on the domain.

    Example:
        >>> target = Expression(expr="x**2", domain=(0, 1))
        >>> target.derivative(torch.tensor([[3.0]], dtype=torch.float64))
        tensor([[6.]], dtype=torch.float64)
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
            raise ValueError(f"expr: {expr!r} or its derivative cannot be worked out ({error})") from error
        if any(part.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo, -sympy.oo) for part in (formula, *partials)):
            raise ValueError(
                f"expr: {expr!r} and its derivative must be real and finite; they are {formula} and {partials}"
            )
        self.expr = expr
        for name, function in (("", self.value), ("the derivative of ", self.derivative)):
            pole = find_pole(function, self.domain)
            if pole is not None:
                raise ValueError(
                    f"expr: {name}{expr!r} must be finite on the domain {self.domain.tolist()}; it is not at {pole}"
                )

    def value(self, x: Tensor) -> Tensor:
        """The formula at x of shape (..., D), as a tensor of shape (...)."""
        return self._value(x)

    def derivative(self, x: Tensor) -> Tensor:
        """The formula's gradient at x of shape (..., D), as a tensor of that shape."""
        return torch.stack([partial(x) for partial in self._partials], dim=-1)


def find_pole(function: Callable[[Tensor], Tensor], domain: Tensor) -> list[float] | None:
    """Look for a point at which a function is not finite, or grows beyond bounds.

    The function is taken on a grid; then the grid shrinks around the largest |f| until its spacing nears round-off.
    There a regular function is constant, while near a pole it still differs from point to point.

    Args:
        function: x of shape (n, D) -> a tensor whose first dimension is n.
        domain: the box, of shape (D, 2).

    Returns:
        A point of shape (D,) at or next to the pole, or None where none was found.
    """
    dimension = len(domain)
    lower, upper = domain[:, 0], domain[:, 1]
    low, high, per_axis = lower, upper, max(5, round(20001 ** (1 / dimension)))
    while True:
        axes = [
            torch.linspace(a, b, per_axis, dtype=torch.float64)
            for a, b in zip(low.tolist(), high.tolist(), strict=True)
        ]
        x = torch.cartesian_prod(*axes).reshape(-1, dimension)
        size = function(x).reshape(len(x), -1).abs().amax(-1)
        if not size.isfinite().all():
            return x[~size.isfinite()][0].tolist()
        peak = x[size.argmax()]
        spacing = (high - low) / (per_axis - 1)
        if bool((spacing < 1e-12 * (upper - lower)).all()):
            return peak.tolist() if size.max() > 1.1 * size.min() else None
        low, high, per_axis = (
            torch.maximum(lower, peak - spacing),
            torch.minimum(upper, peak + spacing),
            9 if dimension <= 3 else 5,
        )


def _compile(symbols: Sequence[sympy.Symbol], formula: sympy.Expr) -> Callable[[Tensor], Tensor]:
    function = sympy.lambdify(symbols, sympy.N(formula, 17), modules="torch")

    def evaluate(x: Tensor) -> Tensor:
        return torch.as_tensor(function(*x.unbind(-1)), dtype=x.dtype, device=x.device).expand(x.shape[:-1])

    return evaluate


def _box(domain: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    try:
        if any(
            isinstance(bound, bool) for pair in domain for bound in (pair if isinstance(pair, Sequence) else [pair])
        ):
            raise TypeError("true and false are no numbers")
        box = torch.as_tensor(
            [list(pair) if isinstance(pair, Sequence) else pair for pair in domain], dtype=torch.float64
        )
        box = box[None] if box.ndim == 1 else box
    except (TypeError, ValueError) as error:
        raise ValueError(f"domain: must be (lower, upper), or one such pair for each input; got {domain!r}") from error
    if box.ndim != 2 or box.shape[1] != 2 or len(box) == 0:
        raise ValueError(f"domain: must be (lower, upper), or one such pair for each input; got {domain!r}")
    if len(box) > _MOST_INPUTS:
        raise ValueError(f"domain: must have at most {_MOST_INPUTS} inputs, got {len(box)}")
    if not (box.abs() <= _FARTHEST).all() or not (box[:, 1] - box[:, 0] > 1 / _FARTHEST).all():
        raise ValueError(
            f"domain: must have finite bounds with lower < upper, within {_FARTHEST:g} of 0 and more than "
            f"{1 / _FARTHEST:g} apart; got {domain!r}"
        )
    return box
