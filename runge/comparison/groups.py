"""Group runs that differ only in seed and fold, rank the groups by a metric, and compute its spread."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from runge.records.reading import RunRecord

FOLD = "data.fold"
"""The key in which the runs of a cross-validation differ."""


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


class Place(NamedTuple):
    """The place of a run in a comparison, as the texts of its settings.

    Attributes:
        group: the name of its group.
        condition: the settings within which its group is compared with others.
        block: the settings of the runs of another group with which it is compared.
    """

    group: str
    condition: str = ""
    block: str = ""


_Value = tuple[tuple[Any, Any], tuple[str, Any], float]
"""The fold and the seed of a run, and its metric, infinite if it diverged."""


def group(records: Sequence[RunRecord], places: Sequence[Place], metric: str) -> list[Group]:
    """Return the groups of runs, sorted by their condition, and then by `Group.middle` of `metric`.

    A diverged run is worse than all others. A run that failed or has not ended is not counted. A group has at least one
    run that finished or diverged. Groups with fewer folds come last.

    Args:
        records: the runs, sorted by their condition.
        places: the place of each run; the runs of a group have the same condition.
        metric: the metric.
    """
    values, unfinished = defaultdict[str, list[_Value]](list), Counter[str]()
    conditions = {place.group: place.condition for place in places}
    for place, seed, record in zip(places, _seeds(records), records, strict=True):
        fold, seed_of_block = (record.settings.get("data.seed"), record.settings.get(FOLD)), (place.block, seed)
        if record.status == "diverged" and record.settings:
            values[place.group].append((fold, seed_of_block, math.inf))
        elif record.status != "finished":
            unfinished[place.group] += 1
        elif (value := record.figures.get(metric)) is not None:
            values[place.group].append((fold, seed_of_block, float(value)))
    order = {condition: i for i, condition in enumerate(dict.fromkeys(place.condition for place in places))}

    def rank(candidate: Group) -> tuple[Any, ...]:
        diverged = np.isinf(candidate.values).mean()
        return order[candidate.condition], -len(candidate.folds), candidate.middle, diverged, candidate.name

    groups = [_group(name, runs, unfinished[name], conditions[name]) for name, runs in values.items()]
    return sorted(groups, key=rank)


def _group(name: str, runs: Sequence[_Value], unfinished: int, condition: str) -> Group:
    """Return a group, with the mean of each fold and the geometric mean of each seed."""
    folds, seeds = defaultdict[Any, list[float]](list), defaultdict[Any, list[float]](list)
    for fold, seed, metric in runs:
        folds[fold].append(metric)
        seeds[seed].append(metric)
    means = {} if any(number is None for _, number in folds) else {k: statistics.fmean(x) for k, x in folds.items()}
    with np.errstate(divide="ignore"):  # an error of 0
        of_seeds = {seed: float(np.exp(np.mean(np.log(x)))) for seed, x in seeds.items()}
    return Group(name, tuple(sorted(metric for *_, metric in runs)), unfinished, means, of_seeds, condition)


def _seeds(records: Sequence[RunRecord]) -> list[Any]:
    """Return the seed of each run's data; the run's own if all runs have the same data.

    Runs on the same points are not independent, whatever their own seeds are.
    """
    of_runs = [record.settings.get("seed") for record in records]
    data = [record.settings.get("data.seed") for record in records]
    of_data = [of_runs[i] if seed is None else seed for i, seed in enumerate(data)]
    return of_data if len({*of_data}) > 1 else of_runs
