"""Define the interface of a target, f on a box with its derivative and regions, and Runge's function."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from runge.sampling.domain import sobol

__all__ = ["MOST_INPUTS", "Runge", "Target", "far_from_one"]

_END_SHARE = 0.1
"""The share of an end in the domain's length: for [-1, 1] the ends are [-1, -0.8) and (0.8, 1]."""

MOST_INPUTS = 1000
"""The most inputs, which is far below the 21201 dimensions of the Sobol sequences of torch."""

_LARGEST_BOUND = 1e12
"""The largest bound of a domain: its squares are numbers in 32 bits."""

_PROBE_POINTS = 256
"""The points of a Sobol sequence, a power of 2, whose standard deviation is the size of an output."""

_LEAST_OWN_SIZE, _MOST_OWN_SIZE = 0.1, 5.0
"""The sizes, in their own units, that a network with its initial weights fits well (`far_from_one`)."""


class Target(ABC):
    """A function f: R^D -> R^P on a box, with its derivative and named regions.

    A subclass defines `value` and `derivative`; it may add regions, and for P > 1 it names its `outputs`.

    Args:
        domain: (lower, upper) in one dimension, or one such pair for each of D dimensions.

    Raises:
        ValueError: a bound is not finite, a lower bound is not below its upper bound, or there are more than 1000
            inputs.
    """

    outputs: tuple[str, ...] = ("f",)

    def __init__(self, domain: Sequence[float] | Sequence[Sequence[float]]) -> None:
        try:
            pairs: Any = domain if any(isinstance(pair, Sequence) for pair in domain) else [domain]
            pairs = [list(pair) for pair in pairs]
            box = torch.as_tensor(pairs, dtype=torch.float64)
            if box.shape[1:] != (2,) or any(isinstance(bound, bool) for pair in pairs for bound in pair):
                raise TypeError("not pairs of numbers")
        except (TypeError, ValueError) as error:
            raise ValueError(f"domain: must be (lower, upper), or one such pair per input; got {domain!r}") from error
        if len(box) > MOST_INPUTS:
            raise ValueError(f"domain: must have at most {MOST_INPUTS} inputs, got {len(box)}")
        if not (box.abs() <= _LARGEST_BOUND).all() or not (box[:, 1] - box[:, 0] > 1 / _LARGEST_BOUND).all():
            rule = f"lower < upper, within {_LARGEST_BOUND:g} of 0 and more than {1 / _LARGEST_BOUND:g} apart"
            raise ValueError(f"domain: must have finite bounds with {rule}; got {domain!r}")
        self.domain: Tensor = box

    @property
    def dimension(self) -> int:
        """The number of inputs, D."""
        return len(self.domain)

    @abstractmethod
    def value(self, x: Tensor) -> Tensor:
        """Return f(x) for x of shape (..., D), as a tensor of shape (...); of P > 1 outputs (..., P)."""

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient of f at x of shape (..., D), as a tensor of that shape; of P > 1 outputs (..., P, D)."""

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Return the masks of the named regions at x of shape (..., D), each of shape (...).

        In one dimension the regions are `left`, `middle` and `right` (each end is a tenth of the domain); in more,
        `boundary` (a coordinate is in an outer tenth) and `interior`.
        """
        lower, upper = self.domain[:, 0].to(x), self.domain[:, 1].to(x)
        margin = _END_SHARE * (upper - lower)
        left, right = (x < lower + margin).any(-1), (x > upper - margin).any(-1)
        if self.dimension == 1:
            return {"left": left, "middle": ~(left | right), "right": right}
        return {"boundary": left | right, "interior": ~(left | right)}


class Runge(Target):
    r"""Runge's function, f(x) = 1 / (1 + 25 x^2) and f'(x) = -50 x / (1 + 25 x^2)^2.

    On [-1, 1] the largest |f'| is 3.2476, at |x| = 1 / (5 sqrt 3) = 0.1155; at the ends |f'| is 0.0740. The region
    `peak`, |x| <= 0.25, contains 84 % of the integral of f'^2.

    Raises:
        ValueError: the domain, (lower, upper), is not one interval with lower < upper.

    References:
        C. Runge (1901). Ueber empirische Funktionen und die Interpolation zwischen aequidistanten Ordinaten.
        https://archive.org/details/zeitschriftfrma12runggoog
    """

    def __init__(self, domain: Sequence[float] = (-1.0, 1.0)) -> None:
        super().__init__(domain)
        if self.dimension != 1:
            raise ValueError(f"domain: must be one pair (lower, upper): Runge's function has one input; got {domain}")

    def value(self, x: Tensor) -> Tensor:
        """Return 1 / (1 + 25 x^2) for x of shape (..., 1), as a tensor of shape (...)."""
        return 1 / (1 + 25 * x[..., 0] ** 2)

    def derivative(self, x: Tensor) -> Tensor:
        """Return -50 x / (1 + 25 x^2)^2 for x of shape (..., 1), as a tensor of that shape."""
        return -50 * x / (1 + 25 * x**2) ** 2

    def regions(self, x: Tensor) -> dict[str, Tensor]:
        """Return the masks of `left`, `middle`, `right` and, if the domain intersects |x| <= 0.25, `peak`."""
        lower, upper = self.domain[0].tolist()
        return super().regions(x) | ({"peak": x[..., 0].abs() <= 0.25} if lower < 0.25 and upper > -0.25 else {})


def far_from_one(target: Target) -> list[str]:
    """Return the inputs and outputs that a network with its initial weights fits badly in their own units, in words.

    The size of an input is half the length of the box, the size of an output its standard deviation. It should be from
    0.1 to 5, and the mean at most 5 sizes away from 0: `10*sin(3*x)` and `sin(3*x)+10` are fitted 18 and 9000 times
    worse in their own units than in standardised ones.
    """
    values = target.value(sobol(_PROBE_POINTS, target.domain, seed=None)).reshape(_PROBE_POINTS, -1)
    inputs = [f"x{d + 1}" for d in range(target.dimension)] if target.dimension > 1 else ["x"]
    sizes = dict(zip(inputs, zip(target.domain.mean(1), target.domain.diff(dim=1)[:, 0] / 2, strict=True), strict=True))
    sizes |= dict(zip(target.outputs, zip(values.mean(0), values.std(0, correction=0), strict=True), strict=True))
    return [
        f"{name} (mean {mean:.3g}, size {size:.3g})"
        for name, (mean, size) in sizes.items()
        if (size and not _LEAST_OWN_SIZE <= size <= _MOST_OWN_SIZE) or abs(mean) > _MOST_OWN_SIZE * (size or 1)
    ]
