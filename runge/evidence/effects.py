"""How the arms of a claim do against its baseline: paired ratios, their spread over seeds, and verdicts."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import wilcoxon

from runge.compare.groups import FEWEST, Row
from runge.evidence.claims import MSE_DF, SEED, WORST, Claim

LEVEL = 0.01
"""The level of a test."""

Quartiles = tuple[float, float, float]
"""The lower quartile, the median and the upper quartile."""


class Run(NamedTuple):
    """A run as a claim sees it.

    Attributes:
        context: the values that tell its context, as typed (`context_keys`).
        arm: those that tell its arm, joined by a comma and a blank.
        seed: its seed.
        along: its value of the claim's `along`; empty where it has none.
        status: what has become of it; `missing`: there is no such run.
        figures: what it has reached; infinite where it did not finish.
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
        context: the values that tell the context, those of `along` last where it is not an arm's.
        arm: the arm's values.
        ratios: metric over that of the baseline with the same seed; infinite where the arm has no figure, 0 where the
            baseline has none. Pairs without any figure are left out.
    """

    context: tuple[str, ...]
    arm: str
    ratios: tuple[float, ...]

    @property
    def quartiles(self) -> Quartiles:
        """Those of its ratios."""
        return quartiles(self.ratios)

    @property
    def p(self) -> float:
        """The p-value of the logarithms of its ratios (`signed_rank`)."""
        return signed_rank(self.ratios)

    @property
    def verdict(self) -> str:
        """`helps`, `hurts` or `unclear`; empty where there are fewer than five seeds."""
        if len(self.ratios) < FEWEST:
            return ""
        median = self.quartiles[1]
        if self.p >= LEVEL or median == 1:
            return "unclear"
        return "helps" if median < 1 else "hurts"


class Judgement(NamedTuple):
    """A claim's verdict, by its best arm: that which helps in most contexts.

    Attributes:
        verdict: `holds`: it helps in every context, `fails`: no arm helps in any, `depends`; empty: too few seeds.
        arm: the best arm.
        effects: its effects, one for each context.
    """

    verdict: str
    arm: str
    effects: tuple[Effect, ...]

    def count(self, verdict: str) -> int:
        """In how many contexts the arm has this verdict."""
        return len(self._with(verdict))

    @property
    def gain(self) -> Effect | None:
        """Where it helps most, by its median ratio; None where it helps nowhere."""
        return min(self._with("helps"), key=lambda effect: effect.quartiles[1], default=None)

    @property
    def loss(self) -> Effect | None:
        """Where it hurts most; None where it hurts nowhere."""
        return max(self._with("hurts"), key=lambda effect: effect.quartiles[1], default=None)

    def _with(self, verdict: str) -> list[Effect]:
        return [effect for effect in self.effects if effect.verdict == verdict]


@cache
def signed_rank(ratios: tuple[float, ...]) -> float:
    """The p-value of the logarithms of ratios, by a two-sided Wilcoxon signed-rank test; 1 where all ratios are 1.

    References:
        F. Wilcoxon (1945). Individual comparisons by ranking methods. https://doi.org/10.2307/3001968
    """
    with np.errstate(divide="ignore"):
        logs = np.log(ratios)
    _, p = wilcoxon(logs) if logs.any() else (0, 1)
    return float(np.asarray(p))


def quartiles(values: Sequence[float]) -> Quartiles:
    """The lower quartile, the median and the upper quartile of figures of which some may be infinite, interpolated."""
    if not len(values):
        return np.nan, np.nan, np.nan
    with np.errstate(invalid="ignore"):
        between = np.quantile(values, (0.25, 0.5, 0.75))
    low, middle, high = np.where(np.isnan(between), np.quantile(values, (0.25, 0.5, 0.75), method="higher"), between)
    return float(low), float(middle), float(high)


def context_keys(swept: Iterable[str], claim: Claim) -> list[str]:
    """Those of the swept keys that tell the contexts; `along`, where it is one of them, comes last."""
    apart = {*claim.arms, SEED, *((claim.along,) if claim.matched else ())}
    return sorted((key for key in swept if key not in apart), key=lambda key: key == claim.along)


def arrange(rows: Iterable[Row], wanted: Sequence[Mapping[str, str]], claim: Claim) -> list[Run]:
    """The runs of a claim's sweep.

    Args:
        rows: what is known of the runs (`runge.records.reading.read`).
        wanted: the swept keys of each run that there should be, with their values as typed.
        claim: the claim.

    Returns:
        A run for each that there should be, in that order.
    """
    known = {tuple(typed(row).get(key) for key in wanted[0]): row for row in rows if row.get("overrides")}
    names = dict.fromkeys((claim.metric, *claim.also, *((claim.matched,) if claim.matched else ())))
    runs = []
    for run in wanted:
        row = known.get(tuple(run.values()), {"status": "missing"})
        values = {name: figure(row, name) if row["status"] == "finished" else None for name in names}
        figures = {name: np.inf if value is None else value for name, value in values.items()}
        context = tuple(run[key] for key in context_keys(run, claim))
        arm = ", ".join(run[key] for key in claim.arms)
        runs.append(Run(context, arm, run[SEED], run.get(claim.along, ""), row["status"], figures))
    return runs


def typed(row: Row) -> dict[str, str]:
    """A run's overrides, with their values as typed."""
    return dict(part.split("=", 1) for part in str(row["overrides"]).split() if "=" in part)


def figure(row: Row, name: str) -> float | None:
    """A figure of a run, that of the worst region among them."""
    if name != WORST:
        return row.get(name)
    regions = [row.get(f"{MSE_DF}/{region}") for region in ("left", "middle", "right")]
    return max((value for value in regions if value is not None), default=None)


def effects(runs: Sequence[Run], claim: Claim, metric: str) -> list[Effect]:
    """The arms against the baseline, in each context.

    Args:
        runs: the runs (`arrange`).
        claim: whose they are.
        metric: one of their figures.

    Returns:
        The effects, contexts and arms in the order of the runs, but for those of which nothing can be said.
    """
    compare = _matched if claim.matched else _paired
    seeds, parts = list(dict.fromkeys(run.seed for run in runs)), _by_seed(runs)
    found = []
    for (context, arm), own in parts.items():
        base = parts[context, claim.baseline]
        ratios = [compare(own[seed], base[seed], claim, metric) for seed in seeds]
        known = tuple(ratio for ratio in ratios if not np.isnan(ratio))
        if arm != claim.baseline and known:
            found.append(Effect(context, arm, known))
    return found


def judge(found: Sequence[Effect], claim: Claim) -> Judgement:
    """The verdict of a claim, by the effects of its arms."""
    names = claim.judged or dict.fromkeys(effect.arm for effect in found)
    arms = {name: tuple(effect for effect in found if effect.arm == name) for name in names}

    def rank(arm: str) -> tuple[float, ...]:
        verdicts = [effect.verdict for effect in arms[arm]]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = np.mean(np.log([effect.quartiles[1] for effect in arms[arm]]))
        return -verdicts.count("helps"), verdicts.count("hurts"), float(np.nan_to_num(mean, nan=np.inf))

    best = min(arms, key=rank)
    verdicts = [effect.verdict for effect in arms[best]]
    helped = verdicts.count("helps")
    verdict = "fails" if helped == 0 else "holds" if helped == len(verdicts) else "depends"
    return Judgement(verdict if any(effect.verdict for effect in found) else "", best, arms[best])


def slopes(runs: Sequence[Run], claim: Claim) -> dict[tuple[tuple[str, ...], str], Quartiles]:
    """The slope of the metric over `matched`, both in logarithms, by least squares.

    Returns:
        Its quartiles over seeds, for each context and arm. A seed with a run that did not finish is left out.
    """
    parts = _by_seed(runs)
    found: dict[tuple[tuple[str, ...], str], Quartiles] = {}
    for key, seeds in parts.items():
        points = [_logs(own, claim, claim.metric) for own in seeds.values()]
        found[key] = quartiles([float(np.polyfit(x, y, 1)[0]) for x, y in points if np.isfinite(y).all()])
    return found


def _by_seed(runs: Sequence[Run]) -> dict[tuple[tuple[str, ...], str], dict[str, list[Run]]]:
    """The runs of each context and arm, by their seeds."""
    parts: dict[tuple[tuple[str, ...], str], dict[str, list[Run]]] = {}
    for run in runs:
        parts.setdefault((run.context, run.arm), {}).setdefault(run.seed, []).append(run)
    return parts


def _paired(own: Sequence[Run], base: Sequence[Run], claim: Claim, metric: str) -> float:
    """The ratio of two runs' figures; NaN where neither has one."""
    (value,), (reference,) = ([run.figures[metric] for run in runs] for runs in (own, base))
    with np.errstate(divide="ignore", invalid="ignore"):
        return 1.0 if value == reference == 0 else float(np.divide(value, reference))


def _matched(own: Sequence[Run], base: Sequence[Run], claim: Claim, metric: str) -> float:
    """That ratio where `matched` is equal, its geometric mean over the arm's runs within the baseline's range."""
    (x, y), (base_x, base_y) = (_logs(runs, claim, metric) for runs in (own, base))
    known = np.isfinite(base_x) & np.isfinite(base_y)
    base_x, base_y = base_x[known], base_y[known]
    if not len(base_x):
        return np.nan
    if np.isinf(x).any():  # of a run that failed the place is not known
        return np.inf
    inside = (x >= base_x[0]) & (x <= base_x[-1])
    return float(np.exp((y - np.interp(x, base_x, base_y))[inside].mean())) if inside.any() else np.nan


def _logs(runs: Sequence[Run], claim: Claim, metric: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The logarithms of `matched` and of the metric, in the order of the former."""
    points = sorted((run.figures[claim.matched], run.figures[metric]) for run in runs)
    x, y = np.log(np.array(points)).T
    return x, y
