"""Groups of runs that differ in their seed alone: their spread, and whether the best one leads by more than chance."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]
"""What is known of a run: `status`, its configuration's keys and its metric keys; what is not known is missing."""

SEEDS = ("seed", "data.seed")
"""The keys in which the runs of one group may differ."""

WITHOUT_EFFECT = ("resume", "logger", "trainer.progress_bar", "trainer.checkpoint_seconds", "trainer.compile")
"""The keys and sections that change nothing about the result: by them runs do not differ."""

FEWEST = 5
"""No claim is made where a group has fewer seeds."""


def differing(rows: Sequence[Row], keys: Sequence[str]) -> list[str]:
    """Those of the keys in which the runs differ, a key that is missing differing from any value.

    Where a whole section is swapped, its keys differ only if they do so within one of its classes: of
    `schedule=constant` and `schedule=two_stage` only the schedule differs, though one of them has no patience. Runs of
    which no configuration is known are not asked.
    """
    known = [row for row in rows if any(key in row for key in keys)]

    def differs(key: str) -> bool:
        section = key.rpartition(".")[0]
        values: dict[object, set[str]] = {}
        for row in known:
            values.setdefault(row.get(section), set()).add(text(row.get(key)))
        return any(len(found) > 1 for found in values.values())

    return [key for key in keys if differs(key)]


def label(row: Row, keys: Sequence[str]) -> str:
    """A run's values of some keys as text.

    Example:
        >>> label({"model.width": 64, "loss.lambda_d": 0.1}, ["model.width", "loss.lambda_d"])
        'model.width=64, loss.lambda_d=0.1'
    """
    return ", ".join(f"{key}={text(row.get(key))}" for key in keys) or "all runs"


def text(value: object) -> str:
    """A configuration's value as it is typed, with all its digits."""
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return "null" if value is None else str(value)


class Group(NamedTuple):
    """Runs that differ in their seed alone.

    Attributes:
        name: the values that tell it from the others.
        values: the metric of each of its finished runs, smallest first.
    """

    name: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over seeds."""
        return statistics.median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile, interpolated."""
        if len(self.values) == 1:
            return self.values[0], self.values[0]
        lower, _, upper = statistics.quantiles(self.values, n=4, method="inclusive")
        return lower, upper

    @property
    def worst(self) -> float:
        """The largest value."""
        return self.values[-1]


def group(rows: Sequence[Row], keys: Sequence[str], metric: str) -> list[Group]:
    """The groups of the finished runs, that with the smallest median first.

    Args:
        rows: the runs.
        keys: what tells the groups apart.
        metric: a metric key; smaller is better.
    """
    found: dict[str, list[float]] = {}
    for row in rows:
        if row["status"] == "finished" and row.get(metric) is not None:
            found.setdefault(label(row, keys), []).append(float(row[metric]))
    return sorted(
        (Group(name, tuple(sorted(values))) for name, values in found.items()), key=lambda g: (g.median, g.name)
    )


def describe_lead(groups: Sequence[Group]) -> str:
    """Whether the best group's lead over the next is more than chance, by a two-sided Mann-Whitney U test.

    The test is that of one pair. Among many groups the best has been picked, and a p-value near 0.05 says little.

    Args:
        groups: the groups, the best first.

    Returns:
        A sentence with both n and p; without a claim where a group has fewer than five seeds; empty where there are not
        two groups.

    References:
        H. B. Mann, D. R. Whitney (1947). On a test of whether one of two random variables is stochastically larger than
        the other. https://doi.org/10.1214/aoms/1177730491
    """
    if len(groups) < 2:
        return ""
    first, second = groups[:2]
    if first.median == second.median:
        return f"{first.name} and {second.name} do not differ in the median."
    factor = f" by a factor of {second.median / first.median:.3g}" if first.median > 0 else ""
    lead = f"{first.name} leads {second.name}{factor} in the median"
    n = f"n = {len(first.values)} and {len(second.values)}"
    if min(len(first.values), len(second.values)) < FEWEST:
        return f"{lead}; {n}: with fewer than {FEWEST} seeds no claim is made."
    from scipy.stats import mannwhitneyu  # late: half a second, which few comparisons need

    p = float(mannwhitneyu(first.values, second.values).pvalue)
    verdict = "more than chance" if p < 0.05 else "this may be chance"
    return f"{lead}; Mann-Whitney U, {n}, p = {p:.2g}: {verdict}."
