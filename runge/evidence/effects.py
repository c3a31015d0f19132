"""The effects of a claim's arms against its baseline: paired ratios, their spread over seeds, and verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from runge.compare.groups import FEWEST
from runge.evidence.claims import LEFT, MIDDLE, RIGHT, SEED, WORST, Claim
from runge.records.reading import RunRecord

LEVEL = 0.01
"""The level of a test."""

Quartiles = tuple[float, float, float]
"""The lower quartile, the median and the upper quartile."""


class Observation(NamedTuple):
    """A run as an observation for a claim.

    Attributes:
        context: the values that identify the context, as typed (`context_keys`).
        arm: the values that identify the arm, joined by ", ".
        seed: the seed.
        along: the value of the claim's `along`; empty if it has none.
        status: the run's status; `missing` if there is no such run.
        figures: the run's figures; infinite if it did not finish.
    """

    context: tuple[str, ...]
    arm: str
    seed: str
    along: str
    status: str
    figures: Mapping[str, float]


class Effect(NamedTuple):
    """An arm against the baseline in one context.

    Attributes:
        context: the values that identify the context; the value of `along` comes last unless it is part of the arm.
        arm: the arm's values.
        ratios: for each seed the arm's metric divided by the baseline's; infinite if the arm has no figure, 0 if the
            baseline has none. Seeds for which both have none are left out.
    """

    context: tuple[str, ...]
    arm: str
    ratios: tuple[float, ...]

    @property
    def quartiles(self) -> Quartiles:
        """The quartiles of the ratios."""
        return quartiles(self.ratios)

    @property
    def verdict(self) -> str:
        """`helps`, `hurts` or `unclear`; empty with fewer than five seeds."""
        if len(self.ratios) < FEWEST:
            return ""
        median = self.quartiles[1]
        if signed_rank(self.ratios) >= LEVEL or median == 1:
            return "unclear"
        return "helps" if median < 1 else "hurts"


class Judgement(NamedTuple):
    """The verdict on a claim, by its best arm: the one that helps in most contexts.

    Attributes:
        verdict: `holds` if the arm helps in every context, `fails` if no arm helps in any, else `depends`; empty with
            too few seeds.
        arm: the best arm.
        effects: its effects, one per context.
    """

    verdict: str
    arm: str
    effects: tuple[Effect, ...]

    def having(self, verdict: str) -> list[Effect]:
        """Return the effects with this verdict, the strongest one first."""
        chosen = [effect for effect in self.effects if effect.verdict == verdict]
        return sorted(chosen, key=lambda effect: effect.quartiles[1], reverse=verdict == "hurts")


@cache
def signed_rank(ratios: tuple[float, ...]) -> float:
    """Return the p-value of a two-sided Wilcoxon signed-rank test of the ratios' logarithms; 1 if all ratios are 1.

    References:
        F. Wilcoxon (1945). Individual comparisons by ranking methods. https://doi.org/10.2307/3001968
    """
    with np.errstate(divide="ignore"):
        logs = np.log(ratios)
    _, p = wilcoxon(logs) if logs.any() else (0, 1)
    return float(np.asarray(p))


def quartiles(values: Sequence[float]) -> Quartiles:
    """Return the quartiles of some values, by interpolation; values may be infinite."""
    if not len(values):
        return np.nan, np.nan, np.nan
    with np.errstate(invalid="ignore"):
        between = np.quantile(values, (0.25, 0.5, 0.75))
    low, middle, high = np.where(np.isnan(between), np.quantile(values, (0.25, 0.5, 0.75), method="higher"), between)
    return float(low), float(middle), float(high)


def context_keys(swept: Iterable[str], claim: Claim) -> list[str]:
    """Return the swept keys that define the contexts; `along` comes last, if it is one of them."""
    others = {*claim.arms, SEED, *((claim.along,) if claim.matched else ())}
    return sorted((key for key in swept if key not in others), key=lambda key: key == claim.along)


def arrange(records: Iterable[RunRecord], wanted: Sequence[Mapping[str, str]], claim: Claim) -> list[Observation]:
    """Arrange the runs of a claim's sweep as observations.

    Args:
        records: the runs as read from their directories.
        wanted: for each run that there should be, the swept keys and their values as typed.
        claim: the claim.

    Returns:
        An observation for each run that there should be, in that order.
    """
    by_values = {tuple(typed(one).get(key) for key in wanted[0]): one for one in records if one.overrides}
    names = dict.fromkeys((claim.metric, *claim.also, *((claim.matched,) if claim.matched else ())))
    runs = []
    for run in wanted:
        record = by_values.get(tuple(run.values()), RunRecord("", "missing"))
        values = {name: figure(record.figures, name) if record.status == "finished" else None for name in names}
        figures = {name: np.inf if value is None else value for name, value in values.items()}
        context = tuple(run[key] for key in context_keys(run, claim))
        arm = ", ".join(run[key] for key in claim.arms)
        runs.append(Observation(context, arm, run[SEED], run.get(claim.along, ""), record.status, figures))
    return runs


def typed(record: RunRecord) -> dict[str, str]:
    """Return a run's overrides with their values as typed."""
    return dict(part.split("=", 1) for part in (record.overrides or "").split() if "=" in part)


def figure(figures: Mapping[str, float | int | None], name: str) -> float | None:
    """Return a figure of a run, or None if it has none; the name may be `WORST`."""
    if name != WORST:
        return figures.get(name)
    return max((value for region in (LEFT, MIDDLE, RIGHT) if (value := figures.get(region)) is not None), default=None)


def effects(runs: Sequence[Observation], claim: Claim, metric: str) -> list[Effect]:
    """Compare the arms with the baseline in each context.

    Args:
        runs: the runs (`arrange`).
        claim: the claim.
        metric: the figure to compare.

    Returns:
        The effects, in the order of the runs; an arm that cannot be compared with any seed is left out.
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


def judge(effects: Sequence[Effect], claim: Claim) -> Judgement:
    """Judge a claim by the effects of its arms."""
    names = claim.judged or dict.fromkeys(effect.arm for effect in effects)
    arms = {name: tuple(effect for effect in effects if effect.arm == name) for name in names}

    def rank(arm: str) -> tuple[float, ...]:
        verdicts = [effect.verdict for effect in arms[arm]]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.mean(np.log([effect.quartiles[1] for effect in arms[arm]]))
        return -verdicts.count("helps"), verdicts.count("hurts"), float(np.nan_to_num(mean, nan=np.inf))

    best = min(arms, key=rank)
    verdicts = [effect.verdict for effect in arms[best]]
    helped = verdicts.count("helps")
    verdict = "fails" if helped == 0 else "holds" if helped == len(verdicts) else "depends"
    return Judgement(verdict if any(effect.verdict for effect in effects) else "", best, arms[best])


def slopes(runs: Sequence[Observation], claim: Claim) -> dict[tuple[tuple[str, ...], str], Quartiles]:
    """Fit the slope of log metric over log `matched` by least squares.

    Returns:
        The slope's quartiles over seeds, for each context and arm. A seed with a run that did not finish is left out.
    """
    fits: dict[tuple[tuple[str, ...], str], Quartiles] = {}
    for key, seeds in _by_seed(runs).items():
        points = [_logs(own, claim, claim.metric) for own in seeds.values()]
        fits[key] = quartiles([float(np.polyfit(x, y, 1)[0]) for x, y in points if np.isfinite(y).all()])
    return fits


def _by_seed(runs: Sequence[Observation]) -> dict[tuple[tuple[str, ...], str], dict[str, list[Observation]]]:
    """Group the runs by context and arm, then by seed."""
    groups: dict[tuple[tuple[str, ...], str], dict[str, list[Observation]]] = {}
    for run in runs:
        groups.setdefault((run.context, run.arm), {}).setdefault(run.seed, []).append(run)
    return groups


def _paired(own: Sequence[Observation], base: Sequence[Observation], claim: Claim, metric: str) -> float:
    """Return the ratio of two runs' figures; NaN if neither has one."""
    (value,), (reference,) = ([run.figures[metric] for run in runs] for runs in (own, base))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 if value == reference == 0 else float(np.divide(value, reference))


def _matched(own: Sequence[Observation], base: Sequence[Observation], claim: Claim, metric: str) -> float:
    """Return the ratio at equal `matched`: its geometric mean over the arm's runs within the baseline's range."""
    (x, y), (base_x, base_y) = (_logs(runs, claim, metric) for runs in (own, base))
    finite = np.isfinite(base_x) & np.isfinite(base_y)
    base_x, base_y = base_x[finite], base_y[finite]
    if not len(base_x):
        return np.nan
    if np.isinf(x).any():  # a run that failed has no `matched`
        return np.inf
    inside = (x >= base_x[0]) & (x <= base_x[-1])
    return float(np.exp((y - np.interp(x, base_x, base_y))[inside].mean())) if inside.any() else np.nan


def _logs(runs: Sequence[Observation], claim: Claim, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the logarithms of `matched`, in ascending order, and of the metric."""
    x, y = np.log(np.array(sorted((run.figures[claim.matched], run.figures[metric]) for run in runs))).T
    return x, y
