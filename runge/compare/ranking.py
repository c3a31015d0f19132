"""The figure by which runs are ranked, if none is named: without units where the data have several."""

import itertools
from collections.abc import Sequence

from runge.metrics import TEST_MSE_DF, TEST_MSE_F, key, on_test
from runge.runs.reading import RunRecord

_DATA = ("data", "data.file", "data.inputs", "data.outputs", "data.derivatives")
"""The keys of runs on different data, besides those of the target."""

_RELATIVE = ("nrmse_df", "rel_l2_df", "nrmse_f", "rel_l2_f")
"""The quantities without units, the preferred one first; older runs have `rel_l2_df` alone."""


def choose_metric(records: Sequence[RunRecord], keys: Sequence[str]) -> tuple[str, str]:
    """Return the metric by which runs are ranked, and a sentence that says why if it is not `test/mse_df`.

    Mean squared errors have the units of the data: those of sin(x) / 1000 are a million times smaller than those of
    sin(x). Runs on different data, and on the columns of a table, are ranked by a figure without units: the first of
    `nrmse_df`, `rel_l2_df`, `nrmse_f` and `rel_l2_f` that most finished runs have. Runs without test points are ranked
    by their validation errors.

    Args:
        records: the runs.
        keys: the settings in which they differ.
    """
    differ = [name for name in keys if name in _DATA or name.partition(".")[0] == "target"]
    finished = [record.figures for record in records if record.status == "finished"]
    split = "test" if any(map(on_test, finished)) or not finished else "val"
    counts = {name: sum(one.get(name) is not None for one in finished) for name in (key(split, q) for q in _RELATIVE)}
    best = max(counts, key=lambda name: counts[name])
    if not counts[best] or not (differ or any(record.of_table for record in records)):
        return TEST_MSE_DF, ""
    if differ:
        names = " and ".join(filter(None, (", ".join(differ[:-1]), differ[-1])))
        why = f"the runs differ in {names}, and mean squared errors have the units of the data"
    else:
        why = "the columns of a table have units, and so have mean squared errors"
    derivative = "" if best.endswith("_df") else "; not all runs have derivatives to compare with"
    return best, f"Ranked by {best}, because {why}{derivative}."


def errors_like(metric: str) -> tuple[str, str]:
    """Return the keys of the errors of u and of u' of a metric's kind: without units if it has none, else squared.

    They are those on its points if they have no units, else those on the test points.

    Example:
        >>> errors_like("test/nrmse_df")
        ('test/nrmse_f', 'test/nrmse_df')
    """
    for split, kind in itertools.product(("test", "val"), ("nrmse", "rel_l2")):
        if metric in (pair := (key(split, f"{kind}_f"), key(split, f"{kind}_df"))):
            return pair
    return TEST_MSE_F, TEST_MSE_DF
