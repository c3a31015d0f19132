"""The page of the evidence: text and pictures from the runs of the claims."""

import platform
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import torch
import yaml
from claims import SEED, Claim, ClaimRuns, typed
from classical import classical
from effects import LEVEL, Effect, Judgement, Observation, arrange, effects, figure, judge, slopes
from pictures import curves, forest, name_context

from runge.comparison.lead import FEWEST
from runge.configuration.objects import CONFIGURATIONS, SAME_RESULT, build
from runge.machine import cores
from runge.metrics import TEST_MSE_DF, TEST_MSE_F, TOTAL_SECONDS
from runge.pictures.style import png
from runge.records.reading import RunRecord
from runge.targets import Runge, Target

POINTS = 48  # in the comparison with classical methods
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_TEMPLATE = Path(__file__).with_name("page.md.jinja")
_FAVOUR_ENDS = ("chebyshev", "endpoint", "mixed")


def page(claims: Sequence[ClaimRuns], quick: bool = False) -> tuple[str, dict[str, bytes]]:
    """Write the page of some claims, and draw its pictures.

    Args:
        claims: the runs of each claim.
        quick: whether the runs are too few and too short to mean anything.

    Returns:
        The page as Markdown, and each claim's picture as PNG, by the claim's name.
    """
    sections = [_section(runs) for runs in claims]
    records = [record for runs in claims for record in runs.records]
    verdicts = [effect.verdict for section in sections for _, shown in section["compared"] for effect in shown]
    # Without autoescape, because the page is Markdown and contains no text from files.
    options: dict[str, Any] = {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True}
    template = jinja2.Template(_TEMPLATE.read_text(), undefined=jinja2.StrictUndefined, **options)
    text = template.render(
        quick=quick,
        level=LEVEL,
        fewest=FEWEST,
        machine=f"{cores()} cores ({platform.machine()}), torch {torch.__version__}",
        runs=sum(len(runs.wanted) for runs in claims),
        minutes=sum(record.figures.get(TOTAL_SECONDS) or 0 for record in records) / 60,
        tests=sum(map(bool, verdicts)),
        significant=sum(verdict in ("helps", "hurts") for verdict in verdicts),
        sections=sections,
        ends=_ends(sections),
        points=POINTS,
        classical=_classical(records),
    )
    return text, {section["claim"].name: section["picture"] for section in sections}


def _section(runs: ClaimRuns) -> dict[str, Any]:
    """Return the values that the template needs for the section of a claim, and the picture."""
    claim, observations = runs.claim, arrange(runs)
    compared = [(metric, effects(observations, claim, metric)) for metric in (claim.metric, *claim.also)]
    main = compared[0][1]
    judgement = judge(main, claim)
    return {
        "claim": claim,
        "compared": compared,
        "verdict": judgement.verdict or "no verdict",
        "sentence": describe(judgement, claim),
        "missing": sum(run.status != "finished" for run in observations),
        "tables": [(metric, _table(shown, claim)) for metric, shown in compared],
        "slopes": _slopes(observations, claim) if claim.matched else None,
        "picture": png(curves(observations, claim) if claim.along else forest(main, claim)),
    }


def describe(judgement: Judgement, claim: Claim) -> str:
    """Describe a judgement in a sentence: its best arm, the contexts, the largest gain and the largest loss."""
    if not judgement.verdict:
        return f"The arm `{claim.overrides(judgement.arm)}` has fewer than {FEWEST} seeds."

    def most(effects: Sequence[Effect]) -> str:
        if not effects:
            return ""
        low, middle, high = effects[0].quartiles
        if middle < 1:
            low, middle, high = (1 / value if value else np.inf for value in (high, middle, low))
        spread = f"{_factor(middle)} ({_factor(low)} to {_factor(high)})"
        return f", most by a factor of {spread} for {name_context(effects[0].context)}"

    helped, hurt = judgement.having("helps"), judgement.having("hurts")
    gain = f"helps in {len(helped)} of {len(judgement.effects)} contexts{most(helped)}"
    return f"`{claim.overrides(judgement.arm)}` {gain}; it hurts in {len(hurt)}{most(hurt)}."


def _table(shown: Sequence[Effect], claim: Claim) -> dict[str, Any]:
    """Return effects as a table; if `along` is a part of the contexts, its values are columns."""
    cells = {}
    for effect in shown:
        row = name_context(x for x in effect.context if x[0] != claim.along)
        column = ", ".join((effect.arm, *(name_context([x]) for x in effect.context if x[0] == claim.along)))
        low, middle, high = map(_factor, effect.quartiles)
        median = f"**{middle}**" if effect.verdict in ("helps", "hurts") else middle
        cells[row, column] = f"{median} ({low} to {high})"
    return _grid(cells)


def _slopes(runs: Sequence[Observation], claim: Claim) -> dict[str, Any]:
    cells = {}
    for (context, arm), values in slopes(runs, claim).items():
        low, middle, high = (f"{value:.1f}".replace("-", "\N{MINUS SIGN}") for value in values)
        cells[name_context(context), arm] = f"{middle} ({low} to {high})"
    return _grid(cells)


def _grid(cells: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """Return a table from its cells by row and column, both in the order of their first cell."""
    rows, columns = (list(dict.fromkeys(names)) for names in zip(*cells, strict=True))
    return {"columns": columns, "rows": [(row, [cells.get((row, c), "") for c in columns]) for row in rows]}


def _ends(sections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return where Runge's function is steep, and the effects of sampling near the ends."""
    x = torch.linspace(-1, 1, 200_001, dtype=torch.float64)[:, None]
    slope, distance = Runge().derivative(x)[:, 0].abs(), x[:, 0].abs()
    energy = slope.square() / slope.square().sum()
    sampling, arms = [section for section in sections if section["claim"].name == "sampling"], []
    for section, arm in product(sampling, _FAVOUR_ENDS):
        tested = [effect for effect in section["compared"][0][1] if effect.arm == arm and effect.verdict]
        clauses = []
        for verdict in ("helps", "hurts"):
            chosen = [effect for effect in tested if effect.verdict == verdict]
            names = [f"{name_context(e.context)} ({_factor(e.quartiles[1])})" for e in chosen]
            listed = f": {'; '.join(names)}" if names else ""
            clauses.append(f"{verdict} in {len(names)} of {len(tested)} contexts{listed}")
        if tested:
            arms.append(f"`{arm}` {'. It '.join(clauses)}.")
    return {
        "at": float(distance[slope.argmax()]),
        "largest": float(slope.max()),
        "last": float(slope[-1]),
        "peak": 100 * float(energy[distance <= 0.25].sum()),
        "outside": 100 * float(energy[distance > 0.8].sum()),
        "arms": arms,
    }


def _classical(records: Sequence[RunRecord]) -> list[list[str]]:
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


def _factor(value: float) -> str:
    """Format a ratio with two digits or, from 100 on, without decimals: 0.012, 123, 4.6×10⁴."""
    if not np.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "-"
    if value == 0 or 1e-2 <= value < 1e3:
        return f"{value:{'.2g' if value < 100 else '.0f'}}"
    mantissa, power = f"{value:.1e}".split("e")
    return f"{mantissa}×10{str(int(power)).translate(_RAISED)}"
