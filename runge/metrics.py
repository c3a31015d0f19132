"""Errors of value and derivative, whole and by region, and the grammar of their keys.

A key is `{split}/{quantity}` or `{split}/{quantity}/{region}`, with split `train`, `val` or `test`.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from runge.sobolev.points import Points

QUANTITIES = ("mse_f", "mse_df", "max_f", "max_df", "rel_l2_f", "rel_l2_df")
"""Mean squared error, largest absolute error and relative L2 error, of the value and of the derivative."""

_FIRST = ("train", "val", "test", "grad_norm", "share", "seconds")
_OTHERS = ("lambda_d", "grad_cosine", "parameters", "stages", "switched_on_step")


def is_metric(name: str) -> bool:
    """Whether a name is that of a final figure."""
    return (name.partition("/")[0] in _FIRST and "/" in name) or name in _OTHERS


def key(split: str, quantity: str, region: str = "") -> str:
    """The key of a figure.

    Example:
        >>> key("test", "mse_df", "left")
        'test/mse_df/left'
    """
    return f"{split}/{quantity}/{region}" if region else f"{split}/{quantity}"


def share_key(region: str) -> str:
    """The key of the share of the training points that lie in a region."""
    return f"share/{region}"


def keys(split: str, regions: Iterable[str]) -> list[str]:
    """The keys of all that `errors` returns, in its order."""
    return [key(split, quantity, region) for quantity in QUANTITIES for region in ("", *regions)]


def errors(u: Tensor, du: Tensor, points: Points) -> Tensor:
    r"""The errors of each member, unscaled and unweighted.

    With e = |u - f| or |u' - f'| (the Euclidean norm) over the points of a region at which f or f' is given:
    mse = mean e^2, max = max e, rel_l2 = sqrt(sum e^2 / sum |f|^2).

    Args:
        u: values, (M, N).
        du: gradients, (M, N, D).
        points: the points with their masks.

    Returns:
        Errors of shape (6, 1 + R, M), in the order of `QUANTITIES`, the whole before the regions. NaN where a region
        has no point, or a relative error nothing to relate to.
    """
    value = _errors((u - points.f).square(), points.f.square(), points.masks * (points.weight_f > 0)[:, None])
    squares = (du - points.df).square().sum(-1), points.df.square().sum(-1)
    derivative = _errors(*squares, points.masks * (points.weight_df > 0)[:, None])
    return torch.stack([value, derivative], dim=1).flatten(0, 1).mT


def _errors(square: Tensor, reference: Tensor, masks: Tensor) -> Tensor:
    """Mean square, largest and relative error, as (3, M, 1 + R), of squares (M, N) under masks (M, 1 + R, N)."""
    total = (masks * square[:, None]).sum(-1)
    count = masks.sum(-1)
    largest = torch.where(masks > 0, square[:, None], 0).amax(-1).sqrt() / (count > 0)
    related = (masks * reference[:, None]).sum(-1)
    relative = torch.where(related > 0, total / related, torch.nan).sqrt()
    return torch.stack([total / count, largest, relative])
