"""Compute derivative-based global sensitivity measures, over the box of the inputs and over rows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch

from runge.configuration.validation import Floats
from runge.sampling.domain import sobol

__all__ = ["Measures", "measure", "measure_function", "row_indices", "total_indices", "unevenness"]


class Measures(NamedTuple):
    """Measures of the sensitivity of P outputs to D inputs, each (P, D); NaN: not known.

    Attributes:
        nu: the mean of the squared partial derivative.
        bound: the bound on the total Sobol' index that follows from it.
        bound_error: its standard error, if the points are drawn at random.
        mean: the mean of the partial derivative.
        mean_error: its standard error, likewise.
        rising: the share of the points at which the partial derivative is positive.
    """

    nu: Floats
    bound: Floats
    bound_error: Floats
    mean: Floats
    mean_error: Floats
    rising: Floats


@np.errstate(over="ignore", divide="ignore", invalid="ignore")
def measure(y: Floats, dydx: Floats, box: Floats) -> Measures:
    r"""Return the sensitivity measures from values and partial derivatives at points of a box.

    .. math:: \nu_i = E[(\partial y / \partial x_i)^2], \quad
        S_{T,i} \le \frac{(b_i - a_i)^2}{\pi^2} \frac{\nu_i}{\mathrm{Var}(y)}

    where the inputs are independent, and each is uniform in [a_i, b_i]: (b_i - a_i)^2 / pi^2 is the Poincaré constant
    of that distribution. The standard error of the bound is the error of the ratio of two means, to first order.

    Args:
        y: the values, (n, P); NaN: not known.
        dydx: the partial derivatives, (n, P, D); likewise.
        box: the ends a_i and b_i of each input, (D, 2).

    References:
        I. M. Sobol', S. Kucherenko (2009). Derivative based global sensitivity measures and their link with global
        sensitivity indices. https://doi.org/10.1016/j.matcom.2009.01.023
        M. Lamboni, B. Iooss, A.-L. Popelin, F. Gamboa (2013). Derivative-based global sensitivity measures: general
        links with Sobol' indices and numerical tests. https://doi.org/10.1016/j.matcom.2012.04.006
        O. Roustant, F. Barthe, B. Iooss (2017). Poincaré inequalities on intervals. https://arxiv.org/abs/1612.03689
    """
    y = y - np.fmin.reduce(y)  # the values of a constant output are then 0 without round-off
    squares = (y - _mean(y)) ** 2
    variance, count = _mean(squares), (~np.isnan(dydx)).sum(axis=0)
    shares = (dydx * np.ptp(box, axis=1) / np.pi / np.sqrt(variance)[:, None]) ** 2
    bound, mean = _mean(shares), _mean(dydx)
    of_value = np.nan_to_num(squares / variance - 1) / (~np.isnan(y)).sum(axis=0)
    influence = np.nan_to_num(shares - bound) / count - bound * of_value[..., None]
    deviation = np.sqrt(_mean((dydx - mean) ** 2) / (count - 1))
    rising = _mean(np.where(np.isnan(dydx), np.nan, dydx > 0))
    return Measures(_mean(dydx**2), bound, np.sqrt((influence**2).sum(axis=0)), mean, deviation, rising)


@np.errstate(divide="ignore", invalid="ignore")
def row_indices(y: Floats, dydx: Floats, x: Floats) -> Floats:
    r"""Return the derivative-based indices over rows, (P, D), whatever the distribution of their inputs.

    .. math:: G_i = \frac{\mathrm{Var}(x_i)\, E[(\partial y / \partial x_i)^2]}{\mathrm{Var}(y)}

    with means over the rows: the mean square of the sigma-normalised derivative. Between the rows nothing is evaluated.
    Of a linear function it is the square of the standardised regression coefficient, and, if the inputs are
    uncorrelated, the total Sobol' index. It is a bound on that index if the inputs are independent and normal. If
    inputs are correlated, it is no share of the variance, and is above 1 where the effects of inputs cancel out.

    Args:
        y: the values, (n, P).
        dydx: the partial derivatives, (n, P, D).
        x: the inputs, (n, D).

    References:
        I. M. Sobol', S. Kucherenko (2009), as in `measure`.
        A. Saltelli et al. (2008). Global sensitivity analysis: the primer. https://doi.org/10.1002/9780470725184
        S. Kucherenko, S. Tarantola, P. Annoni (2012). Estimation of global sensitivity indices for models with
        dependent variables. https://doi.org/10.1016/j.cpc.2011.12.020 (shares of the variance are not unique there).
    """
    y = y - y.min(axis=0)  # as in `measure`
    return (dydx**2).mean(axis=0) * x.var(axis=0) / y.var(axis=0)[:, None]


def measure_function(u: Any, box: Floats, n: int = 4096) -> Measures:
    """Return the measures of a function from n points of a Sobol sequence in a box, (D, 2).

    It has the methods of `runge.Function`: `u(x)` returns n times P numbers of x, (n, D), and `u.derivative(x)` n times
    P times D.
    """
    x = sobol(n, torch.from_numpy(box), seed=0).numpy()
    y = u(x).reshape(n, -1)
    return measure(y, u.derivative(x).reshape(*y.shape, -1), box)


def total_indices(u: Callable[[Floats], Floats], box: Floats, n: int = 4096) -> Floats:
    """Return the total Sobol' indices of a function in a box, (P, D), from n (D + 2) values; 0 of a constant output.

    Args:
        u: the function: of x, (m, D), it returns m times P numbers. One call has m = n D points.
        box: the ends of each input, (D, 2).
        n: the number of points, a power of 2.
    """
    from scipy.stats import sobol_indices, uniform  # late: it takes 0.6 s, and only the end of a search needs it

    inputs = [uniform(low, high - low) for low, high in box]
    indices = sobol_indices(func=lambda x: u(x.T).reshape(x.shape[1], -1).T, n=n, dists=inputs, rng=0)
    return indices.total_order.reshape(-1, len(box))


def unevenness(x: Floats, box: Floats) -> Floats:
    """Return Kolmogorov's distance of each input of points, (n, D), from uniform in a box, (D, 2): (D,)."""
    shares = (np.arange(len(x)) + 0.5)[:, None] / len(x)
    return np.abs(np.sort((x - box[:, 0]) / np.ptp(box, axis=1), axis=0) - shares).max(axis=0)


def _mean(numbers: Floats) -> Floats:
    """Return the mean over the first axis without NaN; NaN where all numbers are, without a warning."""
    return np.nansum(numbers, axis=0) / (~np.isnan(numbers)).sum(axis=0)
