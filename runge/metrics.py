"""The names of all metrics of a run.

An error's key is `{split}/{quantity}` or `{split}/{quantity}/{region}`, with split `train`, `val` or `test`.
"""

from collections.abc import Iterable, Mapping

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
    found = [key(split, quantity, region) for quantity in QUANTITIES for region in ("", *regions)]
    return found + [key(split, quantity) for quantity in RELATIVE]


def regions(names: Iterable[str], whole: str) -> list[str]:
    """Return the regions for which the figure `whole` is also reported.

    Example:
        >>> regions(["test/mse_f", "test/mse_df", "test/mse_df/left", "test/mse_df/right"], "test/mse_df")
        ['left', 'right']
    """
    return [name.removeprefix(f"{whole}/") for name in names if name.startswith(f"{whole}/")]


def on_test(figures: Mapping[str, float | int | None]) -> dict[str, float]:
    """Return the errors on the test points among some figures, without those that are null."""
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

PARAMETERS, SWITCHED_ON_STEP, BEST_STEP = "parameters", "switched_on_step", "best_step"
"""The number of parameters, the first step with lambda_d > 0 (null: none), and the steps of the best weights."""
