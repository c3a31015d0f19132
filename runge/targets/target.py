"""The interface of a target: f on a box, its derivative, and the regions in which errors are reported."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["END_SHARE", "MOST_INPUTS", "Target"]

END_SHARE = 0.1
"""The share of the domain's length that counts as an end: for [-1, 1] the ends are [-1, -0.8) and (0.8, 1]."""

MOST_INPUTS = 1000
"""The most inputs of a function."""

_FARTHEST = 1e12


class Target(ABC):
    """A function f: R^D -> R^P on a box, with its derivative and named regions.

    A subclass defines `value` and `derivative`; it may add regions, and for P > 1 names its outputs.

    Attributes:
        outputs: the names of the P outputs.

    Args:
        domain: (lower, upper) in one dimension, or one such pair for each of D dimensions.

    Raises:
        ValueError: a bound is not finite, a lower bound is not below its upper bound, or there are above 1000 inputs.
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
        if not (box.abs() <= _FARTHEST).all() or not (box[:, 1] - box[:, 0] > 1 / _FARTHEST).all():
            rule = f"lower < upper, within {_FARTHEST:g} of 0 and more than {1 / _FARTHEST:g} apart"
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
        margin = END_SHARE * (upper - lower)
        left, right = (x < lower + margin).any(-1), (x > upper - margin).any(-1)
        if self.dimension == 1:
            return {"left": left, "middle": ~(left | right), "right": right}
        return {"boundary": left | right, "interior": ~(left | right)}
