"""The lead of the best group over others: a factor with its interval, and the p of a rank test."""

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.comparison.groups import Group

FEWEST_SEEDS = 5
"""The number of seeds that each group needs for a claim: fewer than four cannot have p < 0.05."""

_FALSE_CLAIMS = 0.05
"""The probability of a false claim, the usual level of a test."""

_FEWEST_PAIRS = 6
"""The number of pairs from which on the smallest p of a signed-rank test, 2 / 2^n, is below 0.05."""

_MOST_EXACT = 100
"""The size of the larger group up to which an exact p without ties takes less than 0.1 s; an estimate."""

_MOST_DIVISIONS = 10_000
"""The number of divisions of tied values into groups up to which an exact p takes less than 0.1 s; an estimate."""


class Difference(NamedTuple):
    """The factor between the errors of two groups, with its interval.

    Attributes:
        factor: the factor, by the estimate of Hodges and Lehmann on logarithms; NaN: a run diverged or has the error 0.
        low: the lower end of its 95 % interval.
        high: the upper end.
        p: the probability of a difference like this by chance.
        test: the name of the test, and the numbers of its values.
    """

    factor: float
    low: float
    high: float
    p: float
    test: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """The factor, its interval, and p, as texts."""
        is_known = not math.isnan(self.factor)
        factor, interval = (f"{self.factor:.3g}", f"{self.low:.3g} to {self.high:.3g}") if is_known else ("-", "-")
        return factor, interval, f"{self.p:.2g}"


def compare_with_best(groups: Sequence[Group], where: str) -> tuple[list[str], dict[str, Difference | None]]:
    """Compare the groups of each condition with the best one of these.

    Args:
        groups: the groups, sorted by their condition, and the best of each first.
        where: the scope of a claim, as for `describe_lead`.

    Returns:
        The sentences on the leads, and the difference of each group that is not the best, by its name.
    """
    leads, differences = list[str](), dict[str, Difference | None]()
    for _, of_condition in itertools.groupby(groups, key=lambda candidate: candidate.condition):
        best, *others = of_condition
        if others:
            leads.append(describe_lead([best, *others], where))
            differences |= {other.name: compare_groups(best, other) for other in others}
    return leads, differences


def compare_groups(first: Group, second: Group) -> Difference | None:
    """Compare two groups by their runs of the same seeds, or by all if fewer than six seeds are in common.

    Pairs are compared by a Wilcoxon signed-rank test of the logarithms of their ratios, others by a Mann-Whitney U
    test. The 95 % interval has all factors that the test does not reject at 5 %.

    Returns:
        The difference; None: a group has fewer than five seeds.

    References:
        F. Wilcoxon (1945). Individual comparisons by ranking methods. https://doi.org/10.2307/3001968
        H. B. Mann, D. R. Whitney (1947). On a test of whether one of two random variables is stochastically larger than
        the other. https://doi.org/10.1214/aoms/1177730491
        J. L. Hodges, E. L. Lehmann (1963). Estimates of location based on rank tests.
        https://doi.org/10.1214/aoms/1177704172
    """
    if min(len(first.seeds), len(second.seeds)) < FEWEST_SEEDS:
        return None
    common = [seed for seed in first.seeds if seed in second.seeds]
    with np.errstate(divide="ignore", invalid="ignore"):  # an error of 0; infinity - infinity
        if len(common) >= _FEWEST_PAIRS:
            ratios = np.log([second.seeds[seed] for seed in common]) - np.log([first.seeds[seed] for seed in common])
            ratios = np.nan_to_num(ratios, nan=0.0, posinf=math.inf, neginf=-math.inf)  # both diverged
            i, j = np.triu_indices(len(ratios))
            test, shifts = f"Wilcoxon, {len(common)} pairs", (ratios[i] + ratios[j]) / 2
            return _difference(test, shifts, lambda shift: p_of_pairs(ratios - shift))
        low, high = np.log([*first.seeds.values()]), np.log([*second.seeds.values()])
        shifts = (high - low[:, None]).ravel()
    test = f"Mann-Whitney U, {_count(first, second)}"
    return _difference(test, shifts, lambda shift: p_value(low + shift, high))


def _difference(test: str, shifts: NDArray[np.float64], p_at: Callable[[float], float]) -> Difference:
    """Return the difference of two groups, from the p of a test for each shift of the first group's logarithms.

    `shifts` are the shifts at which the statistic changes: the differences of all pairs of runs, or their means by two.
    """
    p = p_at(0.0)
    if not np.isfinite(shifts).all():
        return Difference(math.nan, math.nan, math.nan, p, test)
    shifts = np.sort(shifts)
    between = (shifts[:-1] + shifts[1:]) / 2
    # Below the median p grows: the first step that is not rejected begins the interval.
    first = bisect.bisect_left(range(len(shifts) // 2), True, key=lambda k: p_at(between[k]) >= _FALSE_CLAIMS)
    middle, low, high = np.exp([np.median(shifts), shifts[first], shifts[-1 - first]])
    return Difference(float(middle), float(low), float(high), p, test)


def p_of_pairs(differences: NDArray[np.float64]) -> float:
    """Return p of a two-sided Wilcoxon signed-rank test, exact as far as SciPy has it; 1 if all differences are 0."""
    # Imported late: it takes 0.5 s, and few comparisons need it.
    from scipy.stats import wilcoxon

    result: Any = wilcoxon(differences) if np.any(differences) else None
    return 1.0 if result is None else float(result.pvalue)


def p_value(first: Sequence[float] | NDArray[np.float64], second: Sequence[float] | NDArray[np.float64]) -> float:
    """Return p of a two-sided Mann-Whitney U test of two groups, exact as far as that is fast.

    Without ties it is exact for groups of at most 100 values. With ties, as of runs that diverged, it is exact if there
    are at most 10 000 ways to divide the values into the two groups. Otherwise it is of the normal approximation,
    corrected for ties.

    Example:
        >>> print(f"{p_value(range(10), range(10, 20)):.3g} {2 / math.comb(20, 10):.3g}")
        1.08e-05 1.08e-05
    """
    from scipy.stats import PermutationMethod, mannwhitneyu  # late, as above

    method: Any = "asymptotic"
    sizes = len(first), len(second)
    tied = len({*first, *second}) < sum(sizes)
    if tied and math.comb(sum(sizes), sizes[0]) <= _MOST_DIVISIONS:
        method = PermutationMethod(n_resamples=_MOST_DIVISIONS)
    elif not tied and max(sizes) <= _MOST_EXACT:
        method = "exact"
    return float(mannwhitneyu(first, second, method=method).pvalue)


def describe_lead(groups: Sequence[Group], where: str = "") -> str:
    """Describe the factor by which the first group, the best, leads the second, and whether it is more than chance.

    The choice of the best group needs no correction: without any difference, the best of k groups is called better than
    the second in at most 5 % of sweeps, and more rarely for k > 2.

    Args:
        groups: the groups, at least two, the best first.
        where: the scope of the claim, such as " for these rows".

    Returns:
        Sentences; without a claim if one of the first two groups has fewer than five seeds.

    References:
        S. Gutmann, Z. Maymin (1987). Is the selected population the best? https://doi.org/10.1214/aos/1176350376
    """
    first, second = groups[:2]
    if first.folds and second.folds:
        return _describe_folds(first, second)
    if (difference := compare_groups(first, second)) is not None:
        factor, p = difference.factor, difference.p
        interval = f"{factor:.3g} (95 %: {difference.low:.3g} to {difference.high:.3g})"
        said = f"{first.name} leads {second.name}"
        if factor < 1.005:  # the medians may be in another order than the ranks
            said = f"{first.name} has the lowest median, but over {second.name} the factor is {interval}"
        elif not math.isnan(factor):
            said += f" by a factor of {interval}"
        claim = "more than chance" if p < _FALSE_CLAIMS else "this may be chance"
        return f"{said}; {difference.test}, p = {p:.2g}: {claim}{where}."
    counts = _count(first, second)
    low, high = first.median, second.median
    factor = f"{high / low:.3g}" if low > 0 and math.isfinite(high) else ""
    if low == high or factor == "1":
        digits = "" if low == high else ", to three digits"
        return f"{first.name} and {second.name} do not differ in the median{digits}: {counts}."
    lead = f"{first.name} leads {second.name}{f' by a factor of {factor}' if factor else ''} in the median"
    return f"{lead}; {counts}: with fewer than {FEWEST_SEEDS} seeds no claim is made."


def _count(first: Group, second: Group) -> str:
    """Return the numbers of compared values, as text."""
    sizes = [
        group.size if len(group.seeds) == len(group.values) else f"{len(group.seeds)} seeds of {group.size} runs"
        for group in (first, second)
    ]
    return f"n = {sizes[0]} and {sizes[1]}"


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
