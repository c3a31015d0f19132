r"""Choose where to compute next: the points whose labels reduce the error most, one after the other.

Of several networks, the error at x that is left after labels at the points S is taken for that of a smooth random
function whose size is the spread s of the networks,

.. math:: V(x \mid S) = s(x)^2 \left(1 - \rho_{xS} \rho_{SS}^{-1} \rho_{Sx}\right), \quad
          \rho_{ab} = \exp(-|a - b|^2 / 2 \ell^2),

in standardised inputs. S begins with the rows that are known; each further point is the candidate with which the sum of
V over all candidates becomes smallest. So it is where the networks differ, but not close to a row or to another new
point, and rather in the midst of uncertain points than at an end of them. If s is constant it fills the space.

One network has no spread. Each further point is then the candidate whose distance from the nearest row or new point is
the largest, a greedy maximin design, in standardised inputs that are weighted by how much they matter to the fit.

References:
    D. A. Cohn (1996). Neural network exploration using optimal experiment design.
    https://doi.org/10.1016/0893-6080(95)00137-9 (the expected reduction of the integrated variance).
    B. Lakshminarayanan, A. Pritzel, C. Blundell (2017). Simple and scalable predictive uncertainty estimation using
    deep ensembles. https://arxiv.org/abs/1612.01474 (the spread of networks).
    M. E. Johnson, L. M. Moore, D. Ylvisaker (1990). Minimax and maximin distance designs.
    https://doi.org/10.1016/0378-3758(90)90122-B
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular
from scipy.spatial.distance import cdist

from runge.configuration.validation import Floats
from runge.function.outside import OUTSIDE, NearestRow, thinned
from runge.sampling.domain import sobol

__all__ = ["choose", "choose_farthest", "draw_points", "relative"]


_DRAWN_CANDIDATES = 2048
"""The number of candidates, a power of 2 as the Sobol sequence needs: their correlations are 2048^2 numbers, 34 MB."""

_LOGARITHMIC_RATIO = 1e3
"""The ratio of the ends of an input from which on it is compared by its logarithm."""

_NOISE_VARIANCE = 1e-6
"""The variance of the labels' noise, relative to the variance of the error: it keeps the Cholesky factor regular."""


_LEAST_WEIGHT = 0.01
"""The least weight of an input, so that points which differ only in inputs that do not matter differ."""


def relative(*squares: Floats) -> Floats:
    """Return the sum of some squares, each (N,), over their means; squares that are 0 everywhere do not count.

    The errors of values and of derivatives then weigh the same, as in their geometric mean. Without any
    square that is not 0, all are 1.
    """
    relative_squares = [square / square.mean() for square in squares if square.any()]
    return np.sum(relative_squares, axis=0) if relative_squares else np.ones_like(squares[0])


def draw_points(rows_x: Floats, box: Floats, seed: int) -> Floats:
    """Return points of a Sobol sequence in a box, (N, D): the ones of 2048 that are near the known rows.

    An input has whole numbers if the rows have, and even logarithms if the rows span more than three decades. Points
    whose `outside` is above 1.5 are left out, by the distance from the nearest row in standardised inputs, unless the
    box is larger than the range of the rows. Where inputs are collinear, the points are moved to where the rows are.

    Args:
        rows_x: the inputs of the rows, (n, D).
        box: the interval of each input, (D, 2).
        seed: the seed of the sequence.
    """
    logs = _spans_decades(rows_x) & (box[:, 0] > 0)
    ends = np.log(box, where=logs[:, None], out=box.copy())
    x = sobol(_DRAWN_CANDIDATES, torch.from_numpy(ends), seed).numpy()
    points = np.exp(x, where=logs, out=x.copy()).clip(*box.T)
    is_integer = (rows_x == np.rint(rows_x)).all(axis=0) & (box[:, 0] < box[:, 1])
    points = np.rint(points, where=is_integer, out=points)
    points = points[((box[:, 0] <= points) & (points <= box[:, 1])).all(axis=1)]
    if (box[:, 0] >= rows_x.min(axis=0)).all() and (box[:, 1] <= rows_x.max(axis=0)).all():
        rows, x = (np.log(inputs, where=logs, out=inputs.copy()) for inputs in (rows_x, points))
        nearest = NearestRow(thinned(rows), np.ones(len(box)))
        near = nearest.onto_rows(torch.from_numpy(x))
        moved = np.exp(near.numpy(), where=logs, out=near.numpy().copy()).clip(*box.T)
        points = np.where(is_integer, points, moved)[nearest.outside(near).numpy() <= OUTSIDE]
    return points


def _spans_decades(x: Floats) -> NDArray[np.bool_]:
    """Return whether inputs of rows, (n, D), are positive and span more than three decades, (D,)."""
    return (x > 0).all(axis=0) & (x.max(axis=0) > _LOGARITHMIC_RATIO * x.min(axis=0))


def choose(candidates: Floats, squares: Floats, rows_x: Floats, count: int) -> NDArray[np.int64]:
    """Choose the next points among candidates.

    The length l is the distance between rows if they were on a grid in the box of all points. Inputs that span more
    than three decades are compared by their logarithms.

    Args:
        candidates: their inputs, (N, D).
        squares: the squares s^2 of the spread there, >= 0, (N,), in any unit.
        rows_x: the inputs of the known rows, (n, D), n >= 2.
        count: the number of chosen points, from 1 to N.

    Returns:
        Their indices, (count,), the first one first; all differ.
    """
    x, rows = _standardised(candidates, rows_x)
    sizes = np.ptp(np.concatenate([x, rows]), axis=0)
    length = np.prod(sizes[sizes > 0] ** (1 / max(1, np.count_nonzero(sizes)))) / len(rows) ** (1 / x.shape[1])

    def correlation(a: Floats, b: Floats) -> Floats:
        return np.exp(-cdist(a, b, "sqeuclidean") / (2 * length**2))

    factor = cholesky(correlation(rows, rows) + _NOISE_VARIANCE * np.eye(len(rows)), lower=True)
    explained = solve_triangular(factor, correlation(rows, x), lower=True)
    left, chosen = correlation(x, x) - explained.T @ explained, np.empty(count, np.int64)
    free = np.ones(len(x), bool)
    for i in range(count):
        variance = np.maximum(left.diagonal(), 0) + _NOISE_VARIANCE
        reductions = squares @ np.square(left) / variance
        chosen[i] = j = int(np.argmax(np.where(free, reductions, -1)))
        free[j] = False
        left -= np.outer(left[:, j], left[j] / variance[j])
    return chosen


def choose_farthest(candidates: Floats, weights: Floats, rows_x: Floats, count: int) -> NDArray[np.int64]:
    """Choose the next points among candidates by their distance from the rows, as `choose`.

    Args:
        candidates: their inputs, (N, D).
        weights: the weight of each input, (D,) in [0, 1], from `runge.function.outside.input_weights`.
        rows_x: the inputs of the known rows, (n, D).
        count: the number of chosen points, from 1 to N.
    """
    x, rows = (points * np.maximum(weights, _LEAST_WEIGHT) for points in _standardised(candidates, rows_x))
    nearest, chosen = cdist(x, rows).min(axis=1), np.empty(count, np.int64)
    for i in range(count):
        chosen[i] = j = int(nearest.argmax())
        nearest = np.minimum(nearest, cdist(x, x[[j]])[:, 0])
        nearest[chosen[: i + 1]] = -1
    return chosen


def _standardised(candidates: Floats, rows_x: Floats) -> list[Floats]:
    """Return both over the standard deviations of the rows; of inputs over three decades the logarithms."""
    logs = _spans_decades(rows_x) & (candidates > 0).all(axis=0)
    x, rows = (np.log(points, where=logs, out=points.copy()) for points in (candidates, rows_x))
    spread = rows.std(axis=0)
    return [points / np.where(spread > 0, spread, 1) for points in (x, rows)]
