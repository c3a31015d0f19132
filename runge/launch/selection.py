r"""How good a candidate is, by cross-validation, and how candidates are weighed in the answer.

Each error e of a value, and of a partial derivative, is divided by the size of its channel, so that a constant has an
error of about 1. Over the rows that a network has not seen, candidate i has the mean square error

.. math:: E_i^2 = \tfrac12 \overline{(e_p / \sigma_p)^2} +
          \tfrac12 \overline{\textstyle\sum_d s_d^2 e_{pd}^2 / \sum_d s_d^2 Var f'_{pd}} + V_i,

as `val/nrmse`, and V_i is the same of the variance among the networks of the folds, at points around the rows
(`surroundings`): a network that is right between the rows may be wild beside the outermost ones, where there is no
label to tell, but its folds disagree.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.data import Rows

__all__ = ["Channels", "surroundings", "weigh"]

Floats = NDArray[np.float64]

_SURROUNDINGS, _REACH = 2000, 1.5
_PICKS = 50


class Channels(NamedTuple):
    """The factors that make errors comparable: of the values, (P,), and of the partial derivatives, (P, D)."""

    value: Floats
    slope: Floats

    @classmethod
    def of(cls, rows: Rows) -> "Channels":
        """Return the factors by the labels of a table; 0 for a channel that is constant or not known."""
        spread = rows.x.std(axis=0)
        with np.errstate(all="ignore"):
            value = 1 / _variance(rows.y)
            slope = spread**2 / np.nansum(spread**2 * _variance(rows.dydx), axis=1, keepdims=True)
            slope = np.where(np.isnan(rows.dydx).all(axis=0), 0, slope)
        both = 1 + bool(np.isfinite(slope).any() and slope.any())
        return cls(*(np.sqrt(np.where(np.isfinite(part), part, 0) / both / len(value)) for part in (value, slope)))

    def scaled(self, value: Floats, slope: Floats) -> Floats:
        """Return errors, (n, P) and (n, P, D), as a vector whose square is E^2; NaN is not known."""
        with np.errstate(all="ignore"):
            parts = [
                factor * np.nan_to_num(error) / np.sqrt(np.maximum((~np.isnan(error)).sum(axis=0), 1))
                for factor, error in ((self.value, value), (self.slope, slope))
            ]
        return np.concatenate([part.ravel() for part in parts])

    def nrmse(self, scaled: Floats, values: int) -> tuple[float, float]:
        """Return the nrmse of values and of partial derivatives, given scaled errors, the first `values` of values."""
        both = 1 + bool(self.slope.any())
        value, slope = (float(np.sqrt(both * part @ part)) for part in (scaled[:values], scaled[values:]))
        return value, slope


def _variance(labels: Floats) -> Floats:
    known = ~np.isnan(labels)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.nansum(labels, axis=0) / count
    return np.nansum((labels - mean) ** 2, axis=0) / count


def surroundings(x: Floats, seed: int = 0) -> Floats:
    """Return points around and between rows, (n', D), for inputs (n, D): where a user may ask, and no label tells.

    Each input is that of another row, so that corners are among the points, as they are not among a few rows. Of these
    points those are taken that are as close to a row as rows are to each other: if inputs are correlated, most are not.
    The others are x_i + t (x_i - x_j) in the box of the rows, where row j is one of the 2 D nearest ones to row i in
    standardised inputs, and t is in [0, 1].
    """
    from scipy.spatial import KDTree

    generator, spread = np.random.default_rng(seed), x.std(axis=0)
    scale, count = np.where(spread > 0, spread, 1), len(x)
    tree, most = KDTree(x / scale), min(1 + 2 * x.shape[1], count)
    mixed = np.stack([generator.choice(column, _SURROUNDINGS) for column in x.T], axis=1)
    farthest = _REACH * tree.query(x / scale, min(2, count))[0].max()
    mixed = mixed[tree.query(mixed / scale)[0] <= farthest]
    i = generator.integers(count, size=_SURROUNDINGS - len(mixed))
    near = np.reshape(tree.query(x[i] / scale, most)[1], (len(i), most))
    j = near[np.arange(len(i)), generator.integers(most, size=len(i))]
    beyond = x[i] + generator.random((len(i), 1)) * (x[i] - x[j])
    return np.concatenate([mixed, np.clip(beyond, x.min(axis=0), x.max(axis=0))])


def weigh(errors: Floats, variances: Floats) -> Floats:
    """Return weights, (n,), >= 0 with the sum 1, of the mean of n candidates with a small error.

    Candidates are picked fifty times, with repetition: each time the one with which the mean of those picked so far has
    the smallest error. The variances among folds count as independent.

    Args:
        errors: the vectors of `Channels.scaled`, (n, N).
        variances: V_i, (n,).

    References:
        R. Caruana et al. (2004). Ensemble selection from libraries of models. https://doi.org/10.1145/1015330.1015432
    """
    products, picks = errors @ errors.T + np.diag(variances), np.zeros(len(errors))
    for _ in range(_PICKS):
        with_each = picks + np.eye(len(picks))
        picks = with_each[np.argmin(np.einsum("ij,jk,ik->i", with_each, products, with_each))]
    return picks / picks.sum()
