"""The page of the evidence: from the runs of the claims to text and pictures."""

import platform
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import numpy as np
import torch
import yaml

from runge.compare.groups import FEWEST, WITHOUT_EFFECT, Row
from runge.configuration import CONFIGURATIONS, build
from runge.evidence.claims import MSE_DF, MSE_F, SEED, Claim, ClaimRuns
from runge.evidence.classical import classical
from runge.evidence.effects import (
    LEVEL,
    Effect,
    Judgement,
    Quartiles,
    arrange,
    context_keys,
    effects,
    judge,
    quartiles,
    slopes,
    typed,
)
from runge.evidence.figures import curves, forest, name_context
from runge.machine import cores
from runge.records.panels import RAISED, png
from runge.targets import Runge, Target

POINTS = 48
"""The number of points with which the classical methods are compared."""

_FAVOUR_ENDS = ("chebyshev", "endpoint", "mixed")


def page(sweeps: Sequence[ClaimRuns], quick: bool = False) -> tuple[str, dict[str, bytes]]:
    """The page of some claims, and its pictures.

    Args:
        sweeps: the runs of each.
        quick: whether the runs are too few and too short to mean anything.

    Returns:
        The page as Markdown, and each claim's picture as PNG, by the claim's name.
    """
    sections, pictures, found = [], {}, {}
    for sweep in sweeps:
        section, picture, found[sweep.claim.name] = _section(sweep)
        sections.append(section)
        pictures[sweep.claim.name] = picture
    rows = [row for sweep in sweeps for row in sweep.rows]
    keys = {sweep.claim.name: context_keys(sweep.wanted[0], sweep.claim) for sweep in sweeps}
    wanted = sum(len(sweep.wanted) for sweep in sweeps)
    every = [effect for section in sections for table in section["tables"] for effect in table["effects"]]
    tests = [effect for effect in every if effect.verdict]
    beside = _classical(rows)
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )  # Markdown, and no file's text in it: nothing to escape
    text = environment.from_string(files("runge.evidence").joinpath("page.md.jinja").read_text()).render(
        quick=quick,
        level=LEVEL,
        fewest=FEWEST,
        machine=f"{cores()} cores ({platform.machine()}), torch {torch.__version__}",
        runs=wanted,
        minutes=f"{sum(row.get('seconds/total') or 0 for row in rows) / 60:.1f}",
        unfinished=_unfinished(sum(section["missing"] for section in sections)),
        tests=len(tests),
        significant=sum(effect.verdict != "unclear" for effect in tests),
        chance=_chance(len(tests)),
        sections=sections,
        ends=_ends(found.get("sampling", []), keys.get("sampling", [])),
        points=POINTS,
        classical=beside,
    )
    return text, pictures


def _section(sweep: ClaimRuns) -> tuple[dict[str, Any], bytes, list[Effect]]:
    claim = sweep.claim
    runs = arrange(sweep.rows, sweep.wanted, claim)
    keys = context_keys(sweep.wanted[0], claim)
    found = {metric: effects(runs, claim, metric) for metric in (claim.metric, *claim.also)}
    judged = judge(found[claim.metric], claim)
    missing = sum(run.status != "finished" for run in runs)
    section = {
        "claim": claim,
        "verdict": judged.verdict or "no verdict",
        "sentence": describe(judged, keys, claim),
        "axis": claim.matched or claim.along or "context",
        "missing": missing,
        "tests": sum(bool(effect.verdict) for effect in found[claim.metric]),
        "by_chance": _chance(sum(bool(effect.verdict) for effect in found[claim.metric])),
        "unfinished": f" Of its runs {missing} did not finish." if missing else "",
        "tables": [_table(metric, shown, keys, claim) for metric, shown in found.items()],
        "slopes": _slopes(slopes(runs, claim), keys) if claim.matched else None,
    }
    figure = curves(runs, keys, claim) if claim.along else forest(found[claim.metric], keys, claim)
    return section, png(figure), found[claim.metric]


def describe(judged: Judgement, keys: Sequence[str], claim: Claim) -> str:
    """A judgement in a sentence, which names its best arm, its contexts, its largest gain and its largest loss."""
    if not judged.verdict:
        return f"The arm `{claim.overrides(judged.arm)}` has fewer than {FEWEST} seeds."

    def most(effect: Effect | None) -> str:
        if effect is None:
            return ""
        low, middle, high = effect.quartiles
        if middle < 1:
            low, middle, high = (1 / value if value else np.inf for value in (high, middle, low))
        spread = f"{_factor(middle)} ({_factor(low)} to {_factor(high)})"
        return f", most by a factor of {spread} for {name_context(keys, effect.context)}"

    helps, hurts = judged.count("helps"), judged.count("hurts")
    helped = f"helps in {helps} of {len(judged.effects)} contexts{most(judged.gain)}"
    return f"`{claim.overrides(judged.arm)}` {helped}; it hurts in {hurts}{most(judged.loss)}."


def _table(metric: str, shown: Sequence[Effect], keys: Sequence[str], claim: Claim) -> dict[str, Any]:
    """Effects as a table; where `along` tells contexts, its numbers stand side by side."""
    across = bool(keys) and keys[-1] == claim.along
    rows: dict[str, dict[str, str]] = {}
    for effect in shown:
        parts = list(effect.context)
        column = effect.arm
        if across:
            column = f"{effect.arm}, {name_context(keys[-1:], parts[-1:])}"
        label = name_context(keys[:-1], parts[:-1]) if across else name_context(keys, parts)
        rows.setdefault(label, {})[column] = _cell(effect.quartiles, bold=effect.verdict in ("helps", "hurts"))
    return {"metric": metric, "effects": shown, **_grid(rows)}


def _slopes(found: Mapping[tuple[tuple[str, ...], str], Quartiles], keys: Sequence[str]) -> dict[str, Any]:
    rows: dict[str, dict[str, str]] = {}
    for (context, arm), values in found.items():
        low, middle, high = (f"{value:.1f}".replace("-", "\N{MINUS SIGN}") for value in values)
        rows.setdefault(name_context(keys, context), {})[arm] = f"{middle} ({low} to {high})"
    return _grid(rows)


def _grid(rows: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    return {"columns": columns, "rows": [(label, [cells.get(c, "") for c in columns]) for label, cells in rows.items()]}


def _ends(sampled: Sequence[Effect], keys: Sequence[str]) -> dict[str, Any]:
    """Where Runge's function is steep, and what sampling near the ends has done."""
    target = Runge()
    x = torch.linspace(-1, 1, 200_001, dtype=torch.float64)[:, None]
    slope = target.derivative(x)[:, 0].abs()
    energy = slope.square()
    share = {bound: float(energy[x[:, 0].abs() <= bound].sum() / energy.sum()) for bound in (0.25, 0.8)}
    lines = []
    for arm in _FAVOUR_ENDS:
        told = [effect for effect in sampled if effect.arm == arm and effect.verdict]
        where = {
            verdict: [
                f"{name_context(keys, effect.context)} ({_factor(effect.quartiles[1])})"
                for effect in told
                if effect.verdict == verdict
            ]
            for verdict in ("helps", "hurts")
        }
        sentences = [
            f"{verdict} in {len(found)} of {len(told)} contexts" + (f": {'; '.join(found)}" if found else "")
            for verdict, found in where.items()
        ]
        if told:
            lines.append(f"`{arm}` {'. It '.join(sentences)}.")
    return {
        "at": f"{float(x[slope.argmax()].abs()):.4f}",
        "largest": f"{float(slope.max()):.4f}",
        "last": f"{float(slope[-1]):.4f}",
        "ratio": f"{float(slope.max() / slope[-1]):.0f}",
        "peak": f"{100 * share[0.25]:.0f}",
        "outside": f"{100 * (1 - share[0.8]):.2f}",
        "lines": lines,
    }


def _classical(rows: Sequence[Row]) -> list[list[str]]:
    """The table of the classical methods, with the best runs below them."""
    groups: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        if not row.get("overrides"):
            continue
        given = typed(row)
        points = (row.get("data.n_train") or 0) + (row.get("data.boundary_points") or 0)
        # Points that are drawn again are more than they seem.
        if points <= POINTS and given.get("resampling", "none") == "none":
            apart = (SEED, "target", *WITHOUT_EFFECT)
            ordered = sorted(given.items(), key=lambda item: item[0] != "experiment")
            name = " ".join(f"{key}={value}" for key, value in ordered if key not in apart)
            groups.setdefault(given.get("target", "runge"), {}).setdefault(name, []).append(row)
    lines = []
    for name, arms in groups.items():
        target = build("target", yaml.safe_load((CONFIGURATIONS / "target" / f"{name}.yaml").read_text()), Target)
        for method, errors in classical(target, POINTS).items():
            lines.append([name, method, *(f"{error:.1e}" for error in errors)])
        medians = {
            arm: [
                quartiles([np.inf if row.get(key) is None else float(row[key]) for row in members])[1]
                for key in (MSE_F, MSE_DF)
            ]
            for arm, members in arms.items()
        }
        best = min(medians, key=lambda arm: medians[arm][1])
        lines.append(
            [name, f"the best of {len(medians)} networks: `{best}`", *(f"{error:.1e}" for error in medians[best])]
        )
    return lines


def _cell(values: Quartiles, *, bold: bool) -> str:
    low, middle, high = map(_factor, values)
    return f"**{middle}** ({low} to {high})" if bold else f"{middle} ({low} to {high})"


def _factor(value: float) -> str:
    """A ratio with two digits.

    Example:
        >>> _factor(0.0123), _factor(123.4), _factor(45678.0)
        ('0.012', '123', '4.6×10⁴')
    """
    if not np.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "-"
    if value == 0 or 1e-2 <= value < 1e3:
        return f"{value:{'.2g' if value < 100 else '.0f'}}"
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(power)).translate(RAISED)}"


def _chance(tests: int) -> str:
    """How many of so many tests find a difference by chance."""
    return f"{LEVEL * tests:.1f}"


def _unfinished(number: int) -> str:
    return f", of which {number} did not finish" if number else ""
