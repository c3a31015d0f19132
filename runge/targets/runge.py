"""Runge's function."""

from collections.abc import Sequence

from torch import Tensor

from runge.targets.target import Target

__all__ = ["Runge"]


class Runge(Target):
    r"""Runge's function, f(x) = 1 / (1 + 25 x^2) and f'(x) = -50 x / (1 + 25 x^2)^2.

    On [-1, 1] the largest |f'| is 3.2476, at |x| = 1 / (5 sqrt 3) = 0.1155; at the ends |f'| is 0.0740. The region
    `peak`, |x| <= 0.25, contains 84 % of the integral of f'^2.

    Args:
        domain: (lower, upper).

    Raises:
        ValueError: the domain is not one interval with lower < upper.

    Example:
        >>> import torch
        >>> Runge().value(torch.tensor([[0.0], [0.2]]))
        tensor([1.0000, 0.5000])

    References:
        C. Runge (1901). Ueber empirische Funktionen und die Interpolation zwischen aequidistanten Ordinaten.
        https://archive.org/details/zeitschriftfrma12runggoog
    """

    def __init__(self, domain: Sequence[float] = (-1.0, 1.0)) -> None:
        super().__init__(domain)
        if self.dimension != 1:
            raise ValueError(f"domain: must be one pair (lower, upper): Runge's function has one input; got {domain}")

    def __repr__(self) -> str:
        domain = self.domain[0].tolist()
        return f"Runge({'' if domain == [-1, 1] else domain})"

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
