r"""Convert between the units of a user and the standardised units of a network.

.. math:: x_s = (x - \bar x) / \sigma_x, \quad f_s = (f - \bar f) / \sigma_f, \quad f'_s = f' \sigma_x / \sigma_f
"""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from runge.sobolev.points import Points

__all__ = ["Units"]


class Units(nn.Module):
    """The location and the scale of each member's inputs, (M, D), and outputs, (M, P), in float64; scales are > 0."""

    x_mean: Tensor
    x_std: Tensor
    y_mean: Tensor
    y_std: Tensor

    def __init__(self, x_mean: Tensor, x_std: Tensor, y_mean: Tensor, y_std: Tensor) -> None:
        super().__init__()
        for name, statistic in {"x_mean": x_mean, "x_std": x_std, "y_mean": y_mean, "y_std": y_std}.items():
            self.register_buffer(name, statistic.double().clone())

    @classmethod
    def identity(cls, members: int, dimension: int, outputs: int) -> Self:
        """Return units that change nothing."""
        x, y = torch.zeros(members, dimension), torch.zeros(members, outputs)
        return cls(x, torch.ones_like(x), y, torch.ones_like(y))

    @classmethod
    def of(cls, points: Points, domain: Tensor | None = None) -> Self:
        """Return the units of training points: mean and standard deviation of each input and output.

        A constant output, or one with a single known value, has the scale that its gradient suggests, the root
        of sum_d mean(f'_d^2) Var x_d, or else 1. If the values are few, fewer than a tenth of the known derivatives, or
        fewer than D + 2 and than the derivatives, they may be nearly equal by chance: the scale is the larger of both.
        The scale of the gradient is exact for a linear function of independent inputs, and hardly ever too small: for
        one uniform input the standard deviation is at most 2 sqrt(3) / pi = 1.1 times as large (Poincaré).

        With a `domain`, (M, D, 2), the inputs have its centre and half its lengths, and values are never few, because
        their places are not random.
        """
        x, f = points.x.double(), points.f.double()
        if domain is None:
            x_mean, x_std = x.mean(1), x.std(1, correction=0)
        else:
            x_mean, x_std = domain.double().mean(-1), (domain[..., 1] - domain[..., 0]).double() / 2
        x_std = torch.where(x_std > 0, x_std, 1)
        is_known, known_df = ((weight > 0).double() for weight in (points.weight_f, points.weight_df))
        n, n_df = is_known.sum(1), known_df.sum(1).amax(2)
        count = n.clamp_min(1)
        y_mean = (is_known * f).sum(1) / count
        y_std = ((is_known * (f - y_mean[:, None]).square()).sum(1) / count).sqrt()
        few = ((10 * n < n_df) | ((n < x.shape[2] + 2) & (n < n_df))) & (domain is None)
        slopes = (known_df * points.df.double().square()).sum(1) / known_df.sum(1).clamp_min(1)
        by_slope = (slopes * x_std[:, None].square()).sum(2).sqrt()
        y_std = torch.where(few, torch.maximum(y_std, by_slope), y_std)
        y_std = torch.where(y_std > 1e-12 * y_mean.abs(), y_std, torch.where(by_slope > 0, by_slope, 1))
        return cls(x_mean, x_std, y_mean, y_std)

    def take(self, members: Tensor) -> "Units":
        """Return the units of some members."""
        return Units(*(statistic[members] for statistic in self.buffers()))

    def standardise(self, points: Points) -> Points:
        """Return points in standardised units."""
        f, df = (points.f - self.y_mean[:, None]) / self.y_std[:, None], points.df / self.of_outputs()[1]
        d2f = None if points.d2f is None else points.d2f / self.of_pairs()
        x, f = self.standardise_inputs(points.x), torch.where(points.weight_f > 0, f, 0)
        return replace(points, x=x, f=f, df=df, d2f=d2f)

    def standardise_inputs(self, x: Tensor) -> Tensor:
        """Return the inputs x, (M, N, D), in standardised units."""
        return (x - self.x_mean[:, None]) / self.x_std[:, None]

    def restore_inputs(self, x: Tensor) -> Tensor:
        """Return standardised inputs x, (M, N, D), in the user's units, in float64."""
        return self.x_mean[:, None] + self.x_std[:, None] * x.double()

    def restore(self, u: Tensor, du: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, (M, N, P), and Jacobians, (M, N, P, D), in the user's units."""
        unit_f, unit_df = self.of_outputs()
        return self.y_mean[:, None] + unit_f * u, unit_df * du

    def restore_points(self, points: Points) -> Points:
        """Return standardised points in the user's units, in float64; 0 where a component is not known."""
        f, df = self.restore(points.f.double(), points.df.double())
        d2f = None if points.d2f is None else self.of_pairs() * points.d2f.double()
        x, f = self.restore_inputs(points.x), torch.where(points.weight_f > 0, f, 0)
        return replace(points, x=x, f=f, df=df, d2f=d2f)

    def of_outputs(self) -> tuple[Tensor, Tensor]:
        """Return the unit of each output, (M, 1, P), and of each partial derivative, (M, 1, P, D)."""
        return self.y_std[:, None], self.y_std[:, None, :, None] / self.x_std[:, None, None]

    def of_pairs(self) -> Tensor:
        """Return the unit of the second derivative for each pair of inputs d <= e, (M, 1, P, D (D + 1) / 2)."""
        first, second = torch.triu_indices(self.x_std.shape[1], self.x_std.shape[1], device=self.x_std.device)
        return self.y_std[:, None, :, None] / (self.x_std[:, first] * self.x_std[:, second])[:, None, None]
