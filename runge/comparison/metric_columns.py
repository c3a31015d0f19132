"""Choose the metric that ranks runs, and the metrics that are columns: of the terminal, the report and the CSV file."""

import itertools
from collections.abc import Sequence

from runge.comparison.groups import FOLD
from runge.comparison.runs import OF_DATA
from runge.comparison.shown import WIDE_TERMINAL
from runge.configuration.errors import listed
from runge.records.metrics import (
    QUANTITIES,
    TEST_MSE_DF,
    TEST_MSE_F,
    TEST_NRMSE_DF,
    TEST_NRMSE_F,
    VAL_NRMSE,
    key,
    on_test,
)
from runge.records.reading import RunRecord

_BY_FOLD = (
    "the mean over the folds of errors of networks that were not trained on these points, which only chose the step"
)


def choose_metric(records: Sequence[RunRecord], keys: Sequence[str]) -> tuple[str, str]:
    """Return the metric that ranks runs, and a sentence with the reason if it is not `test/mse_df`.

    Mean squared errors have the units of the data: the errors of sin(x) / 1000 are a million times smaller than of
    sin(x). Runs that differ in one of the `keys` of their data, and runs on tables, are ranked by `nrmse_df`, or by
    `nrmse_f` if more finished runs have that. Runs without test points are ranked by their validation errors, and so
    are the runs of a cross-validation, in which each row is predicted by a network that did not see it.
    """
    differ = [name for name in keys if name in OF_DATA or name.partition(".")[0] == "target"]
    finished = [record.figures for record in records if record.status == "finished"]
    folds = {record.settings.get(FOLD) is not None for record in records if record.settings} == {True}
    split = "val" if folds or (finished and not any(map(on_test, finished))) else "test"
    names = key(split, "nrmse_df"), key(split, "nrmse_f")
    counts = [sum(figures.get(name) is not None for figures in finished) for name in names]
    if not any(counts) or not (differ or any(record.of_table for record in records)):
        return (key("val", "mse_df"), f"Ranked by {key('val', 'mse_df')}, {_BY_FOLD}.") if folds else (TEST_MSE_DF, "")
    why = "because the columns of a table have units, and so have mean squared errors"
    if differ:
        names_of_data = listed(differ, last=" and ")
        why = f"because the runs differ in {names_of_data}, and mean squared errors have the units of the data"
    if folds:
        why = _BY_FOLD
    if counts[0] >= counts[1]:
        return names[0], f"Ranked by {names[0]}, {why}."
    return names[1], f"Ranked by {names[1]}, {why}; not all runs have derivatives to compare with."


def errors_like(metric: str) -> tuple[str, str]:
    """Return the keys of the errors of u and of u' of a metric's kind: without units if it has none, else squared.

    Both are on the points of the metric if it is an error of the whole, else on the test points.

    Example:
        >>> errors_like("test/nrmse_df")
        ('test/nrmse_f', 'test/nrmse_df')
    """
    for split, kind in itertools.product(("test", "val"), ("nrmse", "rel_l2", "mse")):
        if metric in (pair := (key(split, f"{kind}_f"), key(split, f"{kind}_df"))):
            return pair
    return (TEST_NRMSE_F, TEST_NRMSE_DF) if metric == VAL_NRMSE else (TEST_MSE_F, TEST_MSE_DF)


def first_columns(metric: str) -> list[str]:
    """Return the metrics that each view of runs that are ranked by a metric shows first: it, and both errors."""
    return list(dict.fromkeys((metric, *errors_like(metric))))


def fold_columns(metric: str) -> list[str]:
    """Return the metrics whose means over folds the terminal shows."""
    return list(dict.fromkeys((*errors_like(metric), metric)))


def terminal_columns(metric: str, width: int) -> list[str]:
    """Return the metrics in the terminal's table of runs; on a wide terminal the largest errors are shown too."""
    with_units = errors_like(metric) == (TEST_MSE_F, TEST_MSE_DF)
    largest = ("test/max_f", "test/max_df") if with_units else ("test/r2_f",)
    return list(dict.fromkeys((*first_columns(metric), *(largest if width >= WIDE_TERMINAL else ()))))


def report_columns(metric: str, metrics: Sequence[str]) -> list[str]:
    """Return the metrics in the report's table, of which `first_columns` are visible at first.

    Args:
        metric: the metric that ranks the runs.
        metrics: all metrics of the runs, of which those of the whole test set are shown, also a user's own.
    """
    of_test = [name for name in metrics if name.startswith("test/") and name.count("/") == 1]
    own = [name for name in of_test if name != "test/loss"]
    return list(dict.fromkeys((*first_columns(metric), *(key("test", name) for name in QUANTITIES), *own)))
