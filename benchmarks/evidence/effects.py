"""The effects of a claim's arms against its baseline: paired ratios, their spread over seeds, and their signs."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from claims import LEFT, MIDDLE, RIGHT, SEED, WORST, Claim, ClaimRuns, Context, typed
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from runge.comparison.groups import quartiles
from runge.comparison.lead import FEWEST_SEEDS
from runge.records.reading import RunRecord

LEVEL = 0.01  # the significance level of a test
Quartiles = tuple[float, float, float]  # the lower quartile, the median, the upper quartile
Arm = tuple[Context, str]  # an arm in a context


class Observation(NamedTuple):
    """A run as an observation for a claim.

    The values of its arm are joined by ", ". The status is `missing` if there is no such run. The figures are those
    that the claim needs; they are infinite if the run did not finish.
    """

    context: Context
    arm: str
    seed: str
    status: str
    figures: Mapping[str, float]


class Effect(NamedTuple):
    """An arm against the baseline in one context.

    Attributes:
        context: the context.
        arm: the arm's values, joined by ", ".
        ratios: for each seed the arm's metric divided by the baseline's; infinite if the arm has no figure, 0 if the
            baseline has none. Seeds for which both have none are left out.
    """

    context: Context
    arm: str
    ratios: tuple[float, ...]

    @property
    def quartiles(self) -> Quartiles:
        """The quartiles of the ratios."""
        return quartiles(self.ratios)

    @property
    def verdict(self) -> str:
        """`helps`, `hurts` or `unclear`; empty with fewer than five seeds."""
        if len(self.ratios) < FEWEST_SEEDS:
            return ""
        median = self.quartiles[1]
        return "unclear" if signed_rank(self.ratios) >= LEVEL or median == 1 else "helps" if median < 1 else "hurts"


@cache
def signed_rank(ratios: tuple[float, ...]) -> float:
    """Return the p-value of a two-sided Wilcoxon signed-rank test of the ratios' logarithms; 1 if all ratios are 1.

    References:
        F. Wilcoxon (1945). Individual comparisons by ranking methods. https://doi.org/10.2307/3001968
    """
    with np.errstate(divide="ignore"):
        logs = np.log(ratios)
    return float(np.asarray(wilcoxon(logs)[1])) if logs.any() else 1.0


def arrange(runs: ClaimRuns) -> list[Observation]:
    """Return an observation for each run of a claim that there should be, in that order."""
    claim, wanted, records = runs
    by_values = {tuple(typed(one).get(key) for key in wanted[0]): one for one in records}
    names, observations = {claim.metric, *claim.also, claim.matched} - {""}, []
    for run in wanted:
        record = by_values.get(tuple(run.values()), RunRecord("", "missing"))
        figures = {name: figure(record.figures if record.status == "finished" else {}, name) for name in names}
        arm = ", ".join(run[key] for key in claim.arms)
        observations.append(Observation(claim.context(run), arm, run[SEED], record.status, figures))
    return observations


def figure(figures: Mapping[str, float | int | None], name: str) -> float:
    """Return a figure of a run, infinite if it has none; the name may be `WORST`."""
    names = (LEFT, MIDDLE, RIGHT) if name == WORST else (name,)
    return max((value for one in names if (value := figures.get(one)) is not None), default=np.inf)


def effects(runs: Sequence[Observation], claim: Claim, metric: str) -> list[Effect]:
    """Compare a figure of each arm with that of the baseline in each context, in the order of the runs.

    An arm that cannot be compared with any seed is left out.
    """
    compare = _matched if claim.matched else _paired
    seeds, groups = list(dict.fromkeys(run.seed for run in runs)), _by_seed(runs)
    compared = []
    for (context, arm), own in groups.items():
        base = groups[context, claim.baseline]
        ratios = [compare(own[seed], base[seed], claim, metric) for seed in seeds]
        effect = Effect(context, arm, tuple(ratio for ratio in ratios if not np.isnan(ratio)))
        if arm != claim.baseline and effect.ratios:
            compared.append(effect)
    return compared


def name_context(context: Iterable[tuple[str, str]]) -> str:
    """Name a context: options by their name, numbers with the last part of their key.

    Example:
        >>> name_context([("target", "runge"), ("data.n_train", "24")])
        'runge, n_train 24'
    """
    return ", ".join(f"{key.rpartition('.')[2]} {value}" if "." in key else value for key, value in context) or "all"


def _by_seed(runs: Sequence[Observation]) -> dict[Arm, dict[str, list[Observation]]]:
    groups: dict[Arm, dict[str, list[Observation]]] = {}
    for run in runs:
        groups.setdefault((run.context, run.arm), {}).setdefault(run.seed, []).append(run)
    return groups


def _paired(own: Sequence[Observation], base: Sequence[Observation], claim: Claim, metric: str) -> float:
    """Return the ratio of two runs' figures; NaN if neither has one."""
    value, reference = own[0].figures[metric], base[0].figures[metric]
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 if value == reference == 0 else float(np.divide(value, reference))


def _matched(own: Sequence[Observation], base: Sequence[Observation], claim: Claim, metric: str) -> float:
    """Return the ratio at equal `matched`: its geometric mean over the arm's runs within the baseline's range."""
    (x, y), reference = _logs(own, claim, metric), _logs(base, claim, metric)
    base_x, base_y = reference[:, np.isfinite(reference).all(0)]
    if not len(base_x):
        return np.nan
    if np.isinf(x).any():  # a run that failed has no `matched`
        return np.inf
    inside = (x >= base_x[0]) & (x <= base_x[-1])
    return float(np.exp((y - np.interp(x, base_x, base_y))[inside].mean())) if inside.any() else np.nan


def _logs(runs: Sequence[Observation], claim: Claim, metric: str) -> NDArray[np.float64]:
    """Return the logarithms of `matched`, in ascending order, and of the metric, (2, n)."""
    return np.log(np.array(sorted((run.figures[claim.matched], run.figures[metric]) for run in runs))).T
