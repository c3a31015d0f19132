"""The verdicts of a comparison: which groups are compared, and a sentence on each pair of them."""

import itertools
import math
import statistics
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from runge.comparison.groups import Group
from runge.comparison.lead import FALSE_CLAIMS, FEWEST_SEEDS, Difference, common_blocks, compare_pairs, count
from runge.comparison.runs import validates_on_training
from runge.records.reading import RunRecord


class Verdict(NamedTuple):
    """The comparison of a group with another one.

    Attributes:
        group: the group.
        against: the baseline, or else the best group.
        difference: the factor between their errors; None: they are not tested.
        sentence: the answer; empty: `against` is the best group, and the group is not the second.
    """

    group: Group
    against: Group
    difference: Difference | None
    sentence: str

    @property
    def row(self) -> dict[str, Any]:
        """The verdict as a row of a table."""
        row: dict[str, Any] = {"group": self.group.name, "against": self.against.name}
        for group, suffix in ((self.group, ""), (self.against, "_against")):
            row |= {f"seeds{suffix}": len(group.seeds), f"runs{suffix}": len(group.values)}
            row[f"median{suffix}"] = group.middle
        tested = self.difference._asdict() if self.difference else dict.fromkeys(Difference._fields)
        return {**row, **tested, "sentence": self.sentence}


def scope(runs: Sequence[RunRecord], metric: str) -> str:
    """Return the scope of a claim: runs with the same points, and errors on these, say nothing about other points."""
    if metric.startswith("train/") or (metric.startswith("val/") and all(map(validates_on_training, runs))):
        return " for the training points, on which this error is measured"
    if all(run.of_table for run in runs):
        return " for these rows"
    seeds = {run.settings.get("data.seed") for run in runs}
    return " for these points" if len(seeds) == 1 and seeds != {None} else ""


def judge(divided: Iterable[tuple[Sequence[Group], Collection[str]]], where: str = "") -> list[Verdict]:
    """Compare groups with their baseline, or with the best one, in each condition.

    Args:
        divided: groups, sorted by their condition, the best of each first; and the names of those that are baselines.
            Without any, groups are compared with the best one of their condition.
        where: the scope of a claim, such as " for these rows".
    """
    pairs, kinds = list[tuple[Group, Group]](), list[str]()
    for groups, baselines in divided:
        for _, of_condition in itertools.groupby(groups, key=lambda candidate: candidate.condition):
            best, *others = members = [*of_condition]
            base = next((one for one in members if one.name in baselines), None) if baselines else best
            for one in members:
                if base is not None and one is not base and common_blocks(base, one):
                    pairs.append((base, one))
                    kinds.append("answer" if baselines else "lead" if one is others[0] else "")
    verdicts = zip(pairs, compare_pairs(pairs), kinds, strict=True)
    return [
        Verdict(one, base, difference, describe(base, one, difference, where, kind == "lead") if kind else "")
        for (base, one), difference, kind in verdicts
    ]


def describe(base: Group, other: Group, difference: Difference | None, where: str = "", is_best: bool = False) -> str:
    """Describe how the errors of a group differ from those of the baseline or of the best one, and whether by chance.

    Args:
        base: the baseline, or the best group.
        other: the group.
        difference: their difference; None: they are not tested.
        where: the scope of the claim, such as " for these rows".
        is_best: whether the first group is the best one, and no baseline.
    """
    if base.folds and other.folds:
        return _describe_folds(*sorted((base, other), key=lambda group: (-len(group.folds), group.middle)))
    first, second = (base, other) if is_best else (other, base)  # as the sentence names them
    unequal = [f"{key} {x} and {second.cost[key]}" for key, x in first.cost.items() if x != second.cost[key]]
    notes = f"; unequal cost: {', '.join(unequal)}" if unequal else ""
    if difference is None:
        blocks = common_blocks(base, other)
        low, high = (statistics.median(group.seeds_in(blocks)) for group in (base, other))
        ends = [high / low if low > 0 and math.isfinite(high) else math.inf]
        copies = "no claim is made, because runs have equal errors under different seeds"
        why = copies if base.copies or other.copies else f"with fewer than {FEWEST_SEEDS} seeds no claim is made"
        claim = f"{count(base, other)}: {why}"
        if low == high or f"{ends[0]:.3g}" == "1":
            digits = "" if low == high else ", to three digits"
            return f"{base.name} and {other.name} do not differ in the median{digits}; {claim}{notes}."
    else:
        ends = [difference.factor, difference.low, difference.high]
        found = "no factor" if difference.detectable == math.inf else f"a factor of {difference.detectable:.2g}"
        power = "" if math.isnan(difference.detectable) else f"; {found} would be found in four of five cases"
        chance = f"more than chance{where}" if difference.p < FALSE_CLAIMS else f"this may be chance{where}{power}"
        claim = f"{difference.test}, p = {difference.p:.2g}: {chance}"
    is_smaller = ends[0] < 1 and not is_best
    if is_smaller:
        factor, *interval = (1 / x if x else math.inf for x in (ends[0], *ends[:0:-1]))
    else:
        factor, *interval = ends
    size = f"{factor:.3g}" if is_best else f"{factor:.3g} times {'smaller' if is_smaller else 'larger'}"
    size += " (95 %: {:.3g} to {:.3g})".format(*interval) if interval else " in the median"
    said = (
        f"{base.name} leads {other.name} by a factor of {size}"
        if is_best
        else f"{other.name} against {base.name}: {size}"
    )
    if is_best and factor < 1.005:  # the medians may be in another order than the ranks
        said = f"{base.name} has the lowest median, but over {other.name} the factor is {size}"
    return f"{said}; {claim}{notes}."


def _describe_folds(first: Group, second: Group) -> str:
    """Describe the factor by which the first group leads in the mean over folds, and the number of these folds."""
    low, high = first.middle, second.middle
    if first.folds.keys() != second.folds.keys():
        return f"{first.name} and {second.name} have runs of different folds, and are not compared."
    if low == high:
        return f"{first.name} and {second.name} do not differ in the mean over folds."
    factor = f" by a factor of {high / low:.3g}" if low > 0 and math.isfinite(high) else ""
    ahead, n = sum(first.folds[fold] < second.folds[fold] for fold in first.folds), len(first.folds)
    return f"{first.name} leads {second.name}{factor} in the mean over folds, and in {ahead} of {n} of them."
