"""The verdicts of a comparison: which groups are compared, and a sentence on each pair of them."""

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from runge.comparison.groups import Group
from runge.comparison.lead import FALSE_CLAIMS, FEWEST_SEEDS, Difference, common_blocks, compare_pairs, count


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
    unequal = [f"{key} {other.cost[key]} and {value}" for key, value in base.cost.items() if value != other.cost[key]]
    notes = f"; unequal cost: {', '.join(unequal)}" if unequal else ""
    if difference is None:
        copies = "no claim is made, because runs have equal errors under different seeds"
        why = copies if base.copies or other.copies else f"with fewer than {FEWEST_SEEDS} seeds no claim is made"
        return f"{_in_the_median(base, other, is_best)}; {count(base, other)}: {why}{notes}."
    factor, low, high = ends = difference.factor, difference.low, difference.high
    if is_best:
        interval = f"{factor:.3g} (95 %: {low:.3g} to {high:.3g})"
        said = f"{base.name} leads {other.name} by a factor of {interval}"
        if factor < 1.005:  # the medians may be in another order than the ranks
            said = f"{base.name} has the lowest median, but over {other.name} the factor is {interval}"
    else:
        factor, high, low = (1 / x if x else math.inf for x in ends) if factor < 1 else (factor, high, low)
        size = f"{factor:.3g} times {'smaller' if difference.factor < 1 else 'larger'}"
        said = f"{other.name} against {base.name}: {size} (95 %: {low:.3g} to {high:.3g})"
    found = "no factor" if difference.detectable == math.inf else f"a factor of {difference.detectable:.2g}"
    power = "" if math.isnan(difference.detectable) else f"; {found} would be found in four of five cases"
    chance = f"this may be chance{where}{power}"
    claim = f"more than chance{where}" if difference.p < FALSE_CLAIMS else chance
    return f"{said}; {difference.test}, p = {difference.p:.2g}: {claim}{notes}."


def _in_the_median(base: Group, other: Group, is_best: bool) -> str:
    """Describe the factor between the medians of two groups."""
    low, high = base.median, other.median
    ratio = high / low if low > 0 and math.isfinite(high) else math.nan
    if low == high or f"{ratio:.3g}" == "1":
        return f"{base.name} and {other.name} do not differ in the median{'' if low == high else ', to three digits'}"
    if is_best:
        factor = "" if math.isnan(ratio) else f" by a factor of {ratio:.3g}"
        return f"{base.name} leads {other.name}{factor} in the median"
    size = f"{max(ratio, 1 / ratio):.3g} times " if ratio > 0 else ""
    return f"{other.name} against {base.name}: {size}{'larger' if high > low else 'smaller'} in the median"


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
