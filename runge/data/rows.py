"""Points from rows of a table: arrays of inputs, values and partial derivatives, some of which are not known."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runge.sobolev.points import Points

__all__ = ["channel_weights", "row_points"]

Floats = NDArray[np.float64]


def row_points(x: Floats, y: Floats, dydx: Floats, outputs: Sequence[str]) -> Points:
    r"""Return the points of some rows, a stack of one, in float64.

    Every channel, an output or a partial derivative, weighs the same, whatever the number of its known labels:

    .. math:: MSE_f = \frac1P \sum_p \overline{(u_p - f_p)^2}, \quad
              MSE_{df} = \frac1{PD} \sum_{pd} \overline{(u'_{pd} - f'_{pd})^2}

    Args:
        x: the inputs, (N, D).
        y: the values, (N, P); NaN where they are not known.
        dydx: the partial derivatives, (N, P, D); likewise.
        outputs: the names of the outputs.
    """
    at, f, df = (torch.from_numpy(np.nan_to_num(part))[None] for part in (x, y, dydx))
    weight_f, weight_df = (_weights(torch.from_numpy(~np.isnan(part))[None]) for part in (y, dydx))
    masks = torch.ones(1, 1, len(x), dtype=torch.float64)
    return Points(at, f, df, weight_f, weight_df, masks, outputs=tuple(outputs))


def _weights(known: Tensor) -> Tensor:
    count = known.double().sum(1, keepdim=True)
    return known / count.clamp_min(1) / (count > 0).sum().clamp_min(1)


def channel_weights(train: Points) -> Tensor:
    """Return the weight of each channel in the loss, (M, P, 1 + D).

    It is 1 for the values, and for a partial derivative one over its mean square, or 1 if it is not known or 0 up to
    round-off: a millionth of the largest partial derivative of the output, in the units of the points.
    """
    count = (train.weight_df > 0).double().sum(1)
    squares = train.df.double().square().sum(1) / count.clamp_min(1)
    # An output that does not depend on an input has labels of about 1e-16 there, which must not outweigh all others.
    noise = 1e-12 * squares.amax(-1, keepdim=True)
    of_df = torch.where(squares > noise, 1 / squares, 1)
    return torch.cat([torch.ones_like(of_df[..., :1]), of_df], dim=2)
