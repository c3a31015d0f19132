"""Groups of runs that differ only in their seed: their spread, and a test of the best one's lead."""

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from runge.compare.naming import names_of, text
from runge.runs.reading import RunRecord

FEWEST = 5
"""The number of seeds that each group needs for a claim."""

LEVEL = 0.05
"""The probability of a false claim."""


def differing(runs: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[str]:
    """Return the keys in which the settings of runs differ; a missing key counts as different.

    The keys of a section are compared among runs with the same class: `schedule=constant` and `schedule=two_stage`
    differ only in `schedule`, although only one of them has a patience. Runs without a configuration are ignored.
    """
    configured = [settings for settings in runs if any(key in settings for key in keys)]

    def differs(key: str) -> bool:
        values: dict[object, set[str]] = {}
        for settings in configured:
            values.setdefault(settings.get(key.rpartition(".")[0]), set()).add(text(settings.get(key)))
        return any(len(texts) > 1 for texts in values.values())

    return [key for key in keys if differs(key)]


class Group(NamedTuple):
    """Runs that differ only in their seed.

    Attributes:
        name: the values that define the group.
        values: the metric of each finished run, smallest first; then infinity for each run that diverged.
        unfinished: the number of runs that are left out, because they failed or have not ended.

    Example:
        >>> Group("width=8", (1.0, 2.0, 3.0, 5.0)).quartiles
        (1.75, 3.5)
        >>> Group("lr=0.6", (1.0, math.inf), unfinished=1).size
        '2 (1 of 2 diverged), 1 unfinished'
    """

    name: str
    values: tuple[float, ...]
    unfinished: int = 0

    @property
    def diverged(self) -> int:
        """The number of runs that diverged."""
        return self.values.count(math.inf)

    @property
    def size(self) -> str:
        """The number of runs as text, with those that diverged and those that are left out."""
        n = len(self.values)
        diverged = f" ({self.diverged} of {n} diverged)" if self.diverged else ""
        return f"{n}{diverged}{f', {self.unfinished} unfinished' if self.unfinished else ''}"

    @property
    def median(self) -> float:
        """The median over seeds."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile, interpolated."""
        return self._quantile(0.25), self._quantile(0.75)

    def _quantile(self, share: float) -> float:
        at = share * (len(self.values) - 1)
        lower, upper = self.values[math.floor(at)], self.values[math.ceil(at)]
        return lower if lower == upper else lower + (at - math.floor(at)) * (upper - lower)  # not infinity - infinity

    @property
    def worst(self) -> float:
        """The largest value."""
        return self.values[-1]


def group(records: Sequence[RunRecord], keys: Sequence[str], metric: str) -> list[Group]:
    """Return the groups that the values of `keys` define, sorted by the median of `metric`.

    A run that diverged is worse than all others. One that failed or has not ended says nothing about its settings. A
    group has at least one run that finished or diverged.
    """
    groups: dict[str, list[float]] = {}
    unfinished = Counter[str]()
    for name, record in zip(names_of(records, keys), records, strict=True):
        value = record.figures.get(metric)
        if record.status == "diverged" and record.settings:
            groups.setdefault(name, []).append(math.inf)
        elif record.status == "finished" and value is not None:
            groups.setdefault(name, []).append(float(value))
        elif record.status != "finished":
            unfinished[name] += 1
    unsorted = [Group(name, tuple(sorted(values)), unfinished[name]) for name, values in groups.items()]
    return sorted(unsorted, key=lambda group: (group.median, group.diverged / len(group.values), group.name))


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

    Runs that diverged are worse than all others. The best group was chosen among all, so it is compared with each of
    the others, with Holm's correction. Without any difference between the groups, a lead over the second is claimed far
    more rarely than in 5 % of sweeps, and some other group is called different in about 5 %. Groups with fewer than
    five seeds are not compared.

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
    counts = f"n = {first.size} and {second.size}"
    factor = f"{second.median / first.median:.3g}" if first.median > 0 and math.isfinite(second.median) else ""
    if first.median == second.median or factor == "1":
        digits = "" if first.median == second.median else ", to three digits"
        return f"{first.name} and {second.name} do not differ in the median{digits}: {counts}."
    by = f" by a factor of {factor}" if factor else ""
    lead = f"{first.name} leads {second.name}{by} in the median"
    n = len(first.values), len(second.values)
    if min(n) < FEWEST:
        return f"{lead}; {counts}: with fewer than {FEWEST} seeds no claim is made."
    from scipy.stats import mannwhitneyu  # imported late: it takes 0.5 s, and few comparisons need it

    compared = [group for group in groups[1:] if len(group.values) >= FEWEST]
    p = [float(mannwhitneyu(first.values, group.values).pvalue) for group in compared]
    corrected, number = holm(p), len(compared)
    verdict = "more than chance" if corrected[0] < LEVEL else "this may be chance"
    said = f"{lead}; Mann-Whitney U, {counts}, p = {p[0]:.2g}"
    if number == 1:
        return f"{said}: {verdict}."
    said = f"{said}, {corrected[0]:.2g} with Holm's correction for {number} comparisons: {verdict}."
    if alike := sum(one >= LEVEL for one in corrected):
        said += f" {alike} of the {number} other groups cannot be distinguished from the best."
    if number * 2 / math.comb(sum(n), n[0]) >= LEVEL:
        needed = seeds_needed(number + 1)
        said += f" With {number + 1} groups, at least {needed} seeds each are needed to show a lead."
    return said


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values with Holm's correction: p_(i) becomes the largest of min(1, (m - j) p_(j)) for j = 0, ..., i.

    Example:
        >>> holm([0.04, 0.01, 0.03])
        [0.06, 0.03, 0.06]
    """
    corrected, largest = [0.0] * len(p), 0.0
    for done, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        largest = max(largest, min(1.0, (len(p) - done) * p[i]))
        corrected[i] = largest
    return corrected
