"""The difference of two groups: a factor with its interval, the p of a rank test, and the factor that it would find."""

import bisect
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runge.comparison.groups import Group, means_by_seed

FEWEST_SEEDS = 5
"""The number of seeds that each group needs for a claim: fewer than four cannot have p < 0.05."""

FALSE_CLAIMS = 0.05
"""The probability of a false claim, the usual level of a test."""

_MOST_EXACT = 100
"""The size of the larger group up to which an exact p without ties takes less than 0.1 s; an estimate."""

_MOST_DIVISIONS = 10_000
"""The number of divisions of tied values into groups up to which an exact p takes less than 0.1 s; an estimate."""

_POWER = 0.8
"""The share of samples in which a difference that is called detectable is found, the usual power of a test."""

_LARGEST = 1500
"""The logarithm of a ratio beyond those of all pairs of floats: an error is 0, or a run diverged or failed."""

_SAMPLES, _SHIFTS = 400, np.arange(0, 10, 0.05)
"""The simulated samples, whose power has an error of 0.02, and the differences to try, in standard deviations."""


class Difference(NamedTuple):
    """The factor between the errors of two groups, with its interval.

    Attributes:
        factor: the error of the second group over the error of the first, by the estimate of Hodges and Lehmann on
            logarithms; infinite or 0 if most runs of one of them have no result, or the error 0.
        low: the lower end of its 95 % interval, which is of this comparison alone.
        high: the upper end.
        p: the probability of a difference like this by chance, corrected for the number of comparisons.
        test: the name of the test, and the numbers of its values.
        detectable: the smallest factor that the test would find in four of five samples; NaN: unknown.
    """

    factor: float
    low: float
    high: float
    p: float
    test: str
    detectable: float

    @property
    def cells(self) -> tuple[str, str, str]:
        """The factor, its interval, and p, as texts."""
        return f"{self.factor:.3g}", f"{self.low:.3g} to {self.high:.3g}", f"{self.p:.2g}"


def compare_pairs(pairs: Sequence[tuple[Group, Group]]) -> list[Difference | None]:
    """Compare pairs of groups, and correct p by the method of Holm for the number of pairs that are tested.

    Returns:
        The difference of each pair; None: a group has fewer than five seeds, or runs that are copies, or the two have
        no block in common, or are folds of a cross-validation.

    References:
        S. Holm (1979). A simple sequentially rejective multiple test procedure. https://www.jstor.org/stable/4615733
    """
    tested = [i for i, pair in enumerate(pairs) if _is_tested(*pair)]
    differences = {i: compare_groups(*pairs[i], len(tested)) for i in tested}
    least = 0.0
    for rank, i in enumerate(sorted(tested, key=lambda i: differences[i].p)):
        least = max(least, min(1.0, differences[i].p * (len(tested) - rank)))
        differences[i] = differences[i]._replace(p=least)
    return [differences.get(i) for i in range(len(pairs))]


def common_blocks(first: Group, second: Group) -> set[str]:
    """Return the blocks in which both groups have runs."""
    return {block for _, block in first.logs} & {block for _, block in second.logs}


def _is_tested(first: Group, second: Group) -> bool:
    blocks = common_blocks(first, second)
    is_small = any(len(means_by_seed(one.logs, blocks)) < FEWEST_SEEDS for one in (first, second))
    return not (is_small or (first.folds and second.folds) or first.copies or second.copies)


def compare_groups(first: Group, second: Group, number: int = 1) -> Difference:
    """Compare two groups by their runs of the same seeds, or by all if too few seeds are in common.

    The unit is the seed: the logarithms of its errors are averaged over the blocks that both groups have. Pairs of the
    same seed are compared by a Wilcoxon signed-rank test of the logarithms of their ratios, if the smallest p of n
    pairs, 2 / 2^n, is below 5 % after the correction for `number` comparisons. Otherwise the groups are compared by a
    Mann-Whitney U test. The 95 % interval has all factors that the test does not reject at 5 %.

    References:
        F. Wilcoxon (1945). Individual comparisons by ranking methods. https://doi.org/10.2307/3001968
        H. B. Mann, D. R. Whitney (1947). On a test of whether one of two random variables is stochastically larger than
        the other. https://doi.org/10.1214/aoms/1177730491
        J. L. Hodges, E. L. Lehmann (1963). Estimates of location based on rank tests.
        https://doi.org/10.1214/aoms/1177704172
    """
    level = FALSE_CLAIMS / number
    common = {cell: second.logs[cell] - first.logs[cell] for cell in first.logs if cell in second.logs}
    pairs = np.array([*means_by_seed(common).values()])
    if 2.0 ** (1 - len(pairs)) < level:
        i, j = np.triu_indices(len(pairs))
        found = _difference((pairs[i] + pairs[j]) / 2, lambda shift: p_of_pairs(pairs - shift))
        return found._replace(test=f"Wilcoxon, {len(pairs)} pairs", detectable=_detectable([pairs], level))
    blocks = common_blocks(first, second)
    low, high = (np.array([*means_by_seed(one.logs, blocks).values()]) for one in (first, second))
    found = _difference((high - low[:, None]).ravel(), lambda shift: p_value(low + shift, high))
    test = f"Mann-Whitney U, {count(first, second)}"
    return found._replace(test=test, detectable=_detectable([low, high], level))


def _difference(shifts: NDArray[np.float64], p_at: Callable[[float], float]) -> Difference:
    """Return the difference of two groups, from the p of a test for each shift of the first group's logarithms.

    `shifts` are the shifts at which the statistic changes: the differences of all pairs of runs, or their means by two.
    """
    shifts = np.sort(shifts)
    between = (shifts[:-1] + shifts[1:]) / 2
    # Below the median p grows: the first step that is not rejected begins the interval.
    first = bisect.bisect_left(range(len(shifts) // 2), True, key=lambda k: p_at(between[k]) >= FALSE_CLAIMS)
    with np.errstate(over="ignore"):  # a run without a result
        factor, low, high = np.exp([np.median(shifts), shifts[first], shifts[-1 - first]]).tolist()
    return Difference(factor, low, high, p_at(0.0), "", math.inf)


def _detectable(samples: Sequence[NDArray[np.float64]], level: float) -> float:
    """Return the smallest factor that a test at this level finds in four of five samples with this many values.

    The logarithms are supposed to be normal. NaN: a run has no result.
    """
    if any(np.abs(values).max() > _LARGEST for values in samples):
        return math.nan
    deviation = math.sqrt(np.mean([values.var(ddof=1) for values in samples]))
    with np.errstate(over="ignore"):  # no difference is found
        return float(np.exp(deviation * _detectable_shift(tuple(map(len, samples)), level)))


@functools.cache
def _detectable_shift(sizes: tuple[int, ...], level: float) -> float:
    """Return the shift of normal samples, in standard deviations, that a test finds in four of five cases."""
    from scipy import stats  # late, as below

    generator = np.random.default_rng(0)
    first, *second = (generator.normal(size=(_SAMPLES, size)) for size in sizes)

    def power(shift: float) -> float:
        tested: Any = stats.wilcoxon(first + shift, axis=1)
        if second:
            method = "exact" if max(sizes) <= _MOST_EXACT / 5 else "asymptotic"
            tested = stats.mannwhitneyu(first + shift, second[0], axis=1, method=method)
        return float(np.mean(tested.pvalue < level))

    place = bisect.bisect_left(_SHIFTS, _POWER, key=power)
    return math.inf if place == len(_SHIFTS) else float(_SHIFTS[place])


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


def count(first: Group, second: Group) -> str:
    """Return the numbers of compared values, as text."""
    sizes = [
        group.size if len(group.seeds) == len(group.values) else f"{len(group.seeds)} seeds of {group.size} runs"
        for group in (first, second)
    ]
    return f"n = {sizes[0]} and {sizes[1]}"
