"""Group runs that differ only in seed and fold, rank the groups by a metric, and compute its spread."""

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from runge.comparison.naming import OF_DATA
from runge.data.column_roles import listed
from runge.metrics import TEST_MSE_DF, TEST_MSE_F, TEST_NRMSE_DF, TEST_NRMSE_F, VAL_NRMSE, key, on_test
from runge.records.reading import RunRecord

FOLD = "data.fold"
"""The key in which the runs of a cross-validation differ."""

_BY_FOLD = "in which each point is predicted by a network that did not see it: the mean over the folds"


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


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles of some values, by interpolation, NaN if there are none; values may be infinite."""
    if not len(values):
        return math.nan, math.nan, math.nan
    with np.errstate(invalid="ignore"):  # infinity - infinity
        between = np.quantile(values, (0.25, 0.5, 0.75))
    low, middle, high = np.where(np.isnan(between), np.quantile(values, (0.25, 0.5, 0.75), method="higher"), between)
    return float(low), float(middle), float(high)


class Group(NamedTuple):
    """Runs that differ only in their seed, or in the fold that they leave out.

    Attributes:
        name: the values that define the group.
        values: the metric of each finished run, smallest first; then infinity for each run that diverged.
        unfinished: the number of runs that are left out, because they failed or have not ended.
        folds: the mean over seeds of each fold, if all runs leave one out.
        seeds: the geometric mean of the runs of each seed, or of each seed of the data; infinity if one diverged.
        condition: the values of the settings within which groups are compared, as text.

    Example:
        >>> Group("lr=0.6", (1.0, math.inf), unfinished=1).size
        '2 (1 of 2 diverged), 1 unfinished'
    """

    name: str
    values: tuple[float, ...]
    unfinished: int = 0
    folds: Mapping[Any, float] = MappingProxyType({})
    seeds: Mapping[Any, float] = MappingProxyType({})
    condition: str = ""

    @property
    def diverged(self) -> str:
        """The number of diverged runs, in words; empty: none."""
        count = self.values.count(math.inf)
        return f"{count} of {len(self.values)} diverged" if count else ""

    @property
    def size(self) -> str:
        """The number of runs as text, with the numbers of diverged and of omitted runs."""
        left_out = f", {self.unfinished} unfinished" if self.unfinished else ""
        return f"{len(self.values)}{f' ({self.diverged})' if self.diverged else ''}{left_out}"

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The lower quartile, the median and the upper quartile, interpolated."""
        return quartiles(self.values)

    @property
    def median(self) -> float:
        """The median over seeds."""
        return statistics.median(self.values)

    @property
    def middle(self) -> float:
        """The mean over folds, or without them the median over seeds."""
        return statistics.fmean(self.folds.values()) if self.folds else self.median

    @property
    def deviation(self) -> float:
        """The standard deviation over folds; NaN if there are fewer than two, or a run diverged."""
        has_deviation = len(self.folds) > 1 and math.isfinite(self.middle)
        return statistics.stdev(self.folds.values()) if has_deviation else math.nan


def group(
    records: Sequence[RunRecord],
    names: Sequence[str],
    metric: str,
    conditions: Sequence[str] = (),
    blocks: Sequence[str] = (),
) -> list[Group]:
    """Return the groups of runs, sorted by their condition, and then by `Group.middle` of `metric`.

    A diverged run is worse than all others. A run that failed or has not ended is not counted. A group has at least one
    run that finished or diverged. Groups with fewer folds come last.

    Args:
        records: the runs.
        names: the name of the group of each run.
        metric: the metric.
        conditions: the condition of each run, in which the runs of a group agree; runs are sorted by it.
        blocks: the settings of each run within which its group is compared with others; their seeds are those of
            `Group.seeds` only if these settings agree, too.
    """
    unnamed = [""] * len(records)
    values, unfinished = defaultdict[str, list[tuple[Any, Any, float]]](list), Counter[str]()
    of_group = dict(zip(names, conditions or unnamed, strict=True))
    for name, block, seed, record in zip(names, blocks or unnamed, _seeds(records), records, strict=True):
        fold = record.settings.get("data.seed"), record.settings.get(FOLD)
        if record.status == "diverged" and record.settings:
            values[name].append((fold, (block, seed), math.inf))
        elif record.status != "finished":
            unfinished[name] += 1
        elif (value := record.figures.get(metric)) is not None:
            values[name].append((fold, (block, seed), float(value)))
    groups = []
    for name, runs in values.items():
        folds, seeds = defaultdict[Any, list[float]](list), defaultdict[Any, list[float]](list)
        for fold, seed, value in runs:
            folds[fold].append(value)
            seeds[seed].append(value)
        means = {} if any(fold[1] is None for fold in folds) else {k: statistics.fmean(x) for k, x in folds.items()}
        with np.errstate(divide="ignore"):  # an error of 0
            of_seeds = {seed: float(np.exp(np.mean(np.log(x)))) for seed, x in seeds.items()}
        every = tuple(sorted(value for *_, value in runs))
        groups.append(Group(name, every, unfinished[name], means, of_seeds, of_group[name]))
    order = {condition: i for i, condition in enumerate(dict.fromkeys(conditions))}

    def rank(candidate: Group) -> tuple[Any, ...]:
        diverged = np.isinf(candidate.values).mean()
        return order.get(candidate.condition, 0), -len(candidate.folds), candidate.middle, diverged, candidate.name

    return sorted(groups, key=rank)


def _seeds(records: Sequence[RunRecord]) -> list[Any]:
    """Return the seed of each run's data; the run's own if all runs have the same data.

    Runs on the same points are not independent, whatever their own seeds are.
    """
    of_runs = [record.settings.get("seed") for record in records]
    data = [record.settings.get("data.seed") for record in records]
    of_data = [of_runs[i] if seed is None else seed for i, seed in enumerate(data)]
    return of_data if len({*of_data}) > 1 else of_runs
