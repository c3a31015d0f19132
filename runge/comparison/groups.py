"""Group runs that differ only in seed and fold, rank the groups by a metric, and compute its spread."""

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from runge.comparison.differing_settings import cost
from runge.records.reading import RunRecord

FOLD = "data.fold"
"""The key in which the runs of a cross-validation differ."""

WORST = 1e6
"""The logarithm of the error of a run that diverged or failed, beyond those of all floats; -1e6: of an error of 0."""


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the quartiles of some values, by interpolation, NaN if there are none; values may be infinite."""
    if not len(values):
        return math.nan, math.nan, math.nan
    with np.errstate(invalid="ignore"):  # infinity - infinity
        between = np.quantile(values, (0.25, 0.5, 0.75))
    low, middle, high = np.where(np.isnan(between), np.quantile(values, (0.25, 0.5, 0.75), method="higher"), between)
    return float(low), float(middle), float(high)


class Group(NamedTuple):
    """Runs that differ only in their seed, in the fold that they leave out, and in settings that are not compared.

    Attributes:
        name: the values that define the group.
        values: the metric of each finished run, smallest first; then infinity for each run that diverged or failed.
            Runs of one seed with equal metrics count once.
        failed: the number of runs that failed.
        unfinished: the number of runs that are left out, because they have not ended.
        folds: the mean over seeds of each fold, if all runs leave one out.
        logs: the mean logarithm of the errors of a seed, or of a seed of the data, in a block, by both.
        condition: the values of the settings within which groups are compared, as text.
        cost: the values of the settings that decide how much a run costs, as text.
        copies: the paths of runs that have equal metrics under different seeds.

    Example:
        >>> Group("lr=0.6", (1.0, math.inf), unfinished=1).size
        '2 (1 of 2 diverged), 1 unfinished'
    """

    name: str
    values: tuple[float, ...]
    failed: int = 0
    unfinished: int = 0
    folds: Mapping[Any, float] = MappingProxyType({})
    logs: Mapping[tuple[Any, str], float] = MappingProxyType({})
    condition: str = ""
    cost: Mapping[str, str] = MappingProxyType({})
    copies: tuple[str, ...] = ()

    @property
    def lost(self) -> str:
        """The numbers of diverged and failed runs, in words; empty: none."""
        counts = {"diverged": self.values.count(math.inf) - self.failed, "failed": self.failed}
        return ", ".join(f"{count} of {len(self.values)} {how}" for how, count in counts.items() if count)

    @property
    def size(self) -> str:
        """The number of runs as text, with the numbers of diverged, failed and omitted runs."""
        left_out = f", {self.unfinished} unfinished" if self.unfinished else ""
        return f"{len(self.values)}{f' ({self.lost})' if self.lost else ''}{left_out}"

    @property
    def seeds(self) -> list[float]:
        """The error of each seed, its geometric mean over blocks; infinite if a run diverged or failed."""
        return self.seeds_in(None)

    def seeds_in(self, blocks: Collection[str] | None) -> list[float]:
        """Return the same over some of the blocks; None: over all."""
        with np.errstate(over="ignore"):
            return np.exp([*means_by_seed(self.logs, blocks).values()]).tolist()

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """The lower quartile, the median and the upper quartile over seeds, interpolated."""
        return quartiles(self.seeds)

    @property
    def median(self) -> float:
        """The median over seeds."""
        return statistics.median(self.seeds)

    @property
    def middle(self) -> float:
        """The mean over folds, or without them the median over seeds."""
        return statistics.fmean(self.folds.values()) if self.folds else self.median

    @property
    def deviation(self) -> float:
        """The standard deviation over folds; NaN if there are fewer than two, or a run diverged."""
        has_deviation = len(self.folds) > 1 and math.isfinite(self.middle)
        return statistics.stdev(self.folds.values()) if has_deviation else math.nan


def means_by_seed(logs: Mapping[tuple[Any, str], float], blocks: Collection[str] | None = None) -> dict[Any, float]:
    """Return the mean logarithm of each seed over all blocks, or over some: runs of one seed are not independent."""
    seeds = defaultdict[Any, list[float]](list)
    for (seed, block), value in logs.items():
        if blocks is None or block in blocks:
            seeds[seed].append(value)
    return {seed: statistics.fmean(values) for seed, values in seeds.items()}


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


class _Observation(NamedTuple):
    """A run that has ended, and its error, infinite if it diverged or failed."""

    record: RunRecord
    seed: Any
    block: str
    error: float

    @property
    def metrics(self) -> Hashable:
        """All that it measured, except its time; of a run without results its path and its seed."""
        figures = self.record.figures.items()
        measured = frozenset(figure for figure in figures if not figure[0].startswith("seconds/"))
        return measured if math.isfinite(self.error) else (self.record.path, self.seed)


def group(records: Sequence[RunRecord], places: Sequence[Place], metric: str) -> list[Group]:
    """Return the groups of runs, sorted by their condition, and then by `Group.middle` of `metric`.

    A run that diverged or failed is worse than all others, because both depend on its settings. A run that has not
    ended is not counted. A group has at least one run that ended. Groups with fewer folds come last.

    Args:
        records: the runs, sorted by their condition.
        places: the place of each run; the runs of a group have the same condition.
        metric: the metric.
    """
    ended, unfinished = defaultdict[str, list[_Observation]](list), Counter[str]()
    conditions = {place.group: place.condition for place in places}
    for place, seed, record in zip(places, _seeds(records), records, strict=True):
        if record.status in ("diverged", "failed") and record.settings:
            ended[place.group].append(_Observation(record, seed, place.block, math.inf))
        elif record.status != "finished":
            unfinished[place.group] += 1
        elif (value := record.figures.get(metric)) is not None:
            ended[place.group].append(_Observation(record, seed, place.block, float(value)))
    order = {condition: i for i, condition in enumerate(dict.fromkeys(place.condition for place in places))}

    def rank(candidate: Group) -> tuple[Any, ...]:
        lost = np.isinf(candidate.values).mean()
        return order[candidate.condition], -len(candidate.folds), candidate.middle, lost, candidate.name

    groups = [_group(name, runs, unfinished[name], conditions[name]) for name, runs in ended.items()]
    return sorted(groups, key=rank)


def _group(name: str, runs: Sequence[_Observation], unfinished: int, condition: str) -> Group:
    """Return a group, with the mean of each fold and the mean logarithm of each seed in each block."""
    folds, cells = defaultdict[Any, list[float]](list), defaultdict[Any, list[float]](list)
    seeds_of = defaultdict[Hashable, set[Any]](set)
    for run in runs:
        folds[run.record.settings.get("data.seed"), run.record.settings.get(FOLD)].append(run.error)
        with np.errstate(divide="ignore"):  # an error of 0
            cells[run.seed, run.block].append(float(np.clip(np.log(run.error), -WORST, WORST)))
        seeds_of[run.metrics].add(run.seed)
    distinct = {(run.seed, run.record.settings.get(FOLD), run.metrics): run for run in runs}.values()
    means = {} if any(number is None for _, number in folds) else {k: statistics.fmean(x) for k, x in folds.items()}
    costs = [cost(run.record.settings) for run in runs]
    return Group(
        name,
        tuple(sorted(run.error for run in distinct)),
        sum(run.record.status == "failed" for run in distinct),
        unfinished,
        means,
        {cell: statistics.fmean(logs) for cell, logs in cells.items()},
        condition,
        {key: " or ".join(sorted({of_run[key] for of_run in costs})) for key in costs[0]},
        tuple(run.record.path for run in runs if len(seeds_of[run.metrics]) > 1),
    )


def _seeds(records: Sequence[RunRecord]) -> list[Any]:
    """Return the seed of each run's data; the run's own if all runs have the same data.

    Runs on the same points are not independent, whatever their own seeds are.
    """
    of_runs = [record.settings.get("seed") for record in records]
    data = [record.settings.get("data.seed") for record in records]
    of_data = [of_runs[i] if seed is None else seed for i, seed in enumerate(data)]
    return of_data if len({*of_data}) > 1 else of_runs
