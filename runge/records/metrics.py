"""Name all metrics of a run, and choose the ones that a sweeper minimises.

An error's key is `{split}/{quantity}` or `{split}/{quantity}/{region}`, with split `train`, `val` or `test`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runge.configuration.errors import ConfigurationError

QUANTITIES = {
    "mse_f": "mean squared error of u",
    "mse_df": "mean squared error of u'",
    "max_f": "largest absolute error of u",
    "max_df": "largest absolute error of u'",
    "rel_l2_f": "L2 norm of the error of u relative to that of f",
    "rel_l2_df": "L2 norm of the error of u' relative to that of f'",
}
"""The errors of the whole set, and of each region or output, and their meanings."""

RELATIVE = {
    "nrmse_f": "root mean squared error of u over the standard deviation of f, the mean over outputs",
    "nrmse_df": "root mean squared error of u' over its standard deviation, inputs standardised, the mean over outputs",
    "r2_f": "coefficient of determination of u, 1 - mse / variance, the mean over outputs",
}
"""The errors of the whole set, and of each of several outputs, without units: they compare runs on different data."""


def key(split: str, quantity: str, region: str = "") -> str:
    """Return the key of an error.

    Example:
        >>> key("test", "mse_df", "left")
        'test/mse_df/left'
    """
    return f"{split}/{quantity}/{region}" if region else f"{split}/{quantity}"


def keys(split: str, regions: Iterable[str]) -> list[str]:
    """Return the keys of all errors of one output on a set of points, in the order of `runge.sobolev.accuracy`."""
    of_regions = [key(split, quantity, region) for quantity in QUANTITIES for region in ("", *regions)]
    return of_regions + [key(split, quantity) for quantity in RELATIVE]


def regions(names: Iterable[str], figure: str) -> list[str]:
    """Return the regions for which the metric `figure` is also reported.

    Example:
        >>> regions(["test/mse_f", "test/mse_df", "test/mse_df/left", "test/mse_df/right"], "test/mse_df")
        ['left', 'right']
    """
    return [name.removeprefix(f"{figure}/") for name in names if name.startswith(f"{figure}/")]


def on_test(figures: Mapping[str, float | int | None]) -> dict[str, float]:
    """Return the errors on the test points among some figures, without null."""
    return {name: figure for name, figure in figures.items() if name.startswith("test/") and figure is not None}


def share_key(region: str) -> str:
    """Return the key of a region's share of the training points."""
    return f"share/{region}"


TRAIN_LOSS, VAL_LOSS = key("train", "loss"), key("val", "loss")
"""The loss as it is minimised (in `metrics.json` with the full lambda_d), and the validation loss with the full one."""

TEST_ENDS = "test_low", "test_high"
"""The splits of the ends of 95 % intervals of the test errors, on few rows of a table."""

TEST_MSE_F, TEST_MSE_DF = key("test", "mse_f"), key("test", "mse_df")
TEST_NRMSE_F, TEST_NRMSE_DF = key("test", "nrmse_f"), key("test", "nrmse_df")

LAMBDA_D = "lambda_d"
"""The weight of MSE_df at a step."""

DIAGNOSTICS = GRAD_NORM_F, GRAD_NORM_DF, GRAD_COSINE = "grad_norm/f", "grad_norm/df", "grad_cosine"
"""The norms of the gradients of MSE_f and MSE_df, and their cosine; not computed at every logged step."""

FIT_SECONDS, TOTAL_SECONDS = "seconds/fit", "seconds/total"
"""A run's share of the time that its stack took for the fit, and in total."""

PARAMETERS = "parameters"
SWITCHED_ON_STEP, BEST_STEP = "switched_on_step", "best_step"
"""The number of parameters, the first step with lambda_d > 0 (null: none), and the steps of the best weights."""

VAL_NRMSE = key("val", "nrmse")
"""The root mean square of `val/nrmse_f` and `val/nrmse_df`; only of the known one if the other is not."""

ERRORS = key("val", "nrmse_f"), key("val", "nrmse_df")
"""The errors of a run of which `val/nrmse` is made, and by which `search=best` ranks it."""


class Objective:
    r"""One or several figures on the validation points, by which a sweeper chooses; smaller is better.

    The default, `val/nrmse`, has no unit and does not depend on lambda_d, unlike `val/loss`:

    .. math:: nrmse = \sqrt{(nrmse_f^2 + nrmse_{df}^2) / 2}

    A constant has at least 1; it is 0 only if values and derivatives are fitted exactly.

    Args:
        keys: the metric key of each figure.
        custom: the names of the user's own metrics.
        groups: the regions, or several outputs, that have figures of their own.

    Raises:
        ConfigurationError: it is not a figure on the validation points, or a larger one is better.

    Example:
        >>> Objective("val/nrmse").values({"val/nrmse_f": 0.5, "val/nrmse_df": 0.5})
        (0.5,)
    """

    def __init__(self, keys: Any, custom: Sequence[str] = (), groups: Sequence[str] = ()) -> None:
        listed = [keys] if isinstance(keys, str) else keys
        if not isinstance(listed, list | tuple) or not listed or len(set(map(str, listed))) < len(listed):
            raise ConfigurationError(f"objective: must be a metric key or a list of different ones, got {keys!r}")
        for name in listed:
            _check(name, custom, groups)
        self.keys = tuple(listed)

    def values(self, figures: Mapping[str, float | int | None]) -> tuple[float, ...]:
        """Return the value of each figure, given the final figures of a run; NaN where it is not known."""
        return tuple(_value(figures, name) for name in self.keys)

    def returned(self, figures: Mapping[str, float | int | None]) -> float | tuple[float, ...]:
        """Return the result of a job for Hydra's sweepers: a number, or several."""
        values = self.values(figures)
        return values[0] if len(values) == 1 else values


def _value(figures: Mapping[str, float | int | None], name: str) -> float:
    if name != VAL_NRMSE:
        return math.nan if (figure := figures.get(name)) is None else float(figure)
    errors = [float(error) for error in map(figures.get, ERRORS) if error is not None and error == error]
    return math.sqrt(sum(error * error for error in errors) / len(errors)) if errors else math.nan


def _check(name: Any, custom: Sequence[str], groups: Sequence[str]) -> None:
    if str(name).startswith("test/"):
        why = "because test points by which settings are chosen no longer say how good they are"
        raise ConfigurationError(
            f"objective: must be a figure on the validation points, such as {VAL_NRMSE}, {why}; got {name!r}"
        )
    if name == key("val", "r2_f") or str(name).startswith(key("val", "r2_f", "") + "/"):
        raise ConfigurationError(f"objective: must be a figure that is smaller when it is better, got {name!r}")
    allowed = [VAL_NRMSE, VAL_LOSS, *keys("val", ()), *(key("val", name) for name in custom)]
    if name not in allowed and name not in keys("val", groups):
        listed = ", ".join(name for name in allowed if not name.startswith(key("val", "r2_f")))
        regional = f", or of one of {', '.join(groups)}, such as {key('val', 'mse_df', groups[0])}" if groups else ""
        raise ConfigurationError(f"objective: must be one of {listed}{regional}; got {name!r}")
