r"""Convert between the units of a user and the standardised units of a network.

.. math:: x_s = (x - \bar x) / \sigma_x, \quad f_s = (f - \bar f) / \sigma_f, \quad f'_s = f' \sigma_x / \sigma_f

The logarithm of an input may take its place. Location and scale are then those of z = ln x, and x_s does not depend on
the base. By the chain rule

.. math:: f_z = x f_x, \quad f_{zz} = x^2 f_{xx} + x f_x.
"""

from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from runge.sobolev.points import Points

__all__ = ["Units"]


class Units(nn.Module):
    """The location and the scale of each member's inputs, (M, D), and outputs, (M, P), in float64; scales are > 0.

    `logs`, (M, D), is true for inputs that are replaced by their logarithms, NaN where x <= 0; None: there are none.
    """

    x_mean: Tensor
    x_std: Tensor
    y_mean: Tensor
    y_std: Tensor
    logs: Tensor | None

    def __init__(
        self, x_mean: Tensor, x_std: Tensor, y_mean: Tensor, y_std: Tensor, logs: Tensor | None = None
    ) -> None:
        super().__init__()
        for name, statistic in {"x_mean": x_mean, "x_std": x_std, "y_mean": y_mean, "y_std": y_std}.items():
            self.register_buffer(name, statistic.double().clone())
        self.register_buffer("logs", None if logs is None else logs.bool().clone())

    @classmethod
    def identity(cls, members: int, dimension: int, outputs: int, logs: Tensor | None = None) -> Self:
        """Return units that change nothing but the inputs of `logs`."""
        x, y = torch.zeros(members, dimension), torch.zeros(members, outputs)
        return cls(x, torch.ones_like(x), y, torch.ones_like(y), logs)

    @classmethod
    def of(cls, points: Points, domain: Tensor | None = None, logs: Tensor | None = None) -> Self:
        """Return the units of training points: mean and standard deviation of each input and output.

        A constant output, or one with a single known value, has the scale that its gradient suggests, the root
        of sum_d mean(f'_d^2) Var x_d, or else 1. If the values are few, fewer than a tenth of the known derivatives, or
        fewer than D + 2 and than the derivatives, they may be nearly equal by chance: the scale is the larger of both.
        The scale of the gradient is exact for a linear function of independent inputs, and hardly ever too small: for
        one uniform input the standard deviation is at most 2 sqrt(3) / pi = 1.1 times as large (Poincaré).

        With a `domain`, (M, D, 2), the inputs have its centre and half its lengths, and values are never few, because
        their places are not random.
        """
        members, _, outputs, dimension = points.df.shape
        points = cls.identity(members, dimension, outputs, logs).standardise(points)
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
        return cls(x_mean, x_std, y_mean, y_std, logs)

    def take(self, members: Tensor) -> "Units":
        """Return the units of some members."""
        return Units(*(statistic[members] for statistic in self.buffers()))

    def standardise(self, points: Points) -> Points:
        """Return points in standardised units."""
        f, df = (points.f - self.y_mean[:, None]) / self.y_std[:, None], points.df / self.of_outputs(points.x)[1]
        x, f = self.standardise_inputs(points.x), torch.where(points.weight_f > 0, f, 0)
        standardised = replace(points, x=x, f=f, df=df)
        if points.d2f is None or points.weight_d2f is None:
            return standardised
        d2f = (points.d2f - self._bends_of_pairs(points.df, points.x)) / self.of_pairs(points.x)
        first, second = self._pairs()
        weight_d2f = points.weight_d2f
        if self.logs is not None:  # that of a logarithm needs both derivatives
            is_known = (points.weight_df > 0)[..., first] | (first != second) | ~self.logs[:, None, None, first]
            weight_d2f = weight_d2f.where(is_known, 0)
        return replace(standardised, d2f=torch.where(weight_d2f > 0, d2f, 0), weight_d2f=weight_d2f)

    def logarithms(self, x: Tensor) -> Tensor:
        """Return the inputs x, (M, N, D), with the logarithms of some."""
        return x if self.logs is None else torch.where(self.logs[:, None], _positive(x).log(), x)

    def standardise_inputs(self, x: Tensor) -> Tensor:
        """Return the inputs x, (M, N, D), in standardised units."""
        return (self.logarithms(x) - self.x_mean[:, None]) / self.x_std[:, None]

    def restore_inputs(self, x: Tensor) -> Tensor:
        """Return standardised inputs x, (M, N, D), in the user's units, in float64."""
        z = self.x_mean[:, None] + self.x_std[:, None] * x.double()
        return z if self.logs is None else torch.where(self.logs[:, None], z.exp(), z)

    def restore(self, u: Tensor, du: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return values, (M, N, P), and Jacobians, (M, N, P, D), at standardised x, (M, N, D), in the user's units."""
        unit_f, unit_df = self.of_outputs(self.restore_inputs(x))
        return self.y_mean[:, None] + unit_f * u, unit_df * du

    def restore_points(self, points: Points) -> Points:
        """Return standardised points in the user's units, in float64; 0 where a component is not known."""
        x, (f, df) = self.restore_inputs(points.x), self.restore(points.f.double(), points.df.double(), points.x)
        d2f = None if points.d2f is None else self.of_pairs(x) * points.d2f.double() + self._bends_of_pairs(df, x)
        return replace(points, x=x, f=torch.where(points.weight_f > 0, f, 0), df=df, d2f=d2f)

    def lengths(self, x: Tensor) -> Tensor:
        """Return the unit of each input at x, (M, N, D): dx / dx_s, (M, 1, D), or with logarithms (M, N, D)."""
        length = self.x_std[:, None]
        return length if self.logs is None else torch.where(self.logs[:, None], length * _positive(x), length)

    def bends(self, df: Tensor, x: Tensor) -> Tensor:
        """Return what logarithms add to the second derivatives with respect to one input, -f'_d / x_d or 0, at x.

        The Jacobians, (M, N, P, D), and x, (M, N, D), are in the user's units.
        """
        if self.logs is None:
            return torch.zeros_like(df)
        is_log = self.logs[:, None]
        return torch.where(is_log[:, :, None], -df / torch.where(is_log, x, 1)[:, :, None], 0)

    def of_outputs(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the unit of each output, (M, 1, P), and of each partial derivative, (M, 1, P, D).

        With logarithms the latter depend on the points x, (M, N, D), in the user's units, and are (M, N, P, D).
        """
        return self.y_std[:, None], self.y_std[:, None, :, None] / self.lengths(x)[:, :, None]

    def of_pairs(self, x: Tensor) -> Tensor:
        """Return the unit of the second derivative for each pair of inputs d <= e, (M, 1 or N, P, D (D + 1) / 2)."""
        length, (first, second) = self.lengths(x), self._pairs()
        return self.y_std[:, None, :, None] / (length[..., first] * length[..., second])[:, :, None]

    def _bends_of_pairs(self, df: Tensor, x: Tensor) -> Tensor:
        """Return the `bends` of each pair of inputs d <= e, 0 if d < e."""
        first, second = self._pairs()
        return torch.where(first == second, self.bends(df, x)[..., first], 0)

    def _pairs(self) -> Tensor:
        return torch.triu_indices(self.x_std.shape[1], self.x_std.shape[1], device=self.x_std.device)


def _positive(x: Tensor) -> Tensor:
    """Return x, and NaN where it is not positive."""
    return x.where(x > 0, torch.nan)
