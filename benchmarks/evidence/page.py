"""The pages of the evidence: a summary, and the figures with a section for each claim."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from claims import SEED, Claim, typed
from classical import classical
from effects import LEVEL, figure
from factors import geometric_mean
from findings import Finding, Findings, Judgement, judge, judgements
from pages import render

from runge.comparison.lead import FEWEST_SEEDS
from runge.configuration.objects import CONFIGURATIONS, SAME_RESULT, build
from runge.records.metrics import TEST_MSE_DF, TEST_MSE_F
from runge.records.reading import RunRecord
from runge.targets import Target

HERE = Path(__file__).parent
SUMMARY, PAGE = "evidence.md#benchmarks/evidence", "evidence/figures.md"
"""The part of a page, and the page, that are written."""
POINTS = 48  # in the comparison with classical methods
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def pages(findings: Findings, quick: bool = False) -> dict[str, str]:
    """Write the pages of some findings.

    Args:
        findings: the findings on each claim.
        quick: whether the runs are too few and too short to mean anything.

    Returns:
        The pages as Markdown, by their paths below the documentation.
    """
    verdicts = [finding.verdict for finding in findings.effects]
    sections = [_section(findings, claim) for claim in findings.claims()]
    values: dict[str, Any] = {
        "quick": quick,
        "level": LEVEL,
        "fewest": FEWEST_SEEDS,
        "machine": findings.machine,
        "runs": sum(wanted for wanted, _ in findings.runs.values()),
        "missing": sum(missing for _, missing in findings.runs.values()),
        "minutes": findings.minutes,
        "tests": sum(map(bool, verdicts)),
        "significant": sum(verdict in ("helps", "hurts") for verdict in verdicts),
        "sections": sections,
        "count": _counter(findings),
        "spread": _spread(findings),
        "factor": format_factor,
        "points": POINTS,
        "classical": findings.classical,
    }
    return {SUMMARY: render(HERE / "page.md.jinja", **values), PAGE: render(HERE / "figures.md.jinja", **values)}


def _section(findings: Findings, claim: Claim) -> dict[str, Any]:
    """Return the values that the templates need for a claim."""
    main = findings.on(claim, claim.metric)
    judgement = judge(main, claim)
    return {
        "claim": claim,
        "anchor": re.sub(r"[^\w ]", "", claim.title.lower()).replace(" ", "-"),
        "sentence": describe(judgement, claim),
        "best": _arm(judgement, claim),
        "arms": [_arm(one, claim) for one in judgements(main, claim)],
        "runs": findings.runs[claim.name][0],
        "missing": findings.runs[claim.name][1],
        "tables": [(metric, _table(findings.on(claim, metric), claim)) for metric in (claim.metric, *claim.also)],
    }


def _arm(judgement: Judgement, claim: Claim) -> list[Any]:
    """Return the row of an arm: its override, counts of contexts, and the geometric mean of its ratios."""
    mean = geometric_mean([finding.median for finding in judgement.findings])
    low, middle, high = map(format_factor, (mean.low, mean.middle, mean.high))
    interval = "" if np.isnan(mean.low) else f" ({low} to {high})"
    counts = (len(judgement.having(verdict)) for verdict in ("helps", "hurts"))
    return [f"`{claim.overrides(judgement.arm)}`", len(judgement.findings), *counts, f"{middle}{interval}"]


def describe(judgement: Judgement, claim: Claim) -> str:
    """Describe an arm in a sentence: the contexts, the largest gain and the largest loss."""
    if not judgement.tested:
        return f"`{claim.overrides(judgement.arm)}` has fewer than {FEWEST_SEEDS} seeds."

    def most(findings: Sequence[Finding]) -> str:
        if not findings:
            return ""
        low, middle, high = findings[0].quartiles
        if middle < 1:
            low, middle, high = (1 / value if value else np.inf for value in (high, middle, low))
        spread = f"{format_factor(middle)} ({format_factor(low)} to {format_factor(high)})"
        return f", at most by a factor of {spread} for {findings[0].context}"

    helped, hurt = judgement.having("helps"), judgement.having("hurts")
    contexts = len(judgement.findings)
    gain = f"significantly lower in {len(helped) or 'none'} of the {contexts} contexts{most(helped)}"
    loss = f"It is higher in {len(hurt) or 'none'}{most(hurt)}."
    return f"With `{claim.overrides(judgement.arm)}` the error is {gain}. {loss}"


def _counter(findings: Findings) -> Callable[..., str]:
    """Return a function for the templates, that counts the contexts in which an arm helps or hurts."""

    def count(name: str, arm: str, verdict: str, context: str = "") -> str:
        chosen = [
            one
            for claim in findings.claims()
            if claim.name == name
            for one in findings.on(claim, claim.metric)
            if one.arm == arm and context in f"{one.context}, "
        ]
        return f"{sum(one.verdict == verdict for one in chosen)} of {len(chosen)}"

    return count


def _spread(findings: Findings) -> Callable[..., str]:
    """Return a function for the templates: the largest ratio in a context between the errors of some arms.

    Contexts that contain `without` are left out.
    """

    def spread(name: str, arms: Sequence[str], without: str) -> str:
        (claim,) = (one for one in findings.claims() if one.name == name)
        some = [one for one in findings.on(claim, claim.metric) if one.arm in arms and without not in one.context]
        errors: dict[str, list[float]] = {}
        for one in some:
            errors.setdefault(one.context, []).append(one.median)
        return format_factor(max(max(of) / min(of) for of in errors.values()))

    return spread


def _table(shown: Sequence[Finding], claim: Claim) -> dict[str, Any]:
    """Return effects as a table; if `along` is a part of the contexts, its values are columns."""
    cells = dict[tuple[str, str], str]()
    for finding in shown:
        row, last = finding.context, ""
        if claim.along and not claim.matched:  # it comes last
            row, _, last = row.rpartition(", ")
        low, middle, high = map(format_factor, finding.quartiles)
        median = f"**{middle}**" if finding.verdict in ("helps", "hurts") else middle
        cells[row, ", ".join(filter(None, (finding.arm, last)))] = f"{median} ({low} to {high})"
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    return {"columns": columns, "rows": [[row, *(cells.get((row, c), "") for c in columns)] for row in rows]}


def compared(records: Sequence[RunRecord]) -> list[list[str]]:
    """Return the table of the classical methods, with the best group of runs after those of each target."""
    groups: dict[str, dict[str, list[RunRecord]]] = {}
    for record in filter(lambda record: record.overrides, records):
        overrides, settings = typed(record), record.settings
        points = (settings.get("data.n_train") or 0) + (settings.get("data.boundary_points") or 0)
        # Resampled runs see more points than they have at a time.
        if points <= POINTS and overrides.get("resampling", "none") == "none":
            ordered = sorted(overrides.items(), key=lambda item: item[0] != "experiment")
            name = " ".join(f"{key}={value}" for key, value in ordered if key not in (SEED, "target", *SAME_RESULT))
            groups.setdefault(overrides.get("target", "runge"), {}).setdefault(name, []).append(record)
    lines = []
    for name, arms in groups.items():
        target = build("target", yaml.safe_load((CONFIGURATIONS / "target" / f"{name}.yaml").read_text()), Target)
        medians = {
            arm: [np.median([figure(one.figures, key) for one in members]) for key in (TEST_MSE_F, TEST_MSE_DF)]
            for arm, members in arms.items()
        }
        best = min(medians, key=lambda arm: medians[arm][1])
        methods = classical(target, POINTS) | {f"the best of {len(medians)} networks: `{best}`": medians[best]}
        lines += [[name, method, *(f"{error:.1e}" for error in errors)] for method, errors in methods.items()]
    return lines


def format_factor(value: float) -> str:
    """Format a ratio with two digits or, from 100 on, without decimals: 0.012, 123, 4.6×10⁴."""
    if not np.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "-"
    if value == 0 or 1e-2 <= value < 1e3:
        return f"{value:{'.2g' if value < 100 else '.0f'}}"
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(power)).translate(_RAISED)}"
