"""Classical approximation in one dimension, for comparison with networks."""

import numpy as np
import scipy.fft
import scipy.interpolate
import torch
from numpy.polynomial import Chebyshev, chebyshev
from numpy.typing import NDArray

from runge.targets import Target

Array = NDArray[np.float64]


def classical(target: Target, n: int) -> dict[str, tuple[float, float]]:
    """Compute MSE_f and MSE_df, on the uniform grid of 2001 points, of methods that need no training.

    Args:
        target: a function on [-1, 1].
        n: the number of points at which f is known.

    Returns:
        The two errors of the polynomial through Chebyshev points, of the cubic spline through evenly spaced points,
        of the rational function (AAA) through Chebyshev points, and of the polynomial of least squares for f and f' at
        Chebyshev points. Polynomials have no coefficients that are round-off (`chop`).

    References:
        Y. Nakatsukasa, O. Sète, L. N. Trefethen (2018). The AAA algorithm for rational approximation.
        https://doi.org/10.1137/16M1106122
    """
    inner, x = np.cos(np.pi * (np.arange(n) + 0.5) / n), np.cos(np.pi * np.arange(n) / (n - 1))
    even, grid = np.linspace(-1, 1, n), np.linspace(-1, 1, 2001)

    def at(x: Array) -> Array:
        return target.value(torch.as_tensor(x[:, None])).numpy()

    def slope_at(x: Array) -> Array:
        return target.derivative(torch.as_tensor(x[:, None]))[:, 0].numpy()

    coefficients = np.asarray(scipy.fft.dct(at(inner))) / n
    coefficients[0] /= 2
    polynomial, of_both = Chebyshev(coefficients[: chop(coefficients)]), with_derivatives(x, at(x), slope_at(x))
    spline, rational = scipy.interpolate.CubicSpline(even, at(even)), scipy.interpolate.AAA(x, at(x))
    fits = {
        "Chebyshev": (polynomial(grid), polynomial.deriv()(grid)),
        "cubic spline": (spline(grid), spline(grid, 1)),
        "AAA": (rational(grid), barycentric_slope(rational, grid)),
        "Chebyshev from f and f'": (of_both(grid), of_both.deriv()(grid)),
    }
    f, df = at(grid), slope_at(grid)
    return {name: (float(np.mean((u - f) ** 2)), float(np.mean((du - df) ** 2))) for name, (u, du) in fits.items()}


def with_derivatives(x: Array, f: Array, df: Array) -> Chebyshev:
    """Return the polynomial of least squares for values and derivatives, these divided by its number of coefficients.

    First it has as many coefficients as there are labels. Then it is fitted again without those that are round-off.
    """
    count, coefficients = 2 * len(x), np.zeros(0)
    for _ in range(2):
        values = chebyshev.chebvander(x, count - 1)
        rows = np.vstack([values, values[:, :-1] @ chebyshev.chebder(np.eye(count)) / count])
        sizes = np.linalg.norm(rows, axis=0)
        coefficients = np.linalg.lstsq(rows / sizes, np.concatenate([f, df / count]), rcond=None)[0] / sizes
        count = chop(coefficients)
    return Chebyshev(coefficients)


def chop(coefficients: Array) -> int:
    """Return how many coefficients precede the plateau of round-off at the end of a series, or all if it has none.

    References:
        J. L. Aurentz, L. N. Trefethen (2017). Chopping a Chebyshev series, function `standardChop`.
        https://doi.org/10.1145/2998442
    """
    count, tolerance = len(coefficients), np.finfo(float).eps
    envelope = np.maximum.accumulate(np.abs(coefficients[::-1]))[::-1]
    if count < 17 or envelope[0] == 0:
        return count
    envelope, end = envelope / envelope[0], count
    for j in range(2, count + 1):
        end = round(1.25 * j + 5)
        if end > count:
            return count
        here, there = envelope[j - 1], envelope[end - 1]
        if here == 0:
            return j - 1
        if there / here > 3 * (1 - np.log(here) / np.log(tolerance)):
            break
    least = tolerance ** (7 / 6)
    if (above := int((envelope >= least).sum())) < end:
        end = above + 1
        envelope[end - 1] = least
    tilted = np.log10(envelope[:end]) + np.linspace(0, -np.log10(tolerance) / 3, end)
    return max(int(tilted.argmin()), 1)


def barycentric_slope(rational: scipy.interpolate.AAA, x: Array) -> Array:
    r"""Return the derivative of a rational function r in barycentric form, with weights w and values f at nodes z.

    With the divided difference r[x, z_j] at the node z_j next to x from the other nodes, no difference is small,

    .. math:: r[x, z_j] = \sum_{k \neq j} \frac{w_k (f_k - f_j)}{x - z_k} \Big/ d, \quad
              r'(x) = \Big(w_j\, r[x, z_j] + (x - z_j) \sum_{k \neq j} \frac{w_k\, r[x, z_k]}{x - z_k}\Big) \Big/ d,
              \quad d = w_j + (x - z_j) \sum_{k \neq j} \frac{w_k}{x - z_k} .

    References:
        C. Schneider, W. Werner (1986). Some new aspects of rational interpolation.
        https://doi.org/10.1090/S0025-5718-1986-0842136-8
    """
    values, weights = rational.support_values, rational.weights
    distances = x[:, None] - rational.support_points
    nearest = np.abs(distances).argmin(1)
    at_nearest = (np.arange(len(x)), nearest)
    distance = distances[at_nearest]
    distances[at_nearest] = 1
    shares = weights / distances
    shares[at_nearest] = 0
    below = weights[nearest] + distance * shares.sum(1)
    of_nearest = (shares * (values - values[nearest, None])).sum(1) / below
    of_others = (shares * (rational(x)[:, None] - values) / distances).sum(1)
    return np.real((weights[nearest] * of_nearest + distance * of_others) / below)
