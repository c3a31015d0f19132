"""Errors of value and derivative, whole and by region, and the grammar of their keys.

A key is `{split}/{quantity}` or `{split}/{quantity}/{region}`, with split `train`, `val` or `test`.
"""

from collections.abc import Iterable

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
