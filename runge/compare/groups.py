"""Groups of runs that differ only in seed and fold: the figure that ranks them, its spread, and the best one's lead."""

import itertools
import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from runge.compare.naming import OF_DATA
from runge.metrics import TEST_MSE_DF, TEST_MSE_F, TEST_NRMSE_DF, TEST_NRMSE_F, key, on_test
from runge.objective import VAL_NRMSE
from runge.records.reading import RunRecord
from runge.tables.roles import listed

FEWEST = 5
"""The number of seeds that each group needs for a claim."""

LEVEL = 0.05
"""The probability of a false claim."""

_MOST_EXACT, _MOST_DIVISIONS = 100, 10_000
"""The sizes of groups, and the divisions of tied values into groups, with which p takes less than 0.1 s."""

FOLD = "data.fold"
"""The key in which the runs of a cross-validation differ."""

_BY_FOLD = "in which each point is predicted by a network that did not see it: the mean over the folds"


def choose_metric(records: Sequence[RunRecord], keys: Sequence[str]) -> tuple[str, str]:
    """Return the metric by which runs are ranked, and a sentence that says why if it is not `test/mse_df`.

    Mean squared errors have the units of the data: those of sin(x) / 1000 are a million times smaller than those of
    sin(x). Runs that differ in one of the `keys` of their data, and runs on tables, are ranked by `nrmse_df`, or by
    `nrmse_f` if more finished runs have that. Runs without test points are ranked by their validation errors, and so
    are the runs of a cross-validation, in which each row is predicted by a network that did not see it.
    """
    differ = [name for name in keys if name in OF_DATA or name.partition(".")[0] == "target"]
    finished = [record.figures for record in records if record.status == "finished"]
    folds = {record.settings.get(FOLD) is not None for record in records if record.settings} == {True}
    split = "val" if folds or (finished and not any(map(on_test, finished))) else "test"
    names = key(split, "nrmse_df"), key(split, "nrmse_f")
    counts = [sum(one.get(name) is not None for one in finished) for name in names]
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

    They are those on its points if both are errors of the whole, else those on the test points.

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

    Example:
        >>> Group("lr=0.6", (1.0, math.inf), unfinished=1).size
        '2 (1 of 2 diverged), 1 unfinished'
    """

    name: str
    values: tuple[float, ...]
    unfinished: int = 0
    folds: Mapping[Any, float] = MappingProxyType({})

    @property
    def diverged(self) -> str:
        """How many of the runs diverged, in words; empty: none."""
        count = self.values.count(math.inf)
        return f"{count} of {len(self.values)} diverged" if count else ""

    @property
    def size(self) -> str:
        """The number of runs as text, with those that diverged and those that are left out."""
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
        known = len(self.folds) > 1 and math.isfinite(self.middle)
        return statistics.stdev(self.folds.values()) if known else math.nan


def group(records: Sequence[RunRecord], names: Sequence[str], metric: str) -> list[Group]:
    """Return the groups of runs, of which each has the name of its group, sorted by `Group.middle` of `metric`.

    A run that diverged is worse than all others. One that failed or has not ended says nothing about its settings. A
    group has at least one run that finished or diverged. Those with fewer folds come last.
    """
    values, unfinished = defaultdict[str, list[tuple[Any, float]]](list), Counter[str]()
    for name, record in zip(names, records, strict=True):
        fold = record.settings.get("data.seed"), record.settings.get(FOLD)
        if record.status == "diverged" and record.settings:
            values[name].append((fold, math.inf))
        elif record.status != "finished":
            unfinished[name] += 1
        elif (value := record.figures.get(metric)) is not None:
            values[name].append((fold, float(value)))
    groups = []
    for name, some in values.items():
        folds = defaultdict[Any, list[float]](list)
        for fold, value in some:
            folds[fold].append(value)
        means = {} if any(fold[1] is None for fold in folds) else {k: statistics.fmean(x) for k, x in folds.items()}
        groups.append(Group(name, tuple(sorted(value for _, value in some)), unfinished[name], means))
    return sorted(groups, key=lambda one: (-len(one.folds), one.middle, np.isinf(one.values).mean(), one.name))


def seeds_needed(groups: int) -> int:
    """Return the number of seeds with which the best of some groups can lead by more than chance, as `describe_lead`.

    The smallest p of a Mann-Whitney U test of k runs against k is 2 / binomial(2k, k), and Holm's correction multiplies
    it by the number of comparisons.

    Example:
        >>> seeds_needed(7), seeds_needed(8)
        (5, 6)
    """
    return next(k for k in itertools.count(FEWEST) if (groups - 1) * 2 / math.comb(2 * k, k) < LEVEL)


def describe_lead(groups: Sequence[Group]) -> str:
    """Say whether the lead of the best group, the first, is more than chance, by two-sided Mann-Whitney U tests.

    The best group was chosen among all, so it is compared with each of the others, with Holm's correction. Without any
    difference between the groups, a lead over the second is claimed far more rarely than in 5 % of sweeps, and some
    other group is called different in about 5 %. Groups with fewer than five seeds are not compared.

    Returns:
        Sentences with n and p; without a claim if one of the first two groups has fewer than five seeds, or if their
        medians differ by a factor of 1 to three digits; empty without two groups.

    References:
        H. B. Mann, D. R. Whitney (1947). On a test of whether one of two random variables is stochastically larger than
        the other. https://doi.org/10.1214/aoms/1177730491
        S. Holm (1979). A simple sequentially rejective multiple test procedure. https://www.jstor.org/stable/4615733
    """
    if len(groups) < 2:
        return ""
    first, second = groups[:2]
    if first.folds and second.folds:
        return _describe_folds(first, second)
    counts, low, high = f"n = {first.size} and {second.size}", first.median, second.median
    factor = f"{high / low:.3g}" if low > 0 and math.isfinite(high) else ""
    if low == high or factor == "1":
        digits = "" if low == high else ", to three digits"
        return f"{first.name} and {second.name} do not differ in the median{digits}: {counts}."
    lead = f"{first.name} leads {second.name}{f' by a factor of {factor}' if factor else ''} in the median"
    n = len(first.values), len(second.values)
    if min(n) < FEWEST:
        return f"{lead}; {counts}: with fewer than {FEWEST} seeds no claim is made."
    others = [group.values for group in groups[1:] if len(group.values) >= FEWEST]
    p, number = [p_value(first.values, values) for values in others], len(others)
    corrected = holm(p)
    verdict = "more than chance" if corrected[0] < LEVEL else "this may be chance"
    said = f"{lead}; Mann-Whitney U, {counts}, p = {p[0]:.2g}"
    if number == 1:
        return f"{said}: {verdict}."
    said += f", {corrected[0]:.2g} with Holm's correction for {number} comparisons: {verdict}."
    if alike := sum(one >= LEVEL for one in corrected):
        said += f" {alike} of the {number} other groups cannot be distinguished from the best."
    if number * 2 / math.comb(sum(n), n[0]) >= LEVEL:
        needed = seeds_needed(number + 1)
        said += f" With {number + 1} groups, at least {needed} seeds each are needed to show a lead."
    return said


def _describe_folds(first: Group, second: Group) -> str:
    """Say by how much the first group leads in the mean over folds, and in how many of them."""
    low, high = first.middle, second.middle
    if first.folds.keys() != second.folds.keys():
        return f"{first.name} and {second.name} have runs of different folds, and are not compared."
    if low == high:
        return f"{first.name} and {second.name} do not differ in the mean over folds."
    factor = f" by a factor of {high / low:.3g}" if low > 0 and math.isfinite(high) else ""
    ahead, n = sum(first.folds[fold] < second.folds[fold] for fold in first.folds), len(first.folds)
    return f"{first.name} leads {second.name}{factor} in the mean over folds, and in {ahead} of {n} of them."


def p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Return p of a two-sided Mann-Whitney U test of two groups, exact as far as that is fast.

    Without ties it is exact for groups of at most 100 values. With ties, as of runs that diverged, it is exact if there
    are at most 10 000 ways to divide the values into the two groups. Otherwise it is that of the normal approximation,
    corrected for ties.

    Example:
        >>> print(f"{p_value(range(10), range(10, 20)):.3g} {2 / math.comb(20, 10):.3g}")
        1.08e-05 1.08e-05
    """
    # Imported late: it takes 0.5 s, and few comparisons need it.
    from scipy.stats import PermutationMethod, mannwhitneyu

    method: Any = "asymptotic"
    sizes = len(first), len(second)
    tied = len({*first, *second}) < sum(sizes)
    if tied and math.comb(sum(sizes), sizes[0]) <= _MOST_DIVISIONS:
        method = PermutationMethod(n_resamples=_MOST_DIVISIONS)
    elif not tied and max(sizes) <= _MOST_EXACT:
        method = "exact"
    return float(mannwhitneyu(first, second, method=method).pvalue)


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction: p_(i) becomes the largest of min(1, (m - j) p_(j)) for j = 0, ..., i.

    Example:
        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    order = np.argsort(p, kind="stable")
    corrected = np.minimum(1, np.maximum.accumulate(np.sort(p) * np.arange(len(p), 0, -1)))
    return corrected[np.argsort(order)].tolist()
