"""Points from rows of a table: arrays of inputs, values and partial derivatives, some of which are not known."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from runge.configuration.validation import Floats
from runge.data.fit_errors import FitErrors
from runge.sobolev.accuracy import variance
from runge.sobolev.points import Points

__all__ = ["Channels", "batch_size", "channel_weights", "deviation", "relevance", "row_points", "second_weights"]


_BATCH_COMPONENTS = 22_000
"""The most values and partial derivatives of one output in a mini-batch."""

_LEAST_SQUARE = 0.1
"""The least mean square, over the mean over the inputs; from 0.01 to 1 the errors differ by less than a factor of 2."""

_LEAST_RELEVANCE = 0.03
"""The least relevance of an input."""


def row_points(
    x: Floats,
    y: Floats,
    dydx: Floats,
    outputs: Sequence[str],
    row_weights: Floats | None = None,
    seconds: Floats | None = None,
    lambda_dd: float = 0.0,
) -> Points:
    r"""Return the points of some rows, a stack of one, in float64.

    Every channel, an output or a partial derivative, weighs the same, whatever the number of its known labels:

    .. math:: MSE_f = \frac1P \sum_p \overline{(u_p - f_p)^2}, \quad
              MSE_{df} = \frac1{PD} \sum_{pd} \overline{(u'_{pd} - f'_{pd})^2}

    The means are weighted with `row_weights`, (n,), all positive; None: all 1. The weights of second derivatives,
    of which each channel weighs the same too, are multiplied by lambda_dd. The shapes are those of `Rows`; NaN: not
    known.
    """
    of_rows = torch.ones(len(x), dtype=torch.float64) if row_weights is None else torch.from_numpy(row_weights)
    at, f, df = (torch.from_numpy(np.nan_to_num(array))[None] for array in (x, y, dydx))

    def weights(is_known: Tensor) -> Tensor:
        weight = is_known * of_rows.reshape(-1, *[1] * (is_known.ndim - 2))
        total = weight.sum(1, keepdim=True)
        return weight / total.where(total > 0, 1) / (total > 0).sum().clamp_min(1)

    weight_f, weight_df = (weights(torch.from_numpy(~np.isnan(labels))[None]) for labels in (y, dydx))
    masks = torch.ones(1, 1, len(x), dtype=torch.float64)
    points = Points(at, f, df, weight_f, weight_df, masks, outputs=tuple(outputs))
    if seconds is None:
        return points
    d2f, weight = torch.from_numpy(np.nan_to_num(seconds))[None], weights(torch.from_numpy(~np.isnan(seconds))[None])
    return replace(points, d2f=d2f, weight_d2f=lambda_dd * weight)


def batch_size(rows: int, dimension: int) -> int | None:
    """Return the size of a mini-batch of a table, a power of two, with which a step stays short; None: all rows.

    A step that is not compiled takes a time proportional to B (1 + D). It is bounded, so that a run takes about as long
    for any table, and tables of up to twice that size are trained in full batches.
    """
    size = 2 ** int(math.log2(max(_BATCH_COMPONENTS / (1 + dimension), 1)))
    return None if rows <= 2 * size else size


def channel_weights(train: Points) -> Tensor:
    r"""Return the weight of each channel in the loss, (M, P, 1 + D).

    It is 1 for the values, and for a partial derivative

    .. math:: w_{pd} = 1 / \max(m_{pd},\ 0.1\, \overline{m_{pd'}}),

    where m is its mean square over the known labels, in the units of the points, and the bar is a mean over the inputs
    d' by which the output's derivative is known; 1 if none is, or all are 0. In standardised units a small partial
    derivative is one by an input that hardly matters. The floor keeps it from outweighing the others.
    """
    of_df = _inverse(*_mean_squares(train.df, train.weight_df))
    return torch.cat([torch.ones_like(of_df[..., :1]), of_df], dim=2)


def second_weights(points: Points) -> Tensor:
    """Return the weight of each second derivative in the loss, (M, 1, P, D (D + 1) / 2), by the rule for partial ones.

    Those of an output have the floor of a tenth of their mean, over all pairs of which labels are known.
    """
    assert points.d2f is not None
    assert points.weight_d2f is not None
    return _inverse(*_mean_squares(points.d2f, points.weight_d2f))[:, None]


def _inverse(squares: Tensor, is_known: Tensor) -> Tensor:
    """Return the inverse of mean squares with the floor of a tenth of their mean over the last axis, or 1."""
    mean = (is_known * squares).sum(-1, keepdim=True) / is_known.sum(-1, keepdim=True).clamp_min(1)
    return torch.where(is_known.bool() & (mean > 0), 1 / squares.maximum(_LEAST_SQUARE * mean), 1)


def relevance(train: Points) -> Tensor:
    r"""Return the relevance of each input, (M, D), in [0.03, 1].

    With the mean squares m of `channel_weights` it is

    .. math:: r_d = \max_p (m_{pd} / \max_{d'} m_{pd'})^{1/8}

    It is 1 where a derivative by some input is not known. The network sees each input times r_d, so that it does not
    have to learn which inputs to ignore: a small weight of the first layer would have to be found by each neuron.
    """
    squares, is_known = _mean_squares(train.df, train.weight_df)
    largest = squares.amax(-1, keepdim=True)
    of_output = torch.where(is_known.all(-1, keepdim=True) & (largest > 0), squares / largest, 1)
    return of_output.amax(1).pow(1 / 8).clamp_min(_LEAST_RELEVANCE)


def _mean_squares(labels: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean square of each derivative, (M, P, K), and 1 where it is known at some point, else 0."""
    count = (weight > 0).double().sum(1)
    return labels.double().square().sum(1) / count.clamp_min(1), (count > 0).double()


class Channels(NamedTuple):
    """The factors that make errors comparable: of the values, (P,), and of the partial derivatives, (P, D)."""

    value: Floats
    slope: Floats

    @classmethod
    def of(cls, x: Floats, y: Floats, dydx: Floats) -> "Channels":
        """Return the factors by the labels of a table; 0 for a channel that is constant or not known."""
        spread = x.std(axis=0)
        with np.errstate(all="ignore"):
            value = 1 / _variance(y)
            slope = spread**2 / np.nansum(spread**2 * _variance(dydx, spread), axis=1, keepdims=True)
            slope = np.where(np.isnan(dydx).all(axis=0), 0, slope)
        return cls(*(np.sqrt(np.where(np.isfinite(squares), squares, 0) / len(value)) for squares in (value, slope)))

    @property
    def of_residuals(self) -> Floats:
        """The factors of the residuals of one channel, (P + P D,): the inverse of its standard deviation.

        A partial derivative has the factor of the gradient of its output, in standardised inputs.
        """
        return math.sqrt(len(self.value)) * np.concatenate([self.value, self.slope.ravel()])

    def nrmse(self, residuals: Floats) -> Floats:
        """Return nrmse_f and nrmse_df of each output, (2, P), given residuals, (n, P + P D); NaN: not known.

        The formulas are in `runge.sobolev.accuracy`.
        """
        outputs, factors = len(self.value), self.of_residuals
        squares = np.where(factors > 0, factors * FitErrors.of(residuals).rmse, np.nan) ** 2
        by_column = [channels.reshape(outputs, -1) for channels in (squares[:outputs], squares[outputs:])]
        has_labels = [~np.isnan(channels).all(axis=1) for channels in by_column]
        return np.where(has_labels, np.sqrt([np.nansum(channels, axis=1) for channels in by_column]), np.nan)


def deviation(labels: Floats, lengths: Floats | None = None) -> Floats:
    """Return the standard deviation of labels, (n, ...), over the rows; NaN: constant up to round-off, or not known.

    The lengths of inputs, (D,), or of their pairs, are those by which derivatives are compared with each other.
    """
    return np.sqrt(_variance(labels, lengths))


def _variance(labels: Floats, lengths: Floats | None = None) -> Floats:
    """Return the variance of labels over the rows; NaN of a channel that is constant, or not known."""
    f, is_known = (torch.from_numpy(array)[None] for array in (np.nan_to_num(labels), ~np.isnan(labels)))
    of_inputs = None if lengths is None else torch.from_numpy(lengths)[None, None, None]
    return variance(f, is_known, of_inputs)[0].numpy()
