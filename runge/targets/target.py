"""The interface of a target: a scalar f on a box, its gradient, and the regions in which errors are reported."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

END_SHARE = 0.1
"""The share of the domain's length that counts as an end: for [-1, 1] the ends are [-1, -0.8) and (0.8, 1]."""

_MOST_INPUTS, _FARTHEST = 6, 1e12


class Target(ABC):
    """A function f: R^D -> R on a box, with its gradient and named regions.

    A subclass defines `value` and `derivative`; it may add regions.

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
        """Return f(x) for x of shape (..., D), as a tensor of shape (...)."""

    @abstractmethod
    def derivative(self, x: Tensor) -> Tensor:
        """Return the gradient of f at x of shape (..., D), as a tensor of that shape."""

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


def _box(domain: Sequence[float] | Sequence[Sequence[float]]) -> Tensor:
    try:
        if any(
            isinstance(bound, bool) for pair in domain for bound in (pair if isinstance(pair, Sequence) else [pair])
        ):
            raise TypeError("true and false are not numbers")
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
