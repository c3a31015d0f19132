"""Classical approximation in one dimension, for comparison with networks."""

import numpy as np
import scipy.interpolate
import torch
from numpy.typing import NDArray

from runge.targets import Target


def classical(target: Target, n: int) -> dict[str, tuple[float, float]]:
    """Compute MSE_f and MSE_df, on the uniform grid of 2001 points, of methods that need only f at n points.

    Args:
        target: a function on [-1, 1].
        n: the number of points.

    Returns:
        The two errors of the polynomial through Chebyshev points, of the cubic spline through evenly spaced points,
        and of the rational function (AAA) through Chebyshev points.

    References:
        Y. Nakatsukasa, O. Sète, L. N. Trefethen (2018). The AAA algorithm for rational approximation.
        https://doi.org/10.1137/16M1106122
    """
    chebyshev, even = np.cos(np.pi * np.arange(n) / (n - 1)), np.linspace(-1, 1, n)
    grid = np.linspace(-1, 1, 2001)

    def at(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return target.value(torch.as_tensor(x[:, None])).numpy()

    polynomial = np.polynomial.Chebyshev.interpolate(at, n - 1)
    spline = scipy.interpolate.CubicSpline(even, at(even))
    rational = scipy.interpolate.AAA(chebyshev, at(chebyshev))
    poles, residues = rational.poles(), rational.residues()
    slope = -np.real((residues / (grid[:, None] - poles) ** 2).sum(1))  # the derivative of the sum of partial fractions
    fits = {
        "Chebyshev": (polynomial(grid), polynomial.deriv()(grid)),
        "cubic spline": (spline(grid), spline(grid, 1)),
        "AAA": (np.real(rational(grid)), slope),
    }
    f, df = at(grid), target.derivative(torch.as_tensor(grid[:, None]))[:, 0].numpy()
    return {name: (float(np.mean((u - f) ** 2)), float(np.mean((du - df) ** 2))) for name, (u, du) in fits.items()}
