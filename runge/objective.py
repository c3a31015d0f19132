"""The figures that a sweeper minimises: errors of a run's best weights on the validation points."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from runge.errors import ConfigurationError
from runge.metrics import VAL_LOSS, key, keys

__all__ = ["ERRORS", "VAL_NRMSE", "Objective"]

VAL_NRMSE = key("val", "nrmse")
"""The root mean square of `val/nrmse_f` and `val/nrmse_df`; of the one that is known, where the other is not."""

ERRORS = key("val", "nrmse_f"), key("val", "nrmse_df")
"""The errors of a run of which `val/nrmse` is made, and by which `search=best` ranks it."""


class Objective:
    r"""One or several figures on the validation points, by which a sweeper chooses; smaller is better.

    The default, `val/nrmse`, has no unit and does not depend on lambda_d, unlike `val/loss`:

    .. math:: nrmse = \sqrt{(nrmse_f^2 + nrmse_{df}^2) / 2}

    A constant has at least 1; it is 0 only if values and derivatives are fitted exactly.

    Args:
        keys: the metric key of each figure.
        own: the names of the user's own metrics.
        groups: the regions, or several outputs, that have figures of their own.

    Raises:
        ConfigurationError: it is not a figure on the validation points, or a larger one is better.

    Example:
        >>> Objective("val/nrmse").values({"val/nrmse_f": 0.5, "val/nrmse_df": 0.5})
        (0.5,)
    """

    def __init__(self, keys: Any, own: Sequence[str] = (), groups: Sequence[str] = ()) -> None:
        listed = [keys] if isinstance(keys, str) else keys
        if not isinstance(listed, list | tuple) or not listed or len(set(map(str, listed))) < len(listed):
            raise ConfigurationError(f"objective: must be a metric key or a list of different ones, got {keys!r}")
        for name in listed:
            _check(name, own, groups)
        self.keys = tuple(listed)

    def values(self, figures: Mapping[str, float | int | None]) -> tuple[float, ...]:
        """Return the value of each figure, given the final figures of a run; NaN where it is not known."""
        return tuple(_value(figures, name) for name in self.keys)

    def returned(self, figures: Mapping[str, float | int | None]) -> float | tuple[float, ...]:
        """Return what a job returns to Hydra's sweepers: a number, or several."""
        values = self.values(figures)
        return values[0] if len(values) == 1 else values


def _value(figures: Mapping[str, float | int | None], name: str) -> float:
    if name != VAL_NRMSE:
        return math.nan if (figure := figures.get(name)) is None else float(figure)
    parts = [float(part) for part in map(figures.get, ERRORS) if part is not None and part == part]
    return math.sqrt(sum(part * part for part in parts) / len(parts)) if parts else math.nan


def _check(name: Any, own: Sequence[str], groups: Sequence[str]) -> None:
    if str(name).startswith("test/"):
        why = "because test points by which settings are chosen no longer say how good they are"
        raise ConfigurationError(
            f"objective: must be a figure on the validation points, such as {VAL_NRMSE}, {why}; got {name!r}"
        )
    if name == key("val", "r2_f") or str(name).startswith(key("val", "r2_f", "") + "/"):
        raise ConfigurationError(f"objective: must be a figure that is smaller when it is better, got {name!r}")
    allowed = [VAL_NRMSE, VAL_LOSS, *keys("val", ()), *(key("val", one) for one in own)]
    if name not in allowed and name not in keys("val", groups):
        listed = ", ".join(one for one in allowed if not one.startswith(key("val", "r2_f")))
        part = f", or of one of {', '.join(groups)}, such as {key('val', 'mse_df', groups[0])}" if groups else ""
        raise ConfigurationError(f"objective: must be one of {listed}{part}; got {name!r}")
